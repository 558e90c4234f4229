"""One line about what to expect of training on few images, and what helps."""

from ml_collections import ConfigDict

from ddgan_jax.data.source import Source
from ddgan_jax.diffusion.augmentation import Augmentation
from ddgan_jax.spaces import find_space

FEW = 5_000  # images; a mirrored image counts as another one
FEW_AUGMENTED = 100  # as in the smallest data sets of Zhao et al. 2020


def few_images_note(config: ConfigDict, source: Source) -> tuple[str, ...]:
    """A line about memorization if the training images are few; nothing if they are not.

    Args:
      config: complete config.
      source: the training data.
    """
    if len(source.shape) != 3:
        return ()
    strengths = config.get("augment", ConfigDict())
    augmented = any(strengths.values())
    seen = source.size * (2 if config.data.flip else 1)
    least = FEW_AUGMENTED if augmented else FEW
    if seen >= least:
        return ()
    what = f"{source.size:,} images" + (" and their mirror images" if config.data.flip else "")
    remedies = [] if config.data.flip else ["config.data.flip=true"]
    augmentable = find_space(config).frozen is None  # images can be made of its numbers alone
    if augmentable and not augmented and set(Augmentation._fields) <= set(strengths):
        remedies.append("config.augment.color=1, augment.translation=0.125, augment.cutout=0.5")
    remedies += ["fewer parameters", "a shorter run"]
    return (
        f"{what} are few for training {'with' if augmented else 'without'} augmentation (below "
        f"{least:,}): samples may repeat them (compare with samples/reals.png) or get worse again; "
        f"what helps: {'; '.join(remedies)}",
    )
