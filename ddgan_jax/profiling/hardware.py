"""Data sheets of accelerators, and the devices of this machine."""

import math
from typing import NamedTuple

import jax


class Chip(NamedTuple):
    """An accelerator, from its data sheet.

    Attributes:
      kind: how jax calls it, a part of `Device.device_kind`.
      flops: peak dense bfloat16 FLOP/s. Float32 is slower, and is compared with the same peak.
      memory: bytes of its memory that programs can use.
      memory_bandwidth: bytes/s of its memory.
      link_bandwidth: bytes/s that a chip sends along a ring: of a torus, one axis in both
        directions.
      latency: seconds per hop; an assumption.
      domain: number of chips that have `link_bandwidth` between them (NVLink).
      bandwidth_beyond: bytes/s that a chip sends along a ring of more than `domain` chips.
      clock: TPU: cycles/s, for the cycles that the compiler estimates: the peak over the FLOPs of a
        cycle, of eight (v5e: four) matrix units of 128x128, or on v6e four of 256x256.
    """

    kind: str
    flops: float
    memory: float
    memory_bandwidth: float
    link_bandwidth: float
    latency: float = 1e-6
    domain: int = 2**20
    bandwidth_beyond: float = math.inf
    clock: float = 0.0


# "TPU v5" is a part of "TPU v5 lite", so the more special kind comes first.
CHIPS = {
    "TPU v4": Chip("TPU v4", 275e12, 30.75 * 2**30, 1.228e12, 90e9, clock=1.05e9),
    "TPU v5e": Chip("TPU v5 lite", 197e12, 15.75 * 2**30, 0.819e12, 90e9, clock=1.5e9),
    "TPU v5p": Chip("TPU v5", 459e12, 95.74 * 2**30, 2.765e12, 180e9, clock=1.75e9),
    "TPU v6e": Chip("TPU v6 lite", 918e12, 31.25 * 2**30, 1.64e12, 180e9, clock=1.75e9),
    "A100": Chip("A100", 312e12, 84_974_239_744, 2.039e12, 300e9, 5e-6, 8, 25e9),
    "H100": Chip("H100", 989e12, 84_978_434_048, 3.35232e12, 450e9, 5e-6, 8, 50e9),
    "H200": Chip("H200", 989e12, 150_754_820_096, 4.8e12, 450e9, 5e-6, 8, 50e9),
}


def peak_flops() -> float | None:
    """Peak bfloat16 FLOP/s of all devices together; None if it is not known (CPU)."""
    kind = jax.devices()[0].device_kind
    peaks = [chip.flops for chip in CHIPS.values() if chip.kind in kind]
    return peaks[0] * jax.device_count() if peaks else None


def machine() -> str:
    """Number and kind of the devices, and the version of jax, as text."""
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}"
