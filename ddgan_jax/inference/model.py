"""A trained run as a value: restored weights and functions to sample from them."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import plugins as plugin_code
from ddgan_jax.config.stored import check_same_run, read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, Method, Params, PyTree
from ddgan_jax.inference.sampling import compiled_sampler, sample_batches
from ddgan_jax.io import checkpoint, run_folder, storage
from ddgan_jax.methods import METHODS, build_method, complete_config, fields_of, tracing, validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.spaces import find_space

Labels = np.ndarray | int | None  # one for each, one for all, or none


class Model(NamedTuple):
    """What `load` returns."""

    config: ConfigDict
    method: Method
    params: Params  # moving averages (or raw weights), replicated over the devices of `mesh`
    step: int  # train steps that made them
    shape: tuple[int, ...]  # of one example
    mesh: jax.sharding.Mesh
    frozen: PyTree  # what sampling needs besides: a frozen autoencoder

    def sample(
        self,
        key: jax.Array,
        count: int,
        batch_size: int | None = None,
        labels: Labels = None,
    ) -> np.ndarray:
        """Draw `count` samples, float32 [count, ...], images in [-1, 1].

        Image i depends on (key, i, labels[i]) alone, not on the batch or the number of devices.

        Args:
          key: typed PRNG key, `jax.random.key(seed)`.
          count: any number.
          batch_size: images per compiled call; `config.sample.batch_size` if None. Rounded up to
            a multiple of the devices.
          labels: of a class-conditional model, one for all or int32 [count]; None: drawn evenly.

        Raises:
          UserError: labels that the model does not know, or a number below 1.
        """
        return np.concatenate(list(self.batches(key, count, batch_size, labels)), axis=0)

    def batches(
        self,
        key: jax.Array,
        count: int,
        batch_size: int | None = None,
        labels: Labels = None,
    ) -> Iterator[np.ndarray]:
        """What `sample` draws, a batch at a time: any number of images fits in memory."""
        if count < 1:
            raise UserError(f"{count} images were asked for; a positive number is needed")
        if batch_size is not None and batch_size < 1:
            raise UserError(f"batch_size is {batch_size}; a positive number is needed")
        size = min(batch_size or self.config.sample.batch_size, count)
        size = meshes.round_up(size, self.mesh)
        if labels is not None and not self.classes:
            raise UserError("a class was asked for; this model is unconditional (config.classes=0)")
        asked = None if labels is None else self._labels(labels, count)
        compiled = compiled_sampler(self.method, self.mesh, of_classes=asked is not None)
        return sample_batches(compiled, self.params, self.frozen, key, count, size, asked)

    def encode(self, images: np.ndarray, labels: Labels = None) -> np.ndarray:
        """Latents of images, float32 [N, t_max, d_z], by the encoder alone.

        Args:
          images: uint8, or float32 in [-1, 1], [N, H, W, C].
          labels: of a class-conditional model, one for all or int32 [N]; None for others.

        Raises:
          UserError: the method has no inversion, images of another shape, or labels that are
            missing or not known to the model.
        """
        encode = self._inversion("encode")
        return self._map(encode, self._images(images), self._labels(labels, len(images)))

    def decode(self, latents: np.ndarray, labels: Labels = None) -> np.ndarray:
        """Images float32 [N, H, W, C] in [-1, 1] of latents [N, t_max, d_z]; labels as in `encode`.

        Raises:
          UserError: the method has no inversion, or labels that are missing or not known.
        """
        return self._map(self._inversion("decode"), latents, self._labels(labels, len(latents)))

    def interpolate(
        self,
        first: np.ndarray,
        second: np.ndarray,
        labels: Labels = None,
        steps: int = 8,
    ) -> np.ndarray:
        """Images on the way from one row of latents to another, float32 [N, steps, H, W, C].

        Args:
          first, second: latents [N, t_max, d_z]; the first and the last image are what they decode
            to.
          labels: as in `encode`.
          steps: at least 2, evenly spaced.

        Raises:
          UserError: see `decode`; or fewer steps.
        """
        if steps < 2:
            raise UserError(f"steps is {steps}; both ends, 2, are the least")
        share = np.linspace(0, 1, steps, dtype=np.float32)
        between = np.stack([(1 - s) * first + s * second for s in share], axis=1)
        return self._decode_each(between, labels)

    def edit(
        self,
        latents: np.ndarray,
        t: int,
        index: int,
        values: np.ndarray,
        labels: Labels = None,
    ) -> np.ndarray:
        """Images of latents with one number changed, float32 [N, K, H, W, C].

        Args:
          latents: [N, t_max, d_z].
          t, index: which number; `model.params["latent"]["variance"]` [t_max, d_z] says how much of
            each the encoder finds in images.
          values: float32 [K], what it becomes; in training it is N(0, 1).
          labels: as in `encode`.

        Raises:
          UserError: see `decode`; or there is no such number.
        """
        if not (0 <= t < latents.shape[1] and 0 <= index < latents.shape[2]):
            raise UserError(f"t is {t}, index {index}; latents are {latents.shape}")
        changed = np.repeat(np.asarray(latents)[:, None], len(values), axis=1)
        changed[:, :, t, index] = values
        return self._decode_each(changed, labels)

    def _decode_each(self, latents: np.ndarray, labels: Labels) -> np.ndarray:
        """Latents [N, K, t_max, d_z], labels of the N -> images [N, K, H, W, C]."""
        count, each = latents.shape[:2]
        repeated = np.repeat(self._labels(labels, count), each)
        images = self.decode(latents.reshape(count * each, *latents.shape[2:]), repeated)
        return images.reshape(count, each, *images.shape[1:])

    def refine(
        self,
        images: np.ndarray,
        latents: np.ndarray,
        labels: Labels = None,
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

        x, y = self._images(images), self._labels(labels, len(images))
        return self._map(refined, x, y, latents, jit=False)  # it compiles its own step

    def path(self, latents: np.ndarray, labels: Labels = None) -> tuple[np.ndarray, ...]:
        """What `decode` passes through: x'_0..x'_{t_max} and x^norm_1..x^norm_{t_max}.

        Returns:
          Two arrays float32 [N, t_max + 1, H, W, C] and [N, t_max, H, W, C].

        Raises:
          UserError: the method has no inversion.
        """
        path = self._inversion("path")

        def over_time(params: Params, z: Array, y: Array) -> tuple[Array, ...]:
            return tuple(jnp.moveaxis(x, 0, 1) for x in path(params, z, y))

        return self._map(over_time, latents, self._labels(labels, len(latents)))

    def _inversion(self, name: str) -> Callable[..., Any]:
        """The function `name` of the method's `Inversion`."""
        function: Callable[..., Any] | None = getattr(self.method.inversion, name, None)
        if function is None:
            able = ", ".join(sorted(name for name, entry in METHODS.items() if entry.inverts))
            raise UserError(
                f"method {self.config.method!r} cannot {name} images; methods that invert: {able}"
            )
        return function

    @property
    def classes(self) -> int:
        """How many; 0: the model is unconditional."""
        return int(self.config.get("classes", 0))

    def _labels(self, labels: Labels, count: int) -> np.ndarray:
        """Int32 [count]; zeros for a model that does not look at them."""
        classes = self.classes
        if labels is None and not classes:
            return np.zeros(count, np.int32)
        if labels is None:
            raise UserError(f"labels are missing; this model knows 0..{classes - 1}")
        given = np.asarray(labels)
        if not classes and given.any():
            raise UserError("labels were given; this model is unconditional (config.classes=0)")
        if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
            raise UserError(
                f"labels are {given.dtype} {given.shape}; integers [{count}] are needed"
            )
        if classes and (given.min() < 0 or given.max() >= classes):
            raise UserError(f"labels are {given.min()}..{given.max()}; 0..{classes - 1} are known")
        return np.broadcast_to(given, (count,)).astype(np.int32)

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


