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
(--config.loss.kl=1e-6 adds one). docs/reproduction.md has the differences from the released
autoencoder.
"""

from ddgan_jax.presets import CONV_AUTOENCODER, autoencoder, on_cifar10


def get_config():
    resolutions = dict(multipliers=(1, 2), attention=(16,), latent_channels=4)  # latents 16x16x4
    config = autoencoder(
        network=CONV_AUTOENCODER | resolutions,
        disc=dict(network="patch", width=64, layers=2),
        lpips=1.0,
        adversarial=0.5,
        adversarial_start=20_000,
        learning_rate=1e-4,
    )
    on_cifar10(config, duration="300 epochs", batch_size=128, num_samples=10_000)
    config.eval.split = "test"
    return config
