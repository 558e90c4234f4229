"""Names and layouts of published arrays: conversion in both directions loses nothing."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.ddgan import discriminator_entries, generator_entries
from ddgan_jax.interop.names import LAYOUTS, Entry, layer, plain_names, to_arrays, to_params
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.networks.resblock import ResBlockDiscriminator


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def drawn(tree, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), tree)


NETWORKS = {
    "generator": (
        NCSNpp(3, 8, (1, 2, 2), blocks=2, attention=(8,), z_width=8, z_layers=2),
        generator_entries,
    ),
    "small discriminator": (
        ResBlockDiscriminator(4, (2, 4, 8, 8), (False, True, True, True), 8, 0.0),
        discriminator_entries,
    ),
    "large discriminator": (
        ResBlockDiscriminator(2, (4, 8, 8, 8, 8, 8), (True,) * 6, 8, 1.0),
        discriminator_entries,
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    module, entries_of = NETWORKS[request.param]
    size = 64 if request.param == "large discriminator" else 16
    x, t = shape(4, size, size, 3), jax.ShapeDtypeStruct((4,), jnp.int32)
    third = shape(4, 5) if request.param == "generator" else x
    tree = jax.eval_shape(module.init, jax.random.key(0), x, t, third)["params"]
    return SimpleNamespace(tree=tree, entries=entries_of(tree))


def test_conversion_and_back_is_the_identity(network):
    params = drawn(network.tree)
    arrays = to_arrays(params, network.entries)
    assert all(array.flags.c_contiguous for array in arrays.values())
    again = to_params(arrays, network.entries, network.tree)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    for ours, expected in zip(jax.tree.leaves(again), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(ours, expected, strict=True)
    back = to_arrays(again, network.entries)
    for name, expected in arrays.items():
        np.testing.assert_array_equal(back[name], expected, strict=True, err_msg=name)


def test_names_are_the_published_ones():
    """Numbered modules of a generator with two levels, and those without a number."""
    module = NCSNpp(3, 8, (1, 2), blocks=1, attention=(8,), z_width=8, z_layers=2)
    t = jax.ShapeDtypeStruct((1,), jnp.int32)
    inputs = (shape(1, 16, 16, 3), t, shape(1, 5))
    tree = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    names = [e.name for e in generator_entries(tree)]
    block = ["GroupNorm_0.style", "Conv_0", "Dense_0", "GroupNorm_1.style", "Conv_1"]
    wider, attention = [*block, "Conv_2"], ["GroupNorm_0", *(f"NIN_{i}" for i in range(4))]
    plain = [[""], [""], [""]]  # two dense layers of the time embedding, and a convolution
    down = [block, wider, ["Conv2d_0"], wider, attention]
    up = [wider, wider, attention, wider, wider, wider]
    modules = [*plain, *down, block, attention, block, *up, [""], [""]]
    expected = []
    for number, parts in enumerate(modules):
        for part in parts:
            ends = ("W", "b") if part.startswith("NIN") else ("weight", "bias")
            inner = f".{part}" if part else ""
            expected += [f"all_modules.{number}{inner}.{end}" for end in ends]
    expected += [f"z_transform.{i}.{end}" for i in (1, 3, 5) for end in ("weight", "bias")]
    assert names == expected


def test_layouts_are_inverted():
    x = np.arange(2 * 3 * 5 * 7.0).reshape(2, 3, 5, 7)
    arrays = {"same": x, "conv": x, "dense": x[0, 0], "pointwise": x[:, :, :1, :1]}
    arrays |= {"image": x[0], "dense_of_4x4": np.arange(5 * 2 * 4 * 4.0).reshape(5, -1)}
    assert arrays.keys() == LAYOUTS.keys()
    for name, array in arrays.items():
        ours = LAYOUTS[name].ours(array)
        np.testing.assert_array_equal(LAYOUTS[name].theirs(ours), array, err_msg=name)
    assert LAYOUTS["conv"].ours(x).shape == (5, 7, 3, 2)
    assert LAYOUTS["conv"].ours(x)[4, 6, 2, 1] == x[1, 2, 4, 6]
    flat = arrays["dense_of_4x4"]  # (out, channel row column)
    assert (
        LAYOUTS["dense_of_4x4"].ours(flat)[(2 * 4 + 3) * 2 + 1, 4] == flat[4, (1 * 4 + 2) * 4 + 3]
    )


def test_entries_of_a_layer_follow_from_its_parameters():
    tree = {
        "a": {"conv": {"kernel": shape(3, 3, 2, 4)}},
        "dense": {"kernel": shape(2, 4), "bias": shape(4)},
        "norm": {"scale": shape(4), "bias": shape(4)},
    }
    assert layer("x.0", "a/conv", tree) == (Entry("x.0.weight", ("a", "conv", "kernel"), "conv"),)
    assert [e.layout for e in layer("x", "dense", tree)] == ["dense", "same"]
    assert [e.layout for e in layer("x", "dense", tree, pointwise=True)] == ["pointwise", "same"]
    assert [e.name for e in layer("x", "norm", tree)] == ["x.weight", "x.bias"]


TREE = {"conv": {"kernel": shape(3, 3, 2, 4), "bias": shape(4)}}
ENTRIES = layer("c", "conv", TREE)
ARRAYS = {"c.weight": np.ones((4, 2, 3, 3), np.float32), "c.bias": np.ones(4, np.float32)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"c.bias": None}, r"'c\.bias' \(4,\) is missing"),
        ({"d.bias": np.ones(7)}, r"1 arrays are not in this architecture, .* 'd\.bias' \(7,\)"),
        ({"c.bias": np.ones(5, np.float32)}, r"'c\.bias' is float32 \(5,\), float32 \(4,\) is"),
        ({"c.weight": np.ones((3, 3, 2, 4), np.float32)}, r"\(3, 3, 2, 4\), float32 \(4, 2, 3, 3"),
        ({"c.bias": np.ones(4, int)}, r"'c\.bias' is int64 \(4,\), float32 \(4,\) is needed"),
        ({"c.bias": np.full(4, 1e300)}, r"'c\.bias' has values that are not finite as float32"),
        ({"c.bias": np.full(4, np.nan, np.float32)}, r"'c\.bias' has values that are not finite"),
    ],
    ids=["missing", "unknown", "shape", "layout", "integers", "too large", "no number"],
)
def test_arrays_that_do_not_fit_are_named(changes, words):
    arrays = {k: v for k, v in (ARRAYS | changes).items() if v is not None}
    with pytest.raises(UserError, match=words) as caught:
        to_params(arrays, ENTRIES, TREE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_floats_of_another_precision_are_converted(dtype):
    arrays = {name: (array / 3).astype(dtype) for name, array in ARRAYS.items()}
    params = to_params(arrays, ENTRIES, TREE)["conv"]
    assert params["kernel"].dtype == params["bias"].dtype == np.float32
    np.testing.assert_array_equal(params["bias"], arrays["c.bias"].astype(np.float32))


@pytest.mark.parametrize(
    "wrap",
    ["_orig_mod.{}", "module.{}", "module._orig_mod.{}", "_orig_mod.module.{}", "{}"],
)
def test_names_lose_what_wrappers_of_pytorch_add(wrap):
    arrays = {"a.conv.weight": 1, "a.module.bias": 2}
    assert plain_names({wrap.format(k): v for k, v in arrays.items()}) == arrays


def test_compiled_parts_of_a_network():
    arrays = {"encoder._orig_mod.conv.weight": 1, "module.weight": 2}
    assert plain_names(arrays) == {"encoder.conv.weight": 1, "module.weight": 2}
    with pytest.raises(UserError, match="same name"):
        plain_names({"a._orig_mod.b": 1, "a.b": 2})


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (ENTRIES[:1], "conv/bias"),
        ((*ENTRIES, Entry("d", ("d",), "same")), "differ in d"),
        ((*ENTRIES, ENTRIES[0]), "same name or path"),
        ((ENTRIES[0], ENTRIES[1]._replace(name="c.weight")), "same name or path"),
    ],
    ids=["forgotten", "unknown", "twice", "one name"],
)
def test_entries_that_do_not_match_the_parameters_raise(entries, words):
    with pytest.raises(ValueError, match=words):
        to_params(ARRAYS, entries, TREE)
    with pytest.raises(ValueError, match=words):
        to_arrays({"conv": drawn(TREE["conv"])}, entries)
