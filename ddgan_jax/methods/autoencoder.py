"""The autoencoder of latent DDGAN (Trinh and Hamagami 2024), trained as VQGAN (Esser et al. 2021).

The autoencoder moves first, then a discriminator of patches. The loss of the former is

    L_rec + w L_adv [+ w_kl KL] [+ L_codes],   L_rec = L1(x, x') + w_p LPIPS(x, x'),

with the adaptive weight w = w_adv |grad L_rec| / (|grad L_adv| + 1e-4), gradients at the kernel of
the decoder's last layer. Until `adversarial_start` steps are done w is 0 and the discriminator
waits. A KL term is off by default: a GAN in the latents does not need them to be Gaussian.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ddgan_jax.core import losses
from ddgan_jax.core.types import Array, Aux, Context, Method, Params, Phase, PyTree
from ddgan_jax.features import lpips
from ddgan_jax.spaces.pixels import pixels

COMMITMENT = 0.25  # how much more slowly latents move to their codes than codes to their latents
LARGEST_WEIGHT = 1e4


class Weights(NamedTuple):
    """Of the terms of the loss, beside L1, whose weight is 1.

    Attributes:
      lpips: w_p; 0 leaves the perceptual term out, and needs no frozen weights.
      adversarial: w_adv.
      adversarial_start: train steps before the adversarial game begins.
      kl: w_kl; 0: latents are points, and no noise is added to them.
      codes: of the term that moves codes to latents and, at `COMMITMENT`, latents to codes.
    """

    lpips: float
    adversarial: float
    adversarial_start: int
    kl: float
    codes: float


def adaptive_weight(last_layer: Any, kernel: Array, grad_rec: Array, grad_adv: Array) -> Array:
    """|d L_rec / d kernel| / (|d L_adv / d kernel| + 1e-4), at most 1e4 (Esser et al., eq. 7).

    Args:
      last_layer: kernel -> x'.
      kernel: where the gradients are compared.
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
    *, autoencoder: Any, discriminator: Any, shape: tuple[int, ...], weights: Weights
) -> Method:
    """An autoencoder of images, and the patch discriminator that it is trained against.

    Args:
      autoencoder: module like `networks.autoencoder.Autoencoder`.
      discriminator: module x -> values of patches, [B, ...].
      shape: of one image.
      weights: of the terms of the loss. With `weights.lpips` the losses look for the weights of
        LPIPS in `Context.frozen["lpips"]`.
    """
    space = pixels(shape)

    def init(key: Array) -> dict[str, PyTree]:
        key_net, key_disc = jax.random.split(key)
        x = jnp.zeros((1, *shape))
        return {
            "autoencoder": autoencoder.init(key_net, x)["params"],
            "disc": discriminator.init(key_disc, x)["params"],
        }

    def call(net: PyTree, x: Array, method: str) -> Any:
        return autoencoder.apply({"params": net}, x, method=method)

    def discriminate(params: Params, x: Array) -> Array:
        return discriminator.apply({"params": params["disc"]}, x)

    def latents(net: PyTree, x: Array, key: Array) -> tuple[Array, dict[str, Array]]:
        """What `rebuild` is given in training, and the terms of the loss that are made of it."""
        z, log_variance = call(net, x, "encode")
        terms = {}
        if weights.kl > 0:
            terms["kl"] = losses.gaussian_kl(z, log_variance)
            z = z + jnp.exp(0.5 * log_variance) * jax.random.normal(key, z.shape)
        if autoencoder.codes:
            nearest, _ = call(net, z, "quantise")
            terms["codes"] = codes_loss(z, nearest)
            z = straight_through(z, nearest)
        return z, terms

    def autoencoder_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        x, net = space.encode(context.batch["image"], context.frozen), params["autoencoder"]
        z, terms = latents(net, x, context.key)
        rebuilt = call(net, z, "rebuild")

        def reconstruction(y: Array) -> tuple[Array, dict[str, Array]]:
            parts = {"l1": jnp.mean(jnp.abs(x - y))}
            if weights.lpips > 0:
                parts["lpips"] = jnp.mean(lpips.distance(context.frozen["lpips"], x, y))
            return parts["l1"] + weights.lpips * parts.get("lpips", jnp.float32(0)), parts

        def adversarial(y: Array) -> Array:
            return -jnp.mean(discriminate(params, y))

        # Of gradients as they are now: the weight itself is no function to be differentiated.
        fixed_net, fixed_z, fixed = jax.lax.stop_gradient((net, z, rebuilt))
        kernel = fixed_net["decoder"]["out"]["kernel"]
        weight = weights.adversarial * adaptive_weight(
            lambda kernel: call(with_last_kernel(fixed_net, kernel), fixed_z, "rebuild"),
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

    def discriminator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        x, net = space.encode(context.batch["image"], context.frozen), params["autoencoder"]
        fake = call(net, latents(net, x, context.key)[0], "rebuild")
        real, fake = discriminate(params, x), discriminate(params, jax.lax.stop_gradient(fake))
        # Before the game begins its gradient is 0, and Adam leaves the weights where they are.
        playing = jnp.where(context.step >= weights.adversarial_start, 1.0, 0.0)
        metrics = {"real": jnp.mean(real), "fake": jnp.mean(fake)}
        return playing * losses.hinge_loss(real, fake), Aux(metrics)

    def encode(params: Params, images: Array, labels: Array) -> Array:
        del labels
        return call(params["autoencoder"], space.encode(images, ()), "encode")[0]

    def decode(params: Params, z: Array, labels: Array) -> Array:
        del labels
        return jnp.clip(call(params["autoencoder"], z, "decode"), -1.0, 1.0)

    return Method(
        init=init,
        phases=(Phase("autoencoder", autoencoder_phase), Phase("disc", discriminator_phase)),
        sample=None,
        ema_roles=("autoencoder",),
        nfe=1,
        encode=encode,
        decode=decode,
    )
