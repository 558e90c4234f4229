"""What the generators of bad input share."""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.sandbox import Case
from tests.fuzz.seeds import VALID, Seeds

Random = random.Random
Kind = Callable[[Random, Seeds], Iterator[Case]]

NOT_UTF8 = os.fsdecode(b"bad\xffname")
LONG = "x" * 5000


def shuffled(rng: Random, *parts: Any) -> list[tuple]:
    """All combinations, in random order."""
    found = list(itertools.product(*parts))
    rng.shuffle(found)
    return found


def on_seed(
    seeds: Seeds, kind: str, title: str, valid: str, change: Callable[[Path], None], **rest: Any
) -> Case:
    """A valid command whose input was changed."""
    command = VALID[valid]

    def prepare(root: Path) -> None:
        seeds.copy(root, *command.seeds)
        change(root)

    args = rest.pop("args", command.args)
    rest.setdefault("writes", command.writes)
    return Case(kind, f"{valid}: {title}", args, prepare, valid=valid, **rest)


def shuffled_list(rng: Random, items: list) -> list:
    """The items in random order."""
    rng.shuffle(items)
    return items


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
