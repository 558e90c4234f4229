"""The autoencoder of LDDGAN (Trinh and Hamagami 2024), trained as VQGAN (Esser et al. 2021).

The autoencoder moves first, then a patch discriminator. The autoencoder's loss is

    L_rec + w L_adv [+ w_kl KL] [+ w_codes L_codes],
    L_rec = L1(x, x') + w_p LPIPS(x, x'),   L_adv = -E D(x'),

and that of the discriminator (E relu(1 - D(x)) + E relu(1 + D(x'))) / 2,
with the adaptive weight w = w_adv |grad L_rec| / (|grad L_adv| + 1e-4), where the gradients are
those at the kernel of the decoder's last layer. Before step `adversarial_start`, w is 0 and the
discriminator does not train. The KL term is off by default: a GAN in the latents does not need them
to be Gaussian.

L_rec is a mean over the numbers of an image, as in VQGAN. With `loss.reduction` "sum" it is the
sum over them, H W C times as much, as in the autoencoders of latent diffusion with a KL term
(Rombach et al. 2022): their weight w_kl = 1e-6 belongs to that sum.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import REQUIRED, Field, adam, check
from ddgan_jax.config.fields import choice, integer, number
from ddgan_jax.core import losses
from ddgan_jax.core.types import (
    Array,
    Autoencoder,
    Aux,
    Context,
    Inversion,
    Method,
    Params,
    Phase,
    PyTree,
    Shape,
)
from ddgan_jax.features import lpips
from ddgan_jax.methods.entry import Length, MethodEntry, preset
from ddgan_jax.networks import AUTOENCODERS, PATCH_DISCRIMINATORS, build_network
from ddgan_jax.spaces.pixels import pixels

COMMITMENT = 0.25  # weight of the term that moves latents towards their codes
LARGEST_WEIGHT = 1e4


class Weights(NamedTuple):
    """Weights of the terms of the loss; that of L1 is 1, or H W C for a sum over an image.

    Attributes:
      lpips: w_p; 0: no perceptual term, and no frozen weights.
      adversarial: w_adv.
      adversarial_start: number of train steps before the adversarial terms begin.
      kl: w_kl; 0: latents are deterministic.
      codes: weight of the codebook loss, see `codes_loss`.
      reduction: "mean" or "sum": of L_rec over the numbers of an image.
    """

    lpips: float
    adversarial: float
    adversarial_start: int
    kl: float
    codes: float
    reduction: str = "mean"


def adaptive_weight(last_layer: Any, kernel: Array, grad_rec: Array, grad_adv: Array) -> Array:
    """The ratio |d L_rec / d kernel| / (|d L_adv / d kernel| + 1e-4), at most 1e4 (Esser, eq. 7).

    Args:
      last_layer: kernel -> x'.
      kernel: kernel of the last layer, where the gradients are compared.
      grad_rec, grad_adv: gradients of the two losses with respect to x'.
    """
    _, pull = jax.vjp(last_layer, kernel)
    rec, adv = (jnp.sqrt(jnp.sum(jnp.square(pull(g)[0]))) for g in (grad_rec, grad_adv))
    return jnp.minimum(rec / (adv + 1e-4), LARGEST_WEIGHT)


def with_last_kernel(net: PyTree, kernel: Array) -> PyTree:
    """The parameters of an autoencoder with another kernel in the decoder's last layer."""
    last = {**net["decoder"]["out"], "kernel": kernel}
    return {**net, "decoder": {**net["decoder"], "out": last}}


def straight_through(z: Array, nearest: Array) -> Array:
    """The value of `nearest` with the gradient of `z` (Bengio et al. 2013)."""
    return z + jax.lax.stop_gradient(nearest - z)


def codes_loss(z: Array, nearest: Array) -> Array:
    """|sg(z) - e|^2 + 0.25 |z - sg(e)|^2, means over all numbers (van den Oord et al. 2017)."""
    stop = jax.lax.stop_gradient
    to_latents = jnp.mean(jnp.square(stop(z) - nearest))
    return to_latents + COMMITMENT * jnp.mean(jnp.square(z - stop(nearest)))


