"""Bad npz files, prepared data sets and caches."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.fuzz import mutate
from tests.fuzz.sandbox import Case
from tests.fuzz.seeds import VALID, Seeds
from tests.fuzz.shared import Random, on_seed, shuffled, write

_NPZ = {
    "train npz": "data.npz",
    "evaluate npz": "data.npz",
    "digits": "samples.npz",
    "modes": "points.npz",
    "own classifier": "classifier.npz",
}


def npz_arrays(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Arrays of absurd shapes and types in npz files, for every command that reads one."""
    for valid, what in shuffled(rng, _NPZ, mutate.BAD_ARRAYS):
        file = _NPZ[valid]
        if valid == "modes" and what in ("of 1e300",):
            continue  # points may be anywhere

        def change(root: Path, f=file, w=what) -> None:
            inside = mutate.members(root / f)
            inside[next(iter(inside))] = mutate.BAD_ARRAYS[w]()
            mutate.npz_with(root / f, inside)

        yield on_seed(
            seeds,
            "arrays in npz files",
            f"{file}: an array {what}",
            valid,
            change,
            expect="refused",
            names=(file,),
        )


def npz_labels(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Labels that do not fit the images."""
    labels = {
        "-1": np.full(64, -1),
        "too few": np.zeros(63, int),
        "too many dimensions": np.zeros((64, 2), int),
        "1.5": np.full(64, 1.5),
        "NaN": np.full(64, np.nan),
        "2^40": np.full(64, 2**40),
        "10": np.arange(64) % 11,
        "texts": np.array(["a"] * 64),
        "dates": np.zeros(64, "M8[s]"),
        "one -1": np.where(np.arange(64) == 63, -1, 0),
        "2^63": np.full(64, 2**63, np.uint64),
    }
    for what in shuffled(rng, labels):

        def change(root: Path, w=what[0]) -> None:
            with np.load(root / "data.npz") as arrays:
                images = arrays["images"]
            np.savez(root / "data.npz", images=images, labels=labels[w])

        args = (*VALID["train npz"].args, "--config.classes=10")
        yield on_seed(
            seeds,
            "labels",
            f"labels {what[0]}",
            "train npz",
            change,
            args=args,
            expect="refused",
            names=("data.npz",),
        )


def npz_bytes(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of npz files changed; zip has a checksum, so the result is the same or refused."""
    while True:
        valid = rng.choice(list(_NPZ))
        file = _NPZ[valid]
        title, content = mutate.of_bytes(rng, seeds.get(file).read_bytes())
        yield on_seed(
            seeds,
            "bytes of npz files",
            title,
            valid,
            lambda root, f=file, c=content: write(root / f, c),
            expect="either",
            names=(file,),
        )


def archives(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Zip bombs, encrypted members, sizes that are not true, and other things than files."""
    ways: dict[str, Callable[[Path], None]] = {
        "a zip bomb": lambda path: mutate.zip_bomb(path, _first(path)),
        "encrypted": mutate.encrypted,
        "a member of 4 GiB that is not there": lambda path: mutate.lying_size(path, 2**32 - 2),
        "a member of no bytes": lambda path: mutate.lying_size(path, 0),
        "twice the same member": _twice,
        "no members": lambda path: mutate.npz_with(path, {}),
        "other members": lambda path: mutate.npz_with(path, {"a.npy": b"", "../../evil.py": b"x"}),
        "a text": lambda path: path.write_text("no archive"),
        "a gzip file": lambda path: path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        "an npy file": lambda path: path.write_bytes(mutate.BAD_ARRAYS["of objects"]()),
        **{what: lambda path, w=what: mutate.put(w, path) for what in mutate.PLACES},
    }
    for valid, what in shuffled(rng, _NPZ, ways):
        file = _NPZ[valid]
        yield on_seed(
            seeds,
            "archives",
            f"{file}: {what}",
            valid,
            lambda root, f=file, w=what: ways[w](root / f),
            expect="any" if what == "twice the same member" else "refused",
            names=(file,),
        )


def _first(path: Path) -> str:
    return next(iter(mutate.members(path)))


def _twice(path: Path) -> None:
    import warnings

    inside = mutate.members(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            for _ in range(2):
                for name, content in inside.items():
                    archive.writestr(name, content)


def _version_folder(root: Path) -> Path:
    return next((root / "prepared").glob("image_folder/photos/*"))


def prepared_metadata(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """One value of the metadata of a prepared data set changed."""
    names = ("features.json", "dataset_info.json")
    folder = _version_folder(seeds.get("prepared").parent)
    while True:
        name = rng.choice(names)
        title, content = mutate.of_json(rng, (folder / name).read_text())
        yield on_seed(
            seeds,
            "metadata of prepared data",
            f"{name}: {title}",
            "train tfds",
            lambda root, n=name, c=content: write(_version_folder(root) / n, c),
            expect="any",
            names=(name, "prepared", "photos", "shard", "tfds:"),
        )


def prepared_files(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of shards and metadata changed, removed, or something else in their place."""
    folder = _version_folder(seeds.get("prepared").parent)
    files = [path.name for path in sorted(folder.iterdir())]
    while True:
        name = rng.choice(files)
        if rng.random() < 0.3:
            title = rng.choice(list(mutate.PLACES))

            def change(root: Path, n=name, w=title) -> None:
                mutate.put(w, _version_folder(root) / n)
        elif rng.random() < 0.1:
            title = "removed"

            def change(root: Path, n=name) -> None:
                (_version_folder(root) / n).unlink()
        else:
            title, content = mutate.of_bytes(rng, (folder / name).read_bytes())

            def change(root: Path, n=name, c=content) -> None:
                write(_version_folder(root) / n, c)

        shard = "array_record" in name
        yield on_seed(
            seeds,
            "files of prepared data",
            f"{name}: {title}",
            "train tfds",
            change,
            expect="either" if shard else "any",
            names=(name, "prepared", "photos", "tfds:"),
        )


def caches(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Cached statistics and latents that are damaged, replaced or poisoned."""
    seeds.get("latent")
    places = {
        "evaluate": "/".join(("good", "evaluate", "home", "cache")),
        "train in latents": "seeds/cache",
    }
    seeds.good("evaluate")
    ways = [*mutate.PLACES, *mutate.BAD_ARRAYS, "bytes", "bytes", "bytes", "bytes", "negative"]
    while True:
        valid = rng.choice(list(places))
        base = seeds.folder / places[valid]
        files = [p.relative_to(base) for p in sorted(base.rglob("*")) if p.is_file()]
        name, what = rng.choice(files), rng.choice(ways)
        data = (base / name).read_bytes()
        title, content = mutate.of_bytes(rng, data) if what == "bytes" else (what, b"")

        def change(root: Path, b=base, n=name, w=what, c=content) -> None:
            shutil.copytree(b, root / "home" / "cache")
            path = root / "home" / "cache" / n
            if w in mutate.PLACES:
                mutate.put(w, path)
            elif w == "bytes":
                path.write_bytes(c)
            elif path.suffix == ".npy":
                path.write_bytes(mutate.BAD_ARRAYS.get(w, lambda: b"")())
            elif w == "negative":
                with np.load(path) as arrays:
                    changed = {
                        k: -arrays[k] if arrays[k].dtype.kind == "f" else arrays[k] for k in arrays
                    }
                np.savez(path, **changed)
            else:
                inside = mutate.members(path)
                inside[next(iter(inside))] = mutate.BAD_ARRAYS[w]()
                mutate.npz_with(path, inside)

        yield on_seed(
            seeds,
            "cached statistics and latents",
            f"{name.name}: {title}",
            valid,
            change,
            expect="any" if name.suffix == ".npy" and what == "bytes" else "either",
            names=(name.name, "cache"),
        )
