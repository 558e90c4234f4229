"""A method of one's own in one file, trained on images in memory: DDGAN with mode seeking.

  python examples/researcher.py --steps=500 --out=runs/researcher

`get_config` makes the file a config too, and `--plugins` lets the commands import it:

  python -m ddgan_jax train --config=examples/researcher.py --workdir=runs/mode_seeking
  python -m ddgan_jax evaluate --workdir=runs/researcher --plugins=examples \
      --config.eval.extractors=digits --config.eval.num_samples=1500
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from PIL import Image

import ddgan_jax
from ddgan_jax.config.fields import number
from ddgan_jax.core.types import Aux
from ddgan_jax.data import load_source
from ddgan_jax.methods import MethodEntry, ddgan
from ddgan_jax.plotting.grids import picture
from ddgan_jax.presets import ddgan as preset

FIELDS = {
    **ddgan.FIELDS,
    "mode_seeking.weight": number(0.1, help="of 1 / mean |x_0' - x_0''|"),
}


def gen_loss(parts, plain, weight, params, context):
    """DDGAN's generator loss plus weight / mean |G(x, t, z) - G(x, t, z')|.

    Mode seeking (arXiv 1903.05628), without its division by the distance of the latents.
    """
    loss, aux = plain(params, context)  # with its reconstruction term, if the config has one
    other = context._replace(key=jax.random.fold_in(context.key, 7))  # another z
    _, x_next, t = ddgan.real_pair(parts, context)
    _, first = ddgan.fake_pair(parts, params, context, x_next, t)
    _, second = ddgan.fake_pair(parts, params, other, x_next, t)
    distance = jnp.mean(jnp.abs(first - second))
    return loss + weight / (distance + 1e-5), Aux(aux.metrics | {"distance": distance})


def from_config(config, shape, length):
    """The method: DDGAN with another loss of the generator."""
    parts = ddgan.parts_from_config(config, shape)
    method = ddgan.from_config(config, shape, length)
    disc, gen = method.phases
    loss = partial(gen_loss, parts, gen.loss, config.mode_seeking.weight)
    return method._replace(phases=(disc, gen._replace(loss=loss)))


mode_seeking = MethodEntry(from_config, FIELDS)


def get_config():
    """Small networks for 8x8 digits; the config names the method by the name of this file."""
    networks = dict(network="mlp", width=64, blocks=2, t_width=16, octaves=0)
    config = preset(
        num_steps=2,
        latent_size=16,
        gen=dict(networks, tanh=True),
        disc=dict(networks, group=4),
        lr_gen=1e-3,
        lr_disc=1e-3,
        r1_gamma=0.05,
        r1_every=1,
    )
    config.method = "researcher:mode_seeking"
    config.train.duration = "500 steps"
    return config


def main():
    """Train, and write a run folder with a picture of samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", default="runs/researcher")
    args = parser.parse_args()

    config = get_config()
    config.train.duration = f"{args.steps} steps"
    digits = load_source(config.data)  # any array of images [N, H, W, C] will do
    images = digits.take(range(digits.size))["image"]
    trainer = ddgan_jax.Trainer(config, images, plugins=Path(__file__).parent)
    while trainer.steps < args.steps:
        metrics = trainer.step(min(100, args.steps - trainer.steps))
        print(trainer, {name: round(metrics[name], 3) for name in ("gen/loss", "gen/distance")})
    folder = trainer.save(args.out)
    Image.fromarray(picture(trainer.sample(64))).save(folder / "samples.png")
    print(f"run folder: {folder}")


if __name__ == "__main__":
    main()
