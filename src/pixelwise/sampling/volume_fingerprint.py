"""Fingerprint of a data set of volumes: sizes, spacing, intensities and classes, from which a training is planned.

As in nnU-Net (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z, "dataset fingerprint"): intensities are those of the
foreground too, because the air around a patient says nothing about tissue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.masks.mapping import ignore_missing
from pixelwise.datasets.splitting.subsets import spread_order
from pixelwise.errors import BadDataset
from pixelwise.geometry.grid import millimetres_of
from pixelwise.labels.label_image import components, touching_share
from pixelwise.labels.targets import IGNORE
from pixelwise.progress import Progress
from pixelwise.sampling.fingerprint import Fingerprint, measure_cases
from pixelwise.sampling.image_statistics import low_middle_high
from pixelwise.sampling.normalise import mean_and_std, percentiles_of

SAMPLED_VOXELS = 2_000_000  # voxels per channel for percentiles, equally many from each volume
CASES_PER_CHECK = 4  # cases between two checks of the time

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class VolumeFingerprint(Fingerprint):
    """Measurements over training volumes; lengths and areas of `Fingerprint` are in voxels.

    Attributes
    ----------
    depths : (int, int, int)
        Smallest, median, largest number of slices.
    voxel_size : tuple of three tuples, or None
        Percentile 10, median and percentile 90 of the voxel size in millimetres, each (z, y, x); None if a file does
        not contain it.
    foreground_mean, foreground_std : tuple of float
        Per channel, over the voxels of the foreground of all volumes; those of all voxels without foreground.
    foreground_range : tuple of (float, float)
        Percentiles 0.5 and 99.5 of the same voxels.
    peaks : (float, float)
        Lowest and highest percentile 99.5 of a volume over all channels: scans of one kind may differ a thousandfold.
    lowest : float
        Median over the volumes of the lowest value of all channels: about -1000 in CT, where it is that of air.
    asymmetry : (float, float, float)
        For each axis the total variation distance between the classes of the first and the last third: 0 if they are
        equal, 1 if no class occurs in both.
    """

    depths: tuple[int, int, int]
    voxel_size: tuple[Triple, Triple, Triple] | None
    foreground_mean: tuple[float, ...]
    foreground_std: tuple[float, ...]
    foreground_range: tuple[tuple[float, float], ...]
    peaks: tuple[float, float]
    lowest: float
    asymmetry: Triple

    @property
    def median_size(self) -> tuple[int, int, int]:
        """Median depth, height and width."""
        return self.depths[1], self.heights[1], self.widths[1]


class _VolumeStatistics(NamedTuple):
    """Statistics of one volume."""

    size: tuple[int, ...]
    dtype: str
    voxel_size: tuple[float, ...] | None
    mean: Float64[np.ndarray, " channels"]
    std: Float64[np.ndarray, " channels"]
    values: Float32[np.ndarray, "channels sampled"]
    foreground: Float32[np.ndarray, "channels foreground_sampled"]
    lowest: float
    counts: Int64[np.ndarray, " classes"]
    thirds: Int64[np.ndarray, "axes ends classes"]
    ignored: int
    areas: Int64[np.ndarray, " objects"]
    touching: float


def measure_volume_fingerprint(
    dataset: Dataset, progress: Progress | None = None, seconds: float | None = None
) -> VolumeFingerprint:
    """Measure the annotated training volumes, in threads.

    Parameters
    ----------
    dataset : Dataset
        Of volumes.
    seconds : float, optional
        Time limit after which no more volumes are measured. Measured ones are then spread over the data set.

    Raises
    ------
    BadDataset, BadImage
        As for `measure_fingerprint`.
    """
    cases = [case for case in dataset.splits["train"] if case.annotation is not None]
    if not cases:
        raise BadDataset("training volumes with masks", "none", "Add masks for the volumes.")
    sampled = max(100, SAMPLED_VOXELS // len(cases))

    def measure(case: Case) -> _VolumeStatistics:
        return _measure(case, dataset, sampled)

    statistics = measure_cases(measure, spread_order(cases), seconds, progress or Progress(), CASES_PER_CHECK)
    return _summarise(statistics, dataset.channels, len(cases))


def _measure(case: Case, dataset: Dataset, sampled: int) -> _VolumeStatistics:
    image = dataset.read_image(case)
    pixels = image.pixels
    labels = ignore_missing(dataset.read_labels(case), pixels, dataset.labelling.task)
    instances = dataset.labelling.task == "instance"
    ignored = labels < 0 if instances else labels == IGNORE
    labels = np.where(ignored, 0, labels)
    classes = 2 if instances else len(dataset.labelling.classes)
    indices = np.minimum(labels, classes - 1)
    objects = labels if instances else components(labels > 0)
    areas = np.bincount(objects.ravel())[1:]
    mean, std = mean_and_std(pixels)
    rng = np.random.Generator(np.random.Philox(key=0))
    flat = pixels.reshape(len(pixels), -1)
    inside = np.flatnonzero(labels)
    return _VolumeStatistics(
        size=labels.shape,
        dtype=image.dtype,
        voxel_size=millimetres_of(image.grid),
        mean=mean,
        std=std,
        values=flat[:, rng.integers(0, flat.shape[1], sampled)].astype(np.float32),
        foreground=flat[:, inside[rng.integers(0, inside.size, sampled)] if inside.size else inside].astype(np.float32),
        lowest=float(np.nanmin(pixels)) if np.isfinite(pixels).any() else 0.0,
        counts=np.bincount(indices[~ignored], minlength=classes),
        thirds=_count_thirds(indices, classes),
        ignored=int(np.count_nonzero(ignored)),
        areas=areas[areas > 0],
        touching=touching_share(labels) if instances else 0.0,
    )


def _count_thirds(labels: Int32[np.ndarray, "*size"], classes: int) -> Int64[np.ndarray, "axes ends classes"]:
    """Return the voxels of each class in the first and the last third along each axis."""
    counts = np.zeros((labels.ndim, 2, classes), np.int64)
    for axis, side in enumerate(labels.shape):
        third = max(1, side // 3)
        ends = labels.take(range(third), axis), labels.take(range(side - third, side), axis)
        counts[axis] = [np.bincount(end.ravel(), minlength=classes)[:classes] for end in ends]
    return counts


def _summarise(statistics: Sequence[_VolumeStatistics], channels: int, cases: int) -> VolumeFingerprint:
    times = cases / len(statistics)
    counts = np.array([volume.counts for volume in statistics])
    areas = np.concatenate([volume.areas for volume in statistics])
    diameters = np.percentile((6.0 / np.pi * areas) ** (1 / 3), (5, 50, 95)) if areas.size else np.zeros(3)
    voxels = sum(int(np.prod(volume.size)) for volume in statistics)
    values = np.concatenate([volume.values for volume in statistics], 1)
    foreground = np.concatenate([volume.foreground for volume in statistics], 1)
    foreground = foreground if foreground.shape[1] else values
    means, stds = (np.array([getattr(volume, name) for volume in statistics]) for name in ("mean", "std"))
    return VolumeFingerprint(
        cases=cases,
        channels=channels,
        dtype=", ".join(sorted({volume.dtype for volume in statistics})),
        pixels=round(voxels * times),
        depths=low_middle_high([volume.size[0] for volume in statistics]),
        heights=low_middle_high([volume.size[1] for volume in statistics]),
        widths=low_middle_high([volume.size[2] for volume in statistics]),
        intensity_mean=tuple(means.mean(0).tolist()),
        intensity_std=tuple(np.sqrt((stds**2 + (means - means.mean(0)) ** 2).mean(0)).tolist()),
        intensity_range=_range(values),
        class_shares=tuple((counts.sum(0) / max(1, counts.sum())).tolist()),
        class_cases=tuple(round(count * times) for count in np.count_nonzero(counts, axis=0).tolist()),
        empty_share=float(np.mean(counts[:, 1:].sum(1) == 0)),
        ignored_share=sum(volume.ignored for volume in statistics) / voxels,
        objects_per_case=low_middle_high([volume.areas.size for volume in statistics]),
        object_diameter=(float(diameters[0]), float(diameters[1]), float(diameters[2])),
        touching_share=sum(volume.touching * volume.areas.size for volume in statistics) / max(1, areas.size),
        voxel_size=_voxel_sizes([volume.voxel_size for volume in statistics]),
        foreground_mean=tuple(float(np.nanmean(channel, dtype=np.float64)) for channel in foreground),
        foreground_std=tuple(float(np.nanstd(channel, dtype=np.float64)) for channel in foreground),
        foreground_range=_range(foreground),
        peaks=_peaks([volume.values for volume in statistics]),
        lowest=float(np.median([volume.lowest for volume in statistics])),
        asymmetry=_asymmetry(np.sum([volume.thirds for volume in statistics], 0)),
    )


def _peaks(values: Sequence[Float32[np.ndarray, "channels sampled"]]) -> tuple[float, float]:
    highest = [float(np.nanpercentile(one, 99.5)) for one in values if not np.isnan(one).all()]
    return (min(highest), max(highest)) if highest else (0.0, 0.0)


def _range(values: Float32[np.ndarray, "channels sampled"]) -> tuple[tuple[float, float], ...]:
    low, high = percentiles_of(values, (0.5, 99.5))
    return tuple(zip(low.tolist(), high.tolist(), strict=True))


def _voxel_sizes(sizes: Sequence[tuple[float, ...] | None]) -> tuple[Triple, Triple, Triple] | None:
    known = [size for size in sizes if size is not None]
    if not known or len(known) < len(sizes):
        return None
    low, middle, high = (
        (float(row[0]), float(row[1]), float(row[2])) for row in np.percentile(known, (10, 50, 90), axis=0)
    )
    return low, middle, high


def _asymmetry(thirds: Int64[np.ndarray, "axes ends classes"]) -> Triple:
    """Return the total variation distance between the classes of both ends, along each axis, of the foreground."""
    each: list[float] = []
    for first, last in thirds[:, :, 1:]:
        known = first.sum() > 0 and last.sum() > 0
        each.append(float(np.abs(first / first.sum() - last / last.sum()).sum() / 2) if known else 0.0)
    return each[0], each[1], each[2]
