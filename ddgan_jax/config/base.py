"""Configs: shared defaults, validation with one-line errors, durations.

A config file is plain Python whose `get_config()` starts from `base()`, adds what its method needs
and returns an `ml_collections.ConfigDict`. What the fields mean is said here, once.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError, nearest


def base() -> ConfigDict:
    """What every method has. Durations are text: "5000 steps", "20 epochs", "2e6 images"."""
    return ConfigDict(
        dict(
            method="",
            seed=0,  # of initialisation, data order, noise: the run is a function of config + seed
            # Compute dtype of the networks: float32 or bfloat16. Accelerators multiply float32 at
            # reduced precision (TF32, bfloat16 passes) unless JAX_DEFAULT_MATMUL_PRECISION=highest.
            dtype="float32",
            classes=0,  # labels of the data are 0..classes-1; 0: unconditional, whatever they are
            ema_decay=0.999,  # per step, of the weights used for sampling
            data=dict(
                name="digits",  # digits, gaussians25, stacked_mnist, npz:FILE, tfds:NAME[/CONFIG]
                split="train",
                dir="",  # prepared TFDS datasets; "": $TFDS_DATA_DIR or ~/tensorflow_datasets
                image_size=0,  # 0: as stored
                fit="resize",  # how images reach image_size: resize (and crop) or pad
                channels=0,  # 0: as stored; 1 grey; 3 colour
                flip=False,  # random horizontal flips
            ),
            train=dict(
                batch_size=64,  # over all devices and processes
                duration="1000 steps",
                accumulate=1,  # parts of a batch whose gradients are averaged, to save memory
                # Split parameters, averages and moments over the devices, to save memory; they are
                # gathered where they are used.
                fsdp=False,
                log_every="100 steps",
                checkpoint_every="1000 steps",
                sample_every="1000 steps",
                keep=2,  # checkpoints kept
                grid=64,  # images in the grids made during training
            ),
            sample=dict(batch_size=64),
            eval=dict(
                every="never",  # during training, so often: "20 epochs"
                training_samples=2_000,  # then; few samples make Fréchet distances larger
                num_samples=10_000,  # of --mode=evaluate; the published protocol has 50,000
                seed=0,  # of the samples: other noise than training saw
                weights="ema",  # or raw: those that the optimiser moves
                # frechet, kid, precision_recall, inception_score, classes; all that suit the data
                metrics=("auto",),
                # Feature networks: inception (the FID's), mnist, digits (our classifiers), or a
                # FILE.npz of python -m ddgan_jax classifier; the one that suits the data
                extractors=("auto",),
                inception="",  # weights; "": $DDGAN_INCEPTION or ~/.cache/ddgan_jax
                repeat_grey=False,  # show Inception grey images as colour
                split="train",  # of the data: what samples are compared with
                batch_size=64,  # images per call of the feature network
                trials=30,  # of sampling 100 images, for the median of its time
            ),
        )
    )


# What a method's configs gained later, and what those without it (old run folders) mean by that.
LATER: Mapping[str, Mapping[str, Any]] = {
    "ddgan": dict(
        reconstruction=dict(  # lambda L1(x_0, x_0') in the generator's loss
            kind="none",  # or constant (WDDGAN), or weighted (LDDGAN): lambda from 1 to 0
            weight=1.0,  # lambda, or what it begins with
            delta=6.0,  # of weighted: how steep, see losses.fading_weight
        )
    )
}


def adam(
    learning_rate: float,
    *,
    final_learning_rate: float = 1e-5,
    beta1: float = 0.5,
    beta2: float = 0.9,
    eps: float = 1e-8,
) -> dict[str, float]:
    """Adam of one role, annealed by a cosine once per epoch to `final_learning_rate`."""
    return dict(
        learning_rate=float(learning_rate),
        final_learning_rate=float(final_learning_rate),
        beta1=float(beta1),
        beta2=float(beta2),
        eps=float(eps),
    )


_DURATION = re.compile(r"\s*([0-9.eE+-]+)\s*(steps?|epochs?|images?)\s*")


def to_steps(field: str, text: str, batch_size: int, dataset_size: int) -> int:
    """The number of train steps in a duration such as "20 epochs", at least 1.

    Raises:
      UserError: not a positive number followed by steps, epochs or images.
    """
    match = _DURATION.fullmatch(str(text))
    try:
        amount = float(match.group(1)) if match else 0.0
    except ValueError:
        amount = 0.0
    if not match or not 0 < amount < float("inf"):
        raise UserError(
            f"config.{field} is {text!r}; a positive number of steps, epochs or images is "
            'needed, such as "5000 steps" or "20 epochs"'
        )
    unit = match.group(2).rstrip("s")
    steps = {
        "step": 1.0,
        "epoch": float(steps_per_epoch(batch_size, dataset_size)),
        "image": 1 / batch_size,
    }
    return max(round(amount * steps[unit]), 1)


def steps_per_epoch(batch_size: int, dataset_size: int) -> int:
    """Whole batches in one pass over the data, at least 1."""
    return max(dataset_size // batch_size, 1)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def check(config: Mapping[str, Any], field: str, ok: bool, allowed: str) -> None:
    """Raise a UserError that names the field, its value and what is allowed, unless `ok`."""
    if not ok:
        raise UserError(f"config.{field} is {flatten(config).get(field)!r}; {allowed} is needed")


def require(config: ConfigDict, fields: Iterable[str], why: str) -> None:
    """Raise a UserError for the first of `fields` that the config does not have."""
    flat = flatten(config)
    for field in fields:
        if field not in flat:
            raise UserError(f"config.{field} is missing; {why} needs it{nearest(field, flat)}")


_DURATIONS = ("train.duration", "train.log_every", "train.checkpoint_every", "train.sample_every")
_POSITIVE_INTEGERS = (
    "train.batch_size",
    "train.accumulate",
    "train.keep",
    "train.grid",
    "sample.batch_size",
    "eval.training_samples",
    "eval.num_samples",
    "eval.batch_size",
    "eval.trials",
    "latent_size",
    "diffusion.num_steps",
    "r1.every",
    "space.levels",
)


def validate(config: ConfigDict) -> None:
    """Check what can be checked without data and devices.

    Raises:
      UserError: one line for the first wrong field.
    """
    flat, defaults = flatten(config), flatten(base())
    require(config, defaults, "every config")
    for field in flat:  # a misspelt field in a config file would otherwise do nothing, silently
        if field.startswith(("data.", "train.", "sample.", "eval.")) and field not in defaults:
            raise UserError(f"config.{field} is unknown{nearest(field, defaults)}")
    for field in _POSITIVE_INTEGERS:
        if field in flat:
            check(config, field, _is_a(flat[field], int) and flat[field] > 0, "a positive integer")
    for field, default in defaults.items():
        check(config, field, _is_a(flat[field], type(default)), _say(type(default)))
    for field in _DURATIONS:
        to_steps(field, flat[field], 1, 1)
    if flat["eval.every"] != "never":
        to_steps("eval.every", flat["eval.every"], 1, 1)
    _validate_eval(config, flat)
    for field, value in flat.items():
        if field.startswith("optim."):
            check(config, field, _is_a(value, float), "a number")
            if field.endswith(("learning_rate", "eps")):
                check(config, field, 0 < value < math.inf, "a positive number")
            else:
                check(config, field, 0 <= value < 1, "a number in [0, 1)")
    check(config, "seed", 0 <= flat["seed"] < 2**32, "an integer in [0, 2^32)")
    check(config, "ema_decay", 0 <= flat["ema_decay"] < 1, "a number in [0, 1)")
    check(config, "dtype", flat["dtype"] in ("float32", "bfloat16"), "'float32' or 'bfloat16'")
    check(config, "data.fit", flat["data.fit"] in ("resize", "pad"), "'resize' or 'pad'")
    check(config, "data.channels", flat["data.channels"] in (0, 1, 3), "0, 1 or 3")
    check(config, "data.image_size", flat["data.image_size"] >= 0, "0 or a positive integer")
    if "r1.gamma" in flat:
        gamma = flat["r1.gamma"]
        check(config, "r1.gamma", _is_a(gamma, float) and 0 <= gamma < math.inf, "a number >= 0")
    for field in ("r1.weight", "encoder.weight"):
        if field in flat:
            ok = _is_a(flat[field], float) and 0 <= flat[field] < math.inf
            check(config, field, ok, "a number >= 0")
    if "encoder.variance_decay" in flat:
        decay = flat["encoder.variance_decay"]
        check(config, "encoder.variance_decay", _is_a(decay, float) and 0 <= decay < 1,
              "a number in [0, 1)")  # fmt: skip
    if "encoder.per_class" in flat:
        check(config, "encoder.per_class", _is_a(flat["encoder.per_class"], bool), _say(bool))
    if "degradation.levels" in flat:
        levels = flat["degradation.levels"]
        check(config, "degradation.levels", _is_a(levels, tuple[float]), "a tuple of numbers")
    low, high = flat.get("diffusion.beta_min", 0.1), flat.get("diffusion.beta_max", 20.0)
    check(config, "diffusion.beta_min", _is_a(low, float) and low > 0, "a positive number")
    above = _is_a(high, float) and low < high < math.inf
    check(config, "diffusion.beta_max", above, f"a number above {low}")
    check(
        config,
        "train.batch_size",
        flat["train.batch_size"] % flat["train.accumulate"] == 0,
        f"a multiple of config.train.accumulate = {flat['train.accumulate']}",
    )


EVAL_METRICS = ("auto", "frechet", "kid", "precision_recall", "inception_score", "classes")


def _validate_eval(config: ConfigDict, flat: Mapping[str, Any]) -> None:
    for field in ("eval.num_samples", "eval.training_samples"):
        # Fewer say nothing; and precision needs a third nearest neighbour.
        check(config, field, flat[field] >= 16, "at least 16")
    check(config, "eval.seed", flat["eval.seed"] < 2**32, "an integer in [0, 2^32)")
    check(config, "eval.weights", flat["eval.weights"] in ("ema", "raw"), "'ema' or 'raw'")
    unknown = [name for name in flat["eval.metrics"] if name not in EVAL_METRICS]
    known = (
        f"some of {', '.join(EVAL_METRICS)}{nearest(unknown[0], EVAL_METRICS) if unknown else ''}"
    )
    check(config, "eval.metrics", not unknown and bool(flat["eval.metrics"]), known)
    check(config, "eval.extractors", bool(flat["eval.extractors"]), "at least one")


def module_from(config: ConfigDict, field: str, networks: Mapping[str, Any], **kwargs: Any) -> Any:
    """The Flax module that `config.<field>` describes: {"network": name, attribute: value, ...}.

    Raises:
      UserError: unknown network or attribute, an attribute missing or of another type.
    """
    described = dict(config[field])
    name = described.pop("network", None)
    if name not in networks:
        raise UserError(
            f"config.{field}.network is {name!r}; one of {', '.join(sorted(networks))} is needed"
            + nearest(str(name), networks)
        )
    cls = networks[name]
    hints = get_type_hints(cls)
    own = [k for k in cls.__dataclass_fields__ if k not in ("parent", "name", "dtype")]
    for key, value in described.items():
        if key not in own:
            raise UserError(
                f"config.{field}.{key} is unknown; network {name} has "
                f"{', '.join(k for k in own if k not in kwargs)}{nearest(key, own)}"
            )
        if not _is_a(value, hints[key]):
            raise UserError(f"config.{field}.{key} is {value!r}; {_say(hints[key])} is needed")
        if key in ("width", "t_width", "z_width", "blocks", "group") and value < 1:
            raise UserError(f"config.{field}.{key} is {value!r}; a positive integer is needed")
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}
    try:
        return cls(**attributes, **kwargs)
    except TypeError as error:
        raise UserError(f"config.{field}: {error}") from None


def _is_a(value: Any, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        return isinstance(value, tuple | list) and all(_is_a(v, item) for v in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, hint) if isinstance(hint, type) else True


def _say(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"a tuple of {get_args(hint)[0].__name__}"
    names = {int: "an integer >= 0", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint, str(hint))
