"""Time and memory of the metrics, on two sets of uniformly distributed features.

Each metric runs in a process of its own, so that its peak of memory, which includes the features,
is its own; drawing them is not timed.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError

BLOCK = 1000  # samples drawn at a time
PARTS = ("imports", "frechet", "kid", "precision_recall")
SHIFT = 0.05  # of the second set, so that the two differ a little


def random_blocks(which: int, count: int, features: int) -> Iterator[np.ndarray]:
    """Set 0 or 1: float32 [at most BLOCK, features] at a time; equal arguments, equal numbers."""
    for start in range(0, count, BLOCK):
        rng = np.random.default_rng((which, start))
        size = (min(BLOCK, count - start), features)
        yield rng.random(size, np.float32) + np.float32(SHIFT * which)


def random_set(which: int, count: int, features: int) -> np.ndarray:
    """All blocks of a set, float32 [count, features]."""
    result = np.empty((count, features), np.float32)
    for i, block in enumerate(random_blocks(which, count, features)):
        result[i * BLOCK : i * BLOCK + len(block)] = block
    return result


def peak_gigabytes() -> float:
    """Most memory that this process ever held, in 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, else KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def seconds_of(part: str, count: int, features: int) -> dict[str, float]:
    """{what: seconds} of one of `PARTS`, in this process."""
    # Each part imports what it needs, for the others' peaks.
    if part == "frechet":
        return _frechet(count, features)
    if part == "imports":
        return {"imports alone": 0.0}
    real, fake = random_set(0, count, features), random_set(1, count, features)
    start = time.perf_counter()
    if part == "kid":
        from ddgan_jax.metrics.kernel import kernel_distance

        kernel_distance(real, fake)
        return {"KID": time.perf_counter() - start}
    from ddgan_jax.metrics.precision_recall import precision_recall

    precision_recall(real, fake)
    return {"precision and recall": time.perf_counter() - start}


def _frechet(count: int, features: int) -> dict[str, float]:
    from ddgan_jax.metrics import frechet

    seconds = 0.0
    moments = []
    for which in (0, 1):
        accumulator = frechet.empty(features)
        for block in random_blocks(which, count, features):
            start = time.perf_counter()
            accumulator = frechet.add(accumulator, block)
            seconds += time.perf_counter() - start
        moments.append(frechet.finish(accumulator))
    start = time.perf_counter()
    frechet.frechet_distance(*moments)
    distance = time.perf_counter() - start
    return {"FID: moments of both": seconds, "FID: distance": distance}


def run_part(part: str, count: int, features: int) -> dict[str, Any]:
    """Seconds, peak memory, versions and device of one of `PARTS`, measured in this process."""
    import jax

    devices = jax.devices()
    return {
        "seconds": seconds_of(part, count, features),
        "peak_gigabytes": peak_gigabytes(),
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, "
        f"jax {jax.__version__}",
        "device": f"{len(devices)} x {devices[0].device_kind}, on a host of "
        f"{os.cpu_count()} {platform.machine()} cores",
    }


_PRINT_PART = """
import json, sys
from ddgan_jax.profiling.metrics_cost import run_part
part, count, features = sys.argv[1:]
print(json.dumps(run_part(part, int(count), int(features))))
"""


def in_a_process(part: str, count: int, features: int) -> dict[str, Any]:
    """`run_part` in a fresh process.

    Raises:
      UserError: it failed, with the last line that it wrote.
    """
    command = [sys.executable, "-c", _PRINT_PART, part, str(count), str(features)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing, so it was probably out of memory"]
        raise UserError(f"{part} ended with status {done.returncode}: {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def report(count: int, features: int) -> Iterator[str]:
    """Lines of a table of all `PARTS`, each as soon as it is measured.

    Args:
      count: samples of each of the two sets, at least 4.
      features: numbers per sample.

    Raises:
      UserError: a part failed.
    """
    yield f"2 x {count} samples of {features} features ({8 * count * features / 1e9:.2f} GB)"
    for i, part in enumerate(PARTS):
        found = in_a_process(part, count, features)
        if not i:
            yield f"{found['versions']}; {found['device']}"
            yield f"{'':<24}{'seconds':>10}{'peak GB':>10}"
        for name, seconds in found["seconds"].items():
            yield f"{name:<24}{seconds:>10.1f}{found['peak_gigabytes']:>10.2f}"
