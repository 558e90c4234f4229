"""When runs converged, and their quality against their sampling time, for the comparison page."""

from collections.abc import Mapping, Sequence

from ddgan_jax.io.best import resolve
from ddgan_jax.training.metrics_log import duration

NEAR = 1.05  # an evaluation within 5 % of the best one of its run counts as converged

Lines = Sequence[Mapping[str, float]]  # of evaluation.jsonl


def distance_of(metrics: Mapping[str, float]) -> str:
    """The name of the Fréchet distance of the first feature network; "" if there is none."""
    found = resolve("auto", dict.fromkeys(metrics))
    return found[1] if found else ""


def converged(curves: Mapping[str, Lines], examples: Mapping[str, int]) -> list[list[str]]:
    """A table of the first evaluation of each run whose distance is near its smallest one.

    Args:
      curves: name of the run -> its evaluations during training.
      examples: name of the run -> number of training examples, if it is known.

    Returns:
      The table with its header first; empty if no run has two evaluations with a Fréchet distance.
    """
    table = []
    for run, lines in curves.items():
        name = distance_of(lines[0]) if lines else ""
        values = [line for line in lines if name in line]
        if not name or len(values) < 2:
            continue
        best = min(line[name] for line in values)
        first = next(line for line in values if line[name] <= NEAR * best)
        epochs = first["images"] / examples[run] if examples.get(run) else None
        table.append(
            [
                run,
                name.replace("_", " "),
                f"{first[name]:.4g} ({best:.4g})",
                f"{first['step']:,.0f}",
                f"{epochs:,.1f}" if epochs is not None else "",
                duration(first["seconds"]),
            ]
        )
    share = f"{NEAR - 1:.0%}"
    header = [f"within {share} of the best", "distance", "then (best)", "step", "epochs", "time"]
    return [header, *table] if table else []


def tradeoff(
    metrics: Mapping[str, Mapping[str, float]], seconds: Mapping[str, float]
) -> tuple[str, dict[str, tuple[float, float]]]:
    """Quality against sampling time of all runs that have the same Fréchet distance.

    Args:
      metrics: name of the run -> the numbers of its report.
      seconds: name of the run -> seconds to sample 100 images, if they were measured.

    Returns:
      (name of the distance, {run: (seconds, distance)}); the distance is the one of the first run.
    """
    name = next(filter(None, map(distance_of, metrics.values())), "")
    points = {
        run: (seconds[run], found[name])
        for run, found in metrics.items()
        if name in found and seconds.get(run, 0) > 0
    }
    return name, points
