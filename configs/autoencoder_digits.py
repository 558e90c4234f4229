"""Autoencoder of the 8x8 digits that the package ships, for latent DDGAN: minutes on a CPU.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_digits.py --workdir=runs/ae
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ae --config.eval.split=test
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      2 min 32 s of training, with other programs on the other core
Expected:  297 held-out digits: PSNR 29.4 dB, Fréchet distance 3.1 (digits classifier); measured,
           docs/results.md
Source:    losses of Esser et al. 2021 and Trinh and Hamagami 2024; sizes and lengths ours

The latents are 4x4x2, half as many numbers as pixels. Encoder and decoder are residual MLPs. LPIPS
is off, because it needs color images of at least 16 pixels.
"""

from ddgan_jax.presets import autoencoder


def get_config():
    config = autoencoder(
        network=dict(
            network="mlp",
            width=256,
            blocks=2,
            latent_shape=(4, 4, 2),
            gaussian=True,  # the log-variance is used only if config.loss.kl is
            tanh=False,
        ),
        disc=dict(network="patch", width=16, layers=0),
        lpips=0.0,
        adversarial=0.1,
        adversarial_start=2000,
        learning_rate=1e-3,
    )
    for role in ("autoencoder", "disc"):
        config.optim[role].final_learning_rate = 1e-4
    config.ema_warmup = False  # as in the measured runs
    config.ema_decay = 0.99
    config.data.name = "digits"
    config.train.batch_size = 64
    config.train.duration = "4000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "1000 steps"
    config.eval.num_samples = 1500  # the number of training digits
    return config
