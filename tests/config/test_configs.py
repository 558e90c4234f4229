"""Every config builds and takes one step; most steps are only traced."""

import functools
import importlib.util
import re
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from ddgan_jax.config.stored import save_config
from ddgan_jax.core.optimizers import make_optimizers
from ddgan_jax.core.train_step import create_state, train_step
from ddgan_jax.inference.sampling import sampling_params
from ddgan_jax.interop.lpips import shapes as lpips_shapes
from ddgan_jax.io import run_folder
from ddgan_jax.methods import build_method, validate
from ddgan_jax.spaces import build_space

# Large configs last: of configs that differ only in sizes, the step of the first is traced.
CONFIGS = sorted(
    (Path(__file__).resolve().parents[2] / "configs").glob("*.py"),
    key=lambda path: (("cifar10" in path.stem) + 2 * ("256" in path.stem), path.stem),
)
HEADER = ("Command:", "Hardware:", "Time:", "Expected:", "Source:")
PARAMETERS = {  # exact, as published
    "autoencoder_cifar10": {"autoencoder": 14_646_759},
    # The published generator has 50 numbers in z, the paper says 25.
    "lddgan_cifar10": {"gen": 33_329_668 - 25 * 256},
    "ddgan_cifar10": {"gen": 48_432_515, "disc": 12_741_633},
    "ddgan_celebahq256": {"gen": 39_726_979, "disc": 27_737_217},
    "ddgan_lsun_church256": {"gen": 39_726_979, "disc": 27_737_217},
    "wddgan_cifar10": {"gen": 33_370_124},
    "wddgan_celebahq256": {"gen": 31_485_452},
    "wddgan_lsun_church256": {"gen": 31_485_452},
}
# Configs with convolutions take seconds to trace; the quick tests have one of them.
SLOW = {p.stem for p in CONFIGS if re.search("_mnist|_cifar10|256", p.stem)} - {"ddgan_mnist"}
SHAPES = {p.stem: (2,) for p in CONFIGS if p.stem.endswith("_toy2d")} | {
    p.stem: (8, 8, 1) for p in CONFIGS if p.stem.endswith("_digits")
}


apply = nn.Module.apply


@functools.cache
def compiled(module, flags, options):
    def function(variables, arrays, rngs):
        return apply(module, variables, *arrays, *flags, rngs=rngs, **dict(options))

    return jax.jit(function)


def apply_traced_once(module, variables, *args, rngs=None, **options):
    """`module.apply` through `jax.jit`; its arguments are arrays, then flags."""
    flags = tuple(arg for arg in args if isinstance(arg, bool))
    arrays = args[: len(args) - len(flags)]
    return compiled(module, flags, tuple(options.items()))(variables, arrays, rngs)


@pytest.fixture(autouse=True)
def networks_are_traced_once(monkeypatch):
    """Tracing takes long, and steps and configs apply the same networks many times."""
    monkeypatch.setattr(nn.Module, "apply", apply_traced_once)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def kind_of(config, accumulate):
    """All settings of a step except sizes: configs of the same kind have the same step."""
    kinds = {"accumulate": accumulate > 1}
    for name, value in traverse_util.flatten_dict(config.to_dict(), sep=".").items():
        if not re.match(r"data\.|eval\.|sample\.|train\.|space\.autoencoder", name):
            kinds[name] = value if isinstance(value, str | bool) else bool(value)
    return tuple(sorted(kinds.items()))


traced = set()


def frozen_shapes(config, shape, path, tmp_path):
    """Shapes of the frozen networks of a config, and shape of an example that the step gets.

    The autoencoder of a latent space is that of the autoencoder_*.py config for the same data.
    """
    if config.method == "autoencoder" and config.loss.lpips > 0:
        arrays = {k: jax.ShapeDtypeStruct(v, jnp.float32) for k, v in lpips_shapes().items()}
        return {"lpips": traverse_util.unflatten_dict(arrays, sep="/")}, shape
    if config.get("space", {}).get("kind") != "latent":
        return (), shape
    theirs = load(path.with_name(path.name.replace("lddgan", "autoencoder"))).get_config()
    save_config(tmp_path, theirs)
    run_folder.save_info(tmp_path, {"data": {"shape": list(shape)}})
    config.space.autoencoder = str(tmp_path)
    params = jax.eval_shape(build_method(theirs, shape).init, jax.random.key(0))
    scale = jax.ShapeDtypeStruct((), jnp.float32)
    frozen = {"autoencoder": params["autoencoder"], "scale": scale}
    return frozen, build_space(config, shape).shape


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            p, id=p.stem, marks=pytest.mark.slow if p.stem in SLOW | {"ddgan_mnist"} else ()
        )
        for p in CONFIGS
    ],
)
def test_config(path, tmp_path):
    module = load(path)
    assert all(word in module.__doc__ for word in HEADER), "the header says too little"
    assert f"configs/{path.name}" in module.__doc__
    config = module.get_config()
    config = validate(config)
    size, channels = config.data.image_size, config.data.channels
    shape = SHAPES.get(path.stem) or (size, size, channels)
    frozen, seen = frozen_shapes(config, shape, path, tmp_path)
    build_method(config, shape)
    # The same small batch for all configs, because networks are traced once per shape.
    batch_size = config.train.batch_size = 16 * config.train.accumulate
    method = build_method(config, shape)
    roles = tuple(phase.role for phase in method.phases)
    optimizers = make_optimizers(config.optim, roles, 100, 10)
    create = functools.partial(create_state, method=method, optimizers=optimizers)
    state = jax.eval_shape(create, jax.random.key(0))
    for role, parameters in PARAMETERS.get(path.stem, {}).items():
        assert sum(leaf.size for leaf in jax.tree.leaves(state.params[role])) == parameters
    dtype = jnp.uint8 if len(seen) == 3 and seen == shape else jnp.float32
    batch = {
        "image": jax.ShapeDtypeStruct((batch_size, *seen), dtype),
        "label": jax.ShapeDtypeStruct((batch_size,), jnp.int32),
    }
    params = sampling_params(state)
    if method.sample is not None:
        keys = jax.random.split(jax.random.key(0), 2)
        samples = jax.eval_shape(method.sample, params, keys, frozen)
        assert samples.shape == (2, *shape)
    # The forward passes have checked all sizes; gradients do not depend on them.
    kind = kind_of(config, config.train.accumulate)
    if path.stem in SLOW and kind in traced:
        return
    traced.add(kind)
    for with_regularizer in (True,) if path.stem in SLOW else (True, False):
        step = functools.partial(
            train_step,
            method=method,
            optimizers=optimizers,
            ema_decay=config.ema_decay,
            regularize=tuple(with_regularizer and p.regularizer is not None for p in method.phases),
            accumulate=config.train.accumulate,
        )
        after, metrics = jax.eval_shape(step, state, batch, frozen)
        assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
            lambda x: (x.shape, x.dtype), state
        )
        assert {m.shape for m in metrics.values()} == {()}
    # A real step on points only: the suite of methods and tiny runs take real steps on images.
    if path.stem == "ddgan_toy2d":
        state = jax.jit(create)(jax.random.key(0))
        batch = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), batch)
        after, metrics = jax.jit(step)(state, batch, ())
        assert int(after.step) == 1
        assert all(np.isfinite(m) for m in jax.device_get(metrics).values())
