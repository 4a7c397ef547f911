"""Acquisition functions of active learning: query by committee (BALD) and core-set selection.

Disagreement between networks trained on different subsets can be reduced by more data; uncertainty on which they agree
cannot. The disagreement is the mutual information between prediction and network (BALD): the entropy of the mean minus
the mean of the entropies (Houlsby et al. 2011, arXiv 1112.5745). The most uncertain images are often similar, so each
is weighted by its distance to the labelled and selected ones (core-set, after Sener and Savarese 2018, arXiv
1708.00489).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy.special import entr

MAX_SAMPLED = 400  # images from which the scale of distances is estimated
_BITS = np.log(2)


class CommitteeVotes:
    """Accumulates the predictions of several networks for one image."""

    def __init__(self) -> None:
        self._sum, self._entropies, self._count = np.float32(0.0), np.float32(0.0), 0

    def add(self, probabilities: Float[np.ndarray, " classes *size"]) -> None:
        """Add the probabilities of one network."""
        wide = probabilities.astype(np.float32)
        self._sum = self._sum + wide
        self._entropies = self._entropies + entr(wide).sum(0)
        self._count += 1

    def mean(self) -> Float32[np.ndarray, " classes *size"]:
        """Return the mean probabilities."""
        return np.asarray(self._sum / np.float32(self._count), np.float32)

    def mutual_information(self) -> Float32[np.ndarray, "*size"]:
        """Return the mutual information (BALD) of each pixel in bits: 0 where all networks agree."""
        information = entr(self.mean()).sum(0) - self._entropies / np.float32(self._count)
        return np.asarray(np.maximum(information, 0) / np.float32(_BITS), np.float32)  # below 0 only by rounding


@dataclass(frozen=True, kw_only=True)
class Selection:
    """An image selected for labelling.

    Attributes
    ----------
    distance : float
        To the nearest labelled or previously selected image, relative to half the median distance; at most 1.
    nearest : int or None
        That image, if it was selected before; None for a labelled image, or for none at all.
    """

    index: int
    distance: float
    nearest: int | None


def select_core_set(
    values: Float64[np.ndarray, " images"],
    features: Float64[np.ndarray, "images numbers"],
    labelled: Float64[np.ndarray, "labelled numbers"],
) -> list[Selection]:
    """Order images for labelling by greedy core-set selection: each time the largest value times distance.

    Parameters
    ----------
    values : float64 array (images,)
        Expected benefit of each image, at least 0.
    features, labelled : float64 arrays (images, numbers), (labelled, numbers)
        Features of the unlabelled and of the labelled images; each is scaled to standard deviation 1.

    Notes
    -----
    Distances are clipped at half the median distance between images; beyond it the value alone counts. A copy of a
    selected image has distance 0 and comes last.
    """
    features, labelled = _standardise(features, labelled)
    scale = _distance_scale(np.concatenate([features, labelled]))
    nearest, distances = np.full(len(features), -1), np.ones(len(features))
    for other in labelled:
        distances = np.minimum(distances, _distances(features, other, scale))
    remaining, order = np.ones(len(features), bool), list[Selection]()
    for _ in range(len(features)):
        places = np.flatnonzero(remaining)
        # ties are broken by the value, then by the index
        keys = [(values[i] * distances[i], values[i], -i) for i in places.tolist()]
        chosen = int(places[max(range(len(keys)), key=keys.__getitem__)])
        before = int(nearest[chosen])
        order.append(
            Selection(index=chosen, distance=float(distances[chosen]), nearest=before if before >= 0 else None)
        )
        remaining[chosen] = False
        to_chosen = _distances(features, features[chosen], scale)
        nearest = np.where(to_chosen < distances, chosen, nearest)
        distances = np.minimum(distances, to_chosen)
    return order


def _standardise(features: np.ndarray, labelled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale every feature to standard deviation 1 over all images; constant ones become 0."""
    spread = np.concatenate([features, labelled]).std(0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
    return features * scale, labelled * scale


def _distance_scale(features: np.ndarray) -> float:
    """Return half the median distance between images, evenly sampled; 0 if all features are equal."""
    subset = features[np.unique(np.linspace(0, len(features) - 1, min(MAX_SAMPLED, len(features))).astype(int))]
    if len(subset) < 2:
        return 0.0
    pairs = np.triu_indices(len(subset), 1)
    squares = (subset**2).sum(1)
    squared_distances = squares[:, None] + squares[None] - 2 * subset @ subset.T
    return float(np.median(np.sqrt(np.maximum(squared_distances, 0))[pairs])) / 2


def _distances(features: np.ndarray, other: np.ndarray, scale: float) -> np.ndarray:
    """Return the distance of every image to one, relative to `scale`, at most 1."""
    if not scale:
        return np.ones(len(features))
    return np.minimum(1.0, np.linalg.norm(features - other, axis=1) / scale)
