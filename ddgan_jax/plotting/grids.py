"""Pictures: a grid of images, a scatter of points; what `samples/` is filled with."""

from pathlib import Path

import numpy as np
from PIL import Image

from ddgan_jax.core.images import to_uint8

BORDER = 96  # grey between the images: neither black background nor white stroke


def image_grid(images: np.ndarray, columns: int = 0, min_side: int = 64) -> np.ndarray:
    """Images [N, H, W, 1 or 3], uint8 or in [-1, 1] -> one uint8 picture [., ., 3], row by row.

    Small images are enlarged by a whole factor, pixels kept square, until their side is at least
    `min_side`; a border lies between them. `columns` 0: as square as it can be.
    """
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    scale = max(-(-min_side // max(height, width)), 1)
    gap = max(scale // 2, 2)
    pixels = images if images.dtype == np.uint8 else to_uint8(images)
    pixels = np.broadcast_to(pixels, (count, height, width, 3 if channels == 1 else channels))
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    tile_h, tile_w = height * scale + gap, width * scale + gap
    grid = np.full((rows * tile_h + gap, columns * tile_w + gap, 3), BORDER, np.uint8)
    for i, tile in enumerate(pixels):
        top, left = gap + i // columns * tile_h, gap + i % columns * tile_w
        grid[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return grid


def scatter(points: np.ndarray, size: int = 640) -> np.ndarray:
    """Points [N, D] -> one uint8 picture [size, size, 3] of the first two axes (D = 1: one line).

    Darker where there are more.
    """
    points = np.pad(points, ((0, 0), (0, max(2 - points.shape[1], 0))))
    extent = 2.0  # the toy data have unit variance
    bins, _, _ = np.histogram2d(
        points[:, 1], points[:, 0], bins=size // 2, range=[[-extent, extent]] * 2
    )
    ink = 1 - np.exp(-bins[::-1])
    paper = np.array([255, 255, 255]) - ink[..., None] * (255 - np.array([24, 60, 140]))
    return paper.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)


def picture(samples: np.ndarray) -> np.ndarray:
    """A uint8 [H, W, 3] picture of samples: a grid of images, or a scatter of points."""
    return image_grid(samples) if samples.ndim == 4 else scatter(samples)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write a uint8 [H, W, 3] picture."""
    Image.fromarray(pixels).save(path)
