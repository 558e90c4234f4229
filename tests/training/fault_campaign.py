"""Random faults in tiny runs; each run must end with the bits of an undisturbed one.

  python -m tests.training.fault_campaign --count=116

A trial starts a run, injects a fault at a random moment, repairs what a person would repair (a full
disk, a folder that was moved away) and starts the same command again. Parameters, optimizer
states, averages and metrics at the end have to equal those of an undisturbed run bit for bit.
--first=29 --count=29 is the second quarter of 116; --log collects the trials of several parts.
"""

import argparse
import collections
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tiny_runs as runs

STEPS = 60
RUN = [*runs.TINY, f"--config.train.duration={STEPS} steps", "--config.train.keep=3"]
RUN += ["--config.train.checkpoint_every=2 steps", "--config.train.sample_every=40 steps"]
BOUND = 120  # seconds within which a run has to end after the loss of its other process
# Code that simulates a slow file system.
SLOW = """
import os, time
def slowly(call):
    def slow(*args, **kwargs):
        time.sleep(0.03)
        return call(*args, **kwargs)
    return slow
for name in ("rename", "replace", "mkdir", "fsync", "unlink", "rmdir", "listdir", "scandir"):
    setattr(os, name, slowly(getattr(os, name)))
"""
# Code that lets the system's clock jump by up to a day, forwards and backwards, at every look.
JUMPING = """
import random, time
now, moments = time.time, random.Random(0)
time.time = lambda: now() + moments.uniform(-86400, 86400)
"""


class Trial(NamedTuple):
    """The folder of a run and the generator of its random moments."""

    disk: Path  # a file system of its own for faults of the disk
    workdir: Path
    moments: random.Random

    def command(self):
        return [*RUN, f"--workdir={self.workdir}"]

    def until_hit(self, process, step=2):
        """Wait until a random moment after the first checkpoint of `step` or later."""
        runs.until_saved(self.workdir, step, process)
        time.sleep(self.moments.uniform(0, 0.8))


def unexpected(err):
    """stderr without orbax's remark that a busy machine saves slowly."""
    lines = err.splitlines()
    return [line for line in lines if "Waiting for previous save to complete took" not in line]


def killed(trial, after=2, **how):
    process = runs.start(*trial.command(), **how)
    trial.until_hit(process, after)
    process.kill()
    code, _, err = runs.finish(process)
    assert code in (0, -signal.SIGKILL) and not unexpected(err), err


def killed_at_the_start(trial):
    process = runs.start(*trial.command())
    time.sleep(trial.moments.uniform(0.2, 8))
    process.kill()
    runs.finish(process)


def killed_again_and_again(trial):
    for _ in range(3):
        process = runs.start(*trial.command())
        trial.until_hit(process, max(runs.steps_saved(trial.workdir), default=0) + 1)
        process.kill()
        runs.finish(process)


def asked_to_stop(trial, number=signal.SIGTERM):
    process = runs.start(*trial.command())
    trial.until_hit(process)
    process.send_signal(number)
    code, out, err = runs.finish(process)
    assert (code == 0 or (code == 128 + number and "and saved" in out)) and not unexpected(err), (
        code,
        err,
    )


def interrupted(trial):
    asked_to_stop(trial, signal.SIGINT)


def _files_of_the_newest(trial):
    newest = trial.workdir / "checkpoints" / str(max(runs.steps_saved(trial.workdir)))
    return [path for path in sorted(newest.rglob("*")) if path.is_file() and path.stat().st_size]


def truncated(trial):
    killed(trial, after=4)  # so that there is an older checkpoint
    for path in trial.moments.sample(_files_of_the_newest(trial), 3):
        os.truncate(path, trial.moments.randrange(path.stat().st_size))


def lost_a_file(trial):
    killed(trial, after=4)
    trial.moments.choice(_files_of_the_newest(trial)).unlink()


@contextlib.contextmanager
def mounted(folder, size):
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", str(folder)], check=True
        )
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fails(process, *words):
    code, out, err = runs.finish(process)
    assert code == 1 and "Traceback" not in out + err, (code, err)
    runs.one_line(err, words)


def full_disk(trial, remount):
    remount(f"size={trial.moments.randint(40, 500)}k")
    _fails(runs.start(*trial.command()), "No space left")
    remount("size=50m")


