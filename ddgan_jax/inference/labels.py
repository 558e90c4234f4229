"""`checked_labels`: the classes that a caller asks a model for, checked."""

import numpy as np

from ddgan_jax.core.errors import UserError

Labels = np.ndarray | int | None  # one per example, one for all examples, or none


def checked_labels(labels: Labels, count: int, classes: int) -> np.ndarray:
    """Labels of `count` examples.

    Args:
      labels: see `Labels`.
      count: number of examples.
      classes: number of classes of the model; 0: it is unconditional.

    Returns:
      int32 [count]; zeros for an unconditional model.

    Raises:
      UserError: labels are missing, of another dtype or shape, or not in [0, classes).
    """
    if labels is None and not classes:
        return np.zeros(count, np.int32)
    if labels is None:
        raise UserError(f"labels are missing; classes in 0..{classes - 1} are needed")
    given = np.asarray(labels)
    if not classes and given.any():
        raise UserError("labels are given; none are needed, this model is unconditional")
    if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
        raise UserError(f"labels are {given.dtype} {given.shape}; integers [{count}] are needed")
    if classes and given.size and (given.min() < 0 or given.max() >= classes):
        raise UserError(f"labels are {given.min()}..{given.max()}; 0..{classes - 1} are needed")
    return np.broadcast_to(given, (count,)).astype(np.int32)
