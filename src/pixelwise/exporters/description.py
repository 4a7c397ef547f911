"""What a kind of model says of its exports: how far they may be from torch, and the words of a bioimage.io package."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far an export may be from torch; None: as far as it likes.

    Attributes
    ----------
    difference : float or None
        Largest difference of two logits, as a share of the largest logit.
    probability_difference : float or None
        Largest difference of two probabilities.
    disagreement : float or None
        Share of pixels, or photos, whose class differs.
    score_loss : float
        Points (hundredths) of the score.
    """

    difference: float | None
    probability_difference: float | None
    disagreement: float | None
    score_loss: float


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a bioimage.io package says of a kind of model.

    Attributes
    ----------
    inside, outside : sequence of dict
        The axes of space of the input, and of the output, where it has any.
    channels : sequence of str
        A name per channel of the output.
    postprocessing : sequence of dict
        What makes probabilities of the logits; without any the graph does it, and gives the logits beside them.
    finds : str
        A sentence for a catalogue.
    notes : sequence of str
        Sentences for the people who use it.
    tag : str
    """

    inside: Sequence[dict[str, Any]]
    outside: Sequence[dict[str, Any]]
    channels: Sequence[str]
    postprocessing: Sequence[dict[str, Any]]
    finds: str
    notes: Sequence[str]
    tag: str


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names for a sentence; of many the first few, because catalogues take no long ones."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
