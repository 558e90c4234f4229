"""DDGAN on CelebA-HQ 256x256, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/ddgan_celebahq256.py --workdir=runs/celebahq256
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      days; not measured
Expected:  published: FID 7.64, recall 0.36 (of VGG16 features: recall_vgg16). Not
           trained with this code
Source:    Xiao et al. 2022, arXiv 2112.07804; EMA 0.999 as in the paper (released command: 0.9999)

docs/reproduction.md has the known differences from the released code.
"""

from ddgan_jax.presets import DDGAN_AT_256, at_256, ddgan


def get_config():
    config = ddgan(num_steps=2, lr_gen=2e-4, r1_gamma=2.0, **DDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(config, "tfds:celeb_a_hq/256", batch_size=32, duration="800 epochs")
