"""Compile the programs of configs for accelerators that are not there, and report what they cost.

Seconds are estimates. On a TPU they are the cycles that its compiler expects of every fusion, over
the clock. On a GPU every kernel takes the longer of its bytes over the memory's bandwidth and its
FLOPs over the peak (half of it for float32, which is multiplied as TF32). Collectives and launches
are not in them. FLOPs are those of the program before optimization, as in `benchmark`, and MFU is
FLOPs over seconds, devices and peak.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from ddgan_jax.config.overrides import override
from ddgan_jax.core.errors import UserError
from ddgan_jax.profiling import hlo
from ddgan_jax.profiling.hardware import Chip
from ddgan_jax.profiling.programs import Lower, programs
from ddgan_jax.profiling.sampling_cost import sampling_cost
from ddgan_jax.profiling.targets import Target, find_target
from ddgan_jax.profiling.timing import flops_of

DEAREST = 12  # modules that are listed
_BATCHES = {"sample": "config.sample.batch_size", "features": "config.eval.batch_size"}
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def seconds_of(kernel: hlo.Kernel, chip: Chip) -> float:
    """Estimated seconds of one run of a kernel, see the module docstring."""
    if chip.clock:
        return kernel.cycles / chip.clock
    if kernel.collective:
        return 0.0
    peak = chip.flops / 2 if kernel.wide else chip.flops
    return max(kernel.nbytes / chip.memory_bandwidth, kernel.flops / peak)


def analyze(text: str, chip: Chip) -> dict[str, Any]:
    """What the HLO text of a compiled program says about one execution on one device.

    Returns:
      "kernels" (number), "bytes" (read and written by them), "cycles" (TPU), "seconds",
      "dearest": [module, seconds, bytes, kernels] of the `DEAREST` modules with most seconds, and
      "collectives": {kind: [number, bytes]}.
    """
    found = hlo.kernels(hlo.parse(text))
    seconds: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for kernel in found:
        # Counters may hold fractions.
        seconds[kernel.module] += kernel.runs * seconds_of(kernel, chip)  # type: ignore[assignment]
        moved[kernel.module] += kernel.runs * kernel.nbytes
        count[kernel.module] += kernel.runs
    dearest = [[m, s, moved[m], count[m]] for m, s in seconds.most_common(DEAREST)]
    cycles = {"cycles": sum(k.runs * k.cycles for k in found)} if chip.clock else {}
    return {
        "kernels": count.total(),
        "bytes": moved.total(),
        **cycles,
        "seconds": float(sum(seconds.values())),
        "dearest": dearest,
        "collectives": {kind: list(pair) for kind, pair in hlo.collectives(text).items()},
    }


def memory_of(compiled: jax.stages.Compiled) -> dict[str, int]:
    """Bytes on one device: "arguments", "outputs", "donated", "temporaries", "code", "total"."""
    stats: Any = compiled.memory_analysis()
    memory = {
        "arguments": stats.argument_size_in_bytes,
        "outputs": stats.output_size_in_bytes,
        "donated": stats.alias_size_in_bytes,
        "temporaries": stats.temp_size_in_bytes,
        "code": stats.generated_code_size_in_bytes,
    }
    return memory | {"total": sum(memory.values()) - 2 * memory["donated"]}


def compile_for(lower: Lower, chip: Chip) -> tuple[dict[str, Any], str]:
    """Compile a program.

    Returns:
      "compile_seconds", "memory" (see `memory_of`) and "fits", and the HLO text. If the compiler
      gives up for want of memory, "memory" has only the "total" that it names, and the text is
      empty.

    Raises:
      UserError: the compiler fails for another reason.
    """
    start = time.perf_counter()
    try:
        compiled = lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"the compiler failed, which XLA_FLAGS may avoid: {reason}") from error
        used = re.search(r"Used ([\d.]+)([KMGT]) of", str(error))
        total = int(float(used[1]) * _UNITS[used[2]]) if used else 0
        seconds = time.perf_counter() - start
        return {"compile_seconds": seconds, "memory": {"total": total}, "fits": False}, ""
    seconds, memory = time.perf_counter() - start, memory_of(compiled)
    fits = memory["total"] <= chip.memory
    return {"compile_seconds": seconds, "memory": memory, "fits": fits}, compiled.as_text() or ""


def changes(config: ConfigDict, devices: int) -> Iterator[dict[str, str]]:
    """Changes of a config that save memory, in the order in which they are tried.

    First those that leave the numbers as they are: `remat`, then `fsdp` on several devices. Then
    ever more parts of the batch.
    """
    exact: dict[str, str] = {}
    if config.get("gen") and config.gen.get("remat") is False:
        exact = {"gen.remat": "true"}
        yield exact
    if devices > 1 and not config.train.fsdp:
        exact = exact | {"train.fsdp": "true"}
        yield exact
    parts = 2 * config.train.accumulate
    while config.train.batch_size % (parts * devices) == 0:
        yield {"train.accumulate": str(parts)}
        yield exact | {"train.accumulate": str(parts)}
        parts *= 2


def advice(config: ConfigDict, target: Target, name: str) -> str:
    """One line that says what makes a program fit; for train steps it is found by trying."""
    if name in _BATCHES:
        return f"a smaller {_BATCHES[name]} is needed"
    tried = 0
    for change in changes(config, len(target.devices)):
        tried += 1
        lower = programs(override(config, change), target.devices, [name])[name]
        if compile_for(lower, target.chip)[0]["fits"]:
            return "it fits with " + " ".join(f"--config.{k}={v}" for k, v in change.items())
    return f"none of {tried} changes of remat, fsdp and accumulate makes it fit"


def compile_configs(
    configs: Mapping[str, ConfigDict],
    targets: Sequence[str],
    names: Sequence[str],
    out: Path | None,
    say: Callable[[str], None] = print,
) -> bool:
    """Compile programs of several configs for several targets, and print what they cost.

    Args:
      configs: config file -> config.
      targets: see `targets.find_target`.
      names: see `programs.PROGRAMS`.
      out: folder for `compile.json`, rewritten after each program, and the HLO texts; None: nothing
        is written.
      say: prints a line.

    Returns:
      Whether all programs fit.

    Raises:
      UserError: an invalid config or target; or a compiler fails.
    """
    rows: list[dict[str, Any]] = []
    for file, config in configs.items():
        on_cpu = programs(config, jax.devices("cpu")[:1], names)
        if not on_cpu:
            raise UserError(f"{file} has none of the programs {', '.join(names)}")
        flops: dict[str, float] = {name: flops_of(lower()) for name, lower in on_cpu.items()}
        if "sample" in flops:
            flops["sample"] = sampling_cost(config, config.sample.batch_size, 0)["batch_flops"]
        for text in targets:
            target = find_target(text)
            count = len(target.devices)
            say(
                f"{file} for {text}: {count} x {target.devices[0].device_kind}, "
                f"batch {config.train.batch_size}, {config.dtype}, jax {jax.__version__}"
            )
            for name, lower in programs(config, target.devices, names).items():
                try:
                    row, program = compile_for(lower, target.chip)
                except UserError as error:
                    raise UserError(f"{file}, {name} for {text}: {error}") from error
                row = {
                    "config": file,
                    "target": text,
                    "program": name,
                    "devices": count,
                    "batch": config.train.batch_size,
                    "dtype": config.dtype,
                    "flops": flops[name],
                    **row,
                }
                if program:
                    found = analyze(program, target.chip)
                    ideal = flops[name] / (count * target.chip.flops)
                    row |= found | {"mfu": ideal / found["seconds"] if found["seconds"] else 0.0}
                if not row["fits"]:
                    row["advice"] = advice(config, target, name)
                for line in describe(row, target.chip):
                    say(line)
                rows.append(row)
                if out:
                    _write(out, rows, program)
    say(json.dumps({"rows": rows}))
    return all(row["fits"] for row in rows)


def describe(row: Mapping[str, Any], chip: Chip) -> list[str]:
    """The lines that are printed for one program."""
    memory = row["memory"]
    parts = [f"{memory[k] / 1e9:.2f} {k}" for k in ("arguments", "temporaries") if k in memory]
    lines = [
        f"  {row['program']}: compiled in {row['compile_seconds']:.0f} s, "
        f"{'fits' if row['fits'] else 'does not fit'}: {memory['total'] / 1e9:.2f} GB"
        f"{' (' + ', '.join(parts) + ')' if parts else ''} of {chip.memory / 1e9:.1f} GB"
    ]
    if "advice" in row:
        lines.append(f"    {row['advice']}")
    if "seconds" not in row:
        return lines
    cycles = f"{row['cycles'] / 1e6:.1f}M cycles, " if "cycles" in row else ""
    lines.append(
        f"    {row['flops'] / 1e12:.3g} TFLOP; on each device {row['bytes'] / 1e9:.1f} GB moved by "
        f"{row['kernels']} kernels, {cycles}{1e3 * row['seconds']:.2f} ms, MFU "
        f"{100 * row['mfu']:.1f} %"
    )
    sent = [f"{n} {kind} of {b / 1e6:.1f} MB" for kind, (n, b) in row["collectives"].items()]
    lines.append(f"    collectives: {', '.join(sent) or 'none'}")
    for module, seconds, moved, count in row["dearest"]:
        share = 100 * seconds / row["seconds"] if row["seconds"] else 0.0
        lines.append(f"    {share:5.1f} % {moved / 1e9:8.2f} GB {count:6d}  {module}")
    return lines


def _write(out: Path, rows: list[dict[str, Any]], program: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "compile.json").write_text(json.dumps(rows, indent=1) + "\n")
    if program:
        row = rows[-1]
        name = "-".join((Path(row["config"]).stem, row["target"].replace(":", "_"), row["program"]))
        (out / f"{name}.hlo").write_text(program)
