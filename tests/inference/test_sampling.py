"""Parameters for sampling, and batches that are all compiled for one size."""

import types

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.random import per_sample_normal, sample_keys
from ddgan_jax.core.types import Carry, Styles, TrainState
from ddgan_jax.inference.sampling import sample_batches, sampling_params, truncated

STATE = TrainState(
    step=jnp.int32(0),
    key=jnp.zeros(2, jnp.uint32),
    params={"disc": 1, "gen": 2},
    opt_state={},
    ema={"gen": 3, "latent": 4},
    carry=Carry(),
)


def test_moving_averages_replace_the_weights_and_learned_values_are_kept():
    assert sampling_params(STATE) == {"disc": 1, "gen": 3, "latent": 4}
    assert sampling_params(STATE, raw=True) == {"disc": 1, "gen": 2, "latent": 4}


def test_truncating_again_gives_the_same_function():
    """So that drawing again does not compile again."""
    styles = Styles(lambda *args: args, lambda *args: args)
    method = types.SimpleNamespace(styles=styles, _replace=lambda sample: sample)
    assert truncated(method, 0.5, None) is truncated(method, 0.5, None)
    assert truncated(method, 0.5, None) is not truncated(method, 0.6, None)


def test_samples_do_not_depend_on_the_batch_size():
    sizes = set()

    @jax.jit
    def sample(params, keys, frozen, labels):
        sizes.add(len(keys))
        return params * per_sample_normal(keys, 0, 0, (3,)) + labels.astype(jnp.float32)[:, None]

    labels = np.arange(7, dtype=np.int32)
    keys = sample_keys(jax.random.key(1), 0, 7)
    wanted = np.asarray(sample(2.0, keys, (), labels))
    for size in (1, 3, 7, 8):
        sizes.clear()
        found = list(sample_batches(sample, 2.0, (), jax.random.key(1), 7, size, labels))
        assert [len(batch) for batch in found] == [size] * (7 // size) + [7 % size] * (7 % size > 0)
        np.testing.assert_array_equal(np.concatenate(found), wanted)
        assert sizes <= {size}
