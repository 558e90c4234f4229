"""A trained run as a value: restored weights and functions to sample from them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax import checkpoint, run_folder
from ddgan_jax import mesh as meshes
from ddgan_jax.build import build_method, tracing
from ddgan_jax.config import validate
from ddgan_jax.errors import UserError
from ddgan_jax.sampling import sample_batches
from ddgan_jax.types import Method, Params


class Model(NamedTuple):
    """What `load` returns."""

    config: ConfigDict
    method: Method
    params: Params  # moving averages, replicated over the devices of `mesh`
    step: int  # train steps that made them
    mesh: jax.sharding.Mesh

    def sample(self, key: jax.Array, count: int, batch_size: int | None = None) -> np.ndarray:
        """Draw `count` samples, float32 [count, ...], images in [-1, 1].

        Image i depends on (key, i) alone: not on the batch, nor on the number of devices.

        Args:
          key: typed PRNG key, `jax.random.key(seed)`.
          count: any number.
          batch_size: images per compiled call; `config.sample.batch_size` if None. Rounded up to
            a multiple of the devices.
        """
        return np.concatenate(list(self.batches(key, count, batch_size)), axis=0)

    def batches(
        self, key: jax.Array, count: int, batch_size: int | None = None
    ) -> Iterator[np.ndarray]:
        """What `sample` draws, a batch at a time: any number of images fits in memory."""
        if count < 1:
            raise UserError(f"{count} images were asked for; a positive number is needed")
        if batch_size is not None and batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; a positive number is needed")
        size = min(batch_size or self.config.sample.batch_size, count)
        size = -(-size // self.mesh.size) * self.mesh.size
        same, split = meshes.replicated(self.mesh), meshes.over_batch(self.mesh)
        compiled = jax.jit(self.method.sample, in_shardings=(same, split, same), out_shardings=same)
        return sample_batches(compiled, self.params, (), key, count, size)


def load(
    workdir: str | Path,
    step: int | None = None,
    config: ConfigDict | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Model:
    """Restore the moving-average weights of a run folder.

    Args:
      workdir: a folder that training made.
      step: of the checkpoint; the last one if None.
      config: instead of the folder's own; must describe the same model.
      devices: to restore onto and to sample with; all if None.

    Raises:
      UserError: no such folder or checkpoint, a damaged one, or one of another config.
    """
    workdir = Path(workdir)
    saved = run_folder.load_config(workdir)
    if config is not None:
        run_folder.check_same_run(workdir, config)
    config = config or saved
    validate(config)
    mesh = meshes.make_mesh(devices)
    method = build_method(config, run_folder.data_shape(workdir))
    if not (workdir / "checkpoints").is_dir():
        raise UserError(f"no checkpoint in {workdir}; train first with --workdir={workdir}")
    with checkpoint.opened(workdir, read_only=True) as manager:
        step = checkpoint.latest_step(manager, step)
        with tracing(config):
            shapes = jax.eval_shape(method.init, jax.random.key(0))
        wanted = {role: shapes[role] for role in method.ema_roles}
        params = checkpoint.restore_ema(
            manager, step, checkpoint.with_sharding(wanted, meshes.replicated(mesh))
        )
    return Model(config, method, params, step, mesh)
