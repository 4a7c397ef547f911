"""What the images look like that a model was trained on: statistics of their features, to recognise other images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pixelwise.metrics.outliers import FALSE_ALARMS, fit_gaussian, held_out_distances, mahalanobis

MAX_IMAGES = 512
_MAX_FEATURES = 256
_MAX_GROUPS = 8
_DIGITS = 7


@dataclass(frozen=True, kw_only=True)
class FeatureGroup:
    """Statistics of a group of features: mean, inverse covariance, and the distance that counts as 1.

    Of images like the reference, the fraction `FALSE_ALARMS` is farther away than 1.
    """

    name: str
    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    unit: float

    def distance(self, features: Float64[np.ndarray, " numbers"]) -> float:
        """Return the Mahalanobis distance of an image in units of the usual distance."""
        precision = np.array(self.precision).reshape(len(self.mean), -1)
        return float(mahalanobis(features[None], np.array(self.mean), precision)[0]) / self.unit

    @property
    def possible(self) -> bool:
        """Whether the numbers fit together and are finite."""
        numbers = (self.unit, *self.mean, *(value for row in self.precision for value in row))
        return (
            0 < len(self.mean) <= _MAX_FEATURES
            and len(self.precision) == len(self.mean)
            and all(len(row) == len(self.mean) for row in self.precision)
            and all(map(math.isfinite, numbers))
            and self.unit > 0
        )


@dataclass(frozen=True, kw_only=True)
class AppearanceRecord:
    """Statistics of the features of training and validation images.

    Attributes
    ----------
    joint : FeatureGroup
        All features together, which decide.
    groups : tuple of FeatureGroup
        Parts of them, which give the reason.
    scores : tuple of float
        The distance of each of these images from the others by all features, ascending.
    """

    joint: FeatureGroup
    groups: tuple[FeatureGroup, ...]
    scores: tuple[float, ...]

    def score(self, features: Mapping[str, Float64[np.ndarray, " _"]]) -> float:
        """Return the distance of an image by all features; they are those of `sampling.appearance`."""
        return self.joint.distance(_joined(features))

    def distances(self, features: Mapping[str, Float64[np.ndarray, " _"]]) -> dict[str, float]:
        """Return the distance of an image in each group; above 1 it is unusual."""
        return {group.name: group.distance(features[group.name]) for group in self.groups}

    @property
    def possible(self) -> bool:
        """Whether a model can have this record."""
        return (
            0 < len(self.groups) <= _MAX_GROUPS
            and all(group.possible for group in (self.joint, *self.groups))
            and len(self.joint.mean) == sum(len(group.mean) for group in self.groups)
            and len(self.scores) <= MAX_IMAGES
            and all(map(math.isfinite, self.scores))
        )


def record_appearance(images: Sequence[Mapping[str, Float64[np.ndarray, " _"]]]) -> AppearanceRecord | None:
    """Return the statistics of the features of images; None for fewer than three.

    Parameters
    ----------
    images : sequence of mapping
        Features of each image in groups, neighbours next to each other.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> record = record_appearance([{"texture": rng.normal(size=3)} for _ in range(40)])
    >>> usual, far = (record.distances({"texture": np.full(3, value)})["texture"] for value in (0.0, 9.0))
    >>> usual < 1 < far
    True
    """
    if len(images) < 3:
        return None
    groups = tuple(_fit(name, np.stack([image[name] for image in images]))[0] for name in images[0])
    joint, distances = _fit("all", np.stack([_joined(image) for image in images]))
    return AppearanceRecord(joint=joint, groups=groups, scores=tuple(sorted(map(_short, distances.tolist()))))


def _fit(name: str, table: Float64[np.ndarray, "images numbers"]) -> tuple[FeatureGroup, np.ndarray]:
    """Return the statistics of features, and the held-out distance of each image."""
    distances = held_out_distances(table)
    unit = max(float(np.quantile(distances, 1 - FALSE_ALARMS)), 1e-6)
    mean, precision = fit_gaussian(table)
    group = FeatureGroup(
        name=name,
        mean=tuple(map(_short, mean.tolist())),
        precision=tuple(tuple(map(_short, row)) for row in precision.tolist()),
        unit=_short(unit),
    )
    return group, distances / unit


def _joined(features: Mapping[str, Float64[np.ndarray, " _"]]) -> Float64[np.ndarray, " numbers"]:
    return np.concatenate(list(features.values()))


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
