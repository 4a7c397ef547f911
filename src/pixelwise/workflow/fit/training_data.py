"""Material: the images and targets of a training, read into memory once.

Pixels keep their own type (an 8-bit image stays 8-bit); each image carries the scale that normalises it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pixelwise.datasets.dataset import Case, Dataset, read_labels, read_pixels
from pixelwise.errors import BadDataset
from pixelwise.labels.targets import TargetOptions, border_weights, edge_distance, encode, target_objects
from pixelwise.parallel import cores
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale
from pixelwise.sampling.progressive_resizing import halve_image, halve_target
from pixelwise.training.losses import LossOptions


@dataclass(frozen=True)
class TrainingImage:
    """One case in memory: pixels (channels, height, width), target class map (height, width) uint8.

    `weights` (height, width) float16 is the border term of the loss, `distances` (height, width) float16 how deep each
    pixel lies in its object, where the target asks for them.
    """

    name: str
    pixels: np.ndarray
    target: np.ndarray
    scale: Scale
    weights: np.ndarray | None = None
    distances: np.ndarray | None = None


def read_training_images(
    dataset: Dataset,
    cases: Sequence[Case],
    normalisation: Normalisation,
    target: TargetOptions,
    pages: int | None,
    progress: Progress,
    loss: LossOptions | None = None,
) -> list[TrainingImage]:
    """Read `cases`, in order, with the weight map that `loss` asks for.

    Decoding runs in threads, because image libraries release Python's lock.
    """

    def read(case: Case) -> TrainingImage:
        return _read_piece(case, dataset, normalisation, target, pages, loss or LossOptions())

    with ThreadPoolExecutor(cores()) as pool:
        return list(progress.track(pool.map(read, cases), "reading", len(cases)))


def count_classes(targets: Sequence[np.ndarray], classes: int) -> list[int]:
    """Count the pixels of each class over all targets; ignored pixels count nowhere."""
    total = np.zeros(256, np.int64)
    for target in targets:
        total += np.bincount(target.ravel(), minlength=256)
    return total[:classes].tolist()


def halve(piece: TrainingImage, counts: Sequence[int]) -> TrainingImage:
    """Return a piece at half the resolution, on the same scale; `counts` are the pixels of each class in the set."""
    maps = (None if values is None else halve_image(values[None])[0] for values in (piece.weights, piece.distances))
    weights, distances = maps
    target = halve_target(piece.target, counts)
    return TrainingImage(piece.name, halve_image(piece.pixels), target, piece.scale, weights, distances)


def _read_piece(
    case: Case,
    dataset: Dataset,
    normalisation: Normalisation,
    target: TargetOptions,
    pages: int | None,
    loss: LossOptions,
) -> TrainingImage:
    pixels = read_pixels(case.image, dataset.channels, pages).pixels
    if case.mask is None:
        raise BadDataset("a mask", "none", "Add it, or leave the image aside with --allow-missing.", case.image)
    labels = read_labels(case.mask, dataset.labelling)
    wanted = encode(labels, target)
    weights: np.ndarray | None = None
    if loss.border_weight:
        objects = target_objects(labels, wanted, target)
        weights = border_weights(objects, loss.border_weight, loss.border_sigma).astype(np.float16)
    distances = edge_distance(labels) if target.kind == "distance" else None
    return TrainingImage(case.name, pixels, wanted, intensity_scale(pixels, normalisation), weights, distances)
