"""The contract of a feature network: frozen weights and a pure function of images."""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from ddgan_jax.core.types import Array, PyTree


class Extracted(NamedTuple):
    """Output of a feature network.

    Attributes:
      features: float32 [B, F].
      logits: float32 [B, K], or None if the weights do not include the classifier layer.
    """

    features: Array
    logits: Array | None


class Extractor(NamedTuple):
    """A frozen feature network.

    Attributes:
      name: name in reports: "inception-2015-12-05", "mnist-classifier".
      distance: name of the Fréchet distance of its features: "fid" for Inception only.
      weights_hash: first 16 hexadecimal digits of the sha256 of the weights.
      resize: description of how images are resized to the network's input.
      channels: channels of the images it takes, 1 or 3.
      classes: number K of logits; 0 if the weights do not include the classifier layer.
      params: weights, an argument of `apply` (never a captured constant).
      apply: (params, uint8 [B, H, W, channels]) -> Extracted. Pure; row i depends on image i only.
    """

    name: str
    distance: str
    weights_hash: str
    resize: str
    channels: int
    classes: int
    params: PyTree
    apply: Callable[[PyTree, Array], Extracted]

    @property
    def is_inception(self) -> bool:
        """Whether this is Inception-v3 with the standard weights for FID, KID and IS."""
        return self.distance == "fid"

    @property
    def suffix(self) -> str:
        """Ending of the names of metrics: "" for Inception, else "_" and the network's name."""
        return "" if self.is_inception else "_" + self.name.replace("-", "_")


class ExtractorEntry(NamedTuple):
    """A registered feature network.

    Attributes:
      load: `config.eval` -> the network with its weights.
      channels: channels of the images it takes, known before the weights are loaded.
      shapes: () -> (`Extractor.apply`, shapes and dtypes of `Extractor.params`), to compile the
        network without its weights; None: they are part of the package.
    """

    load: Callable[[ConfigDict], Extractor]
    channels: int
    shapes: Callable[[], tuple[Callable[..., Extracted], PyTree]] | None = None
