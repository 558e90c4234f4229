"""Labels of a whole source: `all_labels` reads them, `check_labels` compares them with a config."""

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.source import Source

_CHUNK = 256  # examples that are read at once where the images have to be read too


def all_labels(source: Source) -> np.ndarray:
    """The labels of all examples, int32 `[source.size]`, in the order of their indices."""
    if source.labels is not None:
        return source.labels()
    starts = range(0, source.size, _CHUNK)
    chunks = (np.arange(start, min(start + _CHUNK, source.size)) for start in starts)
    return np.concatenate([source.take(chunk)["label"] for chunk in chunks])


def check_labels(source: Source, classes: int) -> None:
    """Check that every label is a class of the config.

    Args:
      source: the data of a run.
      classes: `config.classes`; 0 for an unconditional run, for which labels are not read.

    Raises:
      UserError: the data have no labels, or a label is not in [0, classes).
    """
    if classes == 0:
        return
    if not source.labeled:
        raise UserError(
            f"config.classes is {classes}; {source.name} has no labels, and data without labels "
            "needs 0"
        )
    labels = all_labels(source)
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(np.argmax(wrong))
        allowed = (
            "labels >= 0 in the data, or 0,"
            if labels[first] < 0
            else (f"0, or more than the largest label, {int(labels.max())},")
        )
        raise UserError(
            f"config.classes is {classes}, and example {first} of {source.name} has label "
            f"{int(labels[first])}; {allowed} is needed"
        )
