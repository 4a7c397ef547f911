"""Whether the outline of a mask follows the edges of its image, and of which change of the mask it would do so better.

For sets whose masks and images agree weakly: defects of a few pixels, and areas of other light, are hardly seen on the
small images on which sets are compared, and no other image looks like them. Their outlines are. The measure is the flux
of the image's gradient through the outline (the boundary term of Kimmel and Bruckstein 2003, Regularized Laplacian zero
crossings as optimal edge integrators), of all shifts by the fast Fourier transform. Most shifts are wrong: their root
mean square is what the outline reaches by chance.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Num, Shaped
from scipy import fft, ndimage

from pixelwise.datasets.checks.alignment import Alignment
from pixelwise.datasets.checks.reduced import block_means
from pixelwise.datasets.checks.shifts import REACH, ShiftScores
from pixelwise.geometry.symmetries import SYMMETRIES, Symmetry

SIDE = 224  # largest side of the images in which outlines are compared
_AROUND, _FLOOR = 8.0, 0.3  # gradients are divided by those around, in pixels, and not by less than so much of the mean
_LARGEST = 1.5  # gradient that counts: one strong edge of the object itself outweighs no outline
_LEFT = 0.5  # fraction of an outline that remains in the image after a shift, at least
# what is clear, in multiples of what an outline reaches by chance; and what it reaches before a change at most, as a
# fraction of that after it: of many shifts one may fit by chance
_CLEAR = 4.0
_BEFORE_SYMMETRY, _BEFORE_SHIFT = 0.45, 0.25
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class OutlineScores:
    """How far an outline follows edges, in multiples of what its shifts reach on the average.

    Attributes
    ----------
    shifts : ShiftScores
        After each shift, in blocks of the image.
    symmetries : dict
        After each symmetry that keeps the shape.
    factor : int
        Pixels of the image per block and axis.
    """

    shifts: ShiftScores
    symmetries: dict[Symmetry, float]
    factor: int

    @property
    def own(self) -> float:
        """How far the outline follows edges as it is."""
        return self.shifts.at((0, 0))


def compare_outline(
    image: Num[np.ndarray, "channels height width"], mask: Shaped[np.ndarray, "height width"]
) -> OutlineScores:
    """Compare the outline of a mask with the edges of its image, as it is and after each change.

    Parameters
    ----------
    image : (channels, height, width)
    mask : (height, width)
        Nonzero inside.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(1, 40, 60))
    >>> image[0, 5:15, 8:20] += 9
    >>> found = compare_outline(image, np.fliplr(image[0] > 5))
    >>> [(one.mirrored, one.quarters) for one, score in found.symmetries.items() if score > 5], found.own < 1
    ([(True, 0)], True)
    """
    factor = max(1, -(-max(mask.shape) // SIDE))
    edges = _edges(block_means(image.mean(0, dtype=np.float32), factor))
    reduced = block_means((mask > 0).astype(np.float32), factor)
    square = reduced.shape[0] == reduced.shape[1]
    shifts = _scores_of_shifts(edges, _gradient(reduced))
    chance = max(shifts.by_chance, _TINY)
    symmetries = {
        symmetry: _score(edges, _gradient(np.ascontiguousarray(symmetry.apply(reduced)))) / chance
        for symmetry in SYMMETRIES[1:]
        if square or symmetry.quarters % 2 == 0
    }
    return OutlineScores(shifts=shifts._replace(scores=shifts.scores / chance), symmetries=symmetries, factor=factor)


def change_by_outline(one: Alignment, scores: OutlineScores) -> Alignment:
    """Return the change after which the outline follows edges clearly better; as it is if there is none.

    A shift gives way to a symmetry, and either to an outline that follows edges clearly as it is.
    """
    own = scores.own
    if own >= _CLEAR:
        return Alignment(own=one.own)
    tried = [one]
    symmetry, best = max(scores.symmetries.items(), key=lambda item: item[1])
    if one.change != "symmetry" and best >= _CLEAR and own <= _BEFORE_SYMMETRY * best:
        tried.append(replace(one, change="symmetry", symmetry=symmetry, outline=best, confidence=0.5))
    place = scores.shifts.best()
    best = scores.shifts.at(place)
    if one.change == "none" and best >= _CLEAR and own <= _BEFORE_SHIFT * best:
        offset = place[0] * scores.factor, place[1] * scores.factor
        tried.append(replace(one, change="shift", offset=offset, outline=best, confidence=0.5))
    return max(tried, key=lambda each: each.outline)


def _gradient(plane: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "2 height width"]:
    along = [ndimage.gaussian_filter1d(plane, 1.0, axis=axis, order=1, mode="nearest") for axis in (0, 1)]
    return np.stack([ndimage.gaussian_filter1d(along[axis], 1.0, axis=1 - axis, mode="nearest") for axis in (0, 1)])


def _edges(image: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "2 height width"]:
    """Return the gradient, divided by the usual length of gradients around."""
    gradient = _gradient(image)
    squared = (gradient**2).sum(0)
    around = np.sqrt(ndimage.gaussian_filter(squared, _AROUND, mode="nearest")) + _FLOOR * np.sqrt(squared.mean())
    gradient /= np.maximum(around, _TINY)
    gradient *= _LARGEST / np.maximum(np.hypot(*gradient), _LARGEST)
    return gradient


def _score(edges: Float32[np.ndarray, "2 height width"], normals: Float32[np.ndarray, "2 height width"]) -> float:
    return abs(float((edges * normals).sum())) / float(np.sqrt((normals**2).sum() + _TINY))


def _scores_of_shifts(
    edges: Float32[np.ndarray, "2 height width"], normals: Float32[np.ndarray, "2 height width"]
) -> ShiftScores:
    """Return `_score` after each shift, of the part of the outline that remains in the image."""
    height, width = edges.shape[1:]
    reach = max(2, round(REACH * max(height, width)))
    size = [fft.next_fast_len(side + reach, real=True) for side in (height, width)]
    rows, columns = (np.arange(-min(reach, side - 1), min(reach, side - 1) + 1) for side in (height, width))
    squared = (normals**2).sum(0)
    products = (np.asarray(fft.rfft2(edges, size)) * np.asarray(fft.rfft2(normals, size)).conj()).sum(0)
    remaining = np.asarray(fft.rfft2(np.ones_like(squared), size)) * np.asarray(fft.rfft2(squared, size)).conj()
    flux, length = (np.asarray(fft.irfft2(sums, size))[np.ix_(rows, columns)] for sums in (products, remaining))
    least = _LEFT * float(squared.sum()) + _TINY
    return ShiftScores(rows, columns, np.abs(flux) / np.sqrt(np.maximum(length, least)))
