"""Compare the size of arrays with the memory of the devices, before they are allocated."""

import os
from pathlib import Path

import jax

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree
from ddgan_jax.parallel.mesh import bytes_per_device


def check_fits(what: str, tree: PyTree) -> None:
    """Check that a tree fits into the memory of the devices.

    Args:
      what: name of the tree, for the message.
      tree: shapes and dtypes with shardings.

    Raises:
      UserError: it does not.
    """
    need, limit = bytes_per_device(tree), device_memory()
    if need > limit:
        raise UserError(
            f"{what} has {need / 2**30:,.1f} GiB on each device, which has {limit / 2**30:,.1f} "
            "GiB; smaller networks, or config.train.fsdp=true with more devices, are needed"
        )


def device_memory() -> int:
    """Bytes of memory of a device; devices of the CPU share that of the machine equally."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return machine_memory() // jax.local_device_count()
    return int((device.memory_stats() or {}).get("bytes_limit", 2**62))


def machine_memory() -> int:
    """Bytes of memory that this process may use: of the machine, or of its control group."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        physical = 2**62
    try:
        return min(physical, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return physical
