"""Training data: images and targets in memory.

Pixels keep their dtype (an 8-bit image stays 8-bit); each image has the scale that normalises it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.labels.targets import TargetOptions, border_weights, edge_distance, encode, target_objects
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale
from pixelwise.sampling.progressive_resizing import halve_image, halve_target
from pixelwise.training.losses import LossOptions


@dataclass(frozen=True)
class TrainingImage:
    """One case in memory: pixels (channels, height, width), target class map (height, width) uint8.

    `weights` (height, width) float16 is the border weight map of the loss, `distances` (height, width) float16 the
    distance target; None if not used.
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
    progress: Progress,
    loss: LossOptions | None = None,
) -> list[TrainingImage]:
    """Read `cases`, in order, with the weight map for `loss`.

    Decoding runs in threads, because image libraries release the global interpreter lock.
    """

    def read(case: Case) -> TrainingImage:
        return _read_image(case, dataset, normalisation, target, loss or LossOptions())

    return list(progress.track(parallel_map(read, cases), "reading", len(cases)))


def count_classes(targets: Sequence[np.ndarray], classes: int) -> list[int]:
    """Return the number of pixels of each class over all targets, without ignored pixels."""
    total = np.zeros(256, np.int64)
    for target in targets:
        total += np.bincount(target.ravel(), minlength=256)
    return total[:classes].tolist()


def halve(image: TrainingImage, counts: Sequence[int]) -> TrainingImage:
    """Return an image at half the resolution, with the same scale; `counts` are the pixels per class in the data."""
    maps = (None if values is None else halve_image(values[None])[0] for values in (image.weights, image.distances))
    weights, distances = maps
    target = halve_target(image.target, counts)
    return TrainingImage(image.name, halve_image(image.pixels), target, image.scale, weights, distances)


def _read_image(
    case: Case,
    dataset: Dataset,
    normalisation: Normalisation,
    target: TargetOptions,
    loss: LossOptions,
) -> TrainingImage:
    pixels, labels = dataset.read_labelled(case)
    encoded = encode(labels, target)
    weights: np.ndarray | None = None
    if loss.border_weight:
        objects = target_objects(labels, encoded, target)
        weights = border_weights(objects, loss.border_weight, loss.border_sigma).astype(np.float16)
    distances = edge_distance(labels) if target.kind == "distance" else None
    return TrainingImage(case.name, pixels, encoded, intensity_scale(pixels, normalisation), weights, distances)
