"""Bad input for all commands, generated from valid input; each case must end in one line.

  python -m tests.fuzz.campaign --count=1500 --seed=0

Each case runs in a forked process with limits on memory and time, in a folder of its own. What is
wrong with its end is listed by `verdict.faults`. --kind=NAME,... runs some kinds only, --folder
keeps what was made (valid runs and compiled programs) for the next time, --show prints every case.
"""

import argparse
import collections
import functools
import itertools
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
warnings.filterwarnings("ignore", message=".*fork.*")

from tests.fuzz import cases, sandbox, verdict  # noqa: E402  # after the variables of jax
from tests.fuzz.sandbox import Case, End  # noqa: E402
from tests.fuzz.seeds import Seeds  # noqa: E402


def generate(seeds: Seeds, count: int, seed: int, kinds: list[str]) -> Iterator[tuple[str, Case]]:
    """`count` cases, shared out among the kinds: (name of the kind, case)."""
    known = cases.everything()
    if unknown := set(kinds) - set(known):
        sys.exit(f"--kind={','.join(unknown)} is unknown; some of {', '.join(known)} are needed")
    chosen = {name: known[name] for name in kinds or known}
    total = sum(share for _, share in chosen.values())
    left = count
    for name, (kind, share) in chosen.items():
        number = round(left * share / total)
        left, total = left - number, total - share
        seen: set[str] = set()
        found = kind(random.Random(f"{seed} {name}"), seeds)
        for case in itertools.islice(found, 20 * number + 20):
            if len(seen) == number:
                break
            if case.title not in seen:
                seen.add(case.title)
                yield name, case


def try_case(seeds: Seeds, case: Case, root: Path) -> tuple[End, list[str]]:
    """Run a case in a new sandbox: (its end, what is wrong with it)."""
    sandbox.make(root)
    try:
        case.prepare(root)
        before = verdict.snapshot(root, (*case.writes, "home"))
        limit = seeds.space(case.valid) + sandbox.EXTRA_MEMORY
        end = sandbox.run(case, root, limit=limit, allowed=seeds.allowed)
        good = functools.partial(seeds.good, case.valid) if case.valid else dict
        return end, verdict.faults(case, end, root, before, good)
    finally:
        sandbox.remove(root)


def table(lines: list[dict]) -> list[str]:
    """Markdown table: kind, cases, refused, status 0, faults."""
    found: dict[str, collections.Counter] = {}
    for line in lines:
        counts = found.setdefault(line["kind"], collections.Counter())
        counts["cases"] += 1
        counts["faults"] += bool(line["faults"])
        counts["done"] += line["status"] == 0
        counts["seconds"] += line["seconds"]
    rows = [
        f"| {kind} | {n['cases']} | {n['cases'] - n['done']} | {n['done']} | {n['faults']} |"
        for kind, n in found.items()
    ]
    whole = sum(found.values(), collections.Counter())
    rows.append(
        f"| all | {whole['cases']} | {whole['cases'] - whole['done']} | {whole['done']} | "
        f"{whole['faults']} |"
    )
    head = "| kind | cases | refused in one line | valid all the same, status 0 | faults |"
    return [head, "|---|---|---|---|---|", *rows]


def main() -> int:
    """Run the cases and print the table; returns the exit status."""
    parser = argparse.ArgumentParser("python -m tests.fuzz.campaign", description=__doc__)
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", default="", help="some of " + ", ".join(cases.everything()))
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--log", type=Path, default=None, help="JSONL of all cases")
    parser.add_argument("--title", default="", help="only cases whose title has this")
    parser.add_argument("--show", action="store_true", help="print every case")
    flags = parser.parse_args()
    sandbox.import_everything()
    with tempfile.TemporaryDirectory() as name:
        seeds = Seeds((flags.folder or Path(name) / "kept").resolve())
        began = time.monotonic()
        lines = []
        for number, (_, case) in enumerate(
            generate(seeds, flags.count, flags.seed, list(filter(None, flags.kind.split(","))))
        ):
            if flags.title not in case.title:
                continue
            end, wrong = try_case(seeds, case, Path(name) / f"case{number}")
            line = {
                "kind": case.kind,
                "title": case.title[:300],
                "status": end.status,
                "seconds": round(end.seconds, 2),
                "faults": wrong,
                "args": [argument[:200] for argument in case.args],
                "err": end.err[-2000:],
            }
            lines.append(line)
            if wrong or flags.show:
                print(json.dumps(line)[:3000], flush=True)
            if flags.log:
                with flags.log.open("a") as file:
                    file.write(json.dumps(line) + "\n")
        print("\n".join(table(lines)))
        print(f"{time.monotonic() - began:.0f} s with what had to be made first")
    return 1 if any(line["faults"] for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
