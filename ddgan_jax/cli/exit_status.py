"""Exit statuses, and the one error handler of all commands."""

import enum
import sys
from collections.abc import Callable

from ddgan_jax.cli.environment import HeldRecords
from ddgan_jax.core.errors import UserError


class Status(enum.IntEnum):
    """Exit statuses of all commands, each with its `meaning`."""

    meaning: str

    DONE = 0, "done"
    MISTAKE = 1, "a mistake, reported in one line"
    LOST = 75, "another process of the run is gone; the same command continues the run"
    INTERRUPTED = 130, "interrupted by ^C; training saves first, and the same command continues it"
    WATCHDOG = 134, "as 75, if jax noticed it first"
    TERMINATED = 143, "terminated by SIGTERM; training saves first, as for ^C"

    def __new__(cls, value: int, meaning: str) -> "Status":
        """Attach the meaning to the integer."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


_OUT_OF_MEMORY = (
    "out of device memory; a smaller config.train.batch_size, a larger config.train.accumulate, "
    "config.train.fsdp=true on several devices or config.gen.remat=true is needed"
)


def run_command(command: Callable[[], int], *, process_ends: bool = False) -> int:
    """Call `command` and report its failures.

    What the user can correct is one line on stderr. Any other exception is a bug and is raised.

    Args:
      command: does the work; returns the exit status.
      process_ends: whether the process ends afterwards.

    Returns:
      The exit status, see `Status`.
    """
    with HeldRecords() as held:
        try:
            return command()
        except KeyboardInterrupt:
            return Status.INTERRUPTED
        except SystemExit as done:  # --help, --version
            return int(done.code or 0)
        except (UserError, OSError, RuntimeError) as error:
            status, line = _described(error)
            if not line:
                raise
            held.drop_reported_by(error)
            if status == Status.LOST:  # threads that waited for that process say so as well
                held.drop_if(_is_loss)
            held.process_ends = process_ends
            print("error:", " ".join(line.split()), file=sys.stderr)
            return status


def _described(error: Exception) -> tuple[Status, str]:
    """The exit status and the line for the user; an empty line if the error is a bug."""
    if _is_loss(error):
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:120]
        return Status.LOST, (
            "another process of this run is gone; the last checkpoint is kept, the same command "
            f"on all hosts continues from it ({reason})"
        )
    if isinstance(error, UserError):
        return Status.MISTAKE, str(error)
    if isinstance(error, OSError):  # full disk, lost permission, ...
        where = f": {error.filename}" if error.filename else ""
        return Status.MISTAKE, f"{error.strerror or error}{where}"
    return Status.MISTAKE, _OUT_OF_MEMORY if _is_out_of_memory(error) else ""


def _is_loss(error: BaseException) -> bool:
    if "jax" not in sys.modules:
        return False
    from ddgan_jax.parallel.distributed import is_loss

    return is_loss(error)


def _is_out_of_memory(error: Exception) -> bool:
    if "jax" not in sys.modules:
        return False
    from jax.errors import JaxRuntimeError

    return isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
