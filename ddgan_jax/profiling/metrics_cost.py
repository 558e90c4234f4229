"""Measure time and memory of the metrics on two sets of uniformly distributed features.

Each metric runs in a process of its own, so that its peak memory, which includes the features, is
not that of another metric. Drawing the features is not timed.
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

BLOCK = 1000  # samples per random block
PARTS = ("imports", "frechet", "kid", "precision_recall")
SHIFT = 0.05  # added to the second set


def random_blocks(which: int, count: int, features: int) -> Iterator[np.ndarray]:
    """Draw a set of random features block by block.

    Args:
      which: 0 or 1, the set; the same arguments give the same numbers.
      count: number of samples.
      features: features per sample.

    Yields:
      float32 [at most BLOCK, features].
    """
    for start in range(0, count, BLOCK):
        rng = np.random.default_rng((which, start))
        size = (min(BLOCK, count - start), features)
        yield rng.random(size, np.float32) + np.float32(SHIFT * which)


def random_set(which: int, count: int, features: int) -> np.ndarray:
    """All blocks of `random_blocks`, float32 [count, features]."""
    result = np.empty((count, features), np.float32)
    for i, block in enumerate(random_blocks(which, count, features)):
        result[i * BLOCK : i * BLOCK + len(block)] = block
    return result


def peak_gigabytes() -> float:
    """Peak memory of this process in 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, else in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def time_part(part: str, count: int, features: int) -> dict[str, float]:
    """Time one part in this process.

    Args:
      part: one of `PARTS`.
      count: samples of each set.
      features: features per sample.

    Returns:
      {description: seconds}.
    """
    # Local imports, so that they do not add to the peak memory of another part.
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
    from ddgan_jax.metrics.frechet import frechet_distance
    from ddgan_jax.metrics.moments import add, empty, finish

    seconds = 0.0
    moments = []
    for which in (0, 1):
        accumulator = empty(features)
        for block in random_blocks(which, count, features):
            start = time.perf_counter()
            accumulator = add(accumulator, block)
            seconds += time.perf_counter() - start
        moments.append(finish(accumulator))
    start = time.perf_counter()
    frechet_distance(*moments)
    distance = time.perf_counter() - start
    return {"FID: moments of both": seconds, "FID: distance": distance}


def run_part(part: str, count: int, features: int) -> dict[str, Any]:
    """Measure one part in this process.

    Args:
      part: one of `PARTS`.
      count: samples of each set.
      features: features per sample.

    Returns:
      "seconds" (see `time_part`), "peak_gigabytes", "versions" and "device" (texts).
    """
    import jax

    devices = jax.devices()
    return {
        "seconds": time_part(part, count, features),
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


def run_in_process(part: str, count: int, features: int) -> dict[str, Any]:
    """`run_part` in a new process.

    Raises:
      UserError: the process failed; the message has the last line of its stderr.
    """
    command = [sys.executable, "-c", _PRINT_PART, part, str(count), str(features)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no output; probably out of memory"]
        raise UserError(f"{part} ended with status {done.returncode}: {said[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(count: int, features: int) -> Iterator[str]:
    """Yield the lines of a table of all `PARTS`, each as soon as it is measured.

    Args:
      count: samples of each of the two sets, at least 4.
      features: features per sample.

    Raises:
      UserError: a part failed.
    """
    yield f"2 x {count} samples of {features} features ({8 * count * features / 1e9:.2f} GB)"
    for i, part in enumerate(PARTS):
        found = run_in_process(part, count, features)
        if not i:
            yield f"{found['versions']}; {found['device']}"
            yield f"{'':<24}{'seconds':>10}{'peak GB':>10}"
        for name, seconds in found["seconds"].items():
            yield f"{name:<24}{seconds:>10.1f}{found['peak_gigabytes']:>10.2f}"
