"""Fields of every config, fields of the optimizers, and conversion of durations to steps.

A config file is Python code with a function `get_config()` that returns an
`ml_collections.ConfigDict`: the preset of a method (`ddgan_jax.presets`) with some fields changed.
"""

from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config.fields import (
    REQUIRED,
    Field,
    changeable,
    choice,
    defaults,
    duration,
    flag,
    integer,
    number,
    parse_duration,
    text,
    texts,
)
from ddgan_jax.core.errors import UserError
from ddgan_jax.io import best

_MAX_SEED = 2**32 - 1
_SINKS = ("tensorboard", "wandb", "trackio")  # of training.sinks

BASE_FIELDS: dict[str, Field] = {
    "method": text(REQUIRED, help="ddgan, gan, ..., or module:attribute from your own code"),
    "seed": integer(0, 0, _MAX_SEED, help="seed of initialization, data order and noise"),
    "dtype": choice(
        "float32",
        "float32",
        "bfloat16",
        help="compute dtype of the networks; bfloat16 suits accelerators (docs/accelerators.md), "
        "which multiply float32 at reduced precision unless JAX_DEFAULT_MATMUL_PRECISION=highest",
    ),
    "classes": integer(0, 0, 10**6, help="labels of the data are 0..classes-1; 0: unconditional"),
    "ema_decay": number(
        0.999,
        0,
        1,
        open_high=True,
        help="decay per step of the averaged weights, which sampling uses",
    ),
    "ema_warmup": flag(
        True,
        help="the decay of step k is at most k / (k + 9), so that averages of short runs hold no "
        "initial weights; without effect with ema_half_life",
    ),
    "ema_half_life": number(
        0.0, help="half-life of the averaged weights in images, instead of ema_decay; 0: ema_decay"
    ),
    "ema_rampup": number(
        0.0, help="the half-life is at most so many times the images seen so far; 0: no limit"
    ),
    "data.name": text(
        "digits",
        help="folder:PATH (images, or a zip file of them), npz:FILE, tfds:NAME[/CONFIG], "
        "hf:NAME[:CONFIG], digits, gaussians25, stacked_mnist, stacked_mnist_balanced",
    ),
    "data.split": text("train", help="split: train, test, or a part such as train[:90%]"),
    **changeable(
        {
            "data.dir": text(
                "", help="folder of prepared TFDS data; '': $TFDS_DATA_DIR or ~/tensorflow_datasets"
            )
        }
    ),
    "data.image_size": integer(0, 0, 16384, help="height and width of images; 0: as stored"),
    "data.fit": choice("resize", "resize", "pad", help="how images are brought to image_size"),
    "data.channels": choice(0, 0, 1, 3, help="channels; 0: as stored, 1: gray, 3: color"),
    "data.flip": flag(False, help="random horizontal flips"),
    "train.batch_size": integer(
        64, 1, 10**7, help="examples per step, over all devices and processes"
    ),
    "train.accumulate": integer(
        1, 1, 10**6, help="parts of a batch that gradients are accumulated over, to save memory"
    ),
    **changeable(
        {
            "train.duration": duration("1000 steps", help="length of the run"),
            "train.fsdp": flag(
                False, help="shard parameters, averages and moments over devices, to save memory"
            ),
            "train.log_every": duration("100 steps", help="duration between two log lines"),
            "train.checkpoint_every": duration(
                "1000 steps", help="duration between two checkpoints"
            ),
            "train.sample_every": duration("1000 steps", help="duration between two sample grids"),
            "train.keep": integer(2, help="number of checkpoints kept, besides the best"),
            "train.grid": integer(64, 1, 10**6, help="images in each sample grid"),
            "train.sinks": Field(
                ("tensorboard",),
                lambda value: isinstance(value, tuple | list) and set(value) <= set(_SINKS),
                f"a tuple of {', '.join(_SINKS)}, or ()",
                help="where metrics, learning rates, grids and the config go besides metrics.jsonl",
            ),
            "sample.batch_size": integer(64, 1, 10**7, help="images per compiled call"),
            "eval.every": duration(
                "never", never=True, help="duration between two evaluations in training"
            ),
            "eval.training_samples": integer(
                2_000,
                16,
                help="samples of each evaluation during training; Fréchet distances of few samples "
                "are larger",
            ),
            "eval.best": Field(
                "auto",
                best.is_rule,
                best.ALLOWED,
                help="evaluation whose checkpoint is kept besides the last ones; auto: the lowest "
                "Fréchet distance of the first feature network",
            ),
            "eval.patience": integer(
                0,
                0,
                10**6,
                help="evaluations without a better one, as eval.best says, after which training "
                "ends; 0: never",
            ),
            "eval.num_samples": integer(
                10_000, 16, help="samples for `evaluate`; the published protocol has 50,000"
            ),
            "eval.seed": integer(0, 0, _MAX_SEED, help="seed of the samples"),
            "eval.weights": choice(
                "ema", "ema", "raw", help="weights to evaluate: averaged (ema) or current (raw)"
            ),
            "eval.metrics": texts(
                ("auto",),
                help="frechet, kid, precision_recall, inception_score, classes; auto: all that are "
                "defined for the data; or a metric of your own, module:attribute",
            ),
            "eval.extractors": texts(
                ("auto",),
                help="feature networks: inception (for FID), vgg16 (for published recall), mnist, "
                "digits (our classifiers), the FILE.npz of a classifier, or a network of your own, "
                "module:attribute; auto: the one for the data",
            ),
            "eval.inception": text(
                "", help="Inception weights; '': $DDGAN_INCEPTION or the file in ~/.cache/ddgan_jax"
            ),
            "eval.vgg16": text(
                "", help="VGG16 weights; '': $DDGAN_VGG16 or the file in ~/.cache/ddgan_jax"
            ),
            "eval.repeat_grey": flag(
                False, help="repeat the channel of gray images for Inception and VGG16"
            ),
            "eval.split": text("train", help="split that samples are compared with"),
            "eval.batch_size": integer(
                64,
                1,
                10**6,
                help="images per call of the feature network; on a CPU 8 are faster for inception",
            ),
            "eval.trials": integer(
                30, 1, 10**4, help="trials for the median time of sampling 100 images"
            ),
        }
    ),
}


