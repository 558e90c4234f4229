"""Autoencoder of CIFAR-10, 32x32, with downsampling factor 2, for latent DDGAN.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_cifar10.py --workdir=runs/ae
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ae
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
           LPIPS weights: see python -m ddgan_jax lpips --help
Hardware:  not given in the paper
Time:      days; not measured
Expected:  published: FID 1.32 of reconstructions of validation images. Not trained with this code
Source:    Trinh and Hamagami 2024, tables 1 and 7; Rombach et al. 2022 for what they do not give

14,646,759 parameters, 8,631,555 of them in the decoder, as published.
The paper gives no weights of the losses; these are those of latent diffusion. Learning rates, batch
size and the start of the adversarial loss are our choice. There is no KL term
(--config.loss.kl=1e-6 adds one).

Variants, --config=configs/autoencoder_cifar10.py:VARIANT:
  default   losses of latent diffusion without the KL term, the network of table 1 without codes
  paper     the same with the quantizer in the decoder that the text describes: latents are replaced
            by the nearest of 8,192 codes (a number of the CelebA-HQ release) before decoding
  released  the config of the released weights: tanh at the end, dropout 0.2, a KL term of weight
            1e-6 beside the sum of the reconstruction over pixels, three layers of the patch
            discriminator, which starts at step 50,001
"""

from ddgan_jax.presets import (
    CONV_AUTOENCODER,
    autoencoder,
    autoencoder_with_kl,
    check_variant,
    on_cifar10,
)

NETWORKS = {
    "default": {},
    "paper": dict(gaussian=False, codes=8192),
    "released": dict(tanh=True, dropout=0.2),
}


def get_config(variant="default"):
    check_variant(variant, *NETWORKS)
    released = variant == "released"
    resolutions = dict(multipliers=(1, 2), attention=(16,), latent_channels=4)  # latents 16x16x4
    config = autoencoder(
        network=CONV_AUTOENCODER | resolutions | NETWORKS[variant],
        disc=dict(network="patch", width=64, layers=3 if released else 2),
        lpips=1.0,
        adversarial=0.5,
        adversarial_start=20_000,
        learning_rate=32 * 4.5e-6 if released else 1e-4,
    )
    length = dict(duration="300 epochs", batch_size=128)
    if released:
        autoencoder_with_kl(config, start=50_001)
        length = dict(duration="551 epochs", batch_size=32)  # the file is called 16x16x4_551.ckpt
    on_cifar10(config, num_samples=10_000, **length)
    config.eval.split = "test"
    return config
