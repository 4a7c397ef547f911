"""Training data: images and targets in memory.

Pixels keep their dtype (an 8-bit image stays 8-bit); each image has the scale that normalises it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.inference.spacing_change import find_spacing_change
from pixelwise.labels.targets import TargetOptions, border_weights, edge_distance, encode, target_objects
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import Normalisation, Scale, intensity_scale
from pixelwise.sampling.progressive_resizing import halve_image, halve_target
from pixelwise.sampling.resample import resample_labels
from pixelwise.training.losses import LossOptions


@dataclass(frozen=True)
class TrainingImage:
    """One case in memory: pixels (channels, *size), target class map (*size) uint8.

    `weights` (*size) float16 is the border weight map of the loss, `distances` (*size) float16 the distance target;
    None if not used.
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
    spacing: tuple[float, ...] = (),
) -> list[TrainingImage]:
    """Read `cases`, in order, with the weight map for `loss`; volumes are resampled to `spacing`, if it is given.

    Decoding runs in threads, because image libraries release the global interpreter lock.
    """

    def read(case: Case) -> TrainingImage:
        pixels, labels = read_resampled(dataset, case, spacing)
        return _prepare(case.name, pixels, labels, normalisation, target, loss or LossOptions())

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


def read_resampled(
    dataset: Dataset, case: Case, spacing: Sequence[float]
) -> tuple[np.ndarray, Integer[np.ndarray, "*size"]]:
    """Read pixels and labels of a case, resampled to `spacing` in millimetres as in prediction; empty: as they are."""
    pixels, labels = dataset.read_labelled(case)
    grid = dataset.read_grid(case) if spacing else None
    change = None if grid is None else find_spacing_change(labels.shape, grid.millimetres, spacing)
    if change is None:
        return pixels, labels
    return change.to_model(pixels), resample_labels(labels, change.model_size, change.coarse)


def _prepare(
    name: str,
    pixels: np.ndarray,
    labels: Integer[np.ndarray, "*size"],
    normalisation: Normalisation,
    target: TargetOptions,
    loss: LossOptions,
) -> TrainingImage:
    encoded = encode(labels, target)
    weights: np.ndarray | None = None
    if loss.border_weight:
        objects = target_objects(labels, encoded, target)
        weights = border_weights(objects, loss.border_weight, loss.border_sigma).astype(np.float16)
    distances = edge_distance(labels) if target.kind == "distance" else None
    return TrainingImage(name, pixels, encoded, intensity_scale(pixels, normalisation), weights, distances)
