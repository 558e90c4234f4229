"""Runs of several processes: connect, broadcast, fail together, detect lost processes.

Functions marked "collective" must be called by all processes of the run, in the same order.
"""

import contextlib
import itertools
import os
import re
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import numpy as np

from ddgan_jax.core.errors import UserError

HEARTBEAT_SECONDS = 60  # after this time without a heartbeat a process counts as lost
JOIN_SECONDS = 300  # how long a process waits for the others at the start
ANNOUNCE_SECONDS = 2  # after which it says for whom
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


_process_id = 0
_compiling = False  # whether a thread of this process was left alone in a compilation


def leave_compilation() -> None:
    """Note that a thread still compiles, so that jax's cleanup would wait for it or crash."""
    global _compiling
    _compiling = True


def start_distributed(
    coordinator: str,
    num_processes: int,
    process_id: int,
    say: Callable[[str], None] = print,
) -> None:
    """Connect to the other processes of the run; call it before the first use of a device.

    Args:
      coordinator: "HOST:PORT" of process 0; "none": a single process; "auto": detected from the
        cluster (TPU pods, also on GKE; Slurm; Open MPI), a single process if there is no cluster or
        if devices are in use already, as in notebooks.
      num_processes: number of processes of the run; only with HOST:PORT.
      process_id: index of this process; only with HOST:PORT.
      say: prints a line, if there is a process to wait for.

    Raises:
      UserError: the connection fails, or a process does not come within `JOIN_SECONDS`.
    """
    global _process_id
    if coordinator == "none":
        return
    auto = coordinator == "auto"
    if not auto:
        _process_id = process_id
        _check_address(coordinator, process_id)

    def connect() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about Kubernetes without its Python package
            jax.distributed.initialize(
                None if auto else coordinator,
                None if auto else num_processes,
                None if auto else process_id,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                # Later than the wait below, because jax ends the process with status 134.
                initialization_timeout=int(JOIN_SECONDS) + 60,
            )

    def awaited() -> str:
        if auto:
            return "the other processes of this run, as the variables of the cluster say"
        if process_id:
            return f"process 0 of --num_processes={num_processes} at --coordinator={coordinator}"
        others = "process 1" if num_processes == 2 else f"processes 1 to {num_processes - 1}"
        return f"{others} of --num_processes={num_processes} at --coordinator={coordinator}"

    try:
        _wait_for(connect, awaited, say)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        if auto and any(sign in str(error) for sign in _ALONE):
            return
        reason = " ".join(str(error).split())[:160]
        if not auto:
            raise UserError(f"--coordinator={coordinator}: no connection: {reason}") from error
        if isinstance(error, KeyError):
            reason = f"{reason} is not set"
        raise UserError(
            f"--coordinator=auto: the variables of a cluster are set, but this process cannot join "
            f"it: {reason}; --coordinator=none starts a run of one process"
        ) from error
    _process_id = jax.process_index() if auto else process_id


def _wait_for(
    connect: Callable[[], None], awaited: Callable[[], str], say: Callable[[str], None]
) -> None:
    """Call `connect` in a thread, so that ^C is obeyed while it waits in compiled code.

    Raises:
      UserError: it does not return within `JOIN_SECONDS`.
      Exception: what `connect` raises.
    """
    done = threading.Event()
    failures: list[Exception] = []

    def work() -> None:
        try:
            connect()
        except Exception as error:
            failures.append(error)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True, name="connect").start()
    began, said = time.monotonic(), False
    while not done.wait(0.1):
        waited = time.monotonic() - began
        if waited > ANNOUNCE_SECONDS and not said:
            said = True
            say(f"waiting for {awaited()}, at most {JOIN_SECONDS:.0f} s")
        if waited > JOIN_SECONDS:
            raise UserError(
                f"{JOIN_SECONDS:.0f} s without {awaited()}; the same command on each host, with "
                "the same HOST:PORT and --num_processes and its own --process_id, is needed"
            )
    if failures:
        raise failures[0]


def _check_address(coordinator: str, process_id: int) -> None:
    """Check HOST:PORT before jax does, which would wait for minutes.

    Raises:
      UserError: the host has no address, or process 0 cannot have the port.
    """
    host, _, port = coordinator.rpartition(":")
    try:
        socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--coordinator={coordinator}: the host {host!r} has no address ({reason}); HOST:PORT "
            "of process 0 is needed"
        ) from None
    if process_id == 0:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", int(port)))
            except OSError as error:
                raise UserError(
                    f"--coordinator={coordinator}: process 0 cannot have port {port} "
                    f"({error.strerror}); another port is needed"
                ) from None


def on_all_processes(action: Callable[[], T]) -> T:
    """Run `action` in every process, and fail in all of them if it fails in one (collective).

    Otherwise the other processes would wait for the failed one in their next collective.

    Returns:
      The result of `action` in this process.

    Raises:
      UserError: `action` raised it, or with several processes an OSError, in any of them; the
        message of the first.
    """
    if jax.process_count() == 1:
        return action()
    from jax.experimental import multihost_utils

    result, failure = None, ""
    try:
        result = action()
    except (UserError, OSError) as error:
        failure = str(error) or type(error).__name__
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


def stop_noticed() -> bool:
    """Whether a process of this run has received SIGTERM; not collective, and takes no time.

    jax writes a key into the store of its coordination service when it does.
    """
    return _stored("RECEIVED_PREEMPTION_NOTICE") is not None


_decisions = itertools.count(1)  # of this process


def all_said_yes(topic: str, yes: bool, patience: float = 0.2) -> bool:
    """Whether every process of this run says yes (collective).

    Unlike `all_true` it uses no device, and so waits without a limit for processes that compile. A
    process that is lost meanwhile ends this one, see `HEARTBEAT_SECONDS`.

    Args:
      topic: what it is about. All processes decide the same topics in the same order.
      yes: what this process says.
      patience: seconds between two looks.
    """
    client, answers = _client(), {}
    place = f"ddgan_jax/{topic} {next(_decisions)}"  # a key can be set once
    client.key_value_set(f"{place}/{jax.process_index()}", "yes" if yes else "no")
    for process in range(jax.process_count()):
        while (answer := _stored(f"{place}/{process}")) is None:
            time.sleep(patience)
        answers[process] = answer
    return all(answer == "yes" for answer in answers.values())


def _client() -> Any:
    from jax._src import distributed

    return distributed.global_state.client


def _stored(key: str) -> str | None:
    """The value of a key in the store of jax's coordination service; None if it has none."""
    try:
        return str(_client().key_value_try_get(key))
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" in str(error):
            return None
        raise


def broadcast_from_zero(values: T) -> T:
    """Broadcast a tree of numbers and arrays from process 0, as float32 (collective)."""
    if jax.process_count() == 1:
        return values
    from jax.experimental import multihost_utils

    found: T = multihost_utils.broadcast_one_to_all(jax.tree.map(np.float32, values))
    return found


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


def leave(status: int, in_order: bool) -> None:
    """End this process if it belongs to a run of several.

    Args:
      status: exit status.
      in_order: whether all processes of the run end like this one; otherwise it ends without jax's
        cleanup, which would wait for them.
    """
    if not jax.distributed.is_initialized():
        return
    if not in_order or _compiling:
        if _process_id == 0:  # its end kills the others: let them report first
            time.sleep(1)
        os._exit(status)
    sys.exit(status)


def cores() -> int:
    """Number of CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1
