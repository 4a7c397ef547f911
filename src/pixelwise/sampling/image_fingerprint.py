"""Fingerprint of a classification data set: statistics from which a training is planned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.errors import BadDataset
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import mean_and_std, percentiles_of
from pixelwise.sampling.resize_crop import to_8_bit_range

MAX_MEASURED = 2000  # images that are measured, evenly spaced: more do not change the means
PIXELS_PER_IMAGE = 500  # pixels of each image for percentiles


@dataclass(frozen=True, kw_only=True)
class ClassificationFingerprint:
    """Measurements over the training images; plain values, so that `asdict` is JSON.

    Attributes
    ----------
    cases, measured, channels : int
        Training images, how many of them were measured, channels of each.
    dtype : str
        Of the files, such as "uint8"; several are joined by ", ".
    heights, widths : (int, int, int)
        Smallest, median, largest.
    intensity_mean, intensity_std : tuple of float
        Per channel, in file values (16-bit ones on the scale of 8), over the pixels of all images with equal weight per
        image.
    intensity_range : tuple of (float, float)
        Percentiles 0.5 and 99.5 per channel.
    class_cases : tuple of int
        Training images of each class.
    class_shares : tuple of float
    """

    cases: int
    measured: int
    channels: int
    dtype: str
    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    intensity_mean: tuple[float, ...]
    intensity_std: tuple[float, ...]
    intensity_range: tuple[tuple[float, float], ...]
    class_cases: tuple[int, ...]
    class_shares: tuple[float, ...]


class _ImageStatistics(NamedTuple):
    """Statistics of one image."""

    size: tuple[int, int]
    dtype: str
    mean: Float64[np.ndarray, " channels"]
    std: Float64[np.ndarray, " channels"]
    values: Float32[np.ndarray, "channels sampled"]


def measure_classification(dataset: Dataset, progress: Progress | None = None) -> ClassificationFingerprint:
    """Measure at most `MAX_MEASURED` training images, in threads.

    Raises
    ------
    BadDataset
        There are no images.
    BadImage
        A file cannot be read.
    """
    cases = dataset.splits["train"]
    if not cases:
        raise BadDataset("training images", "none", "Add images to the class folders.")
    count = min(MAX_MEASURED, len(cases))
    chosen = [cases[index * len(cases) // count] for index in range(count)]
    measure = partial(_measure, dataset=dataset)
    statistics = list((progress or Progress()).track(parallel_map(measure, chosen), "measuring", count))
    means, spread = np.array([image.mean for image in statistics]), np.array([image.std for image in statistics])
    mean = means.mean(0)
    low, high = percentiles_of(np.concatenate([image.values for image in statistics], 1), (0.5, 99.5))
    counts = Counter(case.class_index for case in cases)
    shares = [counts[index] for index in range(len(dataset.classes))]
    return ClassificationFingerprint(
        cases=len(cases),
        measured=count,
        channels=dataset.channels,
        dtype=", ".join(sorted({image.dtype for image in statistics})),
        heights=_low_middle_high([image.size[0] for image in statistics]),
        widths=_low_middle_high([image.size[1] for image in statistics]),
        intensity_mean=tuple(mean.tolist()),
        # of all images together: variance within images and between them
        intensity_std=tuple(np.sqrt((spread**2 + (means - mean) ** 2).mean(0)).tolist()),
        intensity_range=tuple(zip(low.tolist(), high.tolist(), strict=True)),
        class_cases=tuple(shares),
        class_shares=tuple(share / len(cases) for share in shares),
    )


def _measure(case: Case, *, dataset: Dataset) -> _ImageStatistics:
    stored = dataset.read_image(case).pixels
    pixels = to_8_bit_range(stored)
    mean, std = mean_and_std(pixels)
    rng = np.random.Generator(np.random.Philox(key=0))
    rows, columns = (rng.integers(0, side, PIXELS_PER_IMAGE) for side in pixels.shape[1:])
    values = pixels[:, rows, columns].astype(np.float32)
    return _ImageStatistics((pixels.shape[1], pixels.shape[2]), stored.dtype.name, mean, std, values)


def _low_middle_high(values: Sequence[int]) -> tuple[int, int, int]:
    return min(values), int(np.median(values)), max(values)
