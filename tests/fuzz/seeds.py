"""Valid input: tiny runs, data sets and files, and the commands that use them."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from tests.fuzz import sandbox, verdict
from tests.fuzz.sandbox import Case

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tiny_runs as runs
from torch_writer import write_torch

from tests.data import data_files

CONFIGS = runs.ROOT / "configs"
_SMALL = {  # a published network in small
    "gen.width": "8",
    "gen.multipliers": "1,2",
    "gen.blocks": "1",
    "gen.attention": "8",
    "gen.z_width": "8",
    "gen.z_layers": "1",
    "disc.width": "2",
    "disc.multipliers": "1",
    "disc.downsample": "true",
    "disc.t_width": "4",
    "data.image_size": "16",
    "latent_size": "4",
}
SMALL = [f"--config={CONFIGS}/ddgan_cifar10.py", *(f"--config.{k}={v}" for k, v in _SMALL.items())]
EVALUATION = ("--config.eval.num_samples=40", "--config.eval.trials=1")
SHORT = ("--config.train.duration=1 steps", "--workdir=out/run")
_EVERY = "--config.train.checkpoint_every=4 steps"


class Valid(NamedTuple):
    """A command that succeeds.

    Attributes:
      seeds: what it reads, copied into the sandbox under these names.
      args: its arguments.
      writes: what it writes.
    """

    seeds: tuple[str, ...]
    args: tuple[str, ...]
    writes: tuple[str, ...] = ("out",)


VALID = {
    "sample": Valid(("run",), ("sample", "--workdir=run", "--out=out", "--num_images=4")),
    "evaluate": Valid(("run",), ("evaluate", "--workdir=run", "--out=out", *EVALUATION)),
    "export": Valid(("run",), ("export", "--workdir=run", "--out=out/shared")),
    "resume": Valid(
        ("run",), ("train", "--workdir=run", "--config.train.duration=9 steps"), ("run",)
    ),
    "fields": Valid(("run",), ("fields", "--workdir=run"), ()),
    "figures": Valid(("run",), ("figures", "--workdir=run", "--out=out")),
    "compare": Valid(("run", "other"), ("compare", "--runs=run,other", "--out=out")),
    "reconstruct": Valid(
        ("dddg",), ("reconstruct", "--workdir=dddg", "--out=out", "--num_images=8")
    ),
    "sample latents": Valid(
        ("latent",), ("sample", "--workdir=latent", "--out=out", "--num_images=4")
    ),
    "train in latents": Valid(
        ("ae",),
        ("train", *runs.tiny_lddgan("ae"), *SHORT, "--config.train.sample_every=9 steps"),
    ),
    "to PyTorch": Valid(("published",), ("convert", "--workdir=published", "--export=out/n.pth")),
    "from PyTorch": Valid(
        ("weights.pth",),
        ("convert", "--source=ddgan", "--checkpoint=weights.pth", *SMALL, "--workdir=out/run"),
    ),
    "train npz": Valid(
        ("data.npz",), ("train", *runs.TINY, "--config.data.name=npz:data.npz", *SHORT)
    ),
    "evaluate npz": Valid(
        ("data.npz",),
        (
            *("evaluate", "--samples=npz:data.npz", f"--config={CONFIGS}/ddgan_digits.py"),
            *("--out=out", *EVALUATION),
        ),
    ),
    "digits": Valid(("samples.npz",), ("digits", "samples.npz"), ()),
    "modes": Valid(("points.npz",), ("modes", "points.npz"), ()),
    "own classifier": Valid(
        ("run", "classifier.npz"),
        (
            *("evaluate", "--workdir=run", "--out=out", *EVALUATION),
            "--config.eval.extractors=classifier.npz",
        ),
    ),
    "train tfds": Valid(
        ("prepared",),
        (
            *("train", *runs.TINY, "--config.data.name=tfds:image_folder/photos", *SHORT),
            "--config.data.dir=prepared",
        ),
    ),
    "prepare mnist": Valid(("idx",), ("prepare", "mnist", "--source=idx", "--data_dir=out")),
    "prepare folder": Valid(
        ("photos",),
        (
            *("prepare", "folder", "--source=photos", "--data_dir=out"),
            *("--name=photos", "--size=8"),
        ),
    ),
    "train folder": Valid(
        ("photos",),
        (
            *("train", *runs.TINY, "--config.data.name=folder:photos", *SHORT),
            *("--config.data.image_size=8", "--config.data.channels=1"),
        ),
    ),
    "prepare cifar10": Valid(
        ("cifar",), ("prepare", "cifar10", "--source=cifar", "--data_dir=out")
    ),
    "inception": Valid(
        ("weights.pth",), ("inception", "--source=weights.pth", "--out=out/inception.npz")
    ),
    "vgg16": Valid(("weights.pth",), ("vgg16", "--source=weights.pth", "--out=out/vgg16.npz")),
    "lpips": Valid(
        ("weights.pth",), ("lpips", "--vgg=weights.pth", "--heads=weights.pth", "--out=out/l.npz")
    ),
    "plug-in": Valid(
        ("mine", "plugged"),
        ("sample", "--workdir=plugged", "--plugins=mine", "--out=out", "--num_images=4"),
    ),
    "train": Valid((), ("train", *runs.TINY, *SHORT)),
}

PLUGIN = """
from ddgan_jax.methods import MethodEntry, ddgan
mine = MethodEntry(ddgan.from_config, ddgan.FIELDS)
"""
PLUGIN_CONFIG = """
from ddgan_jax.config.overrides import load_config_file
def get_config():
    config = load_config_file({file!r})
    config.method = "my_method:mine"
    return config
