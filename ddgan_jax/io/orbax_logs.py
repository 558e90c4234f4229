"""`HeldRecords` holds back the tracebacks that Orbax logs of failures that it raises as well."""

import contextlib
import errno
import gc
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from ddgan_jax.core.errors import UserError, described

# What orbax notes when checkpoints are opened for reading only, and of one that was not finished.
_NOTES = (
    "CheckpointManagerOptions.read_only=True, setting ",
    "Given directory is read only=",
    "Metadata file does not exist: ",
)
# The reasons that several threads of a failed save have in common, and names of one of them.
_VANISHED = (
    "Checkpoint directory does not exist",
    "No ArrayMetadata found",
    "NOT_FOUND",
    os.strerror(errno.ENOENT),
)
_REASONS = (*map(os.strerror, errno.errorcode), *_VANISHED)


class HeldRecords(logging.Filter):
    """Holds back failures that orbax logs and raises as well, until the `with` block ends.

    Orbax logs the traceback of a failed save in each of its threads, and raises the failure too.
    If the caller reports that failure in one line, `drop_reported_by` drops the tracebacks. In all
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


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """Drop the tracebacks that Orbax logs of a failure that ends the block as a UserError."""
    with HeldRecords() as held:
        try:
            yield
        except UserError as error:
            gc.collect()  # abandoned tasks log their failure when they are collected
            held.drop_reported_by(error)
            raise
