"""Subject: what an export has to know of a kind of model, so that one way of exporting serves them all."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pixelwise.exporters.samples import Feed, Sample, Trial
from pixelwise.runtimes.base import Runtime


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


@runtime_checkable
class Subject(Protocol):
    """What masks and whole images do not share in an export; made for one recipe.

    Attributes
    ----------
    counted : str
        What a class is told of: "pixels", "photos".
    score_name : str
        The name of the score for people; larger is better.
    exact, quantised : Limits
        Of exports in float32, and in int8.
    most_samples : int
        Images from which on a proof says no more.
    observed : int
        Training images that a quantisation observes.
    free_from : int or None
        Pixels a side from which on the graph takes images of every legal size; None where it takes one size alone.
    """

    counted: str
    score_name: str
    exact: Limits
    quantised: Limits
    most_samples: int
    observed: int
    free_from: int | None

    def make_trials(self, samples: Sequence[Sample], reference: Runtime) -> list[Trial]:
        """Cut trials of several sizes and batches out of samples, and let `reference` say what it says of them.

        The first holds images of the usual size.
        """
        ...

    def feeds(self, samples: Iterable[Sample]) -> Iterator[Feed]:
        """Yield inputs of the graph from training images: what a quantisation observes."""
        ...

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Turn logits (batch, classes, *output_size) into probabilities."""
        ...

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return the class (batch, *output_size) with the largest logit or probability."""
        ...

    def count(self, truth: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Count a batch of classes against the truth: entry (i, j) is truth class i, found class j."""
        ...

    def score(self, counts: np.ndarray) -> float:
        """Return the score, from 0 to 1, of all that was counted."""
        ...

    def describe(self) -> Description:
        """Return what a bioimage.io package says."""
        ...


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names for a sentence; of many the first few, because catalogues take no long ones."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
