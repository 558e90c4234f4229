"""Labels of a whole source: `all_labels` reads them, `check_labels` compares them with a config."""

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.source import Source

_NAMED = 10  # classes that a message names
_CHUNK = 256  # examples that are read at once where the images have to be read too


def all_labels(source: Source) -> np.ndarray:
    """The labels of all examples, int32 `[source.size]`, in the order of their indices."""
    if source.labels is not None:
        return source.labels()
    starts = range(0, source.size, _CHUNK)
    chunks = (np.arange(start, min(start + _CHUNK, source.size)) for start in starts)
    return np.concatenate([source.take(chunk)["label"] for chunk in chunks])


def check_labels(source: Source, classes: int) -> tuple[str, ...]:
    """Check that every label is a class of the config, and say which classes have no examples.

    Args:
      source: the data of a run.
      classes: `config.classes`; 0 for an unconditional run, for which labels are not read.

    Returns:
      A line that names the classes without examples, if there are any.

    Raises:
      UserError: the data have no labels, or a label is not in [0, classes).
    """
    if classes == 0:
        return ()
    if not source.labeled:
        raise UserError(
            f"config.classes is {classes}; {source.name} has no labels, and data without labels "
            "needs 0"
        )
    labels = all_labels(source)
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        first = int(np.argmax(wrong))
        allowed = (
            "labels >= 0 in the data, or 0,"
            if labels[first] < 0
            else (f"0, or more than the largest label, {int(labels.max())},")
        )
        raise UserError(
            f"config.classes is {classes}, and example {first} of {source.name} has label "
            f"{int(labels[first])}; {allowed} is needed"
        )
    absent = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if not absent.size:
        return ()
    named = ", ".join(map(str, absent[:_NAMED])) + ", ..." * (absent.size > _NAMED)
    return (
        f"config.classes is {classes}, and {absent.size:,} of them have no example ({named}): "
        "samples of these classes will not look like any data",
    )
