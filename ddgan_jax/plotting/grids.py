"""Pictures of samples as uint8 arrays: grids of images, scatter plots of points."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage.util import montage

from ddgan_jax.core.images import to_uint8
from ddgan_jax.io.run_folder import atomically

BORDER = 96  # gray level between the images, unlike black background and white strokes


def image_grid(images: np.ndarray, columns: int = 0, min_side: int = 64) -> np.ndarray:
    """Arrange images in a grid, row by row, with a border between them.

    Small images are enlarged by an integer factor, so that pixels stay square.

    Args:
      images: uint8, or floats in [-1, 1], [N, H, W, C] with C 1 or 3.
      columns: images per row; 0: the grid is as square as possible.
      min_side: the larger side of an image in the picture has at least so many pixels.

    Returns:
      uint8 [height, width, 3].
    """
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    scale = max(-(-min_side // max(height, width)), 1)
    gap = max(scale // 2, 2)
    pixels = images if images.dtype == np.uint8 else to_uint8(images)
    pixels = np.broadcast_to(pixels, (count, height, width, 3 if channels == 1 else channels))
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    grid: np.ndarray = montage(
        pixels,
        fill=[BORDER] * pixels.shape[3],
        padding_width=gap,
        grid_shape=(rows, columns),
        channel_axis=3,
    )
    return grid


def scatter(points: np.ndarray, size: int = 640) -> np.ndarray:
    """Plot the first two coordinates of points; the color is darker where there are more points.

    Args:
      points: floats [N, D]. Those outside [-2, 2] are not shown; the toy data have unit variance.
        With D = 1 the second coordinate is 0.
      size: height and width of the picture in pixels, even.

    Returns:
      uint8 [size, size, 3].
    """
    points = np.pad(points, ((0, 0), (0, max(2 - points.shape[1], 0))))
    extent = 2.0
    bins, _, _ = np.histogram2d(
        points[:, 1], points[:, 0], bins=size // 2, range=[[-extent, extent]] * 2
    )
    ink = 1 - np.exp(-bins[::-1])
    paper = np.array([255, 255, 255]) - ink[..., None] * (255 - np.array([24, 60, 140]))
    pixels: np.ndarray = paper.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    return pixels


def picture(samples: np.ndarray, columns: int = 0) -> np.ndarray:
    """A uint8 [H, W, 3] picture of samples: a grid of images [N, H, W, C], or points [N, D].

    Args:
      samples: images or points.
      columns: see `image_grid`.
    """
    return image_grid(samples, columns) if samples.ndim == 4 else scatter(samples)


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write a uint8 picture [H, W, 3] or [H, W, 1] as a PNG; a link in its place is replaced."""
    with atomically(path) as temporary:
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(temporary, "PNG")
