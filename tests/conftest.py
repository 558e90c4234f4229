"""Eight CPU devices, strict dtype promotion; warnings are errors (pyproject.toml)."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
# Tests compile a lot and compute little: unoptimised, they take half the time.
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


def shared_folder() -> Path:
    """Reference numbers and real data; not part of the project, so tests that use it may skip."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("DDGAN_SHARED", beside))


@pytest.fixture
def reference():
    """name -> path of a file of reference numbers; skips where there is none."""

    def path(name: str) -> Path:
        file = shared_folder() / "reference" / name
        if not file.exists():
            pytest.skip(f"reference numbers are not here: {file}")
        return file

    return path
