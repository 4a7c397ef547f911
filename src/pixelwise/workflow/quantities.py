"""Counts and sizes of the classes of an image with their intervals, shared by `predict`, `evaluate` and training.

A size is an area in pixels, or a volume in voxels. Voxels are counted in those of the model, to which volumes are
resampled, so that the sizes of all volumes can be compared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer

from pixelwise.datasets.records import has_background
from pixelwise.labels.quantities import StripCounter, count_class_regions, count_objects
from pixelwise.labels.targets import IGNORE
from pixelwise.metrics.quantity_intervals import Interval, image_interval, large_interval
from pixelwise.model_file.model_card import ModelCard

KINDS = ("objects", "size")
MIN_LABELLED = 0.9  # of the pixels of an image: with fewer labels its true counts are unknown


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A count or a size with the interval of its true value; None if too few validation images determine it."""

    value: float
    interval: Interval | None = None

    @property
    def whole(self) -> tuple[int, int] | None:
        """The whole numbers inside the interval; the predicted one is always one of them."""
        if self.interval is None:
            return None
        low, high = math.ceil(self.interval.low - 1e-6), math.floor(self.interval.high + 1e-6)
        return min(low, math.floor(self.value)), max(high, math.ceil(self.value))


@dataclass(frozen=True, kw_only=True)
class ClassEstimate:
    """The objects and the size of a class in one image."""

    name: str
    objects: Estimate
    size: Estimate


def counted_names(model_card: ModelCard) -> tuple[str, ...]:
    """Return the names of the classes that are counted: all but the background; objects are one class."""
    if model_card.task == "instance":
        return model_card.classes[-1:]
    return model_card.classes[model_card.first_class :]


def count_quantities(labels: Integer[np.ndarray, "*size"], model_card: ModelCard) -> Int64[np.ndarray, "classes 2"]:
    """Return the number of objects and of pixels of each counted class in a mask or a label image."""
    if model_card.task == "instance":
        return count_objects(labels)
    if model_card.target.kind != "classes":
        labels = (labels > 0).astype(np.uint8)  # a semantic mask with an object target
    classes = len(model_card.classes)
    return count_class_regions(labels, range(classes - len(counted_names(model_card)), classes))


class QuantityCounter:
    """`count_quantities` of a mask or a label image that is passed in strips, from the first to the last.

    Objects must be numbered without gaps.
    """

    def __init__(self, model_card: ModelCard) -> None:
        self._objects = model_card.task == "instance"
        self._merged = model_card.target.kind != "classes"
        classes = len(model_card.classes)
        self._counter = StripCounter(range(classes - len(counted_names(model_card)), classes))
        self._count = self._pixels = 0

    def add(self, strip: Integer[np.ndarray, " rows *row"]) -> None:
        """Count the next strip of rows or planes."""
        if self._objects:
            self._count = max(self._count, int(strip.max(initial=0)))
            self._pixels += int(np.count_nonzero(strip > 0))
        else:
            self._counter.add((strip > 0).astype(np.uint8) if self._merged else strip)

    def counts(self) -> Int64[np.ndarray, "classes 2"]:
        """Return the number of objects and of pixels of each counted class so far."""
        return np.array([(self._count, self._pixels)], np.int64) if self._objects else self._counter.counts()


def pair_quantities(
    truth: Integer[np.ndarray, "*size"], labels: Integer[np.ndarray, "*size"], model_card: ModelCard, ratio: float = 1.0
) -> Float64[np.ndarray, "classes 2 2"] | None:
    """Return the pairs (predicted, true) of objects and sizes of each counted class.

    Parameters
    ----------
    truth : integer array
        Classes, or objects for the task "instance"; ignored pixels count neither here nor there.
    labels : integer array of the same shape
        The prediction.
    ratio : float
        Size of a pixel in those of the model; see `size_ratio`.

    Returns
    -------
    float64 array (classes, 2, 2) or None
        None if less than `MIN_LABELLED` of the pixels is labelled.
    """
    ignored = truth < 0 if model_card.task == "instance" else truth == IGNORE
    if np.count_nonzero(ignored) > (1 - MIN_LABELLED) * truth.size:
        return None
    hidden = 0 if has_background(model_card.task, model_card.classes) or model_card.task == "instance" else IGNORE
    counts = [count_quantities(np.where(ignored, hidden, mask), model_card) for mask in (labels, truth)]
    return np.stack(counts, axis=2) * np.array([1.0, ratio])[:, None]


def size_ratio(spacing: Sequence[float] | None, model_card: ModelCard) -> float:
    """Return the size of a voxel of a volume in voxels of the model; 1 for images, and if either is unknown.

    Parameters
    ----------
    spacing : sequence of float, or None
        Of the volume, in millimetres.
    """
    if spacing is None or model_card.spacing is None or model_card.network.dimensions != 3:
        return 1.0
    return math.prod(spacing) / math.prod(model_card.spacing)


def estimate_quantities(
    counts: Int64[np.ndarray, "classes 2"],
    names: Sequence[str],
    pairs: Float64[np.ndarray, "images classes 2 2"],
    ratio: float = 1.0,
    *,
    large: bool = False,
) -> list[ClassEstimate]:
    """Return counts and sizes with their intervals.

    Parameters
    ----------
    counts : int64 array (classes, 2)
        Of `count_quantities`.
    names : sequence of str
        Of the classes.
    pairs : float64 array (images, classes, 2, 2)
        Of held-out images; see `QuantityRecord.pairs`.
    ratio : float
        Size of a pixel in those of the model.
    large : bool
        The image is many times as large as the held-out ones.
    """
    interval_of = large_interval if large else image_interval
    rows: list[ClassEstimate] = []
    for index, (name, (objects, size)) in enumerate(zip(names, counts.astype(np.float64).tolist(), strict=True)):
        found = interval_of(size * ratio, pairs[:, index, 1])
        interval = None if found is None else Interval(found.low / ratio, found.high / ratio, found.level)
        rows.append(
            ClassEstimate(
                name=name,
                objects=Estimate(value=objects, interval=interval_of(objects, pairs[:, index, 0])),
                size=Estimate(value=size, interval=interval),
            )
        )
    return rows
