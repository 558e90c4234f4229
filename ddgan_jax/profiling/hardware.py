"""Data sheets of accelerators, and the devices of this machine."""

import math
from typing import NamedTuple

import jax

# Peak dense bfloat16 FLOP/s by part of `Device.device_kind`; the first part that occurs counts.
# Float32 is slower, and is compared with the same peak.
PEAK_FLOPS = {
    "A100": 312e12,
    "H100": 989e12,
    "H200": 989e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}


def peak_flops() -> float | None:
    """Peak bfloat16 FLOP/s of all devices together; None if it is not known (CPU)."""
    kind = jax.devices()[0].device_kind
    peaks = [peak for name, peak in PEAK_FLOPS.items() if name in kind]
    return peaks[0] * jax.device_count() if peaks else None


def machine() -> str:
    """Number and kind of the devices, and the version of jax, as text."""
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}"


class Chip(NamedTuple):
    """A chip for `scaling_model`, from its data sheet.

    Attributes:
      flops: peak dense bfloat16 FLOP/s.
      memory: bytes/s of its memory.
      bandwidth: bytes/s that a chip sends along a ring: of a torus, one axis in both directions.
      latency: seconds per hop; an assumption.
      domain: number of chips that have `bandwidth` between them (NVLink).
      bandwidth_beyond: bytes/s that a chip sends along a ring of more than `domain` chips.
    """

    flops: float
    memory: float
    bandwidth: float
    latency: float = 1e-6
    domain: int = 2**20
    bandwidth_beyond: float = math.inf


CHIPS = {
    "TPU v4": Chip(275e12, 1.228e12, 90e9),
    "TPU v5e": Chip(197e12, 0.819e12, 90e9),
    "TPU v5p": Chip(459e12, 2.765e12, 180e9),
    "TPU v6e": Chip(918e12, 1.64e12, 180e9),
    "H100": Chip(989e12, 3.352e12, 450e9, 5e-6, 8, 50e9),
}
