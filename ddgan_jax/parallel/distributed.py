"""Several processes as one run: how they find each other, agree, and learn that one is gone."""

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import NoReturn, TypeVar, cast

import jax
import numpy as np

from ddgan_jax.core.errors import UserError

LOST = 75  # exit status when another process is gone: EX_TEMPFAIL of sysexits.h, "try again"
HEARTBEAT_SECONDS = 60  # without a sign of life of a process for so long, all others end
_ROOM = 500  # bytes of a message that all processes hear

# What jax, its coordination service and the collectives say when a process is not there any more.
_SIGNS = (
    *("Gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "heartbeat"),
    *("coordination service", "CoordinationService", "UNAVAILABLE", "DEADLINE_EXCEEDED"),
    *("Barrier", "Timed out", "preempted", "Socket closed", "Broken pipe"),
)

# And what it says where there is nobody to join.
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
    """Whether an error of a run of several processes says that another one of them is gone."""
    with contextlib.suppress(RuntimeError):  # no backend: nothing was shared yet
        return jax.process_count() > 1 and any(sign in str(error) for sign in _SIGNS)
    return False


def leave(status: int) -> NoReturn:
    """End this process. After a failure at once: jax would wait for the others to end as well."""
    with contextlib.suppress(RuntimeError):
        if status in (1, LOST) and jax.process_count() > 1:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            if jax.process_index() == 0:  # whose end ends the others: they may have a line to say
                time.sleep(1)
            os._exit(status)
    sys.exit(status)
