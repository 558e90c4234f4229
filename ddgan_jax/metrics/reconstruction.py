"""Quality of reconstructed images: PSNR and SSIM per image, and the means that reports show.

Images are floats [N, H, W, C] in [-1, 1], so the data range is 2. Both are computed by
scikit-image.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from skimage import metrics

from ddgan_jax.core.errors import UserError

DATA_RANGE = 2.0
SIGMA, GAUSSIAN_WINDOW = 1.5, 11  # scikit-image uses a window of 11 pixels for this sigma
UNIFORM_WINDOW = 7
BETTER = {"psnr": "higher", "ssim": "higher", "lpips": "lower"}  # as `Metric.better`

Pairs = Iterable[tuple[np.ndarray, np.ndarray]]
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in decibels, 10 log10(2^2 / mean((a - b)^2)).

    Args:
      a, b: floats [N, H, W, C] in [-1, 1].

    Returns:
      float64 [N]; infinite for equal images.

    Raises:
      UserError: shapes differ, or the images are not finite floats [N, H, W, C].
    """
    _check(a, b)
    with np.errstate(divide="ignore"):
        values = [
            metrics.peak_signal_noise_ratio(x, y, data_range=DATA_RANGE)
            for x, y in zip(a.astype(np.float64), b.astype(np.float64), strict=True)
        ]
    return np.array(values, np.float64)


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity, averaged over pixels and channels.

    The window is that of Wang et al. 2004, "Image quality assessment": Gaussian with sigma 1.5,
    11 pixels wide. If the smaller side of the images is under 11 pixels, the window is uniform and
    7 pixels wide; `ssim_protocol` says which one was used, and numbers of different windows are not
    comparable. K1 = 0.01, K2 = 0.03, and covariances are normalized by the number of weights.

    Args:
      a, b: floats [N, H, W, C] in [-1, 1].

    Returns:
      float64 [N], at most 1.

    Raises:
      UserError: shapes differ, a side is under 7, or the images are not finite floats [N, H, W, C].
    """
    _check(a, b)
    window = _window(a.shape)
    gaussian: dict[str, object] = {"gaussian_weights": True, "sigma": SIGMA}
    values = [
        metrics.structural_similarity(
            x,
            y,
            data_range=DATA_RANGE,
            channel_axis=-1,
            use_sample_covariance=False,
            **(gaussian if window == GAUSSIAN_WINDOW else {"win_size": window}),
        )
        for x, y in zip(a.astype(np.float64), b.astype(np.float64), strict=True)
    ]
    return np.array(values, np.float64)


def ssim_protocol(shape: tuple[int, ...]) -> str:
    """Describe the window that `ssim` uses.

    Args:
      shape: (..., H, W, C) of the images.

    Raises:
      UserError: a side is under 7.
    """
    if _window(shape) == GAUSSIAN_WINDOW:
        return f"Gaussian window, sigma {SIGMA}, {GAUSSIAN_WINDOW} wide, data range {DATA_RANGE:g}"
    return f"uniform window, {UNIFORM_WINDOW} wide, data range {DATA_RANGE:g}"


def reconstruction_quality(
    pairs: Pairs, distances: Mapping[str, Distance] | None = None
) -> dict[str, float]:
    """Mean PSNR, SSIM and further distances over pairs of images and reconstructions.

    Args:
      pairs: batches of (images, reconstructions), float32 [b, H, W, C] each; images are in [-1, 1],
        reconstructions are clipped to it.
      distances: further functions of two such batches, each returning [b], by the name of the mean.

    Returns:
      "psnr"; "ssim" for images of at least 7 pixels on each side; and the names of `distances`.
    """
    found: dict[str, list[np.ndarray]] = {}
    for images, reconstructions in pairs:
        clipped = np.clip(reconstructions, -1, 1)
        found.setdefault("psnr", []).append(psnr(images, clipped))
        if min(images.shape[1:3]) >= UNIFORM_WINDOW:
            found.setdefault("ssim", []).append(ssim(images, clipped))
        for name, distance in (distances or {}).items():
            found.setdefault(name, []).append(distance(images, clipped))
    return {name: float(np.concatenate(values).mean()) for name, values in found.items()}


def _window(shape: tuple[int, ...]) -> int:
    height, width = shape[-3:-1]
    if min(height, width) < UNIFORM_WINDOW:
        raise UserError(
            f"images are {height}x{width}; SSIM needs sides of at least {UNIFORM_WINDOW} pixels"
        )
    return GAUSSIAN_WINDOW if min(height, width) >= GAUSSIAN_WINDOW else UNIFORM_WINDOW


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise UserError(f"images are {list(a.shape)} and {list(b.shape)}; equal shapes are needed")
    for images in (a, b):
        if images.ndim != 4 or not np.issubdtype(images.dtype, np.floating):
            raise UserError(
                f"images are {images.dtype} {list(images.shape)}; floats [N, H, W, C] in [-1, 1] "
                "are needed"
            )
        if not np.isfinite(images).all():
            raise UserError("images have NaN or infinite pixels; finite floats are needed")
