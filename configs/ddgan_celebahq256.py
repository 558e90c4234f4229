"""DDGAN on CelebA-HQ 256x256, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/ddgan_celebahq256.py --workdir=runs/celebahq256
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      days; not measured
Expected:  published: FID 7.64, recall 0.36 (of VGG16 features, unlike ours). Not
           trained with this code
Source:    Xiao et al. 2022, arXiv 2112.07804; EMA 0.999 as in the paper (released command: 0.9999)

docs/reproduction.md has the known differences from the released code.
"""

from ddgan_jax.presets import ddgan


def get_config():
    config = ddgan(
        num_steps=2,
        latent_size=100,
        gen=dict(
            network="ncsnpp",
            width=64,
            multipliers=(1, 1, 2, 2, 4, 4),
            blocks=2,
            attention=(16,),
            z_width=256,
            z_layers=3,
            dropout=0.0,
            remat=False,
        ),
        disc=dict(
            network="resblock",
            width=64,
            multipliers=(4, 8, 8, 8, 8, 8),
            downsample=(True,) * 6,
            t_width=256,
            final_scale=1.0,
        ),
        lr_gen=2e-4,
        lr_disc=1e-4,
        r1_gamma=2.0,
        r1_every=10,
    )
    config.data.name = "tfds:celeb_a_hq/256"
    config.data.image_size = 256
    config.data.channels = 3
    config.data.flip = True
    config.ema_decay = 0.999
    config.train.batch_size = 32
    config.train.duration = "800 epochs"
    config.train.checkpoint_every = "5 epochs"
    config.train.sample_every = "5 epochs"
    config.eval.num_samples = 50_000
    return config
