"""Bad run folders: damaged, hostile, or with links out of them."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.fuzz import mutate
from tests.fuzz.sandbox import OUTSIDE, Case
from tests.fuzz.seeds import Seeds
from tests.fuzz.shared import NOT_UTF8, Random, on_seed, shuffled, write

_READERS = {  # valid command -> the folder that it reads
    "sample": "run",
    "evaluate": "run",
    "export": "run",
    "resume": "run",
    "fields": "run",
    "figures": "run",
    "compare": "run",
    "reconstruct": "dddg",
    "sample latents": "latent",
    "to PyTorch": "published",
    "train in latents": "ae",
    "plug-in": "plugged",
}


# Seconds each.
_SLOW = ("evaluate", "resume", "figures", "reconstruct", "train in latents", "compare")


def _reader(rng: Random, readers: Iterable[str] = tuple(_READERS)) -> str:
    """One of the commands that read run folders; the slow ones less often."""
    readers = list(readers)
    return rng.choices(readers, [0.06 if name in _SLOW else 1 for name in readers])[0]


def _json_files(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*.json")))
    return [str(name) for name in names if "checkpoints" not in name.parts]


def run_metadata(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """One value of a JSON file of a run folder changed, for every command that reads it."""
    while True:
        valid = _reader(rng)
        folder = _READERS[valid]
        name = rng.choice(_json_files(seeds.get(folder)))
        text = (seeds.get(folder) / name).read_text()
        title, content = mutate.of_json(rng, text)
        # Every value of a config is checked; one that is missing gets its default. A value of the
        # right type may be another valid setting.
        yield on_seed(
            seeds,
            "JSON files of run folders",
            f"{name}: {title}",
            valid,
            lambda root, f=folder, n=name, c=content: write(root / f / n, c),
            expect="any",
            names=(name.rpartition("/")[2], "config.", "autoencoder", "checkpoint", "plugins"),
        )


def run_bytes(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of any text file of a run folder changed."""
    while True:
        valid = _reader(rng)
        folder = seeds.get(_READERS[valid])
        files = [
            p.relative_to(folder)
            for p in sorted(folder.rglob("*"))
            if p.is_file() and "checkpoints" not in p.parts
        ]
        name = rng.choice(files)
        title, content = mutate.of_bytes(rng, (folder / name).read_bytes())
        yield on_seed(
            seeds,
            "bytes of files of run folders",
            f"{name}: {title}",
            valid,
            lambda root, f=folder.name, n=name, c=content: write(root / f / n, c),
            # Logs may lose lines, and names and sizes in a config may become other valid ones.
            expect="any",
            names=(str(name).rpartition("/")[2], "config.", "checkpoint", "info.json", "plugins"),
        )


