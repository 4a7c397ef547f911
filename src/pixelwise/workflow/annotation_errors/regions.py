"""Candidates for annotation errors: connected regions in which mask and prediction differ.

A pixel contradicts its label with the calibrated probability of all other classes; its complement is the
self-confidence of Northcutt et al. 2021, Confident Learning, section 3. Masks are drawn object by object, so pixels are
joined to regions. The score of a region is the product of four numbers between 0 and 1:

* the mean contradiction of its pixels, weighted by their depth, as outlines always differ by a pixel or two;
* its thickness, compared with the object that it belongs to;
* its size: few pixels are weak evidence;
* how far mask and prediction agree in the rest of the image: where the model fails, it contradicts everything.

In volumes regions have three axes.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float32, Int32, Int64, Integer
from scipy import ndimage
from skimage.measure import label as label_equal

from pixelwise.labels.label_image import renumber
from pixelwise.labels.targets import IGNORE

ErrorKind = Literal["missed object", "spurious object", "swapped class", "sloppy boundary"]
KINDS: dict[ErrorKind, str] = {
    "missed object": "The prediction has an object where the mask has background.",
    "spurious object": "The mask has an object where the prediction has background.",
    "swapped class": "The prediction has another class than the mask.",
    "sloppy boundary": "The outline of the mask is far from that of the prediction.",
}
Box = tuple[int, ...]
OBJECT_THICKNESS = 0.5  # of the object: thinner differences are a matter of its outline
SMALL = 0.05  # of the median size of the annotated regions of the image: such a region counts half


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A mask and a prediction of one image.

    Attributes
    ----------
    given, predicted : int array (height, width), or (depth, height, width)
        Classes; `given` is 255 where ignored.
    given_regions, predicted_regions : int array of the same shape
        Number of the object or connected region of one class that a pixel belongs to; 0 for background.
    contradiction : float array of the same shape
        Probability that a pixel has another class than the given one.
    """

    given: Integer[np.ndarray, "*size"]
    predicted: Integer[np.ndarray, "*size"]
    given_regions: Int32[np.ndarray, "*size"]
    predicted_regions: Int32[np.ndarray, "*size"]
    contradiction: Float32[np.ndarray, "*size"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A region whose annotation may be wrong.

    Attributes
    ----------
    score : float
        0 to 1: the higher, the surer the contradiction.
    box : tuple of int
        (top, left, bottom, right), the last two exclusive; of volumes (front, top, left, back, bottom, right).
    given, predicted : int
        Class in the mask and in the prediction.
    pixels : tuple of (int, int, int)
        Given class, predicted class, and number of pixels where they differ.
    """

    kind: ErrorKind
    score: float
    box: Box
    given: int
    predicted: int
    pixels: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The candidates of one image; `agreeing` counts the annotated regions without any."""

    candidates: tuple[Candidate, ...]
    agreeing: int


def compare_classes(
    given: Integer[np.ndarray, "*size"],
    predicted: Integer[np.ndarray, "*size"],
    probabilities: Float[np.ndarray, "classes *size"],
    *,
    background: bool,
) -> Comparison:
    """Compare class maps; `background` is whether class 0 is one. Regions touch at edges or corners."""
    first = int(background)
    known = given != IGNORE
    own = np.take_along_axis(probabilities, np.where(known, given, 0)[None].astype(np.intp), 0)[0]
    return Comparison(
        given=given,
        predicted=predicted,
        given_regions=_equal_regions(np.where(known & (given >= first), given.astype(np.int64) + 1, 0)),
        predicted_regions=_equal_regions(np.where(known & (predicted >= first), predicted.astype(np.int64) + 1, 0)),
        contradiction=np.where(known, 1 - own.astype(np.float32), 0).astype(np.float32),
    )


def compare_objects(
    given: Integer[np.ndarray, "*size"], predicted: Integer[np.ndarray, "*size"], background: Float[np.ndarray, "*size"]
) -> Comparison:
    """Compare label images, negative where ignored; `background` is the probability of no object."""
    known, probability = given >= 0, background.astype(np.float32)
    objects = np.where(known, predicted, 0)
    return Comparison(
        given=np.where(known, given > 0, IGNORE),
        predicted=(objects > 0).astype(np.int64),
        given_regions=renumber(given),
        predicted_regions=renumber(objects),
        contradiction=np.where(known, np.where(given > 0, probability, 1 - probability), 0).astype(np.float32),
    )


def find_candidates(comparison: Comparison) -> Candidates:
    """Return the candidates of one image, those with the highest score first.

    Examples
    --------
    >>> given, predicted = np.zeros((9, 20), int), np.zeros((9, 20), int)
    >>> given[2:7, 2:7] = predicted[2:7, 2:7] = predicted[2:7, 12:17] = 1
    >>> background = np.where(predicted > 0, 0.1, 0.9)
    >>> compared = compare_classes(given, predicted, np.stack([background, 1 - background]), background=True)
    >>> found = find_candidates(compared)
    >>> [(one.kind, one.box, round(one.score, 2)) for one in found.candidates], found.agreeing
    ([('missed object', (2, 12, 7, 17), 0.86)], 1)
    """
    pieces = _Pieces(comparison)
    hosts = np.where(pieces.whole, 0, pieces.hosts())
    found = [*_object_errors(pieces), *_boundary_errors(pieces, hosts)]
    found.sort(key=lambda one: (-one.score, one.box))
    contradicted = set(pieces.given[pieces.whole].tolist()) | set(hosts.tolist())
    agreeing = int(comparison.given_regions.max(initial=0)) - len(contradicted - {0})
    return Candidates(candidates=tuple(found), agreeing=agreeing)


class _Pieces:
    """The connected pieces where two maps differ, each within one region of both; arrays have an entry per piece."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        differ = (comparison.given != comparison.predicted) & (comparison.given != IGNORE)
        width = int(comparison.predicted_regions.max(initial=0)) + 1
        keys = comparison.given_regions.astype(np.int64) * width + comparison.predicted_regions
        self.labels = _equal_regions(np.where(differ, keys, 0))
        self.count = int(self.labels.max(initial=0))
        first = _first_pixels(self.labels, self.count)
        self.area = np.bincount(self.labels.ravel(), minlength=self.count + 1)[1:]
        self.given, self.predicted = (
            regions.ravel()[first] for regions in (comparison.given_regions, comparison.predicted_regions)
        )
        self.given_class = comparison.given.ravel()[first].astype(int)
        self.predicted_class = comparison.predicted.ravel()[first].astype(int)
        depths = _depths(self.labels)
        self.contradiction = _sums(self.labels, comparison.contradiction, self.count)
        weighted = _sums(self.labels, depths * comparison.contradiction, self.count)
        self.certainty = weighted / (_sums(self.labels, depths, self.count) + SMALL * _typical_size(comparison))
        self.thickness = np.minimum(1, _maxima(self.labels, depths, self.count) / self._object_depths())
        self.whole = self.thickness >= OBJECT_THICKNESS

    def _object_depths(self) -> np.ndarray:
        """Return, for each piece, the depth of the thinner of the regions that it is part of."""
        result = np.full(self.count, np.inf)
        for regions, numbers in (
            (self.comparison.given_regions, self.given),
            (self.comparison.predicted_regions, self.predicted),
        ):
            depths = _maxima(regions, _depths(regions), int(regions.max(initial=0)))
            result = np.minimum(result, np.concatenate([[np.inf], depths])[numbers])
        return result

    def credibility(self) -> np.ndarray:
        """Return (1 + Dice) / 2, where the Dice is that of mask and prediction in the image without each piece."""
        one, other = self.comparison.given_regions > 0, self.comparison.predicted_regions > 0
        agreeing = 2 * int((one & other & (self.comparison.given == self.comparison.predicted)).sum())
        own = self.area * ((self.given > 0).astype(int) + (self.predicted > 0))
        rest = int(one.sum()) + int(other.sum()) - own
        return (1 + np.where(rest > 0, agreeing / np.maximum(rest, 1), 1)) / 2

    def hosts(self) -> np.ndarray:
        """Return the annotated region of each piece; on background that which its predicted region overlaps most."""
        one, other = self.comparison.given_regions, self.comparison.predicted_regions
        both = (one > 0) & (other > 0)
        pairs, shared = np.unique(np.stack([other[both], one[both]]), axis=1, return_counts=True)
        host = np.zeros(int(other.max(initial=0)) + 1, np.int64)
        order = np.argsort(shared, kind="stable")
        host[pairs[0, order]] = pairs[1, order]
        return np.where(self.given > 0, self.given, host[self.predicted])

    def boxes(self) -> list[Any]:
        """Return the slices of each piece."""
        return ndimage.find_objects(self.labels)


def _object_errors(pieces: _Pieces) -> list[Candidate]:
    """Return a candidate for each piece that is as thick as the object that it is part of."""
    boxes, credibility = pieces.boxes(), pieces.credibility()
    found: list[Candidate] = []
    for index in np.flatnonzero(pieces.whole).tolist():
        given, predicted = int(pieces.given_class[index]), int(pieces.predicted_class[index])
        kind: ErrorKind = "swapped class"
        if pieces.given[index] == 0:
            kind = "missed object"
        elif pieces.predicted[index] == 0:
            kind = "spurious object"
        found.append(
            Candidate(
                kind=kind,
                score=float(pieces.certainty[index] * pieces.thickness[index] * credibility[index]),
                box=_box(boxes[index]),
                given=given,
                predicted=predicted,
                pixels=((given, predicted, int(pieces.area[index])),),
            )
        )
    return found


def _boundary_errors(pieces: _Pieces, hosts: Int64[np.ndarray, " pieces"]) -> list[Candidate]:
    """Return a candidate for each annotated region whose outline differs, with all its thin pieces.

    `hosts` is the annotated region of each piece, 0 for pieces that do not count.
    """
    regions = pieces.comparison.given_regions
    areas, classes = np.bincount(regions.ravel()), np.zeros(int(regions.max(initial=0)) + 1, np.int64)
    classes[regions.ravel()] = pieces.comparison.given.ravel()
    boxes, around = pieces.boxes(), ndimage.find_objects(regions)
    found: list[Candidate] = []
    order = np.argsort(hosts, kind="stable")
    starts = np.flatnonzero(np.diff(hosts[order], prepend=0))
    for part in np.split(order, starts)[1:]:
        number = int(hosts[part[0]])
        outside = int(pieces.area[part][pieces.given[part] != number].sum())
        changes: dict[tuple[int, int], int] = {}
        for index in part.tolist():
            pair = int(pieces.given_class[index]), int(pieces.predicted_class[index])
            changes[pair] = changes.get(pair, 0) + int(pieces.area[index])
        own = int(classes[number])
        found.append(
            Candidate(
                kind="sloppy boundary",
                score=float(pieces.contradiction[part].sum() / (areas[number] + outside)),
                box=_around([_box(around[number - 1]), *(_box(boxes[index]) for index in part.tolist())]),
                given=own,
                predicted=own,
                pixels=tuple((*pair, count) for pair, count in changes.items()),
            )
        )
    return found


def _equal_regions(values: Int64[np.ndarray, "*size"]) -> Int32[np.ndarray, "*size"]:
    """Return the regions of equal values, connected at faces, edges and corners, numbered 1...N; 0 stays 0."""
    _, compact = np.unique(values, return_inverse=True)
    compact = compact.reshape(values.shape) + int(values.min() > 0)
    regions: Any = label_equal(compact, background=0, connectivity=values.ndim)
    return regions.astype(np.int32)


def _depths(labels: Int32[np.ndarray, "*size"]) -> Float32[np.ndarray, "*size"]:
    """Return the distance to the outline of the own region, 1 at the outline; the edge of the image is an outline."""
    padded = np.pad(labels, 1)
    inner = padded > 0
    for axis in range(labels.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis) == padded
    distances: Any = ndimage.distance_transform_edt(inner)
    core = (slice(1, -1),) * labels.ndim
    return np.where(labels > 0, 1 + distances[core], 0).astype(np.float32)


def _typical_size(comparison: Comparison) -> float:
    """Return the median sum of the depths of the annotated regions, or else of the predicted ones."""
    for regions in (comparison.given_regions, comparison.predicted_regions):
        count = int(regions.max(initial=0))
        if count:
            return float(np.median(_sums(regions, _depths(regions), count)))
    return 0.0


def _first_pixels(labels: np.ndarray, count: int) -> Int64[np.ndarray, " regions"]:
    numbers, first = np.unique(labels, return_index=True)
    return first[numbers > 0][:count]


def _sums(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(labels.ravel(), values.ravel().astype(np.float64), count + 1)[1:]


def _maxima(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    result = np.zeros(count + 1)
    np.maximum.at(result, labels.ravel(), values.ravel())
    return result[1:]


def _box(slices: tuple[slice, ...]) -> Box:
    return (*(side.start for side in slices), *(side.stop for side in slices))


def _around(boxes: list[Box]) -> Box:
    starts, stops = np.split(np.array(boxes), 2, axis=1)
    return (*starts.min(0).tolist(), *stops.max(0).tolist())
