"""What every metric asks of the features it is given."""

from collections.abc import Mapping

import numpy as np

from ddgan_jax.core.errors import UserError


def check_features(least: int, **sets: np.ndarray) -> None:
    """Check sets of features, given by the names that messages shall call them.

    Args:
      least: how many rows each set needs.
      sets: name -> float [N, F].

    Raises:
      UserError: not a matrix of finite numbers, too few rows, or different F.
    """
    for name, values in sets.items():
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
            raise UserError(
                f"{name} is {values.dtype} {list(values.shape)}; floats [samples, features] are "
                "needed"
            )
        if len(values) < least:
            raise UserError(f"{name} has {len(values)} samples; at least {least} are needed")
        check_finite(name, values)
    check_same_width({name: values.shape[1] for name, values in sets.items()})


def check_finite(name: str, values: np.ndarray) -> None:
    """Raise a UserError that names the first row with a NaN or an infinity."""
    # A float64 sum of float32 is finite only if all terms are, and takes no copy of the set.
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~np.isfinite(values.sum(axis=1, dtype=np.float64)))
    if len(bad):
        raise UserError(f"{name} has {len(bad)} rows with NaN or infinity, the first is {bad[0]}")


def check_same_width(widths: Mapping[str, int]) -> None:
    """Raise a UserError unless all sets have equally many features."""
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UserError(f"numbers of features differ: {listed}; features of one network are needed")
