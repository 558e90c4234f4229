"""The process that a command runs in: compilation cache, other processes, logs of libraries."""

import argparse
import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from ddgan_jax.core import signals
from ddgan_jax.core.errors import described

# What orbax notes when checkpoints are opened for reading only, and of one that was not finished.
_NOTES = (
    "CheckpointManagerOptions.read_only=True, setting ",
    "Given directory is read only=",
    "Metadata file does not exist: ",
)
# The reasons that several threads of a failed save have in common, and three names of one of them.
_VANISHED = ("Checkpoint directory does not exist", "NOT_FOUND", os.strerror(errno.ENOENT))
_REASONS = (*map(os.strerror, errno.errorcode), *_VANISHED)


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
      UserError: the processes do not find each other.
    """
    from ddgan_jax.parallel.distributed import start_distributed

    start_distributed(args.coordinator, args.num_processes, args.process_id)


class HeldRecords(logging.Filter):
    """Holds back failures that orbax logs and raises as well, until the command has ended.

    Orbax logs the traceback of a failed save in each of its threads, and raises the failure too.
    If the command reports that failure in one line, `drop_reported_by` drops the tracebacks. In all
    other cases they are logged when the block ends. Other records pass.

    Attributes:
      held: the records.
      process_ends: whether the process ends with a reported failure; what threads of orbax that
        are still at the abandoned save then log is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: list[logging.LogRecord] = []
        self.process_ends = False
        self._loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record now."""
        from_orbax = "orbax" in Path(record.pathname).parts
        if from_orbax and record.getMessage().startswith(_NOTES):
            return False
        if record.exc_info and (from_orbax or record.name == "asyncio"):
            if not self.process_ends:
                self.held.append(record)
            return False
        return True

    def take(self) -> list[str]:
        """The held records as text; they are not logged any more."""
        formatter = logging.Formatter("%(levelname)s %(name)s: %(message)s")
        taken, self.held = [formatter.format(record) for record in self.held], []
        return taken

    def drop_reported_by(self, error: BaseException) -> None:
        """Forget the records of failures that `error`, which the user is told of, stands for.

        They are the exceptions that `error` was raised from, and those that have its reason from
        the operating system or orbax in common, such as "No space left on device".
        """
        chain: list[BaseException] = []
        link: BaseException | None = error
        while link is not None and link not in chain:
            chain.append(link)
            link = link.__cause__ or link.__context__
        told = " ".join(map(described, chain))
        reasons = [reason for reason in _REASONS if reason in told]
        if any(reason in _VANISHED for reason in reasons):
            reasons.extend(_VANISHED)

        self.drop_if(lambda e: e in chain or any(reason in described(e) for reason in reasons))

    def drop_if(self, reported: Callable[[BaseException], bool]) -> None:
        """Forget the records of the failures that are `reported`."""

        def failure(record: logging.LogRecord) -> BaseException | None:
            return record.exc_info[1] if record.exc_info else None

        self.held = [r for r in self.held if not ((error := failure(r)) and reported(error))]

    def __enter__(self) -> "HeldRecords":
        """Begin to hold records back."""
        for logger in self._loggers:
            logger.addFilter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Log what is still held."""
        if not self.process_ends:
            for logger in self._loggers:
                logger.removeFilter(self)
        for record in self.held:
            logging.getLogger(record.name).callHandlers(record)


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
