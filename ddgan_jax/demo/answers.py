"""What the page shows for each button: HTML of pictures, or of one line about a mistake."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.demo import actions, markup
from ddgan_jax.demo.abilities import Abilities, abilities_of
from ddgan_jax.demo.pictures import Look, drawn, look_of, uploaded
from ddgan_jax.inference.model import Model
from ddgan_jax.inference.sample import Wanted, draw

IN_TURN = "each in turn"
FIND = "find it"
LARGEST_SEED = 2**32 - 1
_LOOKED_AT = 64  # samples that the look of drawings is taken from


class Answers(NamedTuple):
    """The functions behind the buttons of a run's page.

    Attributes:
      load: number of steps of the sampler, 0 for that of the run -> model.
      abilities: what the page offers.
      look: how the images of the model look, for drawings.
      unexpected: an exception that is no mistake of the user -> one line about it.
    """

    load: Callable[[int], Model]
    abilities: Abilities
    look: Callable[[], Look]
    unexpected: Callable[[Exception], str]

    def samples(
        self, seed: Any, count: Any, label: str = IN_TURN, psi: float = 1.0, steps: int = 0
    ) -> str:
        """A picture of samples."""
        return self._said(lambda: self._samples(seed, count, label, psi, steps))

    def _samples(self, seed: Any, count: Any, label: str, psi: float, steps: int) -> str:
        model = self.load(int(steps))
        wanted = Wanted(
            count=whole("the number of images", count, 1, actions.MOST_IMAGES),
            seed=whole("the seed", seed, 0, LARGEST_SEED),
            label=self._label(label, IN_TURN),
            psi=float(psi),
        )
        pixels = actions.sample_picture(model, wanted)
        note = f"seed {wanted.seed}, step {model.step:,}, {model.method.nfe} network evaluations"
        return markup.picture(pixels, "samples", note)

    def inverted(
        self,
        drawing: Mapping[str, Any] | None,
        file: Any,
        swap: bool = False,
        label: str = FIND,
        steps: Any = 0,
    ) -> tuple[str, actions.Inverted | None]:
        """What inversion makes of a drawing or a file, and the result for the other buttons."""
        found: list[actions.Inverted] = []

        def shown() -> str:
            model = self.load(0)
            image = self._image(model, drawing, file, swap)
            refined = whole("the number of steps", steps, 0, 10_000)
            result = actions.invert(model, image, self._label(label, FIND), refined)
            found.append(result)
            return self._inverted(result, refined)

        text = self._said(shown)
        return text, found[0] if found else None

    def _image(
        self, model: Model, drawing: Mapping[str, Any] | None, file: Any, swap: bool
    ) -> np.ndarray:
        """The image of a file or else of a drawing, uint8 [H, W, C]."""
        if file:
            return uploaded(Path(str(file)), model.shape, swap)
        return drawn(list((drawing or {}).get("layers") or []), model.shape, self.look())

    def _inverted(self, result: actions.Inverted, steps: int) -> str:
        images, captions = [result.image, result.encoded], ["image"]
        captions.append(f"encoder, {result.decibels[0]:.1f} dB")
        if result.refined is not None:
            images.append(result.refined)
            captions.append(f"{steps} steps, {result.decibels[1]:.1f} dB")
        name = ""
        if self.abilities.classes:
            how = "found" if result.found else "given"
            name = f"class {self.abilities.classes[result.label]} ({how})"
        return markup.row(images, captions, name)

    def every_class(self, first: actions.Inverted | None) -> str:
        """The first image as each class."""

        def shown() -> str:
            images = actions.every_class(self.load(0), _needed(first, "first"))
            return markup.row(list(images), list(self.abilities.classes))

        return self._said(shown)

    def mixed(self, first: actions.Inverted | None, second: actions.Inverted | None) -> str:
        """Mixtures of the latents of two images."""

        def shown() -> str:
            one, other = _needed(first, "first"), _needed(second, "second")
            model = self.load(0)
            rows = actions.mixed(model, one, other)
            last = rows.shape[1] - 1
            captions = [f"{k} of {last} times of the first" for k in range(last + 1)]
            return self._rows(model, one, other, rows, captions)

        return self._said(shown)

    def between(
        self, first: actions.Inverted | None, second: actions.Inverted | None, steps: Any
    ) -> str:
        """Images on the line between two images."""

        def shown() -> str:
            one, other = _needed(first, "first"), _needed(second, "second")
            count = whole("the number of images", steps, 2, 32)
            model = self.load(0)
            rows = actions.between(model, one, other, count)
            captions = [f"{i / (count - 1):.0%}" for i in range(count)]
            return self._rows(model, one, other, rows, captions)

        return self._said(shown)

    def _rows(
        self,
        model: Model,
        first: actions.Inverted,
        second: actions.Inverted,
        rows: np.ndarray,
        captions: Sequence[str],
    ) -> str:
        """Rows of images, each under the class that they are decoded as."""
        labels = actions.classes_between(model, first, second)
        names = [f"as class {self.abilities.classes[label]}" for label in labels] or [""]
        pairs = zip(rows, names, strict=True)
        return "".join(markup.row(list(images), captions, name) for images, name in pairs)

    def _label(self, name: str, none: str) -> int | None:
        """The number of a class; None for the choice `none` and for unconditional models."""
        classes = self.abilities.classes
        if not classes or name == none:
            return None
        if name not in classes:
            raise UserError(f"the class is {name!r}; one of {', '.join(classes)} is needed")
        return classes.index(name)

    def _said(self, shown: Callable[[], str]) -> str:
        """The HTML of `shown`, or that of one line about what went wrong."""
        try:
            return shown()
        except UserError as error:
            return markup.mistake(str(error))
        except Exception as error:  # the page stays, with a line about it
            return markup.mistake(self.unexpected(error))


def answers_of(load: Callable[[int], Model], unexpected: Callable[[Exception], str]) -> Answers:
    """The functions behind the buttons of a run's page.

    Args:
      load: see `Answers`; the models of a few numbers of steps are kept.
      unexpected: see `Answers`.

    Raises:
      UserError: see `model.load`.
    """
    kept = functools.lru_cache(maxsize=4)(load)

    @functools.cache
    def look() -> Look:
        model = kept(0)
        if model.method.sample is None:
            return Look()
        return look_of(draw(model, Wanted(_LOOKED_AT))["images"])

    return Answers(kept, abilities_of(kept(0)), look, unexpected)


def whole(what: str, value: Any, low: int, high: int) -> int:
    """A whole number that a person gave.

    Raises:
      UserError: it is none, or not in [low, high].
    """
    number = float(value) if isinstance(value, int | float) else float("nan")
    if not low <= number <= high or number != int(number):
        raise UserError(f"{what} is {value}; a whole number from {low:,} to {high:,} is needed")
    return int(number)


def _needed(inverted: actions.Inverted | None, which: str) -> actions.Inverted:
    if inverted is None:
        raise UserError(f"the {which} image is missing; draw or choose one and invert it")
    return inverted
