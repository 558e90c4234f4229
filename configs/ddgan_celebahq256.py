"""DDGAN on CelebA-HQ 256x256, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/ddgan_celebahq256.py --workdir=runs/celebahq256
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      days; not measured
Expected:  published: FID 7.64, recall 0.36 (of VGG16 features: recall_vgg16). Not
           trained with this code
Source:    Xiao et al. 2022, arXiv 2112.07804; EMA 0.999 as in the paper (released command: 0.9999)

Variants: --config=configs/ddgan_celebahq256.py:released has the moving average of the released
command, decay 0.9999, and its 27,000 training images; the default, paper, has 0.999 and all images.
docs/reproduction.md has the known differences from the released code.
"""

from ddgan_jax.presets import DDGAN_AT_256, at_256, check_variant, ddgan


def get_config(variant="paper"):
    check_variant(variant, "paper", "released")
    released = variant == "released"
    config = ddgan(num_steps=2, lr_gen=2e-4, r1_gamma=2.0, **DDGAN_AT_256)
    config.ema_decay = 0.9999 if released else 0.999
    return at_256(
        config, "tfds:celeb_a_hq/256", batch_size=32, duration="800 epochs", released=released
    )
