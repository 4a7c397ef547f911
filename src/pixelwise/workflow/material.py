"""Material: the images and targets of a training, read into memory once.

Pixels keep their own type (an 8-bit image stays 8-bit); each image carries the scale that normalises it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pixelwise.errors import BadDataset
from pixelwise.images.cases import Case, Dataset, read_labels, read_pixels
from pixelwise.images.preprocess import Normalisation, Scale, intensity_scale
from pixelwise.labels.targets import IGNORE, TargetOptions, encode
from pixelwise.parallel import cores
from pixelwise.progress import Progress


@dataclass(frozen=True)
class Piece:
    """One case in memory: pixels (channels, height, width), target class map (height, width) uint8."""

    name: str
    pixels: np.ndarray
    target: np.ndarray
    scale: Scale


def read_material(
    dataset: Dataset,
    cases: Sequence[Case],
    normalisation: Normalisation,
    target: TargetOptions,
    pages: int | None,
    progress: Progress,
) -> list[Piece]:
    """Read `cases`, in order; decoding runs in threads, because image libraries release Python's lock."""

    def read(case: Case) -> Piece:
        return _read_piece(case, dataset, normalisation, target, pages)

    with ThreadPoolExecutor(cores()) as pool:
        return list(progress.track(pool.map(read, cases), "reading", len(cases)))


def measure_orientation(dataset: Dataset, most: int = 64) -> float:
    """Measure on at most `most` training masks whether the pictures have an up and a down.

    Returns
    -------
    float
        Total variation distance between the class shares of the upper and of the lower third of the masks:
        0 when classes lie everywhere alike, 1 when none occurs in both. Objects count as one class.
    """
    cases = dataset.part("train")
    above, below = np.zeros(256), np.zeros(256)
    for case in cases[:: max(1, len(cases) // most)]:
        if case.mask is None:
            continue
        labels = read_labels(case.mask, dataset.labelling)
        if dataset.labelling.task == "instance":
            labels = (labels > 0).astype(np.int32)
        third = max(1, labels.shape[0] // 3)
        above += np.bincount(labels[:third].ravel(), minlength=256)[:256]
        below += np.bincount(labels[-third:].ravel(), minlength=256)[:256]
    above[IGNORE] = below[IGNORE] = 0
    if above.sum() == 0 or below.sum() == 0:
        return 0.0
    return float(np.abs(above / above.sum() - below / below.sum()).sum() / 2)


def _read_piece(
    case: Case, dataset: Dataset, normalisation: Normalisation, target: TargetOptions, pages: int | None
) -> Piece:
    pixels = read_pixels(case.image, dataset.channels, pages).pixels
    if case.mask is None:
        raise BadDataset("a mask", "none", "Add it, or leave the image aside with --allow-missing.", case.image)
    labels = read_labels(case.mask, dataset.labelling)
    return Piece(case.name, pixels, encode(labels, target), intensity_scale(pixels, normalisation))
