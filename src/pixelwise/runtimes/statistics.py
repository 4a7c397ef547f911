"""Mean and variance of maps that are read in parts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from pixelwise.geometry.statistics_passes import OperationGraph


class Moments(NamedTuple):
    """Number of pixels of a part of a map, and of each channel their mean and sum of squared differences from it."""

    pixels: int
    mean: Float64[np.ndarray, " channels"]
    squares: Float64[np.ndarray, " channels"]

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both parts together.

        Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances", Stanford
        STAN-CS-79-773, equations 2.1.

        Examples
        --------
        >>> parts = [np.array([1.0, 2.0]), np.array([6.0])]
        >>> one, two = (Moments(len(p), p.mean(keepdims=True), p.var(keepdims=True) * len(p)) for p in parts)
        >>> whole = one.merge(two)
        >>> whole.pixels, float(whole.mean[0]), float(whole.squares[0])
        (3, 3.0, 14.0)
        """
        pixels = self.pixels + other.pixels
        difference = other.mean - self.mean
        mean = self.mean + difference * (other.pixels / pixels)
        squares = self.squares + other.squares + difference**2 * (self.pixels * other.pixels / pixels)
        return Moments(pixels, mean, squares)

    def statistics(self, groups: int) -> "ChannelStatistics":
        """Return mean and variance of each channel, those of its group if channels are grouped.

        Examples
        --------
        >>> Moments(2, np.array([0.0, 2.0]), np.array([2.0, 2.0])).statistics(1)
        ChannelStatistics(mean=array([1., 1.]), variance=array([2., 2.]))
        """
        means = self.mean.reshape(groups, -1)
        mean = means.mean(axis=1, keepdims=True)
        squares = self.squares.reshape(groups, -1) + self.pixels * (means - mean) ** 2
        variance = squares.mean(axis=1, keepdims=True) / self.pixels
        each = means.shape[1]
        return ChannelStatistics(np.repeat(mean[:, 0], each), np.repeat(variance[:, 0], each))


class ChannelStatistics(NamedTuple):
    """Mean and biased variance by which a normalisation scales each channel."""

    mean: Float64[np.ndarray, " channels"]
    variance: Float64[np.ndarray, " channels"]


def neutral_statistics(graph: OperationGraph) -> list[ChannelStatistics]:
    """Return statistics of each normalisation that change nothing: for planning, before those of an image."""
    channels = [operation.channels for operation in graph if operation.groups]
    return [ChannelStatistics(np.zeros(count), np.ones(count)) for count in channels]


def statistics_to_json(statistics: Sequence[ChannelStatistics]) -> list[dict[str, list[float]]]:
    """Return statistics as a JSON-ready list, which keeps every bit."""
    return [{"mean": each.mean.tolist(), "variance": each.variance.tolist()} for each in statistics]


def statistics_from_json(value: Sequence[Mapping[str, Any]]) -> list[ChannelStatistics]:
    """Return statistics from their JSON list."""
    return [ChannelStatistics(np.array(each["mean"]), np.array(each["variance"])) for each in value]
