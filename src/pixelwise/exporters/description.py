"""Limits of the parity check, and the description of a bioimage.io package."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the difference between an export and PyTorch; None: no limit.

    Attributes
    ----------
    difference : float or None
        Largest difference of two logits, relative to the largest logit.
    probability_difference : float or None
        Largest difference of two probabilities.
    disagreement : float or None
        Fraction of pixels, or images, whose class differs.
    score_loss : float
        Loss of the score in points (hundredths).
    """

    difference: float | None
    probability_difference: float | None
    disagreement: float | None
    score_loss: float


@dataclass(frozen=True, kw_only=True)
class Description:
    """Parts of the description of a bioimage.io package that depend on the task.

    Attributes
    ----------
    input_axes, output_axes : sequence of dict
        The space axes of the input, and of the output if it has any.
    channels : sequence of str
        A name per channel of the output.
    postprocessing : sequence of dict
        Steps that convert logits to probabilities; if empty, the graph returns probabilities and logits.
    summary : str
        A sentence for the catalogue.
    notes : sequence of str
        Sentences for users.
    """

    input_axes: Sequence[dict[str, Any]]
    output_axes: Sequence[dict[str, Any]]
    channels: Sequence[str]
    postprocessing: Sequence[dict[str, Any]]
    summary: str
    notes: Sequence[str]
    tag: str
