"""Bad original files: of PyTorch, of images, of MNIST and CIFAR-10."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuzz import mutate
from tests.fuzz.sandbox import Case
from tests.fuzz.seeds import Seeds
from tests.fuzz.shared import NOT_UTF8, Random, on_seed, shuffled, write


def torch_files(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """PyTorch files whose bytes were changed, and hostile pickles."""
    import io
    import pickle
    import zipfile

    def pickled(path: Path, data: bytes) -> None:
        inside = mutate.members(path)
        inside["weights/data.pkl"] = data
        mutate.npz_with(path, inside)

    deep = b"\x80\x02" + b"(" * 1 + b")" + b"\x85" * 10**6 + b"."
    evil = pickle.dumps(mutate._Evil(), protocol=2)
    ways: dict[str, Callable[[Path], None]] = {
        "a pickle of a million tuples": lambda path: pickled(path, deep),
        "a pickle that runs code": lambda path: pickled(path, evil),
        "a plain pickle that runs code": lambda path: path.write_bytes(evil),
        "an empty pickle": lambda path: pickled(path, b""),
        "a pickle of a number": lambda path: pickled(path, pickle.dumps(3)),
        "a pickle of a text of 100 MB": lambda path: pickled(path, pickle.dumps("x" * 10**8)),
        "a pickle with a memo of 2^31": lambda path: pickled(
            path, b"\x80\x02Kr" + b"r\xff\xff\xff\x7f."
        ),
        "a pickle that refers to itself": lambda path: pickled(path, b"\x80\x02]q\0h\0a."),
        "a pickle of os.system": lambda path: pickled(
            path, b"cos\nsystem\n(S'touch victim/executed'\ntR."
        ),
        "a pickle of an attribute": lambda path: pickled(path, b"cbuiltins\ngetattr\n."),
        "a long integer": lambda path: pickled(
            path, b"\x80\x02\x8b\xff\xff\xff\x7f" + b"x" * 99 + b"."
        ),
        "4 GiB of text": lambda path: pickled(path, b"\x80\x04\x8d" + b"\xff" * 8 + b"x."),
        "encrypted": mutate.encrypted,
        "a member of 4 GiB that is not there": lambda path: mutate.lying_size(path, 2**32 - 2),
        "a zip bomb": lambda path: mutate.zip_bomb(path, "weights/data.pkl"),
        "no members": lambda path: mutate.npz_with(path, {}),
        **{what: lambda path, w=what: mutate.put(w, path) for what in mutate.PLACES},
    }
    enumerated = shuffled(rng, ("from PyTorch", "inception", "vgg16", "lpips"), ways)
    data = seeds.get("weights.pth").read_bytes()
    stream = (seeds.folder / "seeds" / "stream.pth").read_bytes()
    while True:
        if enumerated and rng.random() < 0.6:
            valid, what = enumerated.pop()
            yield on_seed(
                seeds,
                "PyTorch files",
                what,
                valid,
                lambda root, w=what: ways[w](root / "weights.pth"),
                names=("weights.pth",),
            )
            continue
        valid = rng.choice(("from PyTorch", "from PyTorch", "inception", "vgg16", "lpips"))
        old = rng.random() < 0.5
        if rng.random() < 0.6:  # bytes of the pickle, which is a small part
            if old:
                end = stream.index(b"storage") + 4000
                title, head = mutate.of_bytes(rng, stream[:end])
                content = head + stream[end:]
            else:
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    inside = {n: archive.read(n) for n in archive.namelist()}
                title, inside["weights/data.pkl"] = mutate.of_bytes(rng, inside["weights/data.pkl"])
                buffer = io.BytesIO()
                with zipfile.ZipFile(buffer, "w") as archive:
                    for n, member in inside.items():
                        archive.writestr(n, member)
                content = buffer.getvalue()
        else:
            title, content = mutate.of_bytes(rng, stream if old else data)
        yield on_seed(
            seeds,
            "PyTorch files",
            f"{'stream' if old else 'zip'}: {title}",
            valid,
            lambda root, c=content: write(root / "weights.pth", c),
            # A stream has no checksum, and a changed pickle may name other numbers.
            expect="any" if valid == "from PyTorch" else "refused",
            names=("weights.pth",),
        )


def _png(width: int, height: int) -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


_IMAGES = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) show\n",
    "PDF": b"%PDF-1.4\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a text": b"no image",
    "nothing": b"",
    "10^10 pixels": _png(100_000, 100_000),
    "2^31 pixels wide": _png(2**31 - 1, 1),
    "no pixels": _png(0, 0),
    "one pixel": _png(1, 1),
    "a fraction of its pixels": _png(64, 64),
    "half a JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "a GIF header": b"GIF89a\xff\xff\xff\xff\x80\x00\x00",
    "a BMP of -2^31 lines": b"BM"
    + b"\0" * 8
    + b"6\0\0\0(\0\0\0"
    + b"\xff\xff\xff\x7f\0\0\0\x80\x01\0\x18",
    "a PPM of 10^12 pixels": b"P6 1000000 1000000 255\n",
    "a TIFF that refers to itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
}


def image_folders(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Images that are none, and folders of images with odd names and links."""
    suffixes = ("png", "jpg", "gif", "tiff", "webp", "bmp", "ppm")
    ways: dict[str, Callable[[Path], None]] = {
        f"{what} as x.{suffix}": lambda photos, w=what, s=suffix: write(
            photos / "cat" / f"x.{s}", _IMAGES[w]
        )
        for what in _IMAGES
        for suffix in suffixes
    }
    fine = ("one pixel as",)
    for what in mutate.PLACES:
        ways[f"{what} as x.png"] = lambda photos, w=what: mutate.put(w, photos / "cat" / "x.png")
        ways[f"{what} as a class"] = lambda photos, w=what: mutate.put(w, photos / "dogs")
        ways[f"{what} as the folder"] = lambda photos, w=what: mutate.put(w, photos)
    names = (
        "a\nb",
        NOT_UTF8,
        " x ",
        "<b>",
        "$\\frac{$",
        "[x]",
        "..x",
        "-rf",
        "a:b",
        "'",
        "x" * 250,
        "\u202e",
        "\x1b[31m",
        "*",
        "NUL",
        "%s",
        "{0}",
        "#",
    )
    for name in names:
        ways[f"a class {name[:9]!r}"] = lambda photos, n=name: (photos / "cat").rename(photos / n)
        ways[f"an image {name[:9]!r}"] = lambda photos, n=name: shutil.copyfile(
            photos / "cat" / "0.png", photos / "cat" / f"{n}.png"
        )
    ways["a loop of links"] = lambda photos: (photos / "cat" / "loop").symlink_to(photos)
    ways["a link to /"] = lambda photos: (photos / "cat" / "root").symlink_to("/proc/self")
    commands = ("prepare folder", "train folder")
    enumerated = shuffled(rng, commands, ways)
    photos = seeds.get("photos")
    files = [path.relative_to(photos) for path in sorted(photos.rglob("*.*"))]
    while True:
        if enumerated and rng.random() < 0.7:
            valid, what = enumerated.pop()
            anything = "a class" in what or "an image" in what or what.startswith(fine)
            anything |= (what.endswith("x.png") and "/dev" in what) or what == "a link to /"
            yield on_seed(
                seeds,
                "folders of images",
                what,
                valid,
                lambda root, w=what: ways[w](root / "photos"),
                expect="any"
                if anything or ("as x.png" in what and what[:-9] in mutate.PLACES)
                else "refused",
                names=("x.", "photos", "source", "data.name"),
            )
            continue
        name = rng.choice(files)
        title, content = mutate.of_bytes(rng, (photos / name).read_bytes())
        yield on_seed(
            seeds,
            "folders of images",
            f"{name}: {title}",
            rng.choice(commands),
            lambda root, n=name, c=content: write(root / "photos" / n, c),
            expect="any",
            names=(name.name,),  # formats without checksums have other pixels
        )


