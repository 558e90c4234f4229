"""A trained run as a value: restored weights and functions to sample from them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax import checkpoint, latents, run_folder, storage
from ddgan_jax import mesh as meshes
from ddgan_jax.config import validate
from ddgan_jax.errors import UserError
from ddgan_jax.prepare import assemble
from ddgan_jax.sampling import compiled_sampler, sample_batches
from ddgan_jax.types import Array, Method, Params, PyTree


class Model(NamedTuple):
    """What `load` returns."""

    config: ConfigDict
    method: Method
    params: Params  # moving averages (or raw weights), replicated over the devices of `mesh`
    step: int  # train steps that made them
    shape: tuple[int, ...]  # of one example
    mesh: jax.sharding.Mesh
    frozen: PyTree  # what sampling needs besides: a frozen autoencoder

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
        size = meshes.round_up(size, self.mesh)
        compiled = compiled_sampler(self.method, self.mesh)
        return sample_batches(compiled, self.params, self.frozen, key, count, size)

    def encode(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Latents of images, float32 [N, t_max, d_z], by the encoder alone.

        Args:
          images: uint8, or float32 in [-1, 1], [N, H, W, C].
          labels: int32 [N], for a class-conditional model; None: all 0.

        Raises:
          UserError: the method has no inversion, or images of another shape.
        """
        encode = self._inversion("encode")
        return self._map(encode, self._images(images), _labels(labels, len(images)))

    def decode(self, latents: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images float32 [N, H, W, C] in [-1, 1] of latents [N, t_max, d_z]; labels as in `encode`.

        Raises:
          UserError: the method has no inversion.
        """
        return self._map(self._inversion("decode"), latents, _labels(labels, len(latents)))

    def refine(
        self,
        images: np.ndarray,
        latents: np.ndarray,
        labels: np.ndarray | None = None,
        steps: int = 100,
        learning_rate: float = 0.05,
    ) -> np.ndarray:
        """Latents that decode to something closer to `images`, by gradient descent from `latents`.

        Each image is refined alone; the result is never worse than `latents`.

        Raises:
          UserError: the method has no inversion, or images of another shape.
        """
        refine = self._inversion("refine")

        def refined(params: Params, x: Array, y: Array, z: Array) -> Array:
            return refine(params, x, y, z, steps, learning_rate)

        x, y = self._images(images), _labels(labels, len(images))
        return self._map(refined, x, y, latents, jit=False)  # it compiles its own step

    def path(self, latents: np.ndarray, labels: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
        """What `decode` passes through: x'_0..x'_{t_max} and x^norm_1..x^norm_{t_max}.

        Returns:
          Two arrays float32 [N, t_max + 1, H, W, C] and [N, t_max, H, W, C].

        Raises:
          UserError: the method has no inversion.
        """
        path = self._inversion("path")

        def over_time(params: Params, z: Array, y: Array) -> tuple[Array, ...]:
            return tuple(jnp.moveaxis(x, 0, 1) for x in path(params, z, y))

        return self._map(over_time, latents, _labels(labels, len(latents)))

    def _inversion(self, name: str) -> Callable[..., Any]:
        function = getattr(self.method, name)
        if function is None:
            raise UserError(f"method {self.config.method!r} cannot {name} images; 'dddg' can")
        return function

    def _images(self, images: np.ndarray) -> np.ndarray:
        if images.ndim != 4 or images.shape[1:] != self.shape:
            raise UserError(
                f"images are {images.shape}; [N, *{self.shape}] is what this model knows"
            )
        return images

    def _map(self, function: Callable[..., Any], *arrays: np.ndarray, jit: bool = True) -> Any:
        """`function(params, *arrays)` batch by batch, split over the devices, on the host."""
        count = len(arrays[0])
        size = meshes.round_up(min(self.config.sample.batch_size, count), self.mesh)
        split = meshes.over_batch(self.mesh)
        compiled = jax.jit(function) if jit else function
        parts = []
        for start in range(0, count, size):
            rows = [np.asarray(a[start : start + size]) for a in arrays]
            padded = [np.resize(a, (size, *a.shape[1:])) for a in rows]  # repeats: one compilation
            out = compiled(self.params, *(jax.device_put(a, split) for a in padded))
            parts.append(jax.device_get(out))
        return jax.tree.map(lambda *xs: np.concatenate(xs)[:count], *parts)


def _labels(labels: np.ndarray | None, count: int) -> np.ndarray:
    return np.zeros(count, np.int32) if labels is None else np.asarray(labels, np.int32)


def load(
    workdir: str | storage.AnyPath,
    step: int | None = None,
    config: ConfigDict | None = None,
    devices: Sequence[jax.Device] | None = None,
    raw: bool = False,
) -> Model:
    """Restore the moving-average weights of a run folder.

    Args:
      workdir: a folder that training made, also gs://....
      step: of the checkpoint; the last one if None.
      config: instead of the folder's own; must describe the same model.
      devices: to restore onto and to sample with; all if None.
      raw: the weights that the optimiser moves instead of their average; needs a whole run folder,
        not an exported one.

    Raises:
      UserError: no such folder or checkpoint, a damaged one, or one of another config.
    """
    workdir = storage.place(workdir)
    saved = run_folder.load_config(workdir)
    if config is not None:
        run_folder.check_same_run(workdir, config)
    config = config or saved
    validate(config)
    mesh = meshes.make_mesh(devices)
    # The lengths of run and epoch change no shape.
    shape = run_folder.data_shape(workdir)
    own = latents.with_own(config, workdir)
    method, _, _, abstract = assemble(own, shape, total=1, epoch=1)
    abstract = checkpoint.with_sharding(abstract, meshes.replicated(mesh))
    if not (workdir / "checkpoints").is_dir():
        raise UserError(f"no checkpoint in {workdir}; train first with --workdir={workdir}")
    with checkpoint.opened(workdir, read_only=True) as manager:
        step = checkpoint.latest_step(manager, step)
        if raw:
            state, _ = checkpoint.restore_state(manager, step, abstract)
            params: Params = {
                **state.ema,
                **{role: state.params[role] for role in method.ema_roles},
            }
        else:
            params = checkpoint.restore_ema(manager, step, abstract.ema)
    return Model(config, method, params, step, shape, mesh, latents.load_frozen(own, mesh))
