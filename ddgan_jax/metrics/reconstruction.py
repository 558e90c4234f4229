"""How close are reconstructed images: PSNR and SSIM, as scikit-image computes them.

Images are floats [N, H, W, C] in [-1, 1], so the data range is 2. Results are per image; reports
give their mean.
"""

import numpy as np
from skimage import metrics

from ddgan_jax.core.errors import UserError

DATA_RANGE = 2.0
SIGMA, GAUSSIAN_WINDOW = 1.5, 11  # a window of 11 is what scikit-image makes of this sigma
UNIFORM_WINDOW = 7


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio, 10 log10(2^2 / mean((a - b)^2)) decibels, float64 [N].

    It is infinite for equal images, and so is then the mean over a set.

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
    """Structural similarity, at most 1, the mean over pixels and channels: float64 [N].

    Windows are those of Wang et al. 2004, "Image quality assessment": Gaussian weights of sigma
    1.5, 11 pixels wide. Where the smaller side of the images is under 11 pixels the window is
    uniform and 7 wide; such numbers compare with each other only, and `ssim_protocol` says which
    was used. In both, covariances are divided by the number of weights (not by one less),
    K1 = 0.01 and K2 = 0.03.

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
    """In words, how `ssim` treats images of shape (..., H, W, C).

    Raises:
      UserError: a side is under 7.
    """
    if _window(shape) == GAUSSIAN_WINDOW:
        return f"Gaussian window, sigma {SIGMA}, {GAUSSIAN_WINDOW} wide, data range {DATA_RANGE:g}"
    return f"uniform window, {UNIFORM_WINDOW} wide, data range {DATA_RANGE:g}"


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
