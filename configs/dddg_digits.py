"""DDDG on the 8x8 digits that the package ships: sampling and inversion in minutes on a CPU.

Command:   python -m ddgan_jax.main --config=configs/dddg_digits.py --workdir=runs/dddg_digits
           python -m ddgan_jax reconstruct --workdir=runs/dddg_digits --num_images=297 \
             --refine=100
           python -m ddgan_jax evaluate --workdir=runs/dddg_digits
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      68 s of training on a free core
Expected:  297 held-out digits rebuilt with PSNR 18.7 dB, 23.6 dB after 100 steps of refinement
           (the mean digit: 11.4 dB; PCA of 12 numbers: 18.6 dB; of 48, as many: 47.5 dB); Fréchet
           distance 27.4 (digits classifier, 1,500 samples); measured, docs/results.md
Source:    method of Cho 2023; sizes, degradation, rates and lengths ours

The only degradation between the constant and the image is one blur: on 8x8 images fewer steps gave
better results. The learning rates are higher than the paper's and the running means shorter than
its 0.999, because the run has only 2,500 steps at each t.
"""

from ml_collections import ConfigDict

from ddgan_jax.presets import dddg

# Other generators, compared in docs/results.md: --config=configs/dddg_digits.py:ncsnpp
COMMON = dict(multipliers=(1, 2), blocks=1, tanh=True, coordinates=True, equalized=True)
GENERATORS = {
    "ncsnpp": COMMON
    | dict(network="ncsnpp", width=16, attention=(4,), z_width=32, z_layers=1, normalize_z=False),
    "resblock": COMMON | dict(network="resblock", width=20, t_width=32),
}


def get_config(generator="mlp"):
    config = dddg(
        degradation="blur",
        levels=(1.5,),
        latent_size=24,
        classes=10,
        gen=dict(
            network="mlp", width=128, blocks=3, t_width=32, octaves=0, tanh=True, equalized=True
        ),
        disc=dict(network="mlp", width=128, blocks=3, t_width=32, group=4, equalized=True),
    )
    if generator != "mlp":
        config.gen = ConfigDict(GENERATORS[generator])
        config.disc = ConfigDict(
            dict(
                network="resblock",
                width=12,
                multipliers=(2, 4),
                downsample=(False, True),
                t_width=32,
                group=4,
                equalized=True,
            )
        )
    for role, rate in (("gen", 6e-3), ("disc", 1.2e-2)):
        config.optim[role].learning_rate = rate
        config.optim[role].final_learning_rate = 1e-4  # annealed, because the run is short
    config.encoder.per_class = True
    config.encoder.variance_decay = 0.98
    config.ema_warmup = False  # as in the measured runs
    config.data.name = "digits"
    config.train.batch_size = 64
    config.train.duration = "5000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2500 steps"
    config.train.sample_every = "1000 steps"
    config.eval.num_samples = 1500  # the number of training digits
    return config
