"""Statistics of images that the fingerprints of all tasks contain: sizes, types and intensities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64, Num, UInt8

from pixelwise.sampling.normalise import mean_and_std, percentiles_of

_MANY, _MAX_STEP = 256, 4  # images per row that is left out
_EXACT = 256  # squares of bytes whose sum is exact in float32


@dataclass(frozen=True, kw_only=True)
class ImageSetStatistics:
    """Measurements over the training images; plain values, so that `asdict` is JSON.

    Attributes
    ----------
    cases, channels : int
        Training images, channels of each.
    dtype : str
        Of the files, such as "uint8"; several are joined by ", ".
    heights, widths : (int, int, int)
        Smallest, median, largest.
    intensity_mean, intensity_std : tuple of float
        Per channel, over the pixels of all images; every image counts the same.
    intensity_range : tuple of (float, float)
        Percentiles 0.5 and 99.5 per channel, from equally many pixels of every image.
    """

    cases: int
    channels: int
    dtype: str
    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    intensity_mean: tuple[float, ...]
    intensity_std: tuple[float, ...]
    intensity_range: tuple[tuple[float, float], ...]


class ImageStatistics(NamedTuple):
    """Statistics of one image: (height, width), type of the file, intensities, and sampled values per channel."""

    size: tuple[int, int]
    dtype: str
    mean: Float64[np.ndarray, " channels"]
    std: Float64[np.ndarray, " channels"]
    values: Float32[np.ndarray, "channels sampled"]


def row_step(images: int) -> int:
    """Return how far the rows are apart from which the intensities of each of so many images are measured.

    In a set of many images the rows between say nothing more about the set.

    >>> row_step(100), row_step(300), row_step(5000)
    (1, 2, 4)
    """
    return min(_MAX_STEP, 1 + images // _MANY)


def measure_image(
    pixels: Num[np.ndarray, "channels height width"], dtype: str, sampled: int, step: int = 1
) -> ImageStatistics:
    """Measure an image.

    Parameters
    ----------
    pixels : (channels, height, width)
    dtype : str
        Type of its file.
    sampled : int
        Number of random positions, drawn with replacement, whose values are kept; equal for images of equal size.
    step : int
        Mean and standard deviation are those of each `step`-th row.
    """
    some = pixels[:, (min(step, pixels.shape[1]) - 1) // 2 :: step]
    mean, std = _mean_and_std_of_bytes(some) if pixels.dtype == np.uint8 else mean_and_std(some)
    rows, columns = _positions(pixels.shape[1], pixels.shape[2], sampled)
    values = pixels[:, rows, columns].astype(np.float32)
    return ImageStatistics((pixels.shape[1], pixels.shape[2]), dtype, mean, std, values)


@lru_cache(maxsize=8)
def _positions(height: int, width: int, sampled: int) -> tuple[Int64[np.ndarray, " sampled"], ...]:
    rng = np.random.Generator(np.random.Philox(key=0))
    return tuple(rng.integers(0, side, sampled) for side in (height, width))


def _mean_and_std_of_bytes(
    pixels: UInt8[np.ndarray, "channels height width"],
) -> tuple[Float64[np.ndarray, " channels"], Float64[np.ndarray, " channels"]]:
    """Return `mean_and_std` from sums that are exact, in a fraction of the time."""
    total, channels = max(1, pixels[0].size), len(pixels)
    if np.moveaxis(pixels, 0, -1)[0].flags.c_contiguous:
        rows = np.moveaxis(pixels, 0, -1)
        columns = _sums_of_bytes(rows.reshape(len(rows), -1))
        sums = [each.reshape(-1, channels).sum(0).tolist() for each in columns]
    else:
        each = [_sums_of_bytes(channel) for channel in pixels]
        sums = [[int(columns[k].sum()) for columns in each] for k in (0, 1)]
    mean = np.array([first / total for first in sums[0]])
    return mean, np.sqrt([(total * second - first**2) / total**2 for first, second in zip(*sums, strict=True)])


def _sums_of_bytes(
    rows: UInt8[np.ndarray, "rows columns"],
) -> tuple[Int64[np.ndarray, " columns"], Int64[np.ndarray, " columns"]]:
    """Return the sum of each column, and that of its squares: up to 256 of them are whole numbers in float32."""
    sums, squares = (np.zeros(rows.shape[1], np.int64) for _ in (0, 1))
    for top in range(0, len(rows), _EXACT):
        values = rows[top : top + _EXACT].astype(np.float32)
        sums += np.einsum("ij->j", values).astype(np.int64)
        squares += np.einsum("ij,ij->j", values, values).astype(np.int64)
    return sums, squares


def summarise_images(statistics: Sequence[ImageStatistics]) -> dict[str, Any]:
    """Return the fields of `ImageSetStatistics` that follow from those of each image.

    Examples
    --------
    >>> images = [measure_image(np.full((1, 4, side), side), "uint8", 10) for side in (4, 8)]
    >>> fields = summarise_images(images)
    >>> fields["widths"], fields["intensity_mean"], fields["intensity_std"]
    ((4, 6, 8), (6.0,), (2.0,))
    """
    means, stds = np.array([image.mean for image in statistics]), np.array([image.std for image in statistics])
    mean = means.mean(0)
    low, high = percentiles_of(np.concatenate([image.values for image in statistics], 1), (0.5, 99.5))
    return {
        "dtype": ", ".join(sorted({image.dtype for image in statistics})),
        "heights": low_middle_high([image.size[0] for image in statistics]),
        "widths": low_middle_high([image.size[1] for image in statistics]),
        "intensity_mean": tuple(mean.tolist()),
        # of all images together: variance within images and between them
        "intensity_std": tuple(np.sqrt((stds**2 + (means - mean) ** 2).mean(0)).tolist()),
        "intensity_range": tuple(zip(low.tolist(), high.tolist(), strict=True)),
    }


def low_middle_high(values: Sequence[int]) -> tuple[int, int, int]:
    """Return the smallest value, the median rounded down, and the largest.

    Examples
    --------
    >>> low_middle_high([3, 1, 2, 9])
    (1, 2, 9)
    """
    return min(values), int(np.median(values)), max(values)