def make_autoencoder(
    *, autoencoder: Autoencoder, discriminator: Any, shape: Shape, weights: Weights
) -> Method:
    """An autoencoder of images, trained against a patch discriminator.

    Args:
      autoencoder: see `core.types.Autoencoder`.
      discriminator: image [B, H, W, C] -> logits of patches [B, h, w].
      shape: (H, W, C) of one image.
      weights: factors of the terms of the loss. If `weights.lpips` is positive, the losses read the
        parameters of LPIPS from `Context.frozen["lpips"]`.
    """
    space = pixels(shape)
    factor = math.prod(shape) if weights.reduction == "sum" else 1

    def init(key: Array) -> dict[str, PyTree]:
        key_net, key_disc = jax.random.split(key)
        x = jnp.zeros((1, *shape))
        return {
            "autoencoder": autoencoder.init(key_net, x)["params"],
            "disc": discriminator.init(key_disc, x)["params"],
        }

    def call(net: PyTree, x: Array, method: str, dropout: Array | None = None) -> Any:
        """The result of `method`; `dropout` is the key of a training step."""
        variables = {"params": net}
        if dropout is None or not getattr(autoencoder, "dropout", 0):
            return autoencoder.apply(variables, x, method=method)
        return autoencoder.apply(variables, x, True, method=method, rngs={"dropout": dropout})

    def discriminate(params: Params, x: Array) -> Array:
        logits: Array = discriminator.apply({"params": params["disc"]}, x)
        return logits

    def latents(net: PyTree, x: Array, key: Array) -> tuple[Array, dict[str, Array]]:
        """The decoder's input in training, and the KL and codebook terms."""
        encode_key, noise_key = jax.random.fold_in(key, 1), jax.random.fold_in(key, 3)
        z, log_variance = call(net, x, "encode", encode_key)
        terms = {}
        if weights.kl > 0:
            terms["kl"] = losses.gaussian_kl(z, log_variance)
            z = z + jnp.exp(0.5 * log_variance) * jax.random.normal(noise_key, z.shape)
        if autoencoder.codes:
            nearest, _ = call(net, z, "quantize")
            terms["codes"] = codes_loss(z, nearest)
            z = straight_through(z, nearest)
        return z, terms

    def autoencoder_loss(params: Params, context: Context) -> tuple[Array, Aux]:
        x, net = space.encode(context.batch["image"], context.frozen), params["autoencoder"]
        z, terms = latents(net, x, context.key)
        key = jax.random.fold_in(context.key, 2)
        rebuilt = call(net, z, "rebuild", key)

        def reconstruction(y: Array) -> tuple[Array, dict[str, Array]]:
            parts = {"l1": jnp.mean(jnp.abs(x - y))}
            if weights.lpips > 0:
                parts["lpips"] = jnp.mean(lpips.distance(context.frozen["lpips"], x, y))
            total = parts["l1"] + weights.lpips * parts.get("lpips", jnp.float32(0))
            return factor * total, parts

        def adversarial(y: Array) -> Array:
            return -jnp.mean(discriminate(params, y))

        # The adaptive weight is a constant of the loss: no gradient passes through it.
        fixed_net, fixed_z, fixed = jax.lax.stop_gradient((net, z, rebuilt))
        kernel = fixed_net["decoder"]["out"]["kernel"]
        weight = weights.adversarial * adaptive_weight(
            lambda kernel: call(with_last_kernel(fixed_net, kernel), fixed_z, "rebuild", key),
            kernel,
            jax.grad(lambda y: reconstruction(y)[0])(fixed),
            jax.grad(adversarial)(fixed),
        )
        weight = jnp.where(context.step >= weights.adversarial_start, weight, 0.0)
        rec, parts = reconstruction(rebuilt)
        adv = adversarial(rebuilt)
        loss = rec + weight * adv
        for name, term in terms.items():
            loss = loss + getattr(weights, name) * term
        return loss, Aux({**parts, **terms, "adversarial": adv, "adaptive_weight": weight})

    def disc_loss(params: Params, context: Context) -> tuple[Array, Aux]:
        x, net = space.encode(context.batch["image"], context.frozen), params["autoencoder"]
        z, key = latents(net, x, context.key)[0], jax.random.fold_in(context.key, 2)
        fake = call(net, z, "rebuild", key)
        real, fake = discriminate(params, x), discriminate(params, jax.lax.stop_gradient(fake))
        # Before the start the gradient is 0, so Adam does not move the weights.
        active = jnp.where(context.step >= weights.adversarial_start, 1.0, 0.0)
        metrics = {"real": jnp.mean(real), "fake": jnp.mean(fake)}
        return active * (0.5 * losses.hinge_disc_loss(real, fake)), Aux(metrics)

    def encode(params: Params, images: Array, labels: Array) -> Array:
        del labels
        z: Array = call(params["autoencoder"], space.encode(images, ()), "encode")[0]
        return z

    def decode(params: Params, z: Array, labels: Array) -> Array:
        del labels
        return jnp.clip(call(params["autoencoder"], z, "decode"), -1.0, 1.0)

    return Method(
        init=init,
        phases=(Phase("autoencoder", autoencoder_loss), Phase("disc", disc_loss)),
        sample=None,
        ema_roles=("autoencoder",),
        nfe=1,
        inversion=Inversion(encode, decode),
        frozen=("lpips",) if weights.lpips > 0 else (),
    )


