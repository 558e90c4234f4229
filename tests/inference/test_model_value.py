"""What the package and a loaded model show of themselves, and that loading is silent."""

import subprocess
import sys

import jax
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.inference import sampling

SHIPPED = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits"


def test_dir_has_the_public_names_only():
    ddgan_jax.load(SHIPPED)  # imports much of the package
    assert dir(ddgan_jax) == ["Model", "Trainer", "UserError", "__version__", "load"]
    assert all(getattr(ddgan_jax, name) for name in dir(ddgan_jax))


def test_the_repr_of_a_model_is_one_line():
    model = ddgan_jax.load(SHIPPED)
    said = repr(model)
    assert "\n" not in said and len(said) < 120
    for part in ("ddgan", "digits", "step 8000", "(8, 8, 1)", "parameters"):
        assert part in said
    model.config.data.name = "npz:/a/long/path/data.npz"
    assert " on npz:data.npz, " in repr(model)


def test_loading_the_shipped_model_warns_of_nothing():
    code = f"import ddgan_jax; print(ddgan_jax.load({str(SHIPPED)!r}).step)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=runs.environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "8000\n", "")


def test_drawing_again_does_not_compile_again():
    model = ddgan_jax.load(SHIPPED)
    sampling._compiled.cache_clear()
    first, second = (model.sample(jax.random.key(0), 4) for _ in range(2))
    assert (first == second).all()
    assert (sampling._compiled.cache_info().misses, sampling._compiled.cache_info().hits) == (1, 1)
