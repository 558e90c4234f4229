"""Twelve iterations of DDGAN's published training, repeated on its recorded random draws.

Our own jitted `train_step` runs; `jax.random.normal` and `randint` answer with the recorded draws
while it is traced. The file holds the published code's losses of every iteration and its parameters
in the end, both in float64.
"""

import functools
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core.optimizers import cosine_per_epoch, make_optimizers
from ddgan_jax.core.train_step import create_state, train_step, which_regularize
from ddgan_jax.diffusion import schedules
from ddgan_jax.interop.ddgan import discriminator_entries, generator_entries
from ddgan_jax.interop.names import to_params
from ddgan_jax.methods import build_method
from ddgan_jax.presets import ddgan

RTOL = 1e-5
ITERATIONS = 12
IMAGES = ("noise_t", "noise_next", "noise_post")  # the order in which a phase draws them


@pytest.fixture(scope="module")
def golden(reference):
    with np.load(reference("reference/trajectory_ddgan_small.npz")) as file:
        arrays = dict(file)
    groups = {}
    for name, value in arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    return SimpleNamespace(**groups, settings=json.loads(str(arrays["meta"])))


def config_of(s):
    config = ddgan(
        num_steps=s["T"],
        latent_size=s["nz"],
        gen=dict(
            network="ncsnpp",
            width=s["width"],
            multipliers=tuple(s["ch_mult"]),
            blocks=s["blocks"],
            attention=tuple(s["attn"]),
            z_width=s["z_emb"],
            z_layers=s["n_mlp"],
        ),
        disc=dict(
            network="resblock",
            width=s["ngf"],
            multipliers=(2, 4, 8, 8),
            downsample=(False, True, True, True),
            t_width=s["t_emb"],
            final_scale=0.0,
        ),
        lr_gen=s["lr_g"],
        lr_disc=s["lr_d"],
        r1_gamma=s["gamma"],
        r1_every=s["lazy"],
    )
    config.train.batch_size = s["batch"]
    return config


class Recorded:
    """Answers `jax.random` with the draws of one phase, in the order in which it makes them."""

    def __init__(self, monkeypatch):
        self.draws, self.images = {}, iter(())
        monkeypatch.setattr(jax.random, "randint", lambda *args: self.draws["t"])
        monkeypatch.setattr(jax.random, "normal", self.normal)

    def normal(self, key, shape, dtype=None):
        del key, dtype
        found = self.draws["z"] if len(shape) == 2 else self.draws[next(self.images)]
        assert found.shape == shape
        return found

    def around(self, loss, turn):
        """`loss`, which gets the draws of `turn` ("d" or "g") from its batch."""

        def answered(params, context):
            names = ("t", "z", *IMAGES)
            self.draws = {name: context.batch[f"{name}_{turn}"] for name in names}
            self.images = iter(IMAGES)
            return loss(params, context)

        return answered


def batches_of(draw):
    """The batch of every iteration: images, labels and the draws of both turns, NHWC."""
    for i in range(ITERATIONS):
        batch = {name: value[i] for name, value in draw.items()}
        batch = {k: v.transpose(0, 2, 3, 1) if v.ndim == 4 else v for k, v in batch.items()}
        yield batch | {"label": np.zeros(len(batch["image"]), np.int32)}


def start_of(golden, method, optimizers):
    """The state before the first step, with the published parameters."""
    create = functools.partial(create_state, method=method, optimizers=optimizers)
    state = jax.jit(create)(jax.random.key(0))
    entries = {
        "gen": generator_entries(state.params["gen"]),
        "disc": discriminator_entries(state.params["disc"]),
    }
    published = {"gen": "G", "disc": "D"}

    def params_from(group, role, letter=""):
        letter = letter or published[role]
        arrays = {
            k.partition("/")[2]: np.asarray(v, np.float32)
            for k, v in group.items()
            if k.startswith(f"{letter}/")
        }
        return to_params(arrays, entries[role], state.params[role])

    params = {role: params_from(golden.init, role) for role in entries}
    ema = {"gen": jax.tree.map(jnp.array, params["gen"])}
    return state._replace(params=params, ema=ema), params_from