"""


class Seeds:
    """Valid input, made when it is first asked for, in a folder that may be kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.allowed = (str(folder / "compiled"),)
        folder.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
        self._results: dict[str, dict[str, object]] = {}

    def get(self, name: str) -> Path:
        """The path of a seed."""
        path = self.folder / "seeds" / name
        if not path.exists():
            place = self.folder / "making" / name
            if place.exists():
                sandbox.remove(place)
            sandbox.make(place)
            made = _MAKERS[name](self, place)
            path.parent.mkdir(parents=True, exist_ok=True)
            made.rename(path)
        return path

    def copy(self, root: Path, *names: str) -> None:
        """Copy seeds into a sandbox."""
        for name in names:
            source = self.get(name)
            if source.is_dir():
                shutil.copytree(source, root / name)
            else:
                shutil.copyfile(source, root / name)

    def command(self, place: Path, *args: object) -> None:
        """Run a command, which has to succeed."""
        self.child(place, tuple(map(str, args)))

    def child(self, place: Path, args: tuple[str, ...]) -> sandbox.End:
        end = sandbox.run(Case("", "", args), place, seconds=600, allowed=self.allowed)
        assert end.status == 0, (args, end)
        return end

    def space(self, name: str) -> int:
        """Bytes of address space that a valid command takes, measured on two cores.

        Threads of more cores have stacks of their own.
        """
        light = ("fields", "modes", "prepare folder", "prepare mnist", "prepare cifar10")
        gigabytes = 2.8 if name == "resume" else 0.8 if name in light else 1.9
        return int(gigabytes * 2**30) + max((os.cpu_count() or 2) - 2, 0) * 2**26

    def good(self, name: str) -> dict[str, object]:
        """The result of a valid command."""
        if name not in self._results:
            valid, kept = VALID[name], self.folder / "good" / f"{name}.json"
            if not kept.exists():
                place = self.folder / "good" / name.replace(" ", "_")
                if place.exists():
                    sandbox.remove(place)
                sandbox.make(place)
                self.copy(place, *valid.seeds)
                self.command(place, *valid.args)
                kept.write_text(json.dumps(verdict.result(place, valid.writes)))
            self._results[name] = json.loads(kept.read_text())
        return self._results[name]


def _run(seeds: Seeds, place: Path) -> Path:
    seeds.command(
        place,
        *runs.TINY,
        _EVERY,
        "--workdir=run",
        "--config.eval.every=4 steps",
        "--config.eval.training_samples=16",
    )
    seeds.command(place, *VALID["evaluate"].args[:2], "--out=run", *EVALUATION)
    seeds.command(place, *VALID["sample"].args[:2], "--num_images=4")
    return place / "run"


def _dddg(seeds: Seeds, place: Path) -> Path:
    seeds.command(place, *runs.TINY_DDDG, "--workdir=run")
    return place / "run"


def _ae(seeds: Seeds, place: Path) -> Path:
    seeds.command(place, *runs.TINY_AUTOENCODER, "--workdir=run")
    return place / "run"


def _latent(seeds: Seeds, place: Path) -> Path:
    seeds.copy(place, "ae")
    seeds.command(place, *runs.tiny_lddgan("ae"), "--workdir=run")
    shutil.copytree(place / "home" / "cache", seeds.folder / "seeds" / "cache", dirs_exist_ok=True)
    return place / "run"


