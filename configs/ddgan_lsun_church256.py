"""DDGAN on LSUN Church 256x256, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/ddgan_lsun_church256.py --workdir=runs/lsun
Data:      tfds:lsun/church_outdoor, prepared by TFDS (extra tf), or prepare folder
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      days; not measured
Expected:  published: FID 5.25, recall 0.41 (of VGG16 features: recall_vgg16). Not
           trained with this code
Source:    Xiao et al. 2022, arXiv 2112.07804

Variants: --config=configs/ddgan_lsun_church256.py:released has the 120,000 training images of the
published run; the default, paper, has all images. docs/reproduction.md has the known differences
from the released code.
"""

from ddgan_jax.presets import DDGAN_AT_256, at_256, check_variant, ddgan


def get_config(variant="paper"):
    check_variant(variant, "paper", "released")
    released = variant == "released"
    config = ddgan(num_steps=4, lr_gen=1.6e-4, r1_gamma=1.0, **DDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(
        config, "tfds:lsun/church_outdoor", batch_size=64, duration="500 epochs", released=released
    )
