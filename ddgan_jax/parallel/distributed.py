"""Runs of several processes: connect, broadcast, fail together, detect lost processes.

Functions marked "collective" must be called by all processes of the run, in the same order.
"""

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

HEARTBEAT_SECONDS = 60  # after this time without a heartbeat a process counts as lost
_MESSAGE_BYTES = 500  # longest error message that is sent to the other processes

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
    """Connect to the other processes of the run; call it before the first use of a device.

    Args:
      coordinator: "HOST:PORT" of process 0; "none": a single process; "auto": detected from the
        cluster (TPU pods, also on GKE; Slurm; Open MPI), a single process if there is no cluster or
        if devices are in use already, as in notebooks.
      num_processes: number of processes of the run; only with HOST:PORT.
      process_id: index of this process; only with HOST:PORT.

    Raises:
      UserError: the connection fails.
    """
    if coordinator == "none":
        return
    auto = coordinator == "auto"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Kubernetes without its Python package
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


def on_all_processes(action: Callable[[], T]) -> T:
    """Run `action` in every process, and fail in all of them if it fails in one (collective).

    Otherwise the other processes would wait for the failed one in their next collective.

    Returns:
      The result of `action` in this process.

    Raises:
      UserError: `action` raised it in any process; the message of the first of them.
    """
    if jax.process_count() == 1:
        return action()
    from jax.experimental import multihost_utils

    result, failure = None, ""
    try:
        result = action()
    except UserError as error:
        failure = str(error)
    text = np.zeros(_MESSAGE_BYTES, np.uint8)
    message = failure.encode()[:_MESSAGE_BYTES]
    text[: len(message)] = np.frombuffer(message, np.uint8)
    for received in np.asarray(multihost_utils.process_allgather(text)).reshape(-1, _MESSAGE_BYTES):
        if received.any():
            raise UserError(received.tobytes().rstrip(b"\0").decode(errors="ignore"))
    return cast(T, result)


def all_true(holds: bool) -> bool:
    """Whether `holds` is true in every process (collective)."""
    if jax.process_count() == 1:
        return holds
    from jax.experimental import multihost_utils

    return bool(np.all(multihost_utils.process_allgather(np.asarray(holds))))


def broadcast_from_zero(value: float) -> float:
    """Broadcast a float32 number from process 0 (collective)."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return float(multihost_utils.broadcast_one_to_all(np.float32(value)))


def on_process_zero(action: Callable[[], T]) -> T | None:
    """Run `action` in process 0 only, while the other processes wait (collective).

    Returns:
      The result of `action` in process 0, None in the others.

    Raises:
      UserError: `action` raised it; raised in every process.
    """
    return on_all_processes(lambda: action() if jax.process_index() == 0 else None)


def is_loss(error: BaseException) -> bool:
    """Whether an error means that another process of the run is lost.

    Only errors of jax's runtime, and exceptions raised from one (such as orbax's TimeoutError at a
    barrier), can; timeouts of anything else do not count.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, jax.errors.JaxRuntimeError) and _LOSS.search(str(link)):
            with contextlib.suppress(RuntimeError):  # raised if there is no backend yet
                return bool(jax.process_count() > 1)
            return False
        link = link.__cause__
    return False


def leave(status: int) -> NoReturn:
    """End this process.

    After a failure in a run of several processes it ends without jax's cleanup, which would wait
    for the other processes.

    Args:
      status: exit status; from 128 on it stands for a signal, which stops all processes in order.
    """
    with contextlib.suppress(RuntimeError):
        if 0 < status < 128 and jax.process_count() > 1:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            if jax.process_index() == 0:  # its end kills the others: let them report first
                time.sleep(1)
            os._exit(status)
    sys.exit(status)
