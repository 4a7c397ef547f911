"""ExportTask: what an export has to know of a kind of model, so that one way of exporting serves them all."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from pixelwise.exporters.classification_export import ClassificationExport
from pixelwise.exporters.description import Description, Limits
from pixelwise.exporters.samples import Feed, ParityBatch, Sample
from pixelwise.exporters.segmentation_export import SegmentationExport
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime


@runtime_checkable
class ExportTask(Protocol):
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

    def make_trials(self, samples: Sequence[Sample], reference: Runtime) -> list[ParityBatch]:
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


def export_task_of(model_card: ModelCard) -> ExportTask:
    """Return the subject of a model: masks, or the classes of whole images."""
    return (
        SegmentationExport(model_card) if model_card.view is None else ClassificationExport(model_card, model_card.view)
    )
