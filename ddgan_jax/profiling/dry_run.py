"""What a run would be: config, sizes and memory, counted without data and without compiling."""

from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from ddgan_jax.config.overrides import as_overrides
from ddgan_jax.data import data_shape
from ddgan_jax.methods import build_method, tracing, validate
from ddgan_jax.methods.unused import without_effect
from ddgan_jax.metrics import find_metrics
from ddgan_jax.profiling.scaling_model import work_of


def dry_run(config: ConfigDict, say: Callable[[str], None] = print) -> None:
    """Print the config of a run and the sizes that follow from it.

    Args:
      config: config of the run.
      say: prints a line.

    Raises:
      UserError: an invalid config; or it needs an autoencoder that is not there.
    """
    config = validate(config)
    if config.eval.every != "never":
        find_metrics(config.eval.metrics)
    shape = data_shape(config.data)
    method = build_method(config, shape)
    with tracing(config):
        params = jax.eval_shape(method.init, jax.random.key(0))
    work = work_of(config)
    say("config:")
    for line in as_overrides(config):
        say(f"  {line}")
    for line in without_effect(config):
        say(line)
    for role, tree in params.items():
        say(f"parameters of {role}: {sum(leaf.size for leaf in jax.tree.leaves(tree)):,}")
    devices, mib = jax.device_count(), 2**20
    kept = work.activations / devices
    say(f"data: {config.data.name}, examples of shape {shape}")
    say(
        f"a step: {config.train.batch_size} images, {work.flops / 1e9:,.1f} GFLOP; on each of "
        f"{devices} x {jax.devices()[0].device_kind}: {work.state / mib:,.1f} MiB of state and up "
        f"to {kept / mib:,.1f} MiB of activations"
    )
    say("nothing was trained or written, and no image was read")
