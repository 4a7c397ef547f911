"""Temperature scaling: divide logits by one temperature, or by one per pixel, before the softmax.

A single temperature (Guo et al. 2017, arXiv 1706.04599) cannot correct a network that is overconfident at high and
underconfident at low confidence. Two can: the temperature of a pixel is interpolated between them by its confidence
(adaptive temperature scaling as in Balanya et al. 2022, arXiv 2208.00461, who use the entropy instead). All logits of a
pixel are divided by the same number, so that predicted classes do not change.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import softmax


@dataclass(frozen=True)
class Temperatures:
    """Temperatures at full confidence (`sure`) and at none (`doubt`); without `doubt`, one for all pixels."""

    sure: float = 1.0
    doubt: float | None = None

    def __str__(self) -> str:
        """Return the numbers as text."""
        if self.doubt is None:
            return f"temperature {self.sure:.3f}"
        return f"temperature {self.sure:.3f} at high confidence, {self.doubt:.3f} at low confidence"


UNSCALED = Temperatures()


def scaled_softmax(logits: Float[np.ndarray, "..."], temperatures: Temperatures, axis: int) -> Float[np.ndarray, "..."]:
    """Return the probabilities of the classes along `axis`, in the dtype of the logits."""
    if temperatures.doubt is None or temperatures.doubt == temperatures.sure:
        scaled = logits if temperatures.sure == 1 else logits / np.array(temperatures.sure, logits.dtype)
        return softmax(scaled, axis=axis)
    sure, doubt = (np.array(value, logits.dtype) for value in (temperatures.sure, temperatures.doubt))
    return softmax(logits / (doubt * (sure / doubt) ** confidence(softmax(logits, axis=axis), axis)), axis=axis)


def confidence(probabilities: Float[np.ndarray, "..."], axis: int) -> Float[np.ndarray, "..."]:
    """Return (p - 1/K) / (1 - 1/K), p being the probability of the most probable of K classes; `axis` has length 1.

    It is 0 where all classes are equally probable, 1 where one is certain.
    """
    uniform = np.array(1 / probabilities.shape[axis], probabilities.dtype)
    return (probabilities.max(axis=axis, keepdims=True) - uniform) / (1 - uniform)
