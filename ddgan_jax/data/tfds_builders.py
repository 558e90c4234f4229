"""TFDS builders that write array_record from local files, without TensorFlow.

Names and versions are those of TFDS, so that TFDS, and `tfds:mnist` in a config, find what they
write. Importing this module imports tensorflow_datasets.
"""

import dataclasses
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

from ddgan_jax.data.image_folder import Folder
from ddgan_jax.data.images import WHITE, Fit, enlarges, fit_image, open_image
from ddgan_jax.data.raw_files import (
    CIFAR10_CLASSES,
    STL10_CLASSES,
    count_stl10,
    read_cifar10,
    read_mnist,
    read_stl10,
    read_stl10_labels,
)
from ddgan_jax.io.storage import open_regular

Examples = Iterator[tuple[int | str, dict[str, object]]]


def _png(pixels: np.ndarray) -> bytes:
    """Encode uint8 `[H, W, 1 or 3]` as PNG; TFDS would need TensorFlow to encode an array."""
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out, "PNG")
    return out.getvalue()


class _Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What MNIST and Fashion-MNIST share: the four idx files in `manual_dir`."""

    VERSION = tfds.core.Version("3.0.1")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the four idx files there."
    HOMEPAGE: str

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="28x28 gray images of ten classes.",
            features=features,
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        # Everything is read and checked before the first example is written.
        arrays = read_mnist(Path(dl_manager.manual_dir))
        return {split: self._generate_examples(*pair) for split, pair in arrays.items()}

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Examples:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": _png(image[..., None]), "label": int(label)}


class Mnist(_Mnist, skip_registration=True):
    """MNIST, from the files of LeCun, Cortes and Burges."""

    name = "mnist"
    HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"


class FashionMnist(_Mnist, skip_registration=True):
    """Fashion-MNIST, from the files of Zalando Research."""

    name = "fashion_mnist"
    HOMEPAGE = "https://github.com/zalandoresearch/fashion-mnist"


class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """CIFAR-10, from the six files of its binary version."""

    name = "cifar10"
    VERSION = tfds.core.Version("3.0.2")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the binary version there."

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(names=list(CIFAR10_CLASSES)),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="32x32 color images of ten classes.",
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        source = Path(dl_manager.manual_dir)
        train = read_cifar10(source, [f"data_batch_{i}.bin" for i in range(1, 6)])
        test = read_cifar10(source, ["test_batch.bin"])
        return {
            "train": self._generate_examples("train", *train),
            "test": self._generate_examples("test", *test),
        }

    def _generate_examples(self, split: str, images: np.ndarray, labels: np.ndarray) -> Examples:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            key = f"{split}_{index:05d}"
            yield key, {"id": key, "image": _png(image), "label": int(label)}


class Stl10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """STL-10, from the files of its binary version; unlabelled images have the label -1."""

    name = "stl10"
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the binary version there."

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(96, 96, 3)),
                "label": tfds.features.ClassLabel(names=list(STL10_CLASSES)),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="96x96 color images of ten classes, most of them unlabelled.",
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://cs.stanford.edu/~acoates/stl10/",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        source = Path(dl_manager.manual_dir)
        # All files are checked before the first example is written.
        labels = {}
        for split in ("train", "test"):
            count = count_stl10(source, f"{split}_X.bin")
            labels[split] = read_stl10_labels(source, f"{split}_y.bin", count).astype(np.int64)
        labels["unlabelled"] = np.full(count_stl10(source, "unlabeled_X.bin"), -1)
        files = {"train": "train_X.bin", "test": "test_X.bin", "unlabelled": "unlabeled_X.bin"}
        return {
            split: self._generate_examples(read_stl10(source, file), labels[split])
            for split, file in files.items()
        }

    def _generate_examples(self, images: Iterator[np.ndarray], labels: np.ndarray) -> Examples:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": _png(image), "label": int(label)}


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """A folder of images to write.

    Attributes:
      size: height and width of the images that are written.
      background: RGB color in 0..255 that transparent pixels are composited on.
      folder: the images with their splits and classes.
      notes: filled while writing: what was done to images, and to how many.
    """

    size: int = 64
    background: tuple[int, int, int] = WHITE
    folder: Folder | None = None
    notes: Counter[str] = dataclasses.field(default_factory=Counter)


class ImageFolder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Image files of any raster format, scaled and cropped to RGB squares."""

    name = "image_folder"
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put images there."

    def _info(self) -> tfds.core.DatasetInfo:
        size, classes = self.builder_config.size, self.builder_config.folder.classes
        features = {"image": tfds.features.Image(shape=(size, size, 3))}
        if classes:
            features["label"] = tfds.features.ClassLabel(names=list(classes))
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images of a folder.",
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        splits = self.builder_config.folder.splits
        return {split: self._generate_examples(images) for split, images in splits.items()}

    def _generate_examples(self, images: Sequence[tuple[Path, int]]) -> Examples:
        config = self.builder_config
        how = Fit(config.size, "resize", 3, config.background)
        for path, label in images:
            file = config.folder.root / path
            with open_regular(file) as opened, open_image(opened, str(file)) as image:
                if enlarges(image.height, image.width, how):
                    config.notes[f"enlarged to {how.size} pixels"] += 1
                if image.format != "MPO" and getattr(image, "is_animated", False):
                    config.notes["animated (first frame read)"] += 1
                # Cameras record how they were held instead of turning the pixels.
                pixels = fit_image(ImageOps.exif_transpose(image), how)
            example: dict[str, object] = {"image": _png(pixels)}
            if config.folder.classes:
                example["label"] = label
            yield path.as_posix(), example
