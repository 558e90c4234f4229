"""DDGAN on a folder of your own photos, 32x32 or 64x64, and on their components for a CPU.

Command:   python -m ddgan_jax train --config=photos:64 --config.data.name=folder:PATH
           --workdir=runs/photos (or --config=configs/photos.py:64)
Data:      images below the folder PATH, or in a zip file of one; nothing to prepare
Hardware:  photos:32 and photos:64 one GPU; photos:cpu one core of a CPU
Time:      photos:cpu 2 min 12 s of training on one core, 2 min 30 s with start, compiling and
           samples; photos:32 and photos:64: not measured
Expected:  photos:cpu on 500 images of cars of CIFAR-10: cars of many shapes and colors, soft and
           recognizable; docs/results.md. photos:32 and photos:64 have not been trained
Source:    networks and settings ours; augmentation of Zhao et al. 2020, arXiv 2006.10738

  64   the default: NCSN++ at 64x64
  32   the same at 32x32
  cpu  MLPs on the first 64 principal components of 32x32 images, or of images of another size.
       Needs more than 32 images, or fewer config.space.components

All of them mirror images at random, and 64 and 32 augment what the discriminator is shown, because
photos are usually few. Set config.data.flip=false where left and right differ, as in pictures of
text.
"""

from ml_collections import ConfigDict

from ddgan_jax.presets import check_variant, ddgan

NCSNPP = dict(
    network="ncsnpp",
    width=64,
    blocks=2,
    attention=(16,),
    z_width=128,
    z_layers=3,
    dropout=0.0,
    remat=False,
)

COMPONENTS = dict(
    gen=dict(network="mlp", width=384, blocks=3, t_width=64, octaves=0, tanh=False),
    disc=dict(network="mlp", width=384, blocks=3, t_width=64, octaves=0, group=4),
    lr_gen=3e-4,
    lr_disc=3e-4,
    r1_gamma=0.5,
    r1_every=4,
)


def get_config(variant="64"):
    check_variant(variant, "32", "64", "cpu")
    config = on_cpu() if variant == "cpu" else on_gpu(int(variant))
    config.data.name = "folder:photos"
    config.data.image_size = 64 if variant == "64" else 32
    config.data.channels = 3
    config.data.flip = True
    if variant != "cpu":
        config.augment.color = 1.0
        config.augment.translation = 0.125
        config.augment.cutout = 0.5
    return config


def on_gpu(size):
    # The discriminator halves the resolution down to 4x4.
    config = ddgan(
        num_steps=4,
        latent_size=64,
        gen=dict(multipliers=(1, 2, 2, 2), **NCSNPP),
        disc=dict(
            network="resblock",
            width=32,
            multipliers=(2, 4, 8, 8),
            downsample=(size == 64, True, True, True),
            t_width=128,
            final_scale=1.0,
        ),
        lr_gen=1.6e-4,
        lr_disc=1.25e-4,
        r1_gamma=0.05 if size == 32 else 0.2,
        r1_every=15,
    )
    config.train.batch_size = 32
    config.train.duration = "50000 steps"
    config.train.checkpoint_every = config.train.sample_every = "1000 steps"
    return config


def on_cpu():
    # Numbers of the images' own components train in minutes, and equally fast at any image size.
    config = ddgan(num_steps=4, latent_size=64, **COMPONENTS)
    config.space = ConfigDict(dict(kind="pca", components=64))
    config.train.batch_size = 64
    config.train.duration = "3000 steps"
    config.train.checkpoint_every = config.train.sample_every = "500 steps"
    return config
