"""The process that a command runs in: compilation cache, other processes, logs of libraries."""

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from ddgan_jax.core import signals
from ddgan_jax.core.errors import UserError


def use_compilation_cache() -> None:
    """Keep compiled programs in ~/.cache/ddgan_jax/compiled, unless jax has been told a folder.

    If that folder cannot be written to, or the home folder is not known, they are not kept.
    """
    folder = _writable_folder()
    if not folder:
        return
    if "jax" not in sys.modules:  # jax reads the variable when it is imported
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
        return
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        update: Callable[[str, str], None] = jax.config.update
        update("jax_compilation_cache_dir", folder)


def _writable_folder() -> str:
    """The folder of compiled programs; "" if it cannot be written to."""
    if os.environ.get("HOME") == "":  # which Python takes for "/"
        return ""
    try:
        folder = Path.home() / ".cache" / "ddgan_jax" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return ""
    return str(folder) if os.access(folder, os.W_OK | os.X_OK) else ""


def keep_all_frames() -> None:
    """Let tracebacks have the frames of jax, for the details of internal errors."""
    os.environ.setdefault("JAX_TRACEBACK_FILTERING", "off")  # read when jax is imported
    if "jax" in sys.modules:
        import jax

        update: Callable[[str, str], None] = jax.config.update
        update("jax_traceback_filtering", "off")


def prepare_output() -> None:
    """Print each line at once, also into files, and what the encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def join(args: argparse.Namespace) -> None:
    """Join the other processes of the run, as --coordinator says.

    Raises:
      UserError: the processes do not find each other, or see `_check_settings_of_jax`.
    """
    from ddgan_jax.parallel.distributed import start_distributed

    _check_settings_of_jax()

    start_distributed(args.coordinator, args.num_processes, args.process_id)


def _check_settings_of_jax() -> None:
    """Check that seeds draw what they draw everywhere, and that a resumed run is the same run.

    Raises:
      UserError: jax was told to draw other random numbers.
    """
    import jax

    for name, allowed in (
        ("jax_enable_x64", False),
        ("jax_default_prng_impl", "threefry2x32"),
        ("jax_threefry_partitionable", True),
    ):
        if (found := getattr(jax.config, name)) != allowed:
            raise UserError(
                f"{name.upper()} is {found}, so that seeds draw other numbers; {allowed} is needed"
            )


def ignore_closed_event_loops() -> None:
    """Leave out one kind of exception in callbacks: tensorstore's, after a failed save or restore.

    Orbax closes its event loop at the first failure; each read or write that is still under way
    then calls `loop.call_soon_threadsafe` and finds it closed, or is a coroutine that nobody awaits
    any more. A signal's exception is raised again. All others reach the hook that was there before.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if signals.lost(unraisable):
            return
        if not _after_failure(unraisable.exc_value, unraisable.exc_traceback, unraisable.object):
            before(unraisable)

    sys.unraisablehook = hook


def _after_failure(
    error: BaseException | None, trace: TracebackType | None, source: object
) -> bool:
    """Whether this is what is left of an event loop that orbax closed."""
    if isinstance(error, RuntimeWarning):
        code = getattr(source, "cr_code", None)
        return "was never awaited" in str(error) and "orbax" in getattr(code, "co_filename", "")
    if not isinstance(error, RuntimeError) or str(error) != "Event loop is closed":
        return False
    frames = []
    while trace:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return "call_soon_threadsafe" in frames
