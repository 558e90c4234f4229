"""DDPM on CIFAR-10, 32x32, with the published network; sampled by DDIM with 50 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_cifar10.py --workdir=runs/ddpm_cifar10
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published run: a TPU v3-8
Time:      not measured
Expected:  published: FID 3.17 (ancestral, 1,000 steps). Not trained with this code
Source:    Ho et al. 2020, arXiv 2006.11239, appendix B

The published training also warms the learning rate up for 5,000 steps and clips gradients, which
ours does not. The published weights, google/ddpm-cifar10-32 of the Diffusers library, are imported
with convert --source=diffusers_ddpm. Their own sampling is
--mode=sample --config.sampler.kind=ancestral --config.sampler.steps=1000, with the variance beta.
"""

from ddgan_jax.presets import ddpm, on_cifar10


def get_config():
    gen = dict(
        network="ddpm_unet",
        width=128,
        multipliers=(1, 2, 2, 2),
        blocks=2,
        attention=(16,),
        groups=32,
        dropout=0.1,
    )
    config = ddpm(gen=gen, learning_rate=2e-4, clip=True)
    config.optim.gen.final_learning_rate = 2e-4
    config.ema_decay = 0.9999
    config.sampler.kind, config.sampler.steps = "ddim", 50
    config.sampler.variance = "beta"
    config = on_cifar10(config, duration="800000 steps")
    config.train.batch_size = 128
    return config