def read_only(trial, remount):
    killed(trial)
    remount("ro")
    _fails(runs.start(*trial.command()), str(trial.workdir), "cannot be")
    remount("rw")


def vanished(trial):
    process = runs.start(*trial.command())
    trial.until_hit(process)
    away = trial.disk / "away"
    trial.workdir.rename(away)
    code, out, err = runs.finish(process)
    assert code in (0, 1) and "Traceback" not in out + err, (code, err)
    if trial.workdir.exists():  # files that the run wrote after the folder vanished
        shutil.rmtree(trial.workdir)
    away.rename(trial.workdir)


def _killed_with(trial, code):
    """kill -9 of a run that executes `code` first."""
    modules = trial.disk / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(code)
    killed(trial, path=modules)


def slow_disk(trial):
    _killed_with(trial, SLOW)


def jumping_clock(trial):
    _killed_with(trial, JUMPING)


def bracketed_name(trial):
    """A name with characters of file patterns is refused before anything is written or lost."""
    bracketed = trial.workdir.with_name("run[seed0]")
    command = [*RUN, f"--workdir={bracketed}"]
    _fails(runs.start(*command), "run[seed0]", "would lose")
    assert not bracketed.exists()
    killed(trial)
    trial.workdir.rename(bracketed)
    before = runs.listing(bracketed)
    _fails(runs.start(*command), "run[seed0]", "would lose")
    assert runs.listing(bracketed) == before
    bracketed.rename(trial.workdir)


def deleted_lock(trial):
    """A second run is refused although `.lock` was deleted; the first makes it again."""
    first = runs.start(*trial.command())
    trial.until_hit(first)
    with _stopped(first):
        (trial.workdir / ".lock").unlink(missing_ok=True)
        if first.poll() is None:
            _fails(runs.start(*trial.command()), "in use", str(trial.workdir))
    first.kill()
    code, _, err = runs.finish(first)
    assert code in (0, -signal.SIGKILL) and not unexpected(err), err


def four_samplers(trial):
    """Four processes that sample into one folder at once all succeed, with the same samples."""
    killed(trial)
    out = trial.disk / "samples"
    sample = ["--mode=sample", f"--workdir={trial.workdir}", f"--out={out}", "--num_images=4"]
    for process in [runs.start(*sample) for _ in range(4)]:
        code, _, err = runs.finish(process)
        assert code == 0 and not err, (code, err)
    assert sorted(path.name for path in out.iterdir()) == ["samples.npz", "samples.png"]