FIELDS: dict[str, Field] = {
    "loss.lpips": number(REQUIRED, help="weight of LPIPS; 0: none"),
    "loss.adversarial": number(REQUIRED, help="weight of the adversarial term"),
    "loss.adversarial_start": integer(REQUIRED, 0, help="steps before the adversarial terms"),
    "loss.kl": number(0.0, help="weight of the KL term; 0: latents are deterministic"),
    "loss.codes": number(1.0, help="weight of the codebook loss, if autoencoder.codes > 0"),
    "loss.reduction": choice(
        "mean",
        "mean",
        "sum",
        help="of L1 and LPIPS over an image; sum: as latent diffusion with kl",
    ),
}


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The autoencoder that a complete config describes, for images of `shape`."""
    del length
    only = "(method 'autoencoder')"
    check(config, "space.kind", config.space.kind == "pixels", f"'pixels' {only}")
    check(config, "classes", config.classes == 0, f"0 {only}")
    weights = Weights(**config.loss.to_dict())
    autoencoder = build_network(config, "autoencoder", AUTOENCODERS, shape)
    allowed = "0 where config.autoencoder.gaussian is false"
    check(config, "loss.kl", weights.kl == 0 or autoencoder.gaussian, allowed)
    perceptual = shape[-1] == 3 and min(shape[:2]) >= lpips.SMALLEST
    allowed = f"0 for images of {shape} (LPIPS needs color, {lpips.SMALLEST} pixels)"
    check(config, "loss.lpips", weights.lpips == 0 or perceptual, allowed)
    return make_autoencoder(
        autoencoder=autoencoder,
        discriminator=build_network(config, "disc", PATCH_DISCRIMINATORS, shape),
        shape=shape,
        weights=weights,
    )


METHOD = MethodEntry(
    from_config,
    FIELDS,
    roles=("autoencoder", "disc"),
    inverts=True,
    networks=("autoencoder", "disc"),
)


def autoencoder(
    *,
    network: Mapping[str, Any],
    disc: Mapping[str, Any],
    lpips: float,
    adversarial: float,
    adversarial_start: int,
    learning_rate: float,
) -> ConfigDict:
    """An autoencoder config. The learning rates stay constant, as in VQGAN's training.

    `network` and `disc` are {"network": name, attribute: value, ...}; the rest: see `Weights`.
    """
    constant = adam(learning_rate, final_learning_rate=learning_rate)
    return preset(
        "autoencoder",
        FIELDS,
        autoencoder=network,
        disc=disc,
        loss=dict(
            lpips=float(lpips),
            adversarial=float(adversarial),
            adversarial_start=adversarial_start,
        ),
        optim=dict(autoencoder=dict(constant), disc=dict(constant)),
    )
