"""DDDG: a GAN for every step of a deterministic degradation, and its inversion (Cho 2023).

One train step is the body of algorithm 1 at a t that is carried from step to step: 0, 1, ..,
t_max - 1, 0, ... With x'_t carried, z ~ N(0, I) and s_t the latent scale,

  x_{t+1}  = reduce_info(x, t + 1)                      x: a new batch of data
  x'_{t+1} = normalize_output(G(x'_t, z s_t, t))        see diffusion.degradations
  a_r, _   = D(x_{t+1}, t + 1);   a_f, z' = D(x'_{t+1}, t + 1)
  L_enc    = mean_i ((z - z') s_t)_i^2
  D minimizes adv(a_r, a_f) + lambda_enc L_enc + lambda_r1 ||d a_r / d x_{t+1}||^2
  G minimizes adv(a_f) + lambda_enc L_enc

Both players see the same x'_t, z and t, and so the same x'_{t+1}. The discriminator moves first and
the generator's loss is that of the updated discriminator; the paper takes both gradients before
either moves. The x'_{t+1} and z' that are carried on are those of the discriminator's phase.

Classes (CAGAN): the generator is told the class, the discriminator has one logit per class, and the
sample's class selects one. A chain x'_0, x'_1, ... keeps the class that it got from the data at
t = 0.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import REQUIRED, Field, adam, check
from ddgan_jax.config.fields import choice, flag, integer, number, numbers
from ddgan_jax.core import losses
from ddgan_jax.core.losses import ADVERSARIAL_LOSSES, AdversarialLoss
from ddgan_jax.core.random import per_sample_normal
from ddgan_jax.core.types import (
    Array,
    Aux,
    Carry,
    Context,
    Encoder,
    Generator,
    Inversion,
    Method,
    Params,
    Phase,
    PyTree,
    Shape,
)
from ddgan_jax.diffusion.degradations import KINDS, Degradation, degradation, normalize_output
from ddgan_jax.methods.conditioning import append_class, draw_labels, one_hot, select_class
from ddgan_jax.methods.entry import LATENT_SIZE, Length, MethodEntry, preset
from ddgan_jax.methods.refinement import make_refine
from ddgan_jax.networks import ENCODERS, GENERATORS, build_network
from ddgan_jax.spaces.pixels import pixels


def latent_scale(variance: Array) -> Array:
    """s = sqrt(d_z) sqrt(v) / ||sqrt(v)||, so that sum s^2 = d_z; v > 0 [..., d_z] -> the same."""
    return jnp.sqrt(variance / jnp.mean(variance, axis=-1, keepdims=True))


def make_dddg(
    *,
    generator: Generator,
    discriminator: Encoder,
    degradation: Degradation,
    shape: Shape,
    batch_size: int,
    latent_size: int,
    classes: int,
    encoder_weight: float,
    encoder_per_class: bool,
    variance_decay: float,
    r1_weight: float,
    r1_every: int,
    loss: AdversarialLoss = ADVERSARIAL_LOSSES["nonsaturating"],
) -> Method:
    """DDDG on images.

    Args:
      generator: (x_t [B, H, W, C], t [B], code [B, E]) -> raw output like x_t. The code is z s_t,
        followed by t and the class as one-hot vectors of unit variance.
      discriminator: (x_t, t [B]) -> logits [B, max(classes, 1)] and latents [B, t_max d_z], or
        [B, classes t_max d_z] with `encoder_per_class`.
      degradation: the degradation of images of `shape`.
      shape: (H, W, C) of an image.
      batch_size: number of images x'_t that are carried.
      latent_size: d_z, numbers in the z of one step.
      classes: labels are 0..classes-1; 0: unconditional, labels are ignored.
      encoder_weight: lambda_enc.
      encoder_per_class: predict latents for every class and select those of the image's class;
        needs classes. In the paper the encoder does not know the class.
      variance_decay: decay of v, the running mean of squared predicted latents; row t is updated
        at step t.
      r1_weight: lambda_r1 (not halved); 0: none.
      r1_every: steps between two applications of R1.
      loss: the adversarial loss.
    """
    t_max, reduce_info = degradation.t_max, degradation.reduce_info
    space = pixels(shape)

    def to_floats(images: Array) -> Array:
        return space.encode(images, ())

    def init(key: Array) -> dict[str, PyTree]:
        key_gen, key_disc = jax.random.split(key)
        # Parameters do not depend on the batch size.
        x, t = jnp.zeros((1, *shape)), jnp.zeros(1, jnp.int32)
        code = generator_code(jnp.zeros((1, latent_size)), t, t)
        return {
            "gen": generator.init(key_gen, x, t, code)["params"],
            "disc": discriminator.init(key_disc, x, t)["params"],
        }

    def generator_code(z: Array, t: Array, labels: Array) -> Array:
        return append_class(jnp.concatenate([z, one_hot(t, t_max)], axis=-1), labels, classes)

    def generate(gen: PyTree, x_t: Array, t: Array, z: Array, labels: Array) -> tuple[Array, Array]:
        """(x'_{t+1}, x^norm_{t+1}) from x'_t, a scalar t and scaled latents."""
        times = jnp.full(labels.shape, t, jnp.int32)
        raw = generator.apply({"params": gen}, x_t, times, generator_code(z, times, labels))
        return normalize_output(reduce_info, raw, x_t, t)

    def discriminate(disc: PyTree, x: Array, t: Array, labels: Array) -> tuple[Array, Array]:
        """Logits of the samples' classes [B] and predicted latents [B, d_z] of x = x_{t+1}."""
        times = jnp.full(labels.shape, t + 1, jnp.int32)
        logits, latents = discriminator.apply({"params": disc}, x, times)
        chosen = select_class(logits, labels if classes else jnp.zeros_like(labels))
        return chosen, select_latents(latents, t, labels)

    def select_latents(latents: Array, t: Array | int, labels: Array) -> Array:
        latents = latents.reshape(labels.shape[0], -1, t_max, latent_size)[:, :, t]
        if encoder_per_class:
            return jnp.take_along_axis(latents, labels[:, None, None], axis=1)[:, 0]
        return latents[:, 0]

    # Training.

    def carry_init(key: Array) -> Carry:
        x = jnp.zeros((batch_size, *shape))
        samples = {
            "x": reduce_info(x, 0),
            "z": jax.random.normal(key, (batch_size, latent_size)),
            "label": jnp.zeros(batch_size, jnp.int32),
        }
        shared = {"t": jnp.zeros((), jnp.int32), "variance": jnp.ones((t_max, latent_size))}
        return Carry(samples, shared)

    def chain_labels(context: Context) -> Array:
        """The classes of the carried images; a new chain takes those of the data."""
        first = context.carry.shared["t"] == 0
        return jnp.where(first, context.batch["label"], context.carry.samples["label"])

    def real_batch(context: Context) -> Array:
        return reduce_info(to_floats(context.batch["image"]), context.carry.shared["t"] + 1)

    def fake_batch(params: Params, context: Context) -> tuple[Array, Array]:
        """x'_{t+1} and s_t."""
        samples, shared = context.carry
        scale = latent_scale(shared["variance"][shared["t"]])
        labels = chain_labels(context)
        fake, _ = generate(params["gen"], samples["x"], shared["t"], samples["z"] * scale, labels)
        return fake, scale

    def discriminate_fake(
        params: Params, context: Context, fake: Array, scale: Array
    ) -> tuple[Array, Array, Array]:
        """(a_f, L_enc, z')."""
        t, labels = context.carry.shared["t"], chain_labels(context)
        logits, predicted = discriminate(params["disc"], fake, t, labels)
        error = jnp.mean(jnp.square((context.carry.samples["z"] - predicted) * scale))
        return logits, error, predicted

    def disc_loss(params: Params, context: Context) -> tuple[Array, Aux]:
        fake, scale = jax.lax.stop_gradient(fake_batch(params, context))
        d_fake, error, predicted = discriminate_fake(params, context, fake, scale)
        real, t = real_batch(context), context.carry.shared["t"]
        d_real, _ = discriminate(params["disc"], real, t, context.batch["label"])
        total = loss.disc(d_real, d_fake) + encoder_weight * error
        metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake), "encoder": error}
        return total, Aux(metrics, {"x": fake, "z": predicted})

    def r1(params: Params, context: Context) -> tuple[Array, Aux]:
        t, labels = context.carry.shared["t"], context.batch["label"]
        penalty = losses.gradient_penalty(
            lambda x: discriminate(params["disc"], x, t, labels)[0], real_batch(context)
        )
        return r1_weight * penalty, Aux({"r1": penalty})

    def gen_loss(params: Params, context: Context) -> tuple[Array, Aux]:
        fake, scale = fake_batch(params, context)
        d_fake, error, predicted = discriminate_fake(params, context, fake, scale)
        d_real = None
        if loss.gen_sees_real:
            t, labels = context.carry.shared["t"], context.batch["label"]
            d_real, _ = discriminate(params["disc"], real_batch(context), t, labels)
        total = loss.gen(d_real, d_fake) + encoder_weight * error
        return total, Aux({"encoder": error}, {"x": fake, "z": predicted})

    def carry_update(carry: Carry, outputs: Mapping[str, PyTree], context: Context) -> Carry:
        new = next(iter(outputs.values()))  # of the first phase, before any player moved
        t, variance = carry.shared["t"], carry.shared["variance"]
        t_next = (t + 1) % t_max
        squared = jnp.mean(jnp.square(new["z"]), axis=0)
        row = variance_decay * variance[t] + (1 - variance_decay) * squared
        samples = {
            "x": jnp.where(t_next == 0, reduce_info(new["x"], 0), new["x"]),
            "z": jax.random.normal(context.key, carry.samples["z"].shape),
            "label": chain_labels(context),
        }
        return Carry(samples, {"t": t_next, "variance": variance.at[t].set(row)})

    # Sampling (algorithm 2) and inversion (algorithm 3).

    def walk(params: Params, latents: Array, labels: Array, unroll: bool) -> tuple[Array, Array]:
        """The images x'_1..x'_{t_max} and x^norm_1..x^norm_{t_max}, each [t_max, B, H, W, C]."""
        scaled = latents * latent_scale(params["latent"]["variance"])

        def step(x: Array, now: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            t, z = now
            x, norm = generate(params["gen"], x, t, z, labels)
            return x, (x, norm)

        x_0 = reduce_info(jnp.zeros((latents.shape[0], *shape)), 0)
        over_time = (jnp.arange(t_max), jnp.moveaxis(scaled, 1, 0))
        return jax.lax.scan(step, x_0, over_time, unroll=t_max if unroll else 1)[1]

    def prior(keys: Array, labels: Array | None = None) -> tuple[Array, Array]:
        """Latents z_0..z_{t_max-1} ~ N(0, I) [B, t_max, d_z], and classes, int32 [B]."""
        z = [per_sample_normal(keys, t, 0, (latent_size,)) for t in range(t_max)]
        return jnp.stack(z, axis=1), draw_labels(keys, t_max, classes, labels)

    def decode(params: Params, latents: Array, labels: Array) -> Array:
        """Latents [B, t_max, d_z] and labels int32 [B] -> float32 images [B, H, W, C]."""
        return walk(params, latents, labels, unroll=False)[0][-1]

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        del frozen
        return decode(params, *prior(keys, labels))

    def path(params: Params, latents: Array, labels: Array) -> tuple[Array, Array]:
        """The images x'_0..x'_{t_max} [t_max + 1, B, ...] and x^norm_1..x^norm_{t_max}."""
        x, norm = walk(params, latents, labels, unroll=False)
        return jnp.concatenate([reduce_info(x[:1], 0), x]), norm

    def encode(params: Params, images: Array, labels: Array) -> Array:
        """Images uint8 or float32 [B, H, W, C] -> predicted latents [B, t_max, d_z].

        Labels int32 [B] matter only if `encoder_per_class`.
        """
        x, variables, predicted = to_floats(images), {"params": params["disc"]}, []
        for t in range(t_max):
            times = jnp.full(x.shape[0], t + 1, jnp.int32)
            _, latents = discriminator.apply(variables, reduce_info(x, t + 1), times, logits=False)
            predicted.append(select_latents(latents, t, labels))
        return jnp.stack(predicted, axis=1)

    def reconstruct(params: Params, latents: Array, labels: Array) -> Array:
        # Unrolled, since gradients of convolutions through a scan are slow on CPU.
        return walk(params, latents, labels, unroll=True)[0][-1]

    refine = make_refine(reconstruct)

    def trajectory(
        params: Params, keys: Array, frozen: PyTree, labels: Array | None = None
    ) -> Array:
        del frozen
        return path(params, *prior(keys, labels))[0]

    def evaluation(params: Params, count: int) -> Array:
        x, labels = jnp.zeros((count, *shape)), jnp.zeros(count, jnp.int32)
        return generate(params["gen"], x, jnp.int32(0), jnp.ones((count, latent_size)), labels)[0]

    return Method(
        init=init,
        phases=(
            Phase("disc", disc_loss, r1 if r1_weight > 0 else None, r1_every),
            Phase("gen", gen_loss),
        ),
        sample=sample,
        ema_roles=("gen", "disc"),  # disc holds the encoder
        nfe=t_max,
        carry_init=carry_init,
        carry_update=carry_update,
        learned=lambda carry: {"latent": {"variance": carry.shared["variance"]}},
        trajectory=trajectory,
        evaluation=evaluation,
        inversion=Inversion(
            encode=encode,
            decode=decode,
            prior=prior,
            refine=refine,
            path=path,
            degrade=lambda images, t: reduce_info(to_floats(images), t),
        ),
    )


FIELDS: dict[str, Field] = {
    "latent_size": LATENT_SIZE._replace(help="d_z, numbers in the latent of one step"),
    "degradation.kind": choice("blur", *KINDS, help="see diffusion.degradations"),
    "degradation.levels": numbers(
        REQUIRED, low=0, help="a standard deviation, window or frequency for each t = 1..t_max - 1"
    ),
    "r1.weight": number(0.1, help="lambda_r1 of E||grad D||^2 at real images, not halved; 0: none"),
    "r1.every": integer(1, help="steps between two applications of R1, not rescaled"),
    "encoder.weight": number(1.0, help="lambda_enc, weight of the error of the predicted latents"),
    "encoder.per_class": flag(False, help="the encoder is told the class"),
    "encoder.variance_decay": number(
        0.999, 0, 1, open_high=True, help="decay of the running variance of the predicted latents"
    ),
    "adversarial.loss": choice("nonsaturating", *ADVERSARIAL_LOSSES, help="see core.losses"),
}


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The DDDG that a complete config describes, for images of `shape`."""
    del length
    check(config, "space.kind", config.space.kind == "pixels", "'pixels' (method 'dddg')")
    degrade = degradation(config.degradation.kind, config.degradation.levels, shape)
    # Both players have to see the same generated image.
    check(config, "gen.dropout", config.gen.get("dropout", 0.0) == 0, "0 (method 'dddg')")
    per_class, allowed = config.encoder.per_class, "false where config.classes is 0"
    check(config, "encoder.per_class", not per_class or config.classes > 0, allowed)
    latents = degrade.t_max * config.latent_size * (config.classes if per_class else 1)
    return make_dddg(
        generator=build_network(config, "gen", GENERATORS, shape),
        discriminator=build_network(
            config, "disc", ENCODERS, shape, num_logits=max(config.classes, 1), num_latents=latents
        ),
        degradation=degrade,
        shape=shape,
        batch_size=config.train.batch_size,
        latent_size=config.latent_size,
        classes=config.classes,
        encoder_weight=config.encoder.weight,
        encoder_per_class=per_class,
        variance_decay=config.encoder.variance_decay,
        r1_weight=config.r1.weight,
        r1_every=config.r1.every,
        loss=ADVERSARIAL_LOSSES[config.adversarial.loss],
    )


METHOD = MethodEntry(from_config, FIELDS, inverts=True)


def dddg(
    *,
    degradation: str,
    levels: tuple[float, ...],
    latent_size: int,
    classes: int,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
) -> ConfigDict:
    """A DDDG config with the paper's numbers; t_max is len(levels) + 1.

    `gen` and `disc` are {"network": name, attribute: value, ...}; `classes` 0: unconditional.
    """
    constant = adam(2e-3, final_learning_rate=2e-3, beta1=0.0, beta2=0.99)
    return preset(
        "dddg",
        FIELDS,
        latent_size=latent_size,
        classes=classes,
        degradation=dict(kind=degradation, levels=tuple(map(float, levels))),
        gen=gen,
        disc=disc,
        optim=dict(gen=dict(constant), disc=dict(constant)),
    )