def base() -> ConfigDict:
    """A config with the defaults of all base fields and an empty `method`."""
    return ConfigDict({"method": "", **defaults(BASE_FIELDS)})


def adam(
    learning_rate: float,
    *,
    final_learning_rate: float = 1e-5,
    beta1: float = 0.5,
    beta2: float = 0.9,
    eps: float = 1e-8,
    lazy_interval: int = 0,
) -> dict[str, Any]:
    """Section `config.optim.<role>`: Adam with a learning rate that a cosine anneals.

    Args:
      learning_rate: learning rate at the start of the run.
      final_learning_rate: learning rate at the end; the rate changes once per epoch.
      beta1, beta2, eps: see Adam.
      lazy_interval: k of a regularizer that takes a step of its own every k-th step; 0: none.
    """
    return dict(
        learning_rate=float(learning_rate),
        final_learning_rate=float(final_learning_rate),
        beta1=float(beta1),
        beta2=float(beta2),
        eps=float(eps),
        lazy_interval=lazy_interval,
    )


def adam_fields(role: str) -> dict[str, Field]:
    """The fields of `config.optim.<role>`."""
    rate = number(REQUIRED, 0, 1e3, open_low=True, help="learning rate at the start of the run")
    return changeable(
        {
            f"optim.{role}.learning_rate": rate,
            f"optim.{role}.final_learning_rate": rate._replace(
                help="learning rate at the end of the run"
            ),
            f"optim.{role}.beta1": number(REQUIRED, 0, 1, open_high=True, help="beta1 of Adam"),
            f"optim.{role}.beta2": number(REQUIRED, 0, 1, open_high=True, help="beta2 of Adam"),
            f"optim.{role}.eps": number(REQUIRED, 0, 1e3, open_low=True, help="eps of Adam"),
            f"optim.{role}.lazy_interval": integer(
                0,
                0,
                10**6,
                help="k: Adam's rate times k / (k + 1), its betas to this power, for a regularizer "
                "with a step of its own every k steps (lazy.own_step); 0: as given",
            ),
        }
    )


def to_steps(field: str, text: str, batch_size: int, dataset_size: int) -> int:
    """The number of train steps in a duration, at least 1.

    Args:
      field: name of the field, for messages.
      text: a number of steps, epochs or images, such as "20 epochs".
      batch_size: examples per step.
      dataset_size: number of training examples.

    Raises:
      UserError: `text` is not a duration.
    """
    parsed = parse_duration(text)
    if parsed is None:
        raise UserError(f"config.{field} is {text!r}; {duration('').allowed} is needed")
    amount, unit = parsed
    steps = {
        "step": 1.0,
        "epoch": float(steps_per_epoch(batch_size, dataset_size)),
        "image": 1 / batch_size,
    }
    return max(round(amount * steps[unit]), 1)


def steps_per_epoch(batch_size: int, dataset_size: int) -> int:
    """Number of whole batches in the data, at least 1."""
    return max(dataset_size // batch_size, 1)