def load(
    workdir: str | storage.AnyPath,
    step: int | None = None,
    config: ConfigDict | None = None,
    devices: Sequence[jax.Device] | None = None,
    raw: bool = False,
    plugins: str | None = None,
) -> Model:
    """Restore the moving-average weights of a run folder.

    Args:
      workdir: a folder that training made, also gs://....
      step: of the checkpoint; the last one if None.
      config: instead of the folder's own; must describe the same model.
      devices: to restore onto and to sample with; all if None.
      raw: the weights that the optimizer moves instead of their average; needs a whole run folder,
        not an exported one.
      plugins: folder of the user's own modules that the config names as "module:attribute". Code
        from a run folder runs only if it is named here, such as "runs/a/plugins".

    Raises:
      UserError: no such folder or checkpoint, a damaged one, or one of another config.
    """
    workdir = storage.place(workdir)
    if plugins is not None:
        plugin_code.allow(plugins)
    saved = complete_config(read_config(workdir))
    if config is not None:
        config = complete_config(config)
        check_same_run(workdir, saved, config, fields_of(config))
    config = validate(config or saved)
    mesh = meshes.make_mesh(devices)
    shape = run_folder.data_shape(workdir)
    networks = find_space(config).frozen
    own = networks.own(config, workdir) if networks else config
    method = build_method(own, shape)
    abstract = checkpoint.with_sharding(averages(method, own), meshes.replicated(mesh))
    if not (workdir / "checkpoints").is_dir():
        raise UserError(f"no checkpoint in {workdir}; train first with --workdir={workdir}")
    with checkpoint.opened(workdir, read_only=True) as manager:
        step = checkpoint.latest_step(manager, step)
        params: Params = checkpoint.restore_ema(manager, step, abstract)
        if raw:
            latest = {role: abstract[role] for role in method.ema_roles}
            params = {**params, **checkpoint.restore_params(manager, step, latest)}
    frozen = networks.load(own, mesh) if networks else {}
    for change in plugin_code.changes(workdir, config):
        warnings.warn(change, stacklevel=2)
    return Model(config, method, params, step, shape, mesh, frozen)


def averages(method: Method, config: ConfigDict) -> dict[str, PyTree]:
    """Shapes and dtypes of the moving averages, and of what else is stored for sampling.

    Raises:
      UserError: sizes that the networks cannot have.
    """

    def create(key: Array) -> dict[str, PyTree]:
        params, carry = method.init(key), method.carry_init(key)
        return {role: params[role] for role in method.ema_roles} | method.learned(carry)

    with tracing(config):
        shapes: dict[str, PyTree] = jax.eval_shape(create, jax.random.key(0))
    return shapes
