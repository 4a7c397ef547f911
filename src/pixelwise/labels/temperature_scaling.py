"""Tempering: logits are divided by a temperature before they become probabilities, by one or by a pixel's own.

One temperature for all (Guo et al. 2017, arXiv 1706.04599) cannot mend a network that is too sure at one end and too
cautious at the other. Two can: each pixel has a temperature between them, by how sure the network is of it (an adaptive
temperature as in Balanya et al. 2022, arXiv 2208.00461, with the confidence where they have the entropy). All logits of
a pixel are divided by the same number, so that no decision changes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import softmax


@dataclass(frozen=True)
class Temperatures:
    """What logits are divided by: `sure` where the network is certain, `doubt` where all classes are alike to it.

    Without `doubt` it is one number for all.
    """

    sure: float = 1.0
    doubt: float | None = None

    def __str__(self) -> str:
        """Say the numbers."""
        if self.doubt is None:
            return f"temperature {self.sure:.3f}"
        return f"temperature {self.sure:.3f} where the network is sure, {self.doubt:.3f} in doubt"


UNSCALED = Temperatures()


def tempered_softmax(
    logits: Float[np.ndarray, "..."], temperatures: Temperatures, axis: int
) -> Float[np.ndarray, "..."]:
    """Return the probabilities of classes, which lie along `axis`, of the type of the logits."""
    if temperatures.doubt is None or temperatures.doubt == temperatures.sure:
        scaled = logits if temperatures.sure == 1 else logits / np.array(temperatures.sure, logits.dtype)
        return softmax(scaled, axis=axis)
    sure, doubt = (np.array(value, logits.dtype) for value in (temperatures.sure, temperatures.doubt))
    return softmax(logits / (doubt * (sure / doubt) ** confidence(softmax(logits, axis=axis), axis)), axis=axis)


def confidence(probabilities: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """Return how sure the network is, with `axis` of length 1: 0 where all classes are alike, 1 where one is certain.

    It is (p - 1/K) / (1 - 1/K), with p the probability of the most probable of K classes.
    """
    chance = np.array(1 / probabilities.shape[axis], probabilities.dtype)
    return (probabilities.max(axis=axis, keepdims=True) - chance) / (1 - chance)
