"""Time and memory of the metrics: `python -m ddgan_jax.metrics.cost --count=50000`.

Metrics are computed from two sets of --count random features, uniformly distributed. Each metric
runs in a process of its own, so the peak of memory is that of one metric, including the features.
The time to draw the features is not counted.
"""

import argparse
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
LEAST = 4  # samples that precision and recall need
PARTS = ("imports", "frechet", "kid", "precision_recall")
SHIFT = 0.05  # added to the second set


def random_blocks(which: int, count: int, features: int) -> Iterator[np.ndarray]:
    """Draw a set of random features block by block.

    Args:
      which: 0 or 1, the set; the same arguments give the same numbers.
      count: number of samples.
      features: features per sample.

    Yields:
      Float32 [at most BLOCK, features].
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
    """Peak of this process's memory in 10^9 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, else in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def seconds_of(part: str, count: int, features: int) -> dict[str, float]:
    """Time one part in this process.

    Args:
      part: one of `PARTS`.
      count: samples of each set.
      features: features per sample.

    Returns:
      {description: seconds}.
    """
    # Imports are local, so that they do not add to the peak of another part.
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
    """Measure one part in this process: seconds, peak of memory, versions and devices."""
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


def in_a_process(part: str, count: int, features: int) -> dict[str, Any]:
    """`run_part` in a new process.

    Raises:
      UserError: the process failed; the message has the last line that it wrote.
    """
    flags = [f"--count={count}", f"--features={features}", f"--part={part}"]
    command = [sys.executable, "-m", "ddgan_jax.profiling.metrics_cost", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no output; probably out of memory"]
        raise UserError(f"{part} ended with status {done.returncode}: {said[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(argv: list[str] | None = None) -> int:
    """Print a table; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m ddgan_jax.metrics.cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=50_000, help="samples of each set")
    parser.add_argument("--features", type=int, default=2048, help="numbers of each sample")
    parser.add_argument("--part", choices=PARTS, help="only this one, in this process, as JSON")
    flags = parser.parse_args(argv)
    count, features = flags.count, flags.features
    try:
        if count < LEAST or features < 1:
            raise UserError(
                f"--count is {count} and --features is {features}; at least {LEAST} samples of at "
                "least 1 feature are needed"
            )
        if flags.part:
            print(json.dumps(run_part(flags.part, count, features)))
            return 0
        print(f"2 x {count} samples of {features} features ({8 * count * features / 1e9:.2f} GB)")
        for i, part in enumerate(PARTS):
            found = in_a_process(part, count, features)
            if not i:
                print(f"{found['versions']}; {found['device']}")
                print(f"{'':<24}{'seconds':>10}{'peak GB':>10}")
            for name, seconds in found["seconds"].items():
                print(f"{name:<24}{seconds:>10.1f}{found['peak_gigabytes']:>10.2f}", flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
