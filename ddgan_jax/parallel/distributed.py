"""Several processes as one run: how they find each other, agree, and learn that one is gone."""

import contextlib
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from typing import NoReturn, TypeVar, cast

import jax
import numpy as np

from ddgan_jax.core.errors import UserError

HEARTBEAT_SECONDS = 60  # without a sign of life of a process for so long, all others end
_ROOM = 500  # bytes of a message that all processes hear

# How jax's runtime reports that another process is gone: the collectives that lose a connection,
# and the coordination service, whose messages begin with a status and name the service.
_LOSS = re.compile(
    r"Gloo [\w -]+ failed: .*"
    r"(by peer|Timed out waiting|Socket closed|Broken pipe|Read error|Write error)"
    r"|NCCL .*(remote process exited|unhandled system error)"
    r"|^(UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED|INTERNAL|UNKNOWN): .*"
    r"(heartbeat timeout|stopped sending heartbeats|[Cc]oordination[ _]?[Ss]ervice)"
    r"|^DEADLINE_EXCEEDED: Barrier timed out\. Id: "
    r"|in error before the barrier was called",
    re.DOTALL,
)

# What `jax.distributed.initialize` says where there is no process to join.
_ALONE = ("coordinator_address should be defined", "must be called before", "only be called once")

T = TypeVar("T")


def start_distributed(coordinator: str, num_processes: int, process_id: int) -> None:
    """Join the other processes of a run, if there are any. Before the first use of a device.

    Args:
      coordinator: "HOST:PORT" of process 0; "none": this process is alone; "auto": as the cluster
        tells (TPU pods, also on GKE; Slurm; Open MPI), alone if there is none, or if the devices
        are in use already (a notebook).
      num_processes, process_id: of this run, and of this process; only with HOST:PORT.

    Raises:
      UserError: the processes do not find each other.
    """
    if coordinator == "none":
        return
    auto = coordinator == "auto"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Kubernetes without its Python package: no cluster
            jax.distributed.initialize(
                None if auto else coordinator,
                None if auto else num_processes,
                None if auto else process_id,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
    except (RuntimeError, ValueError) as error:
        if auto and any(sign in str(error) for sign in _ALONE):
            return
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"--coordinator={coordinator}: no connection: {reason}") from error


def agreed(action: Callable[[], T]) -> T:
    """Every process does `action`; if it fails in one of them, all of them stop.

    Without this the others would wait in the next collective for one that has left.

    Raises:
      UserError: in every process, if `action` raised it in any; the first one's.
    """
    if jax.process_count() == 1:
        return action()
    from jax.experimental import multihost_utils

    result, failure = None, ""
    try:
        result = action()
    except UserError as error:
        failure = str(error)
    text = np.zeros(_ROOM, np.uint8)
    said = failure.encode()[:_ROOM]
    text[: len(said)] = np.frombuffer(said, np.uint8)
    for heard in np.asarray(multihost_utils.process_allgather(text)).reshape(-1, _ROOM):
        if heard.any():
            raise UserError(heard.tobytes().rstrip(b"\0").decode(errors="ignore"))
    return cast(T, result)


def everywhere(holds: bool) -> bool:
    """Whether `holds` is true in every process; all of them have to ask."""
    if jax.process_count() == 1:
        return holds
    from jax.experimental import multihost_utils

    return bool(np.all(multihost_utils.process_allgather(np.asarray(holds))))


def of_first(value: float) -> float:
    """What process 0 has; all of them have to ask."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return float(multihost_utils.broadcast_one_to_all(np.float32(value)))


def led(action: Callable[[], T]) -> T | None:
    """Process 0 does `action` and the others wait for it.

    Returns:
      What `action` returned in process 0, None in the others.

    Raises:
      UserError: in every process, if `action` raised it.
    """
    return agreed(lambda: action() if jax.process_index() == 0 else None)


def is_loss(error: BaseException) -> bool:
    """Whether an error of a run of several processes says that another one of them is gone.

    Only errors of jax's runtime do: a timeout of anything else is no loss.
    """
    if not isinstance(error, jax.errors.JaxRuntimeError):
        return False
    with contextlib.suppress(RuntimeError):  # no backend: nothing was shared yet
        return jax.process_count() > 1 and _LOSS.search(str(error)) is not None
    return False


def leave(status: int) -> NoReturn:
    """End this process. After a failure at once: jax would wait for the others to end as well.

    Args:
      status: exit status; 128 or more is not a failure but a signal, which all processes heed.
    """
    with contextlib.suppress(RuntimeError):
        if 0 < status < 128 and jax.process_count() > 1:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            if jax.process_index() == 0:  # whose end ends the others: they may have a line to say
                time.sleep(1)
            os._exit(status)
    sys.exit(status)
