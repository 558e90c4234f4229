"""The programs of a run, lowered for devices that need not exist: train steps, sampler, features.

Nothing is allocated and no data are read, unless a config leaves the shape of its images to them.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Shape
from ddgan_jax.data import data_shape, stored_source
from ddgan_jax.features import default_extractor, extractor_shapes
from ddgan_jax.inference.sampling import compiled_sampler, sampling_params
from ddgan_jax.methods import tracing, validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling.timing import random_batch
from ddgan_jax.training.frozen import frozen_shapes
from ddgan_jax.training.setup import assemble, compiled_steps

PROGRAMS = ("train", "regularized", "sample", "features")
Lower = Callable[[], jax.stages.Lowered]


def programs(
    config: ConfigDict, devices: Sequence[jax.Device], names: Sequence[str] = PROGRAMS
) -> Mapping[str, Lower]:
    """The programs of a config by name, for a mesh of the given devices.

    Args:
      config: config of a run.
      devices: devices to lower for.
      names: which programs: "train": the train step; "regularized": with all regularizers;
        "sample": a batch of samples, "features": the feature network of the evaluation, for a batch
        of images (for "auto" that of Inception if the data are not on this machine). Those that the
        config does not have are left out.

    Returns:
      Name -> function that lowers the program.

    Raises:
      UserError: an invalid config; or the number of devices does not divide the batch size.
    """
    config = validate(config)
    mesh = meshes.make_mesh(devices)
    batch_size, parts = config.train.batch_size, config.train.accumulate
    meshes.check_divides("train.batch_size", batch_size, mesh)
    meshes.check_divides("train.batch_size / accumulate", batch_size // parts, mesh)
    shape = data_shape(config.data)
    method, optimizers, _, shapes = assemble(config, shape, total=1000, epoch=1000)
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    frozen = frozen_shapes(config, method, shape)
    key = jax.eval_shape(lambda: jax.random.key(0))
    batch = jax.eval_shape(functools.partial(random_batch, config=config, shape=shape), key)
    step = compiled_steps(method, optimizers, config, mesh, abstract)

    def train(regularize: bool) -> jax.stages.Lowered:
        variant = tuple(regularize and p.regularizer is not None for p in method.phases)
        with tracing(config):
            lowered: jax.stages.Lowered = step(variant).lower(abstract, batch, frozen)
        return lowered

    def sample() -> jax.stages.Lowered:
        count = meshes.round_up(config.sample.batch_size, mesh)
        keys = jax.eval_shape(functools.partial(sample_keys, start=0, count=count), key)
        sampler = compiled_sampler(method, mesh)
        lowered: jax.stages.Lowered = sampler.lower(sampling_params(abstract), keys, frozen)
        return lowered

    found: dict[str, Lower] = {"train": lambda: train(False)}
    if any(p.regularizer is not None for p in method.phases):
        found["regularized"] = lambda: train(True)
    if method.sample is not None:
        found["sample"] = sample
    if len(shape) == 3:
        found["features"] = lambda: _features(config, shape, mesh)
    return {name: lower for name, lower in found.items() if name in names}


def _features(config: ConfigDict, shape: Shape, mesh: jax.sharding.Mesh) -> jax.stages.Lowered:
    """The first feature network that an evaluation of the config uses."""
    name = config.eval.extractors[0]
    if name == "auto":
        name = default_extractor(_preferred(config), shape[-1])
    apply, params, channels = extractor_shapes(name, config.eval)
    count = meshes.round_up(config.eval.batch_size, mesh)
    same, split = meshes.replicated(mesh), meshes.batch_sharded(mesh)
    images = jax.ShapeDtypeStruct((count, *shape[:2], channels), jnp.uint8)
    jitted = jax.jit(apply, in_shardings=(same, split), out_shardings=same)
    lowered: jax.stages.Lowered = jitted.lower(params, images)
    return lowered


def _preferred(config: ConfigDict) -> str:
    """The feature network made for the data; "inception" if they are not on this machine."""
    try:
        return stored_source(config.data).extractor
    except UserError:
        return "inception"
