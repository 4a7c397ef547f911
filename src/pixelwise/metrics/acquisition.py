"""Acquisition: which unlabelled image would teach most, by what several networks say of it and by what it looks like.

Where networks that learned from different parts of the data disagree, more data would settle it; where they agree that
nothing is clear, it would not. The first is the mutual information of answer and network, the entropy of the mean less
the mean of the entropies (Houlsby et al. 2011, arXiv 1112.5745). Taking the most uncertain images one by one gives many
of a kind; so each counts for less, the nearer it lies to one that is labelled or taken already (after Sener and
Savarese 2018, arXiv 1708.00489).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy.special import entr

SAMPLED = 400  # images whose distances say what is far
_BITS = np.log(2)


class CommitteeVotes:
    """What several networks say of one image, one after the other."""

    def __init__(self) -> None:
        self._sum, self._entropies, self._voices = np.float32(0.0), np.float32(0.0), 0

    def add(self, probabilities: Float[np.ndarray, "classes height width"]) -> None:
        """Take up the probabilities of one network."""
        wide = probabilities.astype(np.float32)
        self._sum = self._sum + wide
        self._entropies = self._entropies + entr(wide).sum(0)
        self._voices += 1

    def mean(self) -> Float32[np.ndarray, "classes height width"]:
        """Return the mean probabilities."""
        return np.asarray(self._sum / np.float32(self._voices), np.float32)

    def disagreement(self) -> Float32[np.ndarray, "height width"]:
        """Return the mutual information of each pixel in bits: 0 where all say the same, however unsure."""
        apart = entr(self.mean()).sum(0) - self._entropies / np.float32(self._voices)
        return np.asarray(np.maximum(apart, 0) / np.float32(_BITS), np.float32)  # below 0 by rounding alone


@dataclass(frozen=True, kw_only=True)
class Selection:
    """An image in the order of labelling.

    Attributes
    ----------
    index : int
    distance : float
        To the nearest image that is labelled or was picked before, in units of `far`; at most 1.
    nearest : int or None
        That one, if it was picked before; None for a labelled image, or for none at all.
    """

    index: int
    distance: float
    nearest: int | None


def select_core_set(
    values: Float64[np.ndarray, " images"],
    looks: Float64[np.ndarray, "images numbers"],
    known: Float64[np.ndarray, "labelled numbers"],
) -> list[Selection]:
    """Put images in the order in which to label them: each time the largest value times distance.

    Parameters
    ----------
    values : float64 array (images,)
        What each would teach, at least 0.
    looks, known : float64 arrays (images, numbers), (labelled, numbers)
        What the images, and those that are labelled, look like. Each number is brought to a spread of 1 first.

    Notes
    -----
    Half the median distance between images is far: whatever lies farther apart is simply another image, and its value
    alone counts. A copy of an image that was picked has distance 0, and comes after everything else.
    """
    looks, known = _comparable(looks, known)
    far = _far(np.concatenate([looks, known]))
    nearest, distances = np.full(len(looks), -1), np.ones(len(looks))
    for other in known:
        distances = np.minimum(distances, _apart(looks, other, far))
    left, order = np.ones(len(looks), bool), list[Selection]()
    for _ in range(len(looks)):
        places = np.flatnonzero(left)
        # where nothing is worth anything, the more uncertain one comes first, then the first
        keys = [(values[i] * distances[i], values[i], -i) for i in places.tolist()]
        chosen = int(places[max(range(len(keys)), key=keys.__getitem__)])
        before = int(nearest[chosen])
        order.append(
            Selection(index=chosen, distance=float(distances[chosen]), nearest=before if before >= 0 else None)
        )
        left[chosen] = False
        apart = _apart(looks, looks[chosen], far)
        nearest = np.where(apart < distances, chosen, nearest)
        distances = np.minimum(distances, apart)
    return order


def _comparable(looks: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give every number the same spread over all images; one that never differs says nothing."""
    spread = np.concatenate([looks, known]).std(0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
    return looks * scale, known * scale


def _far(looks: np.ndarray) -> float:
    """Return half the median distance between images, evenly sampled; 0 where they all look the same."""
    some = looks[np.unique(np.linspace(0, len(looks) - 1, min(SAMPLED, len(looks))).astype(int))]
    if len(some) < 2:
        return 0.0
    pairs = np.triu_indices(len(some), 1)
    squares = (some**2).sum(1)
    apart = squares[:, None] + squares[None] - 2 * some @ some.T
    return float(np.median(np.sqrt(np.maximum(apart, 0))[pairs])) / 2


def _apart(looks: np.ndarray, other: np.ndarray, far: float) -> np.ndarray:
    """Return the distance of every image to one, in units of `far`, at most 1."""
    if not far:
        return np.ones(len(looks))
    return np.minimum(1.0, np.linalg.norm(looks - other, axis=1) / far)
