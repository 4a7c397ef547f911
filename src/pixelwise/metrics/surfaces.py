"""Surface scores of two masks: Hausdorff distance, average surface distance and surface Dice, in any dimension.

A surface is the set of foreground pixels with a background neighbour along an axis; pixels at the border of the array
count, since nothing is known beyond. Distances are between pixel centres, in the units of `spacing`. Definitions:
Maier-Hein, Reinke et al. 2024, "Metrics reloaded", doi 10.1038/s41592-023-02151-z; the surface Dice at a tolerance is
that of Nikolov et al. 2021, doi 10.2196/26151, counting surface pixels instead of areas. The values are those of
MONAI's functions for the three scores (`benchmarks/surface_parity.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.ndimage import binary_erosion, distance_transform_edt, find_objects, generate_binary_structure

from pixelwise.errors import BadOption


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distance of each surface pixel of one mask to the surface of the other.

    Attributes
    ----------
    from_truth, from_predicted : float64 arrays
        Infinite if the other mask is empty; empty if the mask itself is.

    Examples
    --------
    >>> truth, predicted = np.zeros((2, 5, 9), bool)
    >>> truth[1:4, 1:4] = predicted[1:4, 2:5] = True
    >>> distances = surface_distances(truth, predicted, spacing=(1.0, 0.5))
    >>> distances.hausdorff(), distances.surface_dice(0.25), distances.surface_dice(0.5)
    (0.5, 0.5, 1.0)
    """

    from_truth: Float64[np.ndarray, " truth"]
    from_predicted: Float64[np.ndarray, " predicted"]

    def hausdorff(self, percentile: float | int = 100) -> float | None:
        """Return the larger of the two directed distances; 95 gives HD95, the percentile of each direction.

        None if both masks are empty, infinity if one is.
        """
        found = [float(_percentile(each, percentile)) for each in (self.from_truth, self.from_predicted) if each.size]
        return max(found) if found else None

    def average(self) -> float | None:
        """Return the mean over the surface pixels of both masks; None if both are empty, infinity if one is."""
        both = np.concatenate([self.from_truth, self.from_predicted])
        return float(both.mean()) if both.size else None

    def surface_dice(self, tolerance: float) -> float | None:
        """Return the fraction of surface pixels of both masks within `tolerance`; None if both masks are empty."""
        both = np.concatenate([self.from_truth, self.from_predicted])
        return float((both <= tolerance).mean()) if both.size else None


def surface_distances(
    truth: Bool[np.ndarray, "*shape"], predicted: Bool[np.ndarray, "*other"], spacing: Sequence[float] | None = None
) -> SurfaceDistances:
    """Measure the distances between the surfaces of two masks.

    Parameters
    ----------
    truth, predicted : bool arrays of the same shape
    spacing : sequence of float, optional
        Distance of neighbouring pixels along each axis; by default 1.

    Raises
    ------
    BadOption
        The shapes differ, or `spacing` has not a positive number for each axis.
    """
    if truth.shape != predicted.shape:
        raise BadOption(
            "masks of the same shape", f"{truth.shape} and {predicted.shape}", "Compare masks of one image."
        )
    spacing = (1.0,) * truth.ndim if spacing is None else tuple(spacing)
    if len(spacing) != truth.ndim or min(spacing, default=1.0) <= 0:
        hint = "Give the pixel size in the order of the axes."
        raise BadOption(f"{truth.ndim} positive numbers as spacing", f"{spacing}", hint)
    window = find_objects((truth | predicted).astype(np.int8))
    if not window:
        return SurfaceDistances(np.empty(0), np.empty(0))
    surfaces = [_surface(np.pad(mask[window[0]], 1)) for mask in (truth, predicted)]
    first, second = (_distances(a, b, spacing) for a, b in (surfaces, surfaces[::-1]))
    return SurfaceDistances(first, second)


def _surface(mask: Bool[np.ndarray, "*shape"]) -> Bool[np.ndarray, "*shape"]:
    return mask & ~np.asarray(binary_erosion(mask, generate_binary_structure(mask.ndim, 1)), bool)


def _distances(
    surface: Bool[np.ndarray, "*shape"], other: Bool[np.ndarray, "*shape"], spacing: Sequence[float]
) -> Float64[np.ndarray, " pixels"]:
    if not other.any():
        return np.full(int(np.count_nonzero(surface)), np.inf)
    return np.asarray(distance_transform_edt(~other, sampling=spacing))[surface]


def _percentile(values: Float64[np.ndarray, " pixels"], percentile: float | int) -> float:
    """Return a percentile; numpy's interpolation between infinite values is not a number."""
    return float(values[0]) if np.isinf(values[0]) else float(np.percentile(values, percentile))
