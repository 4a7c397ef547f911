"""Find masks that were exchanged among the images of a set."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from pixelwise.datasets.checks.agreement import Agreement, correlation

_COARSE = 3  # masks are first compared on every third row and column
_MOST = 1000  # images of one size that are compared with each other's masks
_TINY = 1e-9
Circle = dict[int, tuple[int, float]]


def find_circles(agreement: Agreement, suspects: Sequence[int], least: float) -> list[Circle]:
    """Return circles in which masks may have been passed on: for each case the one whose mask fits, and how well.

    Pairs come first, those that gain most; of the rest every mask goes to one image so that the agreement of all is
    largest: an assignment problem (Crouse 2016, On implementing 2D rectangular assignment algorithms). Whether the gain
    is enough is for the caller to judge. Only images of one size are compared.

    Parameters
    ----------
    suspects : sequence of int
        Cases whose masks do not seem to fit, the worst first.
    least : float
        Correlation that each image of a pair must gain.

    Returns
    -------
    list of dict
        In each: the index of a case -> (index of the case whose mask fits it, correlation).
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index in suspects:
        groups[agreement.cases[index].targets.shape].append(index)
    circles: list[Circle] = []
    for group in (members[:_MOST] for members in groups.values() if len(members) > 1):
        for circle in _circles(_scores(agreement, group), least):
            cases = {group[position]: group[other] for position, other in circle.items()}
            circles.append({index: (other, _score(agreement, index, other)) for index, other in cases.items()})
    return circles


def _circles(scores: Float[np.ndarray, "images masks"], least: float) -> Iterator[dict[int, int]]:
    """Yield circles of positions: first pairs in which both gain, then those of the best assignment."""
    gains = scores - np.diag(scores)[:, None]
    gaining = gains >= least
    both = np.where(gaining & gaining.T, gains + gains.T, 0)
    free = np.ones(len(scores), bool)
    while both.max() > 0:
        first, second = (int(position) for position in np.unravel_index(int(both.argmax()), both.shape))
        yield {first: second, second: first}
        free[[first, second]] = False
        both[[first, second]] = both[:, [first, second]] = 0
    rest = np.flatnonzero(free)
    rows, columns = linear_sum_assignment(scores[np.ix_(rest, rest)], maximize=True)
    following = dict(zip(rest[rows].tolist(), rest[columns].tolist(), strict=True))
    while following:
        position, circle = next(iter(following)), dict[int, int]()
        while position in following:
            circle[position] = following.pop(position)
            position = circle[position]
        if len(circle) > 1:
            yield circle


def _scores(agreement: Agreement, group: Sequence[int]) -> Float[np.ndarray, "images masks"]:
    """Return roughly the correlation of the prediction for each image with each mask."""
    predicted, masks = (
        np.stack([values[:, ::_COARSE, ::_COARSE].ravel() for values in planes])
        for planes in (
            [agreement.prediction(index) for index in group],
            [agreement.target(agreement.cases[index].targets, index) for index in group],
        )
    )
    lengths = [np.linalg.norm(values, axis=1, keepdims=True) + _TINY for values in (predicted, masks)]
    return (predicted / lengths[0]) @ (masks / lengths[1]).T


def _score(agreement: Agreement, index: int, other: int) -> float:
    return correlation(agreement.prediction(index), agreement.target(agreement.cases[other].targets, index))
