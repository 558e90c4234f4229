"""`Model` and `load`: restore a trained run, then sample, encode, decode, edit and refine.

`sample` works for every method that samples. The other methods of `Model` need a method that maps
images to latents and back (`Method.inversion`), such as DDDG or the autoencoder.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import plugins as plugin_code
from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, Method, Params, PyTree
from ddgan_jax.data import load_source
from ddgan_jax.inference.arguments import check_draw, check_load, checked_images
from ddgan_jax.inference.labels import Labels, checked_labels
from ddgan_jax.inference.latents import (
    check_integer,
    check_positive,
    checked_latents,
    images_first,
    latent_shape,
)
from ddgan_jax.inference.same_run import check_content
from ddgan_jax.inference.sampling import compiled_sampler, ema_shapes, sample_batches, truncated
from ddgan_jax.io import checkpoint, hub, run_folder, storage
from ddgan_jax.io.best import BEST, Step, best_in
from ddgan_jax.methods import METHODS, build_method, complete_config, validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.batching import in_batches
from ddgan_jax.spaces import find_space


class Model(NamedTuple):
    """A trained run: its config, its method and its restored weights.

    Attributes:
      config: complete config of the run.
      method: the method that the config describes.
      params: parameters by role, replicated over the devices of `mesh`: moving averages, or with
        `load(raw=True)` the weights of the last step.
      step: number of train steps that the weights were trained for.
      shape: shape of one example of the data, such as (H, W, C).
      mesh: devices that `sample`, `encode`, `decode`, ... compute on.
      frozen: parameters of frozen networks that sampling needs (the autoencoder of a latent space).
    """

    config: ConfigDict
    method: Method
    params: Params
    step: int
    shape: tuple[int, ...]
    mesh: jax.sharding.Mesh
    frozen: PyTree

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        kind, colon, argument = self.config.data.name.partition(":")
        data = kind + colon + argument.rpartition("/")[2]
        return (
            f"<Model {self.config.method} on {data}, step {self.step}, examples {self.shape}, "
            f"{count:,} parameters>"
        )

    def sample(
        self,
        key: jax.Array,
        count: int,
        batch_size: int | None = None,
        labels: Labels = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> np.ndarray:
        """Draw samples.

        Sample i depends on (key, i, labels[i]) only, for every batch size and number of devices.

        Args:
          key: typed PRNG key, `jax.random.key(seed)`; or keys [count], one for each sample.
          count: number of samples.
          batch_size: samples per compiled call, rounded up to a multiple of the number of devices;
            None: `config.sample.batch_size`.
          labels: classes for a class-conditional model: one for all samples, or int32 [count];
            None: drawn uniformly.
          truncation_psi, truncation_cutoff: see `sampling.truncated`; for generators with styles.

        Returns:
          float32 [count, *shape]; images are in [-1, 1].

        Raises:
          UserError: the method does not sample, the model does not know the labels, `key` is no
            typed key, `count` or `batch_size` is no positive integer, there are not `count` keys,
            or see `sampling.truncated`.
        """
        parts = self.batches(key, count, batch_size, labels, truncation_psi, truncation_cutoff)
        return np.concatenate(list(parts), axis=0)

    def batches(
        self,
        key: jax.Array,
        count: int,
        batch_size: int | None = None,
        labels: Labels = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Iterate over the samples of `sample` in batches, for more than fit in memory.

        Args:
          key, count, batch_size, labels, truncation_psi, truncation_cutoff: see `sample`.

        Returns:
          Iterator of float32 [b, *shape] with b <= batch_size.

        Raises:
          UserError: see `sample`.
        """
        check_draw(key, count, batch_size)
        size = min(batch_size or self.config.sample.batch_size, count)
        size = meshes.round_up(size, self.mesh)
        if labels is not None and not self.classes:
            raise UserError("labels are given; none are needed, this model is unconditional")
        asked = None if labels is None else self._labels(labels, count)
        method = truncated(self.method, truncation_psi, truncation_cutoff)
        compiled = compiled_sampler(method, self.mesh, with_labels=asked is not None)
        return sample_batches(compiled, self.params, self.frozen, key, count, size, asked)

    def encode(self, images: np.ndarray, labels: Labels = None) -> np.ndarray:
        """Map images to latents with the method's encoder.

        Args:
          images: uint8, or float32 in [-1, 1], [N, H, W, C].
          labels: classes for a class-conditional model: one for all images, or int32 [N]; None for
            an unconditional model.

        Returns:
          Latents float32 [N, ...]; [N, t_max, d_z] for DDDG.

        Raises:
          UserError: the method has no encoder, images have another shape, dtype or range, or labels
            are missing or not known to the model.
        """
        encode = self._inversion("encode")
        latents = self._map(
            encode, checked_images(images, self.shape), self._labels(labels, len(images))
        )
        return cast(np.ndarray, latents)

    def decode(self, latents: np.ndarray, labels: Labels = None) -> np.ndarray:
        """Map latents to images.

        Args:
          latents: float32 [N, ...], as `encode` returns them.
          labels: see `encode`.

        Returns:
          Images float32 [N, H, W, C] in [-1, 1].

        Raises:
          UserError: the method has no decoder, latents have another shape or dtype, or labels are
            missing or not known to the model.
        """
        decode, latents = self._inversion("decode"), self._latents(latents)
        images = self._map(decode, latents, self._labels(labels, len(latents)))
        return cast(np.ndarray, images)

    def interpolate(
        self,
        first: np.ndarray,
        second: np.ndarray,
        labels: Labels = None,
        steps: int = 8,
    ) -> np.ndarray:
        """Decode latents on the straight lines between two sets of latents.

        Args:
          first, second: latents [N, ...], as `encode` returns them: the two ends of each line.
          labels: see `encode`.
          steps: number of evenly spaced latents on each line, both ends included; at least 2.

        Returns:
          Images float32 [N, steps, H, W, C] in [-1, 1].

        Raises:
          UserError: see `decode`; or `steps` is below 2.
        """
        check_integer("steps", steps, 2)  # both ends
        first = self._latents(first)
        second = self._latents(second, len(first))
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
        """Decode latents with one of their numbers replaced by several values.

        Args:
          latents: [N, t_max, d_z].
          t, index: position of the number in [t_max, d_z]. `model.params["latent"]["variance"]`
            [t_max, d_z] has the mean square of each number as the encoder predicts it.
          values: float32 [K], the values to set; during training the number is N(0, 1).
          labels: see `encode`.

        Returns:
          Images float32 [N, K, H, W, C] in [-1, 1].

        Raises:
          UserError: see `decode`; or the latents have no number at (t, index).
        """
        if (latents := self._latents(latents)).ndim != 3:
            raise UserError(f"latents have shape {latents.shape}; [N, t_max, d_z] is needed")
        check_integer("t", t, 0, latents.shape[1] - 1)
        check_integer("index", index, 0, latents.shape[2] - 1)
        values = checked_latents(np.asarray(values, np.float32), ())
        changed = np.repeat(latents[:, None], len(values), axis=1)
        changed[:, :, t, index] = values
        return self._decode_each(changed, labels)

    def _decode_each(self, latents: np.ndarray, labels: Labels) -> np.ndarray:
        """Decode latents [N, K, ...] with a label for each of the N; images [N, K, H, W, C]."""
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
        """Move latents by gradient descent so that they decode to something closer to images.

        Every image is refined on its own. The result is the best step of each, so it is never worse
        than `latents`.

        Args:
          images: uint8, or float32 in [-1, 1], [N, H, W, C].
          latents: where the descent starts, such as `encode(images)`.
          labels: see `encode`.
          steps: number of gradient steps.
          learning_rate: learning rate of the gradient steps.

        Returns:
          Latents float32, of the same shape as `latents`.

        Raises:
          UserError: the method has no refinement, images or latents have another shape, dtype or
            range, or labels are missing or not known to the model.
        """
        check_integer("steps", steps, 0)
        check_positive("learning_rate", learning_rate)
        refine, latents = self._inversion("refine"), self._latents(latents, len(images))

        def refined(params: Params, x: Array, y: Array, z: Array) -> Any:
            return refine(params, x, y, z, steps, learning_rate)

        x, y = checked_images(images, self.shape), self._labels(labels, len(images))
        return cast(np.ndarray, self._map(refined, x, y, latents, jit=False))  # it jits its step

    def path(self, latents: np.ndarray, labels: Labels = None) -> tuple[np.ndarray, ...]:
        """The intermediate images of `decode`.

        Args:
          latents: see `decode`.
          labels: see `encode`.

        Returns:
          For DDDG, x'_0..x'_{t_max} float32 [N, t_max + 1, H, W, C] and x^norm_1..x^norm_{t_max}
          float32 [N, t_max, H, W, C].

        Raises:
          UserError: the method shows no intermediate images, or labels are missing or not known.
        """
        path, latents = images_first(self._inversion("path")), self._latents(latents)
        made = self._map(path, latents, self._labels(labels, len(latents)))
        return cast(tuple[np.ndarray, ...], made)

    def _inversion(self, name: str) -> Callable[..., Any]:
        """The function `name` of the method's `Inversion`.

        Raises:
          UserError: the method has no such function.
        """
        function: Callable[..., Any] | None = getattr(self.method.inversion, name, None)
        if function is None:
            able = ", ".join(sorted(name for name, entry in METHODS.items() if entry.inverts))
            raise UserError(
                f"method {self.config.method!r} cannot {name} images; methods that invert: {able}"
            )
        return function

    @property
    def classes(self) -> int:
        """Number of classes; 0: the model is unconditional."""
        return int(self.config.get("classes", 0))

    def _latents(self, latents: np.ndarray, count: int | None = None) -> np.ndarray:
        """Checked latents, float [N, ...]."""
        self._inversion("encode")
        shape = latent_shape(self.method, self.params, self.shape)
        return checked_latents(latents, shape, count)

    def _labels(self, labels: Labels, count: int) -> np.ndarray:
        """Checked labels, int32 [count]; zeros for an unconditional model."""
        return checked_labels(labels, count, self.classes)

    def _map(self, function: Callable[..., Any], *arrays: np.ndarray, jit: bool = True) -> Any:
        """Call `function(params, *arrays)` in batches split over the devices.

        Args:
          function: params and one batch of each array -> pytree of arrays [b, ...].
          *arrays: [N, ...] each.
          jit: whether to compile `function`.

        Returns:
          The pytree of `function`'s results, numpy arrays [N, ...].
        """
        if not len(arrays[0]):
            raise UserError("there are 0 images or latents; at least 1 is needed")
        size = meshes.round_up(min(self.config.sample.batch_size, len(arrays[0])), self.mesh)
        split = meshes.batch_sharded(self.mesh)
        compiled = jax.jit(function) if jit else function

        def on_devices(*rows: np.ndarray) -> PyTree:
            return compiled(self.params, *(jax.device_put(array, split) for array in rows))

        parts = in_batches(on_devices, [np.asarray(array) for array in arrays], size)
        return jax.tree.map(lambda *xs: np.concatenate(xs), *parts)


