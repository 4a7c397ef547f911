"""Find masks that were exchanged among the images of a set."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from pixelwise.datasets.checks.agreement import Agreement, correlation

_COARSE = 3  # masks are first compared on every third row and column
_MOST = 1000  # images of one size that are compared with each other's masks
_TINY = 1e-9


def assign_masks(agreement: Agreement, suspects: Sequence[int]) -> dict[int, tuple[int, float]]:
    """Return for each suspect that fits the mask of another one better: that one, and the correlation.

    Every mask goes to one image, so that the agreement of all is largest: an assignment problem (Crouse 2016, On
    implementing 2D rectangular assignment algorithms). Only images of one size are compared.

    Parameters
    ----------
    agreement : Agreement
    suspects : sequence of int
        Cases whose masks do not seem to fit, the worst first.
    """
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index in suspects:
        groups[agreement.cases[index].targets.shape].append(index)
    found: dict[int, tuple[int, float]] = {}
    for group in (members[:_MOST] for members in groups.values() if len(members) > 1):
        rows, columns = linear_sum_assignment(_scores(agreement, group), maximize=True)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            index, other = group[row], group[column]
            if index != other:
                target = agreement.target(agreement.cases[other].targets, index)
                found[index] = other, correlation(agreement.prediction(index), target)
    return found


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
