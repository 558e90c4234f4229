"""`export`: copy what sampling needs from a run folder to a new, smaller one."""

from collections.abc import Callable
from pathlib import Path

from ddgan_jax.config import plugins
from ddgan_jax.core.errors import UserError
from ddgan_jax.inference.model import load
from ddgan_jax.io import checkpoint, run_folder, storage
from ddgan_jax.io.best import Step
from ddgan_jax.spaces import find_space

FILES = ("config.json", "info.json", "metrics.jsonl", "evaluation.jsonl")


def export(workdir: Path, out: Path, step: Step = None, say: Callable[[str], None] = print) -> None:
    """Copy config, info, metrics and the moving averages of one checkpoint.

    The other weights and the states of the optimizers, about four fifths of a checkpoint, are left
    out: the copy can be sampled from and evaluated, but training cannot be resumed from it.

    Args:
      workdir: the run folder.
      out: the folder to write, new or empty.
      step: see `model.load`.
      say: prints a line.

    Raises:
      UserError: see `model.load`; or `out` is not empty, cannot be written to or has a
        name that checkpoints cannot have.
    """
    model = load(workdir, step)
    storage.check_name("--out", out)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out={out} is not empty; choose a new folder")
    with run_folder.emptied_on_failure(out):
        run_folder.check_writable("--out", out)
        with checkpoint.opened(out) as manager:
            checkpoint.save_ema(manager, model.step, model.params)
        for name in FILES:
            if (workdir / name).exists():
                storage.copy_file(workdir / name, out / name, workdir)
        if (workdir / plugins.FOLDER).is_dir():
            storage.copy_tree(workdir / plugins.FOLDER, out / plugins.FOLDER, folder=workdir)
        networks = find_space(model.config).frozen
        if networks and (workdir / networks.folder).is_dir():
            storage.copy_tree(workdir / networks.folder, out / networks.folder, folder=workdir)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    command = f"python -m ddgan_jax sample --workdir={out}"
    say(f"step {model.step}, {size / 2**20:.1f} MiB; draw samples: {command}")
