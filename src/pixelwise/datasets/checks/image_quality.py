"""Find saturated, blank and out-of-focus images, by comparison with the other images of the set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

_SATURATED = 0.25  # least fraction of pixels with the largest value
_CONTRAST = 0.02  # range of a blank image, as a fraction of the usual range
_FLAT = 1e-6
_UNSHARP = 6.0  # how much less sharp than usual: a factor,
_SPREADS = 6.0  # and robust standard deviations
_MANY = 8  # images that make a comparison possible


@dataclass(frozen=True, kw_only=True)
class ImageQuality:
    """Measures of one image.

    Attributes
    ----------
    saturated : float
        Fraction of pixels with the largest value in all channels: of the type for 8 and 16 bits, else of the image.
    contrast : float
        The difference of the percentiles 99 and 1.
    sharpness : float
        Mean square of the second differences, divided by the variance.
    """

    saturated: float
    contrast: float
    sharpness: float


def measure_quality(pixels: Num[np.ndarray, "channels height width"]) -> ImageQuality:
    """Measure one image.

    Examples
    --------
    >>> checks = np.indices((8, 8)).sum(0)[None] % 2 * 255
    >>> measure_quality(checks.astype(np.uint8)).saturated
    0.5
    """
    kind = pixels.dtype
    top = np.iinfo(kind).max if str(kind) in ("uint8", "uint16") else pixels.max(initial=0)
    gray = pixels[:3].mean(0, dtype=np.float32)
    low, high = np.percentile(gray[:: max(1, len(gray) // 256)], (1, 99))
    rows = np.diff(gray, 2, axis=0) if len(gray) > 2 else np.zeros(1, np.float32)
    columns = np.diff(gray, 2, axis=1) if gray.shape[1] > 2 else np.zeros(1, np.float32)
    variance = float(gray.var())
    energy = float((rows**2).mean() + (columns**2).mean())
    return ImageQuality(
        saturated=float((pixels == top).all(0).mean()) if pixels.max(initial=0) > pixels.min(initial=top) else 0.0,
        contrast=float(high - low),
        sharpness=energy / variance if variance > _FLAT else 0.0,
    )


def judge_quality(measures: Sequence[ImageQuality]) -> list[tuple[int, str, str, float]]:
    """Return (index, kind, text, confidence) of the images that stand out from the set.

    Parameters
    ----------
    measures : sequence of ImageQuality
        Of all images of the set; sharpness is compared only in sets of at least 8.
    """
    found: list[tuple[int, str, str, float]] = []
    contrast = np.array([one.contrast for one in measures])
    usual = float(np.median(contrast)) if len(measures) else 0.0
    saturated = np.array([one.saturated for one in measures])
    white, spread = _middle_and_spread(saturated)
    for index, one in enumerate(measures):
        if one.contrast <= _CONTRAST * usual:
            found.append(
                (index, "blank image", f"its values differ by {one.contrast:.3g}, usually by {usual:.3g}", 0.9)
            )
        elif one.saturated >= _SATURATED and one.saturated > white + _SPREADS * max(spread, 0.02):
            text = f"{one.saturated:.0%} of its pixels have the largest value, usually {white:.0%}"
            found.append((index, "saturated image", text, min(1.0, 0.5 + one.saturated)))
    blank = {index for index, *_ in found}
    sharp = np.log([max(one.sharpness, _FLAT) for one in measures])
    middle, spread = _middle_and_spread(sharp)
    for index, value in enumerate(sharp.tolist()):
        below = middle - value
        if len(measures) >= _MANY and index not in blank and below > max(np.log(_UNSHARP), _SPREADS * spread):
            text = f"its fine structure has 1/{np.exp(below):.0f} of the usual strength"
            found.append((index, "out-of-focus image", text, float(min(1.0, below / np.log(_UNSHARP) / 2))))
    return found


def _middle_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Return the median and the robust standard deviation."""
    if not len(values):
        return 0.0, 0.0
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