def checkpoints(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of a checkpoint changed, a file of it removed, or its step renamed."""
    readers = [name for name in _READERS if name not in ("fields", "compare")]
    while True:
        valid = _reader(rng, readers)
        folder = seeds.get(_READERS[valid])
        newest = max(folder.glob("**/checkpoints/*"), key=lambda p: int(p.name))
        files = [p.relative_to(folder) for p in sorted(newest.rglob("*")) if p.is_file()]
        name = rng.choice(files)
        data = (folder / name).read_bytes()
        if rng.random() < 0.2 or not data:
            title = "removed"

            def change(root: Path, f=folder.name, n=name) -> None:
                (root / f / n).unlink()
        else:
            title, content = mutate.of_bytes(rng, data)

            def change(root: Path, f=folder.name, n=name, c=content) -> None:
                write(root / f / n, c)

        yield on_seed(
            seeds,
            "files of checkpoints",
            f"{name}: {title}",
            valid,
            change,
            # A resumed run may use the checkpoint before, with its own, equal result.
            expect="either",
            names=("checkpoint",),
        )


def run_places(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Something else in the place of any file or folder of a run folder."""
    while True:
        valid = _reader(rng)
        folder = seeds.get(_READERS[valid])
        found = [
            p.relative_to(folder)
            for p in sorted(folder.rglob("*"))
            if len(p.relative_to(folder).parts) < 5
        ]
        name = rng.choice(found)
        what = rng.choice(list(mutate.PLACES))

        def change(root: Path, f=folder.name, n=name, w=what) -> None:
            mutate.put(w, root / f / n)

        yield on_seed(
            seeds,
            "things in the place of files of run folders",
            f"{name}: {what}",
            valid,
            change,
            expect="any",
            names=(str(name).split("/")[0], name.name, folder.name),
        )


def run_links(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Links out of a run folder, at any depth, with the same content or a precious file there."""
    while True:
        valid = _reader(rng)
        folder = seeds.get(_READERS[valid])
        found = [p.relative_to(folder) for p in sorted(folder.rglob("*"))]
        name = rng.choice(found)
        to_precious = rng.random() < 0.5

        def change(root: Path, f=folder.name, n=name, precious=to_precious) -> None:
            path = root / f / n
            if precious:
                target = root / OUTSIDE / ("deep" if path.is_dir() else "precious.txt")
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            else:
                target = root / "in" / "moved"
                path.rename(target)
            path.symlink_to(target)

        yield on_seed(
            seeds,
            "links out of run folders",
            f"{name} -> {'a precious file' if to_precious else 'what it was'}",
            valid,
            change,
            expect="any",  # what the command does not read may be a link
            names=(str(name).split("/")[0], name.name, folder.name),
        )


def temporary_links(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Links in an output folder, under names that are going to be written."""
    names = {
        "sample": ("samples.png", "samples.npz", ".writable"),
        "evaluate": ("evaluation.json", ".writable"),
        "compare": ("index.html", "comparison.md", "losses_over_images.png"),
        "figures": ("denoising_density.png", "path.png"),
        "reconstruct": ("reconstruction.json", "path.png", "latents.npz"),
        "prepare folder": ("photos", "photos.incomplete"),
        "to PyTorch": ("n.pth", "n.pth.partial"),
        "inception": ("inception.npz", "inception.npz.partial"),
    }
    for valid, kind in shuffled(rng, names, ("file", "folder", "broken", "loop")):
        if valid in _SLOW and rng.random() < 0.7:
            continue
        for name in names[valid]:

            def change(root: Path, n=name, k=kind) -> None:
                (root / "out").mkdir()
                target = {"file": "precious.txt", "folder": "deep", "broken": "new", "loop": n}[k]
                base = root / "out" if k == "loop" else root / OUTSIDE
                (root / "out" / n).symlink_to(base / target)

            yield on_seed(
                seeds,
                "links in output folders",
                f"{name} is a link ({kind})",
                valid,
                change,
                expect="any",
                names=("out", "weights.pth"),
            )


_SAMPLE_PLACES = ("samples", "samples/samples.png", "metrics.jsonl", "evaluation.jsonl")


def comparisons(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Hostile texts and numbers in the files that `compare` puts on its page."""
    files = ("evaluation.json", "evaluation.jsonl", "metrics.jsonl", "info.json", "config.json")
    while True:
        name = rng.choice(files)
        text = (seeds.get("run") / name).read_text()
        if name.endswith("jsonl"):
            lines = text.splitlines()
            which = rng.randrange(len(lines))
            title, content = mutate.of_json(rng, lines[which])
            lines[which] = content.decode("utf-8", "replace").replace("\n", " ")
            content = ("\n".join(lines * rng.choice((1, 1, 50))) + "\n").encode()
        else:
            title, content = mutate.of_json(rng, text)
        folder = rng.choice(("run", "$\\frac{$", "<script>", "a|b`c", "a\nb", "_seed1", NOT_UTF8))

        def change(root: Path, n=name, c=content, f=folder) -> None:
            write(root / "run" / n, c)
            if f != "run":
                (root / "run").rename(root / f)

        yield on_seed(
            seeds,
            "pages that compare runs",
            f"{folder!r} {name}: {title}",
            "compare",
            change,
            args=("compare", f"--runs={folder},other", "--out=out"),
            expect="any",
            names=(name, "config.", "--runs", "name in UTF-8"),
        )