def _pth(seeds: Seeds, place: Path) -> Path:
    def make() -> None:
        import jax.numpy as jnp

        from ddgan_jax.inference.published import SOURCES
        from ddgan_jax.interop.names import to_arrays
        from ddgan_jax.networks import GENERATORS, build_network

        config = runs.config_of(*SMALL, "--workdir=x")
        generator = build_network(config, "gen", GENERATORS, (16, 16, 3))
        inputs = jnp.zeros((1, 16, 16, 3)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 4))
        tree = jax.eval_shape(generator.init, jax.random.key(0), *inputs)["params"]
        rng = np.random.default_rng(0)
        tree = jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape).astype(np.float32), tree)
        arrays = to_arrays(tree, SOURCES["ddgan"].entries(tree))
        write_torch(place / "weights.pth", arrays, stream=False)
        write_torch(place / "stream.pth", arrays, stream=True)

    in_child(make)
    (seeds.folder / "seeds").mkdir(exist_ok=True)
    (place / "stream.pth").rename(seeds.folder / "seeds" / "stream.pth")
    return place / "weights.pth"


def in_child(function: Callable[[], None]) -> None:
    """Call a function that uses jax's devices in a forked process."""
    child = os.fork()
    if not child:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def _published(seeds: Seeds, place: Path) -> Path:
    seeds.copy(place, "weights.pth")
    seeds.command(place, *VALID["from PyTorch"].args)
    return place / "out" / "run"


def _npz(seeds: Seeds, place: Path) -> Path:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(64, 8, 8, 1)), rng.integers(3, size=64)
    np.savez_compressed(place / "a.npz", images=images.astype(np.uint8), labels=labels)
    return place / "a.npz"


def _samples(seeds: Seeds, place: Path) -> Path:
    images = np.random.default_rng(0).integers(256, size=(64, 8, 8, 1)).astype(np.uint8)
    np.savez(place / "a.npz", images=images)
    return place / "a.npz"


def _points(seeds: Seeds, place: Path) -> Path:
    np.savez(place / "a.npz", images=np.random.default_rng(0).normal(size=(64, 2)).astype("f4"))
    return place / "a.npz"


def _classifier(seeds: Seeds, place: Path) -> Path:
    source = runs.ROOT / "ddgan_jax" / "features" / "weights"
    shutil.copyfile(next(source.glob("*digits*.npz")), place / "a.npz")
    return place / "a.npz"


def _idx(seeds: Seeds, place: Path) -> Path:
    data_files.write_mnist(place / "idx", pack=True)
    return place / "idx"


def _photos(seeds: Seeds, place: Path) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    kinds = ("png", "jpg", "gif", "bmp", "webp", "tiff", "ppm")
    for i in range(48):
        path = place / "photos" / ("cat", "dog")[i % 2] / f"{i}.{kinds[i % len(kinds)]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(10, 9, 3), dtype=np.uint8)).save(path)
    return place / "photos"


def _prepared(seeds: Seeds, place: Path) -> Path:
    seeds.copy(place, "photos")
    seeds.command(place, *VALID["prepare folder"].args)
    return place / "out"


def _cifar(seeds: Seeds, place: Path) -> Path:
    (place / "cifar").mkdir()
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        (place / "cifar" / name).write_bytes(bytes(3073 * 10))
    return place / "cifar"


def _mine(seeds: Seeds, place: Path) -> Path:
    (place / "mine").mkdir()
    (place / "mine" / "my_method.py").write_text(PLUGIN)
    file = str(CONFIGS / "ddgan_digits.py")
    (place / "mine" / "my_config.py").write_text(PLUGIN_CONFIG.format(file=file))
    return place / "mine"


def _plugged(seeds: Seeds, place: Path) -> Path:
    seeds.copy(place, "mine")
    seeds.command(place, *runs.TINY, "--config=mine/my_config.py", "--workdir=run")
    return place / "run"


def _other(seeds: Seeds, place: Path) -> Path:
    seeds.copy(place, "run")
    return place / "run"


_MAKERS: dict[str, Callable[[Seeds, Path], Path]] = {
    "run": _run,
    "other": _other,
    "dddg": _dddg,
    "ae": _ae,
    "latent": _latent,
    "weights.pth": _pth,
    "published": _published,
    "data.npz": _npz,
    "samples.npz": _samples,
    "points.npz": _points,
    "classifier.npz": _classifier,
    "idx": _idx,
    "photos": _photos,
    "prepared": _prepared,
    "cifar": _cifar,
    "mine": _mine,
    "plugged": _plugged,
}