def relative(ours, theirs):
    pairs = list(zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    ours, theirs = (np.concatenate([np.ravel(p[i]) for p in pairs]).astype(float) for i in (0, 1))
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


compiled_steps = {}  # by variant and weight of R1, shared by the tests


def run(golden, monkeypatch, iterations=ITERATIONS, r1_times=1):
    """Our states and metrics over the recorded iterations, with R1 times a factor."""
    s = golden.settings
    config = config_of(s)
    method = build_method(config, (8, 8, 3))
    total = s["num_epoch"] * s["per_epoch"]
    optimizers = make_optimizers(config.optim, ("disc", "gen"), total, s["per_epoch"])
    state, params_from = start_of(golden, method, optimizers)
    recorded = Recorded(monkeypatch)
    disc, gen = method.phases
    method = method._replace(
        phases=(
            disc._replace(
                loss=recorded.around(disc.loss, "d"),
                regularizer=times(recorded.around(disc.regularizer, "d"), r1_times),
            ),
            gen._replace(loss=recorded.around(gen.loss, "g")),
        )
    )

    static = dict(method=method, optimizers=optimizers, ema_decay=s["ema"])
    states, history = [state], []
    for i, batch in zip(range(iterations), batches_of(golden.draw), strict=False):
        variant = which_regularize(method, i)
        known = variant, r1_times if any(variant) else 1
        if known not in compiled_steps:
            step = functools.partial(train_step, **static, regularize=variant)
            compiled_steps[known] = jax.jit(step)
        state, metrics = compiled_steps[known](state, batch, ())
        states.append(state)
        history.append(jax.device_get(metrics))
    return states, history, params_from


def times(loss, factor):
    """`loss` times a factor; the numbers it reports stay."""

    def multiplied(params, context):
        value, aux = loss(params, context)
        return factor * value, aux

    return multiplied if factor != 1 else loss


def losses_of(golden):
    """(discriminator, generator) losses of the published run, float64 [12] each."""
    log = golden.log
    return log["errD_real"] + log["errD_fake"] + np.nan_to_num(log["grad_penalty"]), log["errG"]


def test_tables(golden):
    betas = schedules.variance_preserving_betas(golden.settings["T"])
    forward, posterior = schedules.forward_tables(betas), schedules.posterior_tables(betas)
    for ours, name in (
        (forward.sigma, "sigmas"),
        (forward.sqrt_alpha, "a_s"),
        (forward.sqrt_alpha_bar, "a_s_cum"),
        (forward.sigma_bar, "sigmas_cum"),
        (posterior.coef_x0, "coef1"),
        (posterior.coef_xt, "coef2"),
        (posterior.variance, "var"),
    ):
        np.testing.assert_allclose(ours, golden.table[name], rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_the_published_training_step_by_step(golden, monkeypatch):
    states, history, params_from = run(golden, monkeypatch)
    disc, gen = losses_of(golden)
    np.testing.assert_allclose([m["disc/loss"] for m in history], disc, rtol=RTOL)
    np.testing.assert_allclose([m["gen/loss"] for m in history], gen, rtol=RTOL)
    gamma, applied = golden.settings["gamma"], ~np.isnan(golden.log["grad_penalty"])
    assert ["disc/r1" in m for m in history] == applied.tolist()
    penalty = [gamma / 2 * m["disc/r1"] for m in history if "disc/r1" in m]
    np.testing.assert_allclose(penalty, golden.log["grad_penalty"][applied], rtol=RTOL)
    for role in ("gen", "disc"):
        assert relative(states[-1].params[role], params_from(golden.final64, role)) < RTOL, role
    # Our average starts at the first parameters, the published one after the first step.
    decay = golden.settings["ema"] ** ITERATIONS
    ours = jax.tree.map(
        lambda average, p_0, p_1: average + decay * (p_1 - p_0),
        *(states[-1].ema["gen"], states[0].params["gen"], states[1].params["gen"]),
    )
    assert relative(ours, params_from(golden.final64, "gen", "E")) < RTOL


@pytest.mark.slow
def test_a_generator_that_reuses_the_draws_of_the_discriminator_is_seen(golden, monkeypatch):
    """Its loss differs by far more than the tolerance, and so the comparison is sharp."""
    reused = SimpleNamespace(**vars(golden))
    reused.draw = {
        k: golden.draw[f"{k[:-1]}d"] if k.endswith("_g") else v for k, v in golden.draw.items()
    }
    _, history, _ = run(reused, monkeypatch)
    errors = np.abs(np.array([m["gen/loss"] for m in history]) / losses_of(golden)[1] - 1)
    assert errors.max() > 1e-2


@pytest.mark.slow
def test_r1_that_is_multiplied_by_its_interval_is_seen(golden, monkeypatch):
    """As StyleGAN2 does it: the loss of the discriminator differs in every step, from the first."""
    _, history, _ = run(golden, monkeypatch, iterations=3, r1_times=golden.settings["lazy"])
    errors = np.abs(np.array([m["disc/loss"] for m in history]) / losses_of(golden)[0][:3] - 1)
    assert (errors > RTOL).all() and errors.max() > 10 * RTOL


def test_learning_rates(golden):
    """A cosine once per epoch: the rate of the published run in every iteration."""
    s = golden.settings
    rate = cosine_per_epoch(s["lr_g"], 1e-5, s["num_epoch"] * s["per_epoch"], s["per_epoch"])
    ours = [float(rate(jnp.int32(i))) for i in range(ITERATIONS)]
    np.testing.assert_allclose(ours, golden.log["lr_g"], rtol=1e-6)
    np.testing.assert_allclose(ours, golden.log["lr_d"], rtol=1e-6)


def test_a_cosine_at_every_step_is_seen(golden):
    s = golden.settings
    rate = cosine_per_epoch(s["lr_g"], 1e-5, s["num_epoch"] * s["per_epoch"], 1)
    each = np.array([float(rate(jnp.int32(i))) for i in range(s["per_epoch"])])
    assert (np.abs(each[1:] / golden.log["lr_g"][1 : s["per_epoch"]] - 1) > 1e-2).all()
