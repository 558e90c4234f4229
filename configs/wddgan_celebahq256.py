"""WDDGAN on CelebA-HQ 256x256 in Haar bands of 128x128x12, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/wddgan_celebahq256.py --workdir=runs/wcelebahq
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      not measured
Expected:  published: FID 5.94. Not trained with this code
Source:    Phung et al. 2023, arXiv 2211.16152; numbers and results as given by Trinh and
           Hamagami 2024, arXiv 2406.11713; R1 and EMA as in
           configs/ddgan_celebahq256.py

Variants: --config=configs/wddgan_celebahq256.py:released has the moving average of the released
command, decay 0.9999, and 27,000 training images; the default, paper, has 0.999 and all images.
docs/reproduction.md has the known differences from the released code.
"""

from ddgan_jax.presets import WDDGAN_AT_256, at_256, check_variant, wddgan


def get_config(variant="paper"):
    check_variant(variant, "paper", "released")
    released = variant == "released"
    config = wddgan(num_steps=2, lr_gen=2e-4, r1_gamma=2.0, **WDDGAN_AT_256)
    config.ema_decay = 0.9999 if released else 0.999
    return at_256(
        config, "tfds:celeb_a_hq/256", batch_size=64, duration="500 epochs", released=released
    )
