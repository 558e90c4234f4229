"""Check that all processes of a run were started alike."""

import hashlib
import json
from collections.abc import Mapping

import jax
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.parallel.distributed import on_all_processes


def check_agreement(values: Mapping[str, str]) -> None:
    """Check that all processes have the same values (collective).

    Only a hash is exchanged, unless it differs.

    Args:
      values: value by name, such as {"config.seed": "0"}.

    Raises:
      UserError: they differ; the message, the same in all processes, names the first value that
        does.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    text = json.dumps(dict(values), sort_keys=True).encode()
    digest = np.frombuffer(hashlib.sha256(text).digest(), np.uint8)
    digests = np.asarray(multihost_utils.process_allgather(digest)).reshape(-1, len(digest))
    if (digests == digests[0]).all():
        return
    sizes = np.asarray(multihost_utils.process_allgather(np.int32(len(text)))).reshape(-1)
    buffer = np.zeros(int(sizes[0]), np.uint8)
    if jax.process_index() == 0:
        buffer[:] = np.frombuffer(text, np.uint8)
    received = np.asarray(multihost_utils.broadcast_one_to_all(buffer)).astype(np.uint8)
    first: dict[str, str] = json.loads(received.tobytes())

    def compare() -> None:
        for name in sorted(first.keys() | values.keys()):
            here, there = (str(each.get(name, "missing"))[:120] for each in (values, first))
            if here != there:
                raise UserError(
                    f"{name} is {there} in process 0 and {here} in process {jax.process_index()}; "
                    "the same command is needed in all processes"
                )

    on_all_processes(compare)
