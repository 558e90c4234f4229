"""Registry entries of methods: what configs, training and inference need to know of one."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.config import REQUIRED, Field, Fields, adam, base
from ddgan_jax.config.fields import choice, defaults, flag, integer, number
from ddgan_jax.core.losses import ADVERSARIAL_LOSSES, gradient_penalty
from ddgan_jax.core.types import (
    Array,
    Aux,
    Context,
    LossFn,
    Method,
    Params,
    Phase,
    Shape,
)
from ddgan_jax.methods import augmentation
from ddgan_jax.methods.augmentation import FAKE, REAL


class Length(NamedTuple):
    """The length of a run, for schedules inside of losses."""

    total: int  # steps
    epoch: int  # steps of one pass over the data


class MethodEntry(NamedTuple):
    """A method as configs name it.

    Attributes:
      build: (complete config, shape of one example of the data, length of the run) -> Method.
      fields: settings of the method beyond the base config, by dotted name.
      roles: networks that are trained, each with a section `config.optim.<role>`.
      inverts: whether the method has an `inversion`, so that the command `reconstruct` works.
      networks: sections of the config that describe networks.
    """

    build: Callable[[ConfigDict, Shape, Length], Method]
    fields: Fields
    roles: tuple[str, ...] = ("gen", "disc")
    inverts: bool = False
    networks: tuple[str, ...] = ("gen", "disc")


class Penalties(NamedTuple):
    """Weights of the gradient penalties of a discriminator.

    Attributes:
      r1_gamma: R1 adds gamma/2 E||grad D||^2 at real data; 0: none.
      every: train steps between two applications of R1 and R2 (`lazy_reg` in DDGAN's code); the
        penalties are not rescaled.
      r2_gamma: the same at fake data; 0: none.
    """

    r1_gamma: float
    every: int
    r2_gamma: float = 0.0

    @classmethod
    def from_config(cls, config: ConfigDict) -> "Penalties":
        """The weights in `config.r1` and `config.r2`."""
        return cls(config.r1.gamma, config.r1.every, config.r2.gamma)

    def phase(self, loss: LossFn, regularizer: LossFn) -> Phase:
        """The discriminator's phase, with `regularizer` if one of the weights is positive."""
        used = self.r1_gamma > 0 or self.r2_gamma > 0
        return Phase("disc", loss, regularizer if used else None, self.every)

    def of(
        self,
        discriminate: Callable[[int, Array], Array],
        real: Callable[[], Array],
        fake: Callable[[], Array],
    ) -> tuple[Array, Aux]:
        """R1 and R2: gamma/2 E||d D / d x||^2 at real and at fake x, before their augmentation.

        Args:
          discriminate: (`REAL` or `FAKE`, x [B, ...]) -> logits [B].
          real, fake: () -> x; called if the weight is positive.
        """
        terms = {"r1": (self.r1_gamma, REAL, real), "r2": (self.r2_gamma, FAKE, fake)}
        found = {
            name: gradient_penalty(partial(discriminate, use), jax.lax.stop_gradient(x()))
            for name, (gamma, use, x) in terms.items()
            if gamma > 0
        }
        first, *rest = (0.5 * terms[name][0] * penalty for name, penalty in found.items())
        return sum(rest, first), Aux(found)


class Lazy(NamedTuple):
    """How regularizers that are not applied in every step are applied.

    Attributes:
      scaled: they are multiplied by their interval.
      own_step: they are minimized by gradient steps of their own, see `Phase.own_step`.
    """

    scaled: bool = False
    own_step: bool = False

    def applied_to(self, phase: Phase) -> Phase:
        """The same phase with its regularizer applied so."""
        regularizer = phase.regularizer
        if regularizer is not None and self.scaled:
            regularizer = _times(phase.regularize_every, regularizer)
        return phase._replace(regularizer=regularizer, own_step=self.own_step)


def _times(factor: float, loss: LossFn) -> LossFn:
    def scaled(params: Params, context: Context) -> tuple[Array, Aux]:
        value, aux = loss(params, context)
        return factor * value, aux

    return scaled


class Turns(NamedTuple):
    """The players' turns.

    Attributes:
      disc_steps: k, steps of the discriminator for each of the generator; divides the batch.
      gen_first: whether the generator moves before the discriminator.
      lazy: how regularizers are applied.
      path_every: steps between two applications of the path length penalty.
    """

    disc_steps: int = 1
    gen_first: bool = False
    lazy: Lazy = Lazy()
    path_every: int = 4

    @classmethod
    def from_config(cls, config: ConfigDict) -> "Turns":
        """The turns that a complete config describes."""
        return cls(
            config.adversarial.disc_steps,
            config.adversarial.order == "gen_first",
            Lazy(config.lazy.scaled, config.lazy.own_step),
            config.path_length.every,
        )


ONE_TURN_EACH = Turns()


LAZY_FIELDS: dict[str, Field] = {
    "lazy.scaled": flag(
        False, help="multiply R1, R2 and the path length penalty by their interval"
    ),
    "lazy.own_step": flag(
        False, help="apply them in gradient steps of their own, after those of the losses"
    ),
}
R1_FIELDS: dict[str, Field] = {
    "r1.gamma": number(REQUIRED, help="weight gamma / 2 of E||grad D||^2 at real data; 0: none"),
    "r1.every": integer(REQUIRED, help="steps between two applications of R1 and R2"),
    "r2.gamma": number(0.0, help="weight gamma / 2 of E||grad D||^2 at fake data; 0: none"),
}
ADVERSARIAL_FIELDS: dict[str, Field] = {
    **R1_FIELDS,
    **augmentation.FIELDS,
    "adversarial.loss": choice(
        "nonsaturating",
        *ADVERSARIAL_LOSSES,
        help="losses of both players, see core.losses; relativistic with R1 and R2 is R3GAN's",
    ),
}
LATENT_SIZE = integer(REQUIRED, 1, 10**6, help="numbers in the latent z")


def preset(method: str, fields: Fields, **sections: Any) -> ConfigDict:
    """The base config plus the defaults of a method's fields and the given sections.

    Args:
      method: value of `config.method`.
      fields: config fields of the method.
      **sections: further top-level values; dictionaries are merged into sections.
    """
    config = base()
    config.method = method
    config.update(ConfigDict(defaults(fields)))
    for name, value in sections.items():
        if isinstance(value, Mapping):
            section = config.get(name, ConfigDict())
            section.update(ConfigDict(dict(value)))
            config[name] = section
        else:
            config[name] = value
    return config


def adversarial_preset(
    method: str,
    fields: Fields,
    *,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
    **sections: Any,
) -> ConfigDict:
    """`preset` of a method with a generator, a discriminator, their Adams and R1."""
    return preset(
        method,
        fields,
        gen=gen,
        disc=disc,
        optim=dict(gen=adam(lr_gen), disc=adam(lr_disc)),
        r1=dict(gamma=float(r1_gamma), every=r1_every),
        **sections,
    )