@contextlib.contextmanager
def _stopped(process):
    """A process that does not go on within the block."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def started_twice(trial):
    first = runs.start(*trial.command(), "--config.train.checkpoint_every=1 steps")
    runs.until_saved(trial.workdir, 1, first)
    with _stopped(first):  # so that it is not done before the second one starts
        _fails(runs.start(*trial.command()), "in use", str(trial.workdir))
    assert runs.finish(first)[0] == 0


def one_of_two_killed(trial):
    processes = runs.start_many(2, *trial.command())
    which = trial.moments.randrange(2)
    trial.until_hit(processes[which])
    processes[which].kill()
    code, _, err = runs.finish(processes[1 - which], BOUND)
    runs.finish(processes[which])
    # 75 and our message, unless jax's watchdog ended the process first.
    assert code in (0, 75, -signal.SIGABRT), (code, err)
    assert code == 0 or "process of this run is gone" in err or "another task died" in err, err


def one_of_two_asked_to_stop(trial):
    processes = runs.start_many(2, *trial.command())
    which = trial.moments.randrange(2)
    trial.until_hit(processes[which])
    processes[which].terminate()
    codes = [runs.finish(process, BOUND)[0] for process in processes]
    assert codes in ([143, 143], [0, 0]), codes


# (kind, function, number of 116 trials, processes, whether it needs a file system of its own)
FAULTS = (
    ("kill -9", killed, 18, 1, False),
    ("kill -9 while it starts", killed_at_the_start, 8, 1, False),
    ("kill -9, three times", killed_again_and_again, 4, 1, False),
    ("SIGTERM", asked_to_stop, 10, 1, False),
    ("SIGINT", interrupted, 4, 1, False),
    ("newest checkpoint truncated", truncated, 12, 1, False),
    ("newest checkpoint lost a file", lost_a_file, 8, 1, False),
    ("full disk", full_disk, 8, 1, True),
    ("read-only disk", read_only, 6, 1, True),
    ("folder vanished while running", vanished, 6, 1, False),
    ("slow disk, kill -9", slow_disk, 4, 1, False),
    ("a second run in the folder", started_twice, 4, 1, False),
    ("kill -9 of one of two processes", one_of_two_killed, 4, 2, False),
    ("SIGTERM to one of two processes", one_of_two_asked_to_stop, 4, 2, False),
    ("brackets in the folder's name", bracketed_name, 4, 1, False),
    (".lock deleted, kill -9", deleted_lock, 4, 1, False),
    ("clock that jumps, kill -9", jumping_clock, 4, 1, False),
    ("four samplers at once, kill -9", four_samplers, 4, 1, False),
)
FIRST = 14  # number of the kinds that the first 100 trials are of


def order():
    """The 116 faults in a fixed order: the first hundred in a random one, then the others."""
    first, others = (
        [fault for fault in kinds for _ in range(fault[2])]
        for kinds in (FAULTS[:FIRST], FAULTS[FIRST:])
    )
    random.Random(0).shuffle(first)
    return first + others


def complete(workdir, processes):
    """Run to the end; returns the stdout of the first process."""
    command = [*RUN, f"--workdir={workdir}"]
    several = runs.start_many(processes, *command) if processes > 1 else [runs.start(*command)]
    ends = [runs.finish(process) for process in several]
    assert all(code == 0 for code, _, _ in ends), ends
    return ends[0][1]


def trial(fault, seed, undisturbed):
    """One fault and the resumed run; raises AssertionError if it differs from `undisturbed`.

    Args:
      fault: an entry of `FAULTS`.
      seed: seed of the random moments.
      undisturbed: number of processes -> folder of the undisturbed run.
    """
    _, act, _, processes, own_disk = fault
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        disk = Path(name)
        here = Trial(disk, disk / "run", random.Random(seed))
        remount = (stack.enter_context(mounted(disk, 50_000)),) if own_disk else ()
        act(here, *remount)
        complete(here.workdir, processes)
        runs.assert_same_state(here.workdir, undisturbed[processes], STEPS)
        assert runs.metrics(here.workdir) == runs.metrics(undisturbed[processes])
        assert not list((here.workdir / "checkpoints").glob("*tmp*"))


def table(lines):
    """Markdown table: kind of fault, trials, trials that ended with the same bits."""
    counts, good = collections.Counter(), collections.Counter()
    for line in lines:
        counts[line["kind"]] += 1
        good[line["kind"]] += line["outcome"] == "same bits"
    rows = [f"| {kind} | {counts[kind]} | {good[kind]} |" for kind, *_ in FAULTS if counts[kind]]
    rows.append(f"| all | {sum(counts.values())} | {sum(good.values())} |")
    return ["| fault | trials | ended with the same bits |", "|---|---|---|", *rows]


def main():
    """Run the trials and print the table; returns the exit status."""
    parser = argparse.ArgumentParser("python -m tests.training.fault_campaign", description=__doc__)
    parser.add_argument("--count", type=int, default=116)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", type=Path, default=None, help="JSONL that trials are added to")
    flags = parser.parse_args()
    logging.getLogger("absl").setLevel(logging.ERROR)  # orbax logs every restore
    with tempfile.TemporaryDirectory() as name:
        log = flags.log or Path(name) / "log.jsonl"
        undisturbed = {}
        for i in range(flags.first, flags.first + flags.count):
            fault = order()[i % len(order())]
            if fault[3] not in undisturbed:
                undisturbed[fault[3]] = Path(name) / f"undisturbed_{fault[3]}"
                complete(undisturbed[fault[3]], fault[3])
            began = time.monotonic()
            try:
                trial(fault, i, undisturbed)
                outcome = "same bits"
            except (AssertionError, subprocess.SubprocessError) as error:
                outcome = f"{type(error).__name__}: {error}"[:2000]
            seconds = round(time.monotonic() - began, 1)
            line = {"trial": i, "kind": fault[0], "outcome": outcome, "seconds": seconds}
            print(json.dumps(line), flush=True)
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    print("\n".join(table(lines)))
    return 0 if all(line["outcome"] == "same bits" for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
