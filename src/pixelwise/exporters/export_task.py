"""ExportTask: the interface of the task-specific steps of an export."""

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
    """Task-specific steps of an export for one model card.

    Attributes
    ----------
    counted : str
        What is classified: "pixels" or "images".
    score_name : str
        The name of the score; larger is better.
    exact, quantised : Limits
        Of exports in float32, and in int8.
    most_samples : int
        Maximum number of images of the parity check.
    calibration_images : int
        Number of calibration images of a quantisation.
    min_dynamic_side : int or None
        Smallest side of dynamic sizes; None if the graph has a static size.
    """

    counted: str
    score_name: str
    exact: Limits
    quantised: Limits
    most_samples: int
    calibration_images: int
    min_dynamic_side: int | None

    def make_parity_batches(self, samples: Sequence[Sample], reference: Runtime) -> list[ParityBatch]:
        """Return parity batches of several sizes, cropped from samples, with the logits of `reference`.

        The first has the default size.
        """
        ...

    def calibration_inputs(self, samples: Iterable[Sample]) -> Iterator[Feed]:
        """Yield inputs of the graph from calibration images, for a quantisation."""
        ...

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities of logits (batch, classes, *output_size)."""
        ...

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return the class (batch, *output_size) with the largest logit or probability."""
        ...

    def count(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return the confusion matrix of a batch: entry (i, j) counts true class i, predicted class j."""
        ...

    def score(self, counts: np.ndarray) -> float:
        """Return the score, from 0 to 1, of a confusion matrix."""
        ...

    def describe(self) -> Description:
        """Return the description of a bioimage.io package."""
        ...


def export_task_of(model_card: ModelCard) -> ExportTask:
    """Return the export task of a segmentation or classification model."""
    return (
        SegmentationExport(model_card) if model_card.view is None else ClassificationExport(model_card, model_card.view)
    )
