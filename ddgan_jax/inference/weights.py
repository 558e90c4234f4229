"""The weights of a run as one `.safetensors` file, for programs that read no run folders."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ddgan_jax.inference.model import Model
from ddgan_jax.interop.safetensors import write_safetensors


def named_weights(model: Model) -> dict[str, np.ndarray]:
    """All arrays that sampling reads, by their place: "gen.Dense_0.kernel".

    Arrays have the layouts of Flax. Those of frozen networks begin with "frozen.".
    """
    trees = {**model.params, **({"frozen": model.frozen} if model.frozen else {})}
    leaves = jax.tree_util.tree_leaves_with_path(trees)
    return {".".join(map(_name, path)): np.asarray(leaf) for path, leaf in leaves}


def _name(key: Any) -> str:
    found = (getattr(key, attribute, None) for attribute in ("key", "idx", "name"))
    return str(next(value for value in found if value is not None))


def write_weights(path: Path, model: Model) -> None:
    """Write `named_weights` to a file.

    Args:
      path: the file to write.
      model: the run.
    """
    write_safetensors(path, named_weights(model), kind="flax")
