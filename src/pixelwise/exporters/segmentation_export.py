"""Export task of segmentation models: parity batches of random tiles, scored by mean IoU."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np

from pixelwise.exporters.description import Description, Limits, join_names
from pixelwise.exporters.samples import (
    SEED,
    Feed,
    ParityBatch,
    Sample,
    draw_crop,
    make_feed,
    make_parity_batch,
)
from pixelwise.labels.targets import class_channels, probabilities_of
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime

# (batch, rows, columns) of one round; sides are enlarged to valid sizes, and differ from those of tracing
SHAPES = ((1, 320, 256), (2, 160, 192), (4, 64, 96))
MAX_ROUNDS = 4
MAX_VALUES = 2_000_000  # logits in the parity data: 8 MB before compression
CALIBRATION_SIDE = 256  # side in pixels of the calibration tiles
MIN_SIDE = 64  # smallest side in pixels in the description of a bioimage.io package
CHANNELS = {
    "components": ("background", "object"),
    "boundary": ("background", "interior", "boundary"),
    "distance": ("background", "interior", "boundary", "distance"),
}


class SegmentationExport:
    """Export task of a segmentation model; see `export_task.ExportTask`."""

    counted, score_name = "pixels", "IoU"
    exact = Limits(difference=1e-4, probability_difference=1e-3, disagreement=1e-5, score_loss=0.01)
    quantised = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=0.5)
    most_samples = MAX_ROUNDS * sum(batch for batch, _, _ in SHAPES)
    observed = 64

    def __init__(self, model_card: ModelCard) -> None:
        self._model_card = model_card
        self.min_dynamic_side: int | None = model_card.geometry.legal_first
        self._classes = class_channels(model_card.target, model_card.network.classes)

    def make_parity_batches(self, samples: Sequence[Sample], reference: Runtime) -> list[ParityBatch]:
        """Return batches of random tiles from a fixed seed, cycling through the samples."""
        rng = np.random.default_rng(SEED)
        order = cycle(samples)
        per_round = sum(batch * rows * columns for batch, rows, columns in SHAPES) * self._model_card.network.classes
        rounds = max(1, min(MAX_ROUNDS, MAX_VALUES // per_round))
        return [
            make_parity_batch(
                [draw_crop(sample, (rows, columns), self._model_card, rng) for sample in islice(order, batch)],
                reference,
            )
            for batch, rows, columns in SHAPES * rounds
        ]

    def calibration_inputs(self, samples: Iterable[Sample]) -> Iterator[Feed]:
        """Yield random tiles; few samples are used several times."""
        rng = np.random.default_rng(SEED)
        for sample in islice(cycle(islice(samples, self.observed)), self.observed):
            yield make_feed(
                draw_crop(sample, (CALIBRATION_SIDE, CALIBRATION_SIDE), self._model_card, rng), self._model_card
            )

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the softmax over the classes, and the sigmoid of a distance channel."""
        return probabilities_of(logits, self._model_card.target, channel_axis=1)

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return the most probable class of each pixel."""
        return values[:, : self._classes].argmax(1)

    def count(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return the confusion matrix of the pixels; truth 255 is ignored."""
        return sum(
            (confusion(*pair, self._classes) for pair in zip(truth, predicted, strict=True)),
            np.zeros((self._classes, self._classes), np.int64),
        )

    def score(self, counts: np.ndarray) -> float:
        """Return the mean IoU over the classes."""
        return mean_of(class_scores(counts).iou) or 0.0

    def describe(self) -> Description:
        """Return the description of a package: axes of any valid size with their physical scale, and the classes."""
        model_card = self._model_card
        mixed = self._classes != model_card.network.classes  # a distance channel is not part of the softmax
        notes = ["Use whole images if each image is normalised by its own mean and standard deviation."]
        if model_card.target.kind != "classes":
            notes.append("Object post-processing is part of pixelwise; other tools get the probabilities only.")
        return Description(
            input_axes=[self._axis(axis, {"size": self._input_size()}) for axis in "yx"],
            output_axes=[self._axis(axis, self._output_size(axis)) for axis in "yx"],
            channels=list(CHANNELS.get(model_card.target.kind, model_card.classes)),
            postprocessing=[] if mixed else [{"id": "softmax", "kwargs": {"axis": "channel"}}],
            summary=f"Segmentation of {join_names(model_card.classes[1:]) or 'objects'}; {model_card.task}.",
            notes=notes,
            tag="segmentation",
        )

    def _axis(self, axis: str, rest: dict[str, Any]) -> dict[str, Any]:
        spacing = self._model_card.spacing
        scale = {} if spacing is None else {"scale": spacing["yx".index(axis)], "unit": "micrometer"}
        return {"type": "space", "id": axis, **scale, **rest}

    def _input_size(self) -> dict[str, int]:
        geometry = self._model_card.geometry
        min_side = geometry.valid_size(max(MIN_SIDE, 2 * geometry.halo + geometry.total_stride))
        return {"min": min_side, "step": geometry.legal_step}

    def _output_size(self, axis: str) -> dict[str, Any]:
        geometry = self._model_card.geometry
        size = {"size": {"tensor_id": "raw", "axis_id": axis, "offset": -2 * geometry.margin}}
        return size | ({"halo": geometry.halo} if geometry.halo else {})  # valid networks remove a border instead
