"""Checks of the features that metrics compare."""

from collections.abc import Mapping

import numpy as np

from ddgan_jax.core.errors import UserError


def check_features(least: int, **sets: np.ndarray) -> None:
    """Check one or more sets of features that are compared with each other.

    Args:
      least: number of samples that each set needs at least.
      **sets: float [N, F] each, by the name that error messages use.

    Raises:
      UserError: a set that is no matrix of finite floats or has too few samples, or sets that
        differ in F.
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
    """Check that a matrix has finite entries only.

    Raises:
      UserError: some rows have NaN or infinity; the message has the index of the first one.
    """
    # A float64 sum of float32 values is finite only if all of them are; it needs no copy.
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~np.isfinite(values.sum(axis=1, dtype=np.float64)))
    if len(bad):
        raise UserError(f"{name} has {len(bad)} rows with NaN or infinity, the first is {bad[0]}")


def check_same_width(widths: Mapping[str, int]) -> None:
    """Check that all sets have the same number of features.

    Args:
      widths: number of features of each set, by name.

    Raises:
      UserError: the numbers differ.
    """
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise UserError(f"numbers of features differ: {listed}; features of one network are needed")