def load(
    workdir: str | storage.AnyPath,
    step: Step = None,
    config: ConfigDict | None = None,
    devices: Sequence[jax.Device] | None = None,
    raw: bool = False,
    plugins: str | None = None,
) -> Model:
    """Restore the moving-average weights of a run folder.

    Args:
      workdir: a folder that training made, gs://..., hf://USER/NAME@REVISION or pretrained://NAME.
      step: checkpoint step; None for the latest, "best" for the one that `config.eval.best` chose
        during training.
      config: a config to use instead of the folder's; must describe the same model.
      devices: devices to restore onto and to sample with; all if None.
      raw: the weights that the optimizer moves instead of their average; needs a whole run folder,
        not an exported one.
      plugins: folder of the user's own modules that the config names as "module:attribute". Code
        from a run folder runs only if it is named here, such as "runs/a/plugins".

    Raises:
      UserError: no such folder or checkpoint, a damaged one, or one of another config.
    """
    workdir = hub.run_path(workdir)
    if plugins is not None:
        plugin_code.allow(plugins)
    check_load(config, devices)
    saved = complete_config(read_config(workdir))
    mesh = meshes.make_mesh(devices)
    if config is not None:
        config = complete_config(config)
        networks, data = find_space(config).frozen, config.data
        hashes = networks.hashes(config, workdir, mesh) if networks else None
        check_content(workdir, saved, config, lambda: load_source(data), hashes)
    config = validate(config or saved)
    shape = run_folder.data_shape(workdir)
    networks = find_space(config).frozen
    local = networks.use_local_copy(config, workdir) if networks else config
    method = build_method(local, shape)
    abstract = checkpoint.with_sharding(ema_shapes(method, local), meshes.replicated(mesh))
    if not (workdir / "checkpoints").is_dir():
        raise UserError(f"no checkpoint in {workdir}; train first with --workdir={workdir}")
    with checkpoint.opened(workdir, read_only=True) as manager:
        if step == BEST:
            step = best_in(workdir, manager.all_steps(), config.eval.best)
        step = checkpoint.step_to_restore(manager, step)
        params: Params = checkpoint.restore_ema(manager, step, abstract)
        if raw:
            latest = {role: abstract[role] for role in method.ema_roles}
            params = {**params, **checkpoint.restore_params(manager, step, latest)}
    frozen = networks.load(local, shape, mesh) if networks else {}
    for change in plugin_code.changes(workdir, config):
        warnings.warn(change, stacklevel=2)
    return Model(config, method, params, step, shape, mesh, frozen)
