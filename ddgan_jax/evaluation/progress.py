"""`Progress`: how far an evaluation is, as a bar on a terminal and as lines elsewhere."""

import sys
import time
from types import TracebackType

import jax
from tqdm import tqdm

EVERY_SECONDS = 30.0  # between two lines where there is no terminal


class Progress:
    """Context manager that shows how many images are done, on process 0.

    Args:
      total: number of images.
      label: what is computed.
    """

    def __init__(self, total: int, label: str) -> None:
        self._total, self._label, self._done = total, label, 0
        self._began = self._said = time.monotonic()
        self._speaks = jax.process_index() == 0
        terminal = sys.stderr is not None and sys.stderr.isatty()
        quiet = not (self._speaks and terminal)
        self._bar = tqdm(total=total, desc=label, unit=" images", leave=False, disable=quiet)
        self._lines = self._speaks and not terminal

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def update(self, count: int) -> None:
        """Note that `count` more images are done."""
        self._bar.update(count)
        self._done += count
        now = time.monotonic()
        if not self._lines or now - self._said < EVERY_SECONDS or self._done >= self._total:
            return
        self._said = now
        left = (now - self._began) / self._done * (self._total - self._done)
        print(
            f"{self._label}: {self._done:,} of {self._total:,} images, {left:.0f} s left",
            flush=True,
        )
