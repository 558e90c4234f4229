"""`--mode=export`: a small copy of a run folder, enough to sample from."""

from collections.abc import Callable
from pathlib import Path

from ddgan_jax.config import plugins
from ddgan_jax.core.errors import UserError
from ddgan_jax.inference.model import load
from ddgan_jax.io import checkpoint, run_folder, storage
from ddgan_jax.spaces import find_space

FILES = ("config.json", "info.json", "metrics.jsonl")


def export(
    workdir: Path, out: Path, step: int | None = None, say: Callable[[str], None] = print
) -> int:
    """Write config, info, metrics and the moving average of one checkpoint to a new folder.

    What training alone needs (the other weights, both optimizers) stays behind, four fifths of a
    checkpoint; so the copy can be sampled from, but not trained on.

    Raises:
      UserError: see `model.load`; or `out` is not empty, or cannot be written to.
    """
    model = load(workdir, step)
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out={out} is not empty; choose a new folder")
    run_folder.check_writable("--out", out)
    with checkpoint.opened(out) as manager:
        checkpoint.save_ema(manager, model.step, model.params)
    for name in FILES:
        if (workdir / name).exists():
            (out / name).write_bytes((workdir / name).read_bytes())
    if (workdir / plugins.FOLDER).is_dir():
        storage.copy_tree(workdir / plugins.FOLDER, out / plugins.FOLDER)
    networks = find_space(model.config).frozen
    if networks and (workdir / networks.folder).is_dir():
        storage.copy_tree(workdir / networks.folder, out / networks.folder)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    say(f"step {model.step}, {size / 2**20:.1f} MiB: sample with --mode=sample --workdir={out}")
    return 0
