"""Distance to the nearest image of another set: detects copies of training images."""

import numpy as np


def nearest_distance(images: np.ndarray, among: np.ndarray) -> np.ndarray:
    """RMS pixel distance of each image to its nearest neighbor in another set.

    Args:
      images: [N, ...].
      among: [M, ...], same shape of one image.

    Returns:
      float64 [N], in the units of the pixels.
    """
    a, b = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (images, among))
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distances: np.ndarray = np.sqrt(np.maximum(squared, 0).min(axis=1) / a.shape[1])
    return distances
