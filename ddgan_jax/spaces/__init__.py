"""Spaces that methods work in (pixels, Haar bands, latents, components) and their registry."""

from ml_collections import ConfigDict

from ddgan_jax.config import lookup
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Shape, Space
from ddgan_jax.spaces import latent, pca, pixels, wavelet
from ddgan_jax.spaces.entry import FrozenNetworks, SpaceEntry

__all__ = ["SPACES", "FrozenNetworks", "SpaceEntry", "build_space", "find_space"]

SPACES: dict[str, SpaceEntry] = {
    "pixels": pixels.SPACE,
    "wavelet": wavelet.SPACE,
    "latent": latent.SPACE,
    "pca": pca.SPACE,
}


def find_space(config: ConfigDict) -> SpaceEntry:
    """The registry entry of `config.space.kind`; "pixels" if the config has no such field.

    Raises:
      UserError: there is no such space, or `config.space` is no section.
    """
    space = config.get("space", ConfigDict())
    if not isinstance(space, ConfigDict):
        raise UserError(f"config.space is {space!r}; a section with space.kind is needed")
    kind = space.get("kind", "pixels")
    return lookup("space.kind", kind, SPACES, SpaceEntry)


def build_space(config: ConfigDict, shape: Shape) -> Space:
    """The space that `config.space` describes, for data of `shape`.

    Raises:
      UserError: the space is unknown, does not fit the data, or its autoencoder is missing.
    """
    return find_space(config).build(config, shape)