def original_files(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """The idx files of MNIST and the binary files of CIFAR-10, damaged or replaced."""
    import gzip
    import struct

    idx = seeds.get("idx")
    files = [path.name for path in sorted(idx.iterdir())]
    heads = {
        "2^32 images": struct.pack(">IIII", 0x803, 2**32 - 1, 28, 28),
        "images of 2^31": struct.pack(">IIII", 0x803, 1, 2**31, 2**31),
        "no images": struct.pack(">IIII", 0x803, 0, 28, 28),
        "floats": struct.pack(">IIII", 0xD03, 30, 28, 28),
        "200 dimensions": bytes([0, 0, 8, 200]) + b"\0\0\0\1" * 200,
        "half a header": bytes([0, 0, 8]),
    }
    enumerated = shuffled(rng, files, [*mutate.PLACES, *heads, "a gzip bomb", "two gzip members"])
    while True:
        name = rng.choice(files)
        if enumerated and rng.random() < 0.5:
            name, what = enumerated.pop()

            def change(root: Path, n=name, w=what) -> None:
                path = root / "idx" / n
                if w in mutate.PLACES:
                    mutate.put(w, path)
                elif w in heads:
                    path.write_bytes(gzip.compress(heads[w] + bytes(99)))
                elif w == "a gzip bomb":
                    part = gzip.compress(bytes(2**24), 1)
                    path.write_bytes(gzip.compress(heads["2^32 images"]) + part * 200)
                else:
                    path.write_bytes(path.read_bytes() * 2)

            yield on_seed(
                seeds,
                "original files of data sets",
                f"{name}: {what}",
                "prepare mnist",
                change,
                expect="refused",
                names=(name, "idx"),
            )
            continue
        if rng.random() < 0.2:
            file = rng.choice(("data_batch_1.bin", "test_batch.bin"))
            what = rng.choice([*mutate.PLACES, "as it is"])

            def change(root: Path, n=file, w=what) -> None:
                if w in mutate.PLACES:
                    mutate.put(w, root / "cifar" / n)

            yield on_seed(
                seeds,
                "original files of data sets",
                f"{file}: {what} {rng.random():.3f}",
                "prepare cifar10",
                change,
                expect="refused",
                names=("cifar",),
            )
            continue
        title, content = mutate.of_bytes(rng, (idx / name).read_bytes())
        yield on_seed(
            seeds,
            "original files of data sets",
            f"{name}: {title}",
            "prepare mnist",
            lambda root, n=name, c=content: write(root / "idx" / n, c),
            expect="either",
            names=(name, "idx"),
        )
