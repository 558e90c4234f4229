"""StyleGAN2's networks against numbers of the published ones, in float64 and float32."""

import json
import re
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_methods import stylegan2_config

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.names import to_arrays, to_params
from ddgan_jax.interop.stylegan2 import entries
from ddgan_jax.methods import build_method
from ddgan_jax.methods.styles import StyleParts, lengths_along, path_penalty
from ddgan_jax.networks.stylegan2_discriminator import StyleGAN2Discriminator
from ddgan_jax.networks.stylegan2_generator import StyleGAN2Generator
from ddgan_jax.networks.stylegan2_layers import modulated_conv

RTOL = {"float64": 1e-9, "float32": 1e-4}
EACH = {"float64": 1e-9, "float32": 5e-4}  # gradients of single arrays
# Single numbers, such as the strength of the noise, have a gradient that is a sum over an image of
# terms of both signs, and the order of a float32 sum depends on the CPU.
NUMBER = {"float64": 1e-9, "float32": 5e-3}


def relative(ours, theirs) -> float:
    """||ours - theirs|| / ||theirs||."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def as_double(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, np.float64), tree)


class Golden:
    """The published networks of a file, their inputs and their results."""

    def __init__(self, path):
        with np.load(path) as file:
            arrays = dict(file)
        self.meta = meta = json.loads(str(arrays.pop("meta")))
        self.groups = {}
        for name, value in arrays.items():
            group, _, rest = name.partition("/")
            self.groups.setdefault(group, {})[rest] = value
        self.io = SimpleNamespace(**self.groups["io"])
        self.labels = self.io.c.argmax(1) if meta["c_dim"] else np.zeros(meta["batch"], np.int32)
        self.generator = StyleGAN2Generator(
            channels=3,
            resolution=meta["res"],
            classes=meta["c_dim"],
            width=meta["w_dim"],
            layers=meta["mapping_layers"],
            architecture=meta["g_architecture"],
            channel_base=meta["channel_base"],
            channel_max=meta["channel_max"],
        )
        self.discriminator = StyleGAN2Discriminator(
            resolution=meta["res"],
            classes=meta["c_dim"],
            layers=meta["mapping_layers"],
            architecture=meta["d_architecture"],
            channel_base=meta["channel_base"],
            channel_max=meta["channel_max"],
            group=meta["mbstd_group"],
        )
        key, image = jax.random.key(0), self.io.image.astype(np.float32)
        z, t = self.io.z.astype(np.float32), self.io.t.astype(np.int32)
        gen = jax.eval_shape(self.generator.init, key, z, self.labels)["params"]
        disc = jax.eval_shape(self.discriminator.init, key, image, t, image[..., :0])["params"]
        self.shapes = {"G": as_double(gen), "D": as_double(disc)}
        self.sizes = {
            role: sum(leaf.size for leaf in jax.tree.leaves(tree))
            for role, tree in self.shapes.items()
        }

    def params(self, group, role):
        """The arrays of a group as our parameters."""
        shapes = self.shapes[role]
        buffers = (".noise_const", "mapping.w_avg")
        arrays = {k: v for k, v in self.groups[group].items() if not k.endswith(buffers)}
        return to_params(arrays, entries(shapes), shapes)

    def noise(self):
        """The noise images of all layers."""
        arrays = {k: v for k, v in self.groups["G"].items() if k.endswith("noise_const")}
        return [arrays[k] for k in sorted(arrays, key=lambda k: (len(arrays[k]), k))]


@pytest.fixture(scope="module")
def golden(request, reference):
    return Golden(reference(f"reference/stylegan2_{request.param}.npz"))


each_golden = pytest.mark.parametrize("golden", ["cifar", "cond"], indirect=True)


def diffused(golden, x, noise):
    """What the discriminator is shown."""
    io, std = golden.io, golden.meta["diffusion"]["noise_std"]
    scale, sigma = (
        jnp.asarray(table[io.t], x.dtype)[:, None, None, None]
        for table in (io.alphas_bar_sqrt, io.one_minus_alphas_bar_sqrt)
    )
    return scale * x + sigma * std * noise


def computed(golden, dtype):
    """Everything that the file records, by our networks in `dtype`: forward, losses, gradients."""
    generator = golden.generator.clone(dtype=dtype)
    discriminator = golden.discriminator.clone(dtype=dtype)
    cast = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)  # noqa: E731
    gen, disc = cast(golden.params("G", "G")), cast(golden.params("D", "D"))
    io = golden.io
    noise, labels = cast(golden.noise()), jnp.asarray(golden.labels)
    z, real, noise_real, noise_fake, pl_noise = cast(
        (io.z, io.real, io.noise_real, io.noise_fake, io.pl_noise)
    )
    pl, t = golden.meta["pl"], jnp.asarray(io.t)

    def ws_of(gen):
        w = generator.apply({"params": gen}, z, labels, method="map")
        return jnp.broadcast_to(w[:, None], (len(w), generator.num_layers, w.shape[1]))

    def image_of(gen, ws):
        return generator.apply({"params": gen}, ws, noise, method="synthesize")

    def logits_of(disc, x, noise):
        y = diffused(golden, x, noise)
        out = discriminator.apply({"params": disc}, y, t, y[..., :0])
        return out if out.ndim == 1 else out[jnp.arange(len(out)), labels]

    def gen_loss(gen):
        logits = logits_of(disc, image_of(gen, ws_of(gen)), noise_fake)
        return jnp.mean(jax.nn.softplus(-logits))

    def path_lengths(gen):
        ws = ws_of(gen)
        direction = pl_noise * real.shape[1]  # the file's is divided by sqrt(H W)
        return lengths_along(lambda ws: image_of(gen, ws), ws, direction)

    def path_loss(gen):
        lengths = path_lengths(gen)
        settings = StyleParts(generator, None, 20, path_weight=pl["weight"], path_decay=pl["decay"])
        loss, mean = path_penalty(settings, lengths, pl["mean_before"])
        return loss, (lengths, mean)

    def disc_loss(disc):
        fake = jax.lax.stop_gradient(image_of(gen, ws_of(gen)))
        fake, true = logits_of(disc, fake, noise_fake), logits_of(disc, real, noise_real)
        return jnp.mean(jax.nn.softplus(fake)) + jnp.mean(jax.nn.softplus(-true)), (fake, true)

    def r1_loss(disc):
        slope = jax.grad(lambda x: jnp.sum(logits_of(disc, x, noise_real)))(real)
        each = jnp.sum(slope**2, axis=(1, 2, 3))
        return golden.meta["r1_gamma"] / 2 * jnp.mean(each), each

    def disc_total(disc):
        return disc_loss(disc)[0] + r1_loss(disc)[0]

    def everything(gen, disc):
        ws = ws_of(gen)
        loss_d, (fake, true) = disc_loss(disc)
        loss_r1, r1 = r1_loss(disc)
        (loss_pl, (lengths, mean)), grad_pl = jax.value_and_grad(path_loss, has_aux=True)(gen)
        loss_g, grad_g = jax.value_and_grad(gen_loss)(gen)
        io = dict(
            **dict(ws=ws, image=image_of(gen, ws), logits_fake=fake, logits_real=true),
            **dict(loss_g=loss_g, loss_d=loss_d, loss_r1=loss_r1, r1=r1),
            **dict(loss_pl=loss_pl, pl_lengths=lengths, pl_mean_after=mean),
        )
        return io, grad_g, grad_pl, jax.grad(disc_total)(disc)

    return jax.device_get(jax.jit(everything)(gen, disc))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("golden", "dtype"), [("cifar", "float64"), ("cond", "float32")], indirect=["golden"]
)
def test_networks_losses_and_gradients_are_the_published_ones(golden, dtype):
    with jax.enable_x64(dtype == "float64"):
        io, *gradients = computed(golden, jnp.dtype(dtype))
    for name, value in io.items():
        assert value.dtype == dtype
        assert relative(value, getattr(golden.io, name)) < RTOL[dtype], name
    for ours, group in zip(gradients, ("gradG", "gradG_pl", "gradD"), strict=True):
        role = "D" if group == "gradD" else "G"
        arrays = to_arrays(ours, entries(golden.shapes[role]))
        for name, theirs in golden.groups[group].items():
            size = np.linalg.norm(theirs)
            if size < 1e-12:  # noise and biases do not change path lengths
                assert np.abs(arrays[name]).max() < 1e-5, name
            else:
                bound = (EACH if theirs.ndim else NUMBER)[dtype]
                assert relative(arrays[name], theirs) < bound, (group, name)
        whole = [
            np.concatenate([d[k].ravel() for k in golden.groups[group]])
            for d in (arrays, golden.groups[group])
        ]
        assert relative(*whole) < RTOL[dtype], group


@each_golden
def test_numbers_of_parameters(golden):
    """Those of the file; `nG` and `nD` of the published networks."""
    assert golden.sizes == {"G": golden.meta["nG"], "D": golden.meta["nD"]}


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_is_one_with_weights_of_each_sample(up):
    """The definition, with the weights of every sample written out."""
    rng = np.random.default_rng(0)
    x, style, kernel = (
        jnp.asarray(rng.standard_normal(shape), jnp.float32)
        for shape in [(3, 4, 4, 5), (3, 5), (3, 3, 5, 2)]
    )
    found = modulated_conv(x, style, kernel, up=up)
    for i in range(3):
        weight = kernel * style[i, :, None]
        weight = weight / jnp.sqrt(jnp.sum(weight**2, axis=(0, 1, 2)) + 1e-8)
        plain = modulated_conv(x[i : i + 1], jnp.ones((1, 5)), weight, demodulate=False, up=up)
        np.testing.assert_allclose(found[i : i + 1], plain, rtol=1e-4, atol=1e-5)


def test_a_doubling_convolution_is_zero_stuffing_convolution_and_filter():
    """A constant image and a kernel of ones: 9 of 4 values are 0, and the filter sums to 4."""
    x = jnp.ones((1, 8, 8, 1))
    y = modulated_conv(x, jnp.ones((1, 1)), jnp.ones((3, 3, 1, 1)), demodulate=False, up=True)
    assert y.shape == (1, 16, 16, 1)
    np.testing.assert_allclose(y[0, 4:-4, 4:-4, 0], 9.0, rtol=1e-6)


@pytest.mark.parametrize("architecture", ["orig", "skip", "resnet"])
def test_architectures_in_bfloat16(architecture):
    """Every architecture gives float32 images and logits whatever the compute dtype is."""
    sizes = dict(channel_base=64, channel_max=8, layers=2, dtype=jnp.bfloat16)
    sizes["architecture"] = architecture
    generator = StyleGAN2Generator(channels=2, resolution=16, classes=3, width=6, **sizes)
    discriminator = StyleGAN2Discriminator(resolution=16, classes=3, **sizes)
    z, labels, key = jnp.zeros((4, 5)), jnp.zeros(4, jnp.int32), jax.random.key(0)

    def run():
        noise = [jnp.zeros((4, r, r)) for r in generator.noise_sizes]
        images, gen = generator.init_with_output(key, z, labels, noise)
        logits, disc = discriminator.init_with_output(key, images, labels, images[..., :0])
        return images, logits, gen["params"], disc["params"]

    images, logits, gen, disc = jax.eval_shape(run)
    assert (images.shape, images.dtype) == ((4, 16, 16, 2), jnp.float32)
    assert (logits.shape, logits.dtype) == ((4, 3), jnp.float32)
    assert generator.num_layers == 6 and generator.noise_sizes == (4, 8, 8, 16, 16)
    blocks = [name for name in gen["synthesis"] if "torgb" in gen["synthesis"][name]]
    assert len(blocks) == (3 if architecture == "skip" else 1)
    readers = [name for name in disc if "fromrgb" in disc[name]]
    assert len(readers) == (3 if architecture == "skip" else 1)
    assert (
        ("skip" in gen["synthesis"]["b8"]) == ("skip" in disc["b8"]) == (architecture == "resnet")
    )


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("architecture", "skp", "'skp'; one of orig, skip, resnet"),
        ("channel_base", 0, "channel_base is 0; a positive"),
        ("layers", 0, "layers is 0; a positive"),
        ("channel_base", 7, "channel_base is 7; at least the resolution, 8"),
    ],
)
def test_attributes_that_no_network_has_are_one_line(field, value, words):
    config = stylegan2_config()
    config.disc[field] = value
    with pytest.raises(UserError, match=re.escape(words)):
        build_method(config, (8, 8, 1))


@pytest.mark.parametrize("shape", [(12, 12, 1), (8, 16, 1), (4, 4, 1), (2,)])
def test_images_of_other_sizes_are_one_line(shape):
    with pytest.raises(UserError, match="square images of 8x8, 16x16"):
        build_method(stylegan2_config(), shape)
