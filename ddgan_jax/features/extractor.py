"""What a feature network is to the metrics: frozen weights and a pure function of images."""

from collections.abc import Callable
from typing import NamedTuple

from ddgan_jax.core.types import Array, PyTree


class Extracted(NamedTuple):
    """Attributes:
    features: float32 [B, F].
    logits: float32 [B, K], or None where the weights have no classifier.
    """

    features: Array
    logits: Array | None


class Extractor(NamedTuple):
    """A frozen network whose features metrics compare.

    Attributes:
      name: as reports print it: "inception-2015-12-05", "mnist-classifier".
      distance: what the Fréchet distance of its features is called: "fid" for Inception alone.
      weights_hash: first 16 hexadecimal digits of the sha256 of the weights.
      resize: in words, how images reach the network's size.
      channels: of the images it takes, 1 or 3.
      classes: K of the logits; 0 where the weights have no classifier.
      params: weights, an argument of `apply` (never a captured constant).
      apply: (params, uint8 [B, H, W, channels]) -> Extracted. Pure; row i depends on image i alone.
    """

    name: str
    distance: str
    weights_hash: str
    resize: str
    channels: int
    classes: int
    params: PyTree
    apply: Callable[[PyTree, Array], Extracted]
