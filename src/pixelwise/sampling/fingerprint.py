"""Fingerprint of a segmentation data set: statistics from which a training is planned, as in nnU-Net."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int32, Int64

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.masks.mapping import ignore_missing, labels_of
from pixelwise.datasets.masks.measure import unpack
from pixelwise.datasets.observing import CaseObserver, ObservedCase
from pixelwise.datasets.splitting.subsets import evenly_spaced, spread_order
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.read import Image, probe
from pixelwise.labels.label_image import touching_share
from pixelwise.labels.run_components import find_components
from pixelwise.labels.targets import IGNORE
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.sampling.image_statistics import (
    ImageSetStatistics,
    ImageStatistics,
    low_middle_high,
    measure_image,
    row_step,
    summarise_images,
)

SAMPLED_PIXELS = 2_000_000  # pixels per channel for percentiles, equally many from each image
DETAILED = 40  # cases on which structures are measured, evenly spaced
DETAILED_PIXELS = 5_000_000  # of these cases; their structures are so many that fewer cases are enough
LEAST_DETAILED = 12
CASES_PER_CHECK = 16  # cases between two checks of the time
SPACING_TOLERANCE = 0.01  # relative difference up to which pixel sizes are equal
ORIENTED_MASKS = 64  # masks on which the orientation is measured
_TABLE = 1 << 20  # smaller labels are counted by a table
Statistics = TypeVar("Statistics")


@dataclass(frozen=True, kw_only=True)
class Fingerprint(ImageSetStatistics):
    """Measurements over the training images and masks.

    Attributes
    ----------
    pixels : int
        Of all images.
    class_shares : tuple of float
        Fraction of each class among pixels that are not ignored; background and objects for instances.
    class_cases : tuple of int
        Number of images that contain each class.
    empty_share : float
        Fraction of images without foreground.
    ignored_share : float
        Fraction of ignored pixels.
    objects_per_case : (int, int, int)
        Smallest, median, largest; objects for instances, connected regions of one class otherwise.
    object_diameter : (float, float, float)
        Percentiles 5, 50 and 95 of the diameter of a disk of equal area, in pixels. 0 without objects.
    touching_share : float
        Fraction of objects with a neighbour at most 2 pixels away; 0 unless the task is instances.
    spacing : (float, float) or None
        Micrometres per pixel, (y, x), if all files agree within 1 %.
    """

    pixels: int
    class_shares: tuple[float, ...]
    class_cases: tuple[int, ...]
    empty_share: float
    ignored_share: float
    objects_per_case: tuple[int, int, int]
    object_diameter: tuple[float, float, float]
    touching_share: float
    spacing: tuple[float, float] | None = None


class CaseStatistics(NamedTuple):
    """Statistics of one case; `areas` are known of the objects of instances only."""

    image: ImageStatistics
    spacing: tuple[float, float] | None
    counts: Int64[np.ndarray, " classes"]
    ignored: int
    areas: Int64[np.ndarray, " objects"] | None


class _Structure(NamedTuple):
    """Statistics of one case that are expensive: some cases are enough."""

    areas: Int64[np.ndarray, " objects"]
    touching: float


def measure_fingerprint(
    dataset: Dataset,
    progress: Progress | None = None,
    seconds: float | None = None,
    observer: CaseObserver[Any] | None = None,
) -> Fingerprint:
    """Measure the annotated training cases, in threads if there are many.

    Parameters
    ----------
    seconds : float, optional
        Time limit after which no more cases are measured. Measured cases are then spread over the data set, and counts
        are estimates.
    observer : CaseObserver, optional
        Its results of `observe_case` are used instead of reading these cases again.

    Raises
    ------
    BadDataset
        No training case has an annotation.
    BadImage
        A file cannot be read.

    Notes
    -----
    Means and standard deviations of intensities are those of every second to fourth row in sets of at least 256 images.
    Connected regions of classes and touching objects are measured on at most `DETAILED` evenly spaced cases, of large
    images on fewer.
    """
    cases = [case for case in dataset.splits["train"] if case.annotation is not None]
    if not cases:
        raise BadDataset("training images with masks", "none", "Add masks for the images.")
    known: dict[str, CaseStatistics] = {} if observer is None else observer.results(dataset)
    total = len(cases) if observer is None else observer.total
    detailed = {case.name for case in evenly_spaced(cases, _count_detailed(dataset, cases[0]))}

    def measure(case: Case) -> tuple[CaseStatistics, _Structure | None]:
        found = known.get(case.name)
        if found is not None and case.name not in detailed:
            return found, None
        image = dataset.read_image(case)
        labels = ignore_missing(dataset.read_labels(case), image.pixels, dataset.task)
        if found is None:
            found = _summarise_case(dataset, image, total, *_count_labels(labels))
        return found, _measure_structure(dataset, labels) if case.name in detailed else None

    order = spread_order(cases) if seconds is not None else cases
    statistics = measure_cases(measure, order, seconds, progress or Progress())
    structures = [structure for _, structure in statistics if structure is not None]
    measured = _summarise([each for each, _ in statistics], structures, dataset.channels)
    return _extrapolate(measured, len(cases))


def _count_detailed(dataset: Dataset, case: Case) -> int:
    """Return on how many cases structures are measured, from the header of one of them."""
    try:
        info = probe(case.image, dataset.reading.exif)
    except BadImage:  # reported where it is read
        return DETAILED
    return max(LEAST_DETAILED, min(DETAILED, DETAILED_PIXELS // max(1, info.height * info.width)))


def measure_cases(
    measure: Callable[[Case], Statistics],
    cases: Sequence[Case],
    seconds: float | None,
    progress: Progress,
    per_check: int = CASES_PER_CHECK,
) -> list[Statistics]:
    """Measure the cases that fit into `seconds`, in threads; the time is looked at after `per_check` cases."""
    statistics: list[Statistics] = []
    began = time.monotonic()
    with progress.bar("measuring", len(cases)) as advance:
        for first in range(0, len(cases), per_check):
            if statistics and seconds is not None and time.monotonic() - began > seconds:
                break
            statistics += parallel_map(measure, cases[first : first + per_check])
            advance(len(statistics) - first, "")
    return statistics


def measure_orientation(dataset: Dataset) -> float:
    """Measure on some training masks how much the images have an up direction.

    Returns
    -------
    float
        Total variation distance between the class distributions of the upper and lower thirds of the masks: 0 if they
        are equal, 1 if no class occurs in both. Objects count as one class.
    """
    cases = [case for case in dataset.splits["train"] if case.annotation is not None]
    above, below = np.zeros(256), np.zeros(256)
    for case in cases[:: max(1, len(cases) // ORIENTED_MASKS)]:
        labels = dataset.read_labels(case)
        if dataset.labelling.task == "instance":
            labels = (labels > 0).astype(np.int32)
        third = max(1, labels.shape[0] // 3)
        above += np.bincount(labels[:third].ravel(), minlength=256)[:256]
        below += np.bincount(labels[-third:].ravel(), minlength=256)[:256]
    above[IGNORE] = below[IGNORE] = 0
    if above.sum() == 0 or below.sum() == 0:
        return 0.0
    return float(np.abs(above / above.sum() - below / below.sum()).sum() / 2)


def _extrapolate(measured: Fingerprint, cases: int) -> Fingerprint:
    """Extrapolate a fingerprint from the measured cases to all."""
    if measured.cases == cases:
        return measured
    times = cases / measured.cases
    counts = tuple(round(count * times) for count in measured.class_cases)
    return replace(measured, cases=cases, pixels=round(measured.pixels * times), class_cases=counts)


def observe_case(case: ObservedCase) -> CaseStatistics:
    """Measure a case, for a `CaseObserver`: if the values of its mask decide, without a look at each of its pixels."""
    values, mask, pixels = case.decoded.values, case.decoded.measured, case.image.pixels
    missing = pixels.dtype.kind == "f" and bool(np.isnan(pixels).any())
    labelling = case.dataset.labelling
    if values is None or mask is None or missing or values.ignored is not None or labelling.alpha:
        labels, counts = _count_labels(case.labels())
    else:
        numbers = np.array(mask.values, np.int64)[None]
        each = replace(values.mask, values=unpack(numbers).astype(np.uint8) if mask.coloured else numbers)
        labels, counts = labels_of(each, labelling, None)[0], np.array(mask.counts)
    return _summarise_case(case.dataset, case.image, case.total, labels, counts)


def _count_labels(
    labels: Int32[np.ndarray, "height width"],
) -> tuple[Int32[np.ndarray, " values"], Int64[np.ndarray, " values"]]:
    """Return the labels that occur, and the pixels of each."""
    if int(labels.max(initial=0)) >= _TABLE:
        return np.unique(labels, return_counts=True)
    counts = np.bincount(labels.ravel() + 1)  # -1 is the lowest label
    present = np.flatnonzero(counts)
    return (present - 1).astype(np.int32), counts[present]


def _summarise_case(
    dataset: Dataset,
    image: Image,
    total: int,
    labels: Int32[np.ndarray, " values"],
    counts: Int64[np.ndarray, " values"],
) -> CaseStatistics:
    """Return the statistics of a case of `total`, from the labels that occur and their pixels."""
    instances = dataset.task == "instance"
    ignored = labels < 0 if instances else labels == IGNORE
    classes = 2 if instances else len(dataset.classes)
    index = np.minimum(labels[~ignored], classes - 1)
    return CaseStatistics(
        image=measure_image(
            image.pixels, image.dtype, max(100, min(20_000, SAMPLED_PIXELS // max(total, 1))), row_step(total)
        ),
        spacing=image.spacing,
        counts=np.bincount(index, counts[~ignored], minlength=classes).astype(np.int64),
        ignored=int(counts[ignored].sum()),
        areas=counts[labels > 0] if instances else None,
    )


def _measure_structure(dataset: Dataset, labels: Int32[np.ndarray, "height width"]) -> _Structure:
    instances = dataset.task == "instance"
    labels = np.where(labels < 0 if instances else labels == IGNORE, 0, labels)
    if instances:
        areas = np.bincount(labels.ravel())[1:]
        return _Structure(areas[areas > 0], touching_share(labels))
    return _Structure(find_components(labels).area, 0.0)


def _summarise(statistics: Sequence[CaseStatistics], structures: Sequence[_Structure], channels: int) -> Fingerprint:
    counts = np.array([case.counts for case in statistics])
    known = [case.areas for case in statistics if case.areas is not None] or [case.areas for case in structures]
    areas = np.concatenate(known)
    diameters = np.percentile(np.sqrt(areas * 4.0 / np.pi), (5, 50, 95)) if areas.size else np.zeros(3)
    touching = sum(case.touching * case.areas.size for case in structures)
    pixels = sum(case.image.size[0] * case.image.size[1] for case in statistics)
    return Fingerprint(
        cases=len(statistics),
        channels=channels,
        pixels=pixels,
        **summarise_images([case.image for case in statistics]),
        class_shares=tuple((counts.sum(0) / max(1, counts.sum())).tolist()),
        class_cases=tuple(np.count_nonzero(counts, axis=0).tolist()),
        empty_share=float(np.mean(counts[:, 1:].sum(1) == 0)),
        ignored_share=sum(case.ignored for case in statistics) / pixels,
        objects_per_case=low_middle_high([each.size for each in known]),
        object_diameter=(float(diameters[0]), float(diameters[1]), float(diameters[2])),
        touching_share=float(touching / max(1, sum(case.areas.size for case in structures))),
        spacing=_common_spacing([case.spacing for case in statistics]),
    )


def _common_spacing(statistics: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    """Return the spacing on which all files agree, or None if one differs or lacks it."""
    known = [spacing for spacing in statistics if spacing is not None]
    if not known or len(known) < len(statistics):
        return None
    low, high = np.min(known, axis=0), np.max(known, axis=0)
    return None if (high > (1 + SPACING_TOLERANCE) * low).any() else known[0]
