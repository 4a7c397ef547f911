"""The subject of masks: tiles of images, compared pixel by pixel, scored by the mean IoU of the classes."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from pixelwise.exporters.description import Description, Limits, listed
from pixelwise.exporters.samples import (
    SEED,
    Feed,
    ParityBatch,
    Sample,
    SampleCrop,
    draw_places,
    in_turn,
    make_feed,
    make_parity_batch,
)
from pixelwise.labels.targets import class_channels, probabilities_of
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import intensity_scale

# (batch, rows, columns) of one round; sides are brought up to legal ones. Several sizes and batches, none of them
# the ones that the graph was traced with.
SHAPES = ((1, 320, 256), (2, 160, 192), (4, 64, 96))
MOST_ROUNDS = 4
MOST_VALUES = 2_000_000  # logits in a proof: 8 MB before compression
OBSERVED_SIDE = 256  # pixels a side of what a quantisation observes
LEAST_SIDE = 64  # pixels a side that a package of bioimage.io asks for
CHANNELS = {
    "components": ("background", "object"),
    "boundary": ("background", "interior", "boundary"),
    "distance": ("background", "interior", "boundary", "distance"),
}


class SegmentationExport:
    """See `export_task.ExportTask`; `model_card` is one of masks."""

    counted, score_name = "pixels", "IoU"
    exact = Limits(difference=1e-4, probability_difference=1e-3, disagreement=1e-5, score_loss=0.01)
    quantised = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=0.5)
    most_samples = MOST_ROUNDS * sum(batch for batch, _, _ in SHAPES)
    observed = 64

    def __init__(self, model_card: ModelCard) -> None:
        self._recipe = model_card
        self.free_from: int | None = model_card.geometry.legal_first
        self._classes = class_channels(model_card.target, model_card.network.classes)

    def make_trials(self, samples: Sequence[Sample], reference: Runtime) -> list[ParityBatch]:
        """Cut tiles, all places drawn from one seed; samples take turns."""
        rng = np.random.default_rng(SEED)
        order = in_turn(samples)
        per_round = sum(batch * rows * columns for batch, rows, columns in SHAPES) * self._recipe.network.classes
        rounds = max(1, min(MOST_ROUNDS, MOST_VALUES // per_round))
        return [
            make_parity_batch([self._cut(sample, (rows, columns), rng) for sample in islice(order, batch)], reference)
            for batch, rows, columns in SHAPES * rounds
        ]

    def feeds(self, samples: Iterable[Sample]) -> Iterator[Feed]:
        """Yield a tile each; where samples are few they take turns, and other places of them are cut."""
        rng = np.random.default_rng(SEED)
        for sample in islice(in_turn(islice(samples, self.observed)), self.observed):
            yield make_feed(self._cut(sample, (OBSERVED_SIDE, OBSERVED_SIDE), rng), self._recipe)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Take the soft-max over the classes, and what the target says of a channel that is none."""
        return probabilities_of(logits, self._recipe.target)

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return the most probable class of each pixel."""
        return values[:, : self._classes].argmax(1)

    def count(self, truth: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Count pixels; truth 255 is left out."""
        return sum(
            (confusion(one, other, self._classes) for one, other in zip(truth, found, strict=True)),
            np.zeros((self._classes, self._classes), np.int64),
        )

    def score(self, counts: np.ndarray) -> float:
        """Return the mean IoU over the classes."""
        return mean_of(class_scores(counts).iou) or 0.0

    def describe(self) -> Description:
        """Return what a package says: axes of any legal size, with their physical scale, and the classes."""
        model_card = self._recipe
        mixed = self._classes != model_card.network.classes  # a channel that is no class has no part in the soft-max
        notes = ["Give it whole images where it normalises each image by its own mean and standard deviation."]
        if model_card.target.kind != "classes":
            notes.append(
                "Objects are found in the probabilities by pixelwise; other tools get the probabilities alone."
            )
        return Description(
            inside=[self._axis(axis, {"size": self._legal()}) for axis in "yx"],
            outside=[self._axis(axis, self._output(axis)) for axis in "yx"],
            channels=list(CHANNELS.get(model_card.target.kind, model_card.classes)),
            postprocessing=[] if mixed else [{"id": "softmax", "kwargs": {"axis": "channel"}}],
            finds=f"Finds {listed(model_card.classes[1:]) or 'objects'}; {model_card.task}.",
            notes=notes,
            tag="segmentation",
        )

    def _axis(self, axis: str, rest: dict[str, Any]) -> dict[str, Any]:
        spacing = self._recipe.spacing
        scale = {} if spacing is None else {"scale": spacing["yx".index(axis)], "unit": "micrometer"}
        return {"type": "space", "id": axis, **scale, **rest}

    def _legal(self) -> dict[str, int]:
        geometry = self._recipe.geometry
        least = geometry.legal_size(max(LEAST_SIDE, 2 * geometry.halo + geometry.total_stride))
        return {"min": least, "step": geometry.legal_step}

    def _output(self, axis: str) -> dict[str, Any]:
        geometry = self._recipe.geometry
        size = {"size": {"tensor_id": "raw", "axis_id": axis, "offset": -2 * geometry.margin}}
        return size | ({"halo": geometry.halo} if geometry.halo else {})  # valid networks lose a margin instead

    def _cut(self, sample: Sample, sides: tuple[int, int], rng: np.random.Generator) -> SampleCrop:
        """Cut a tile at a random place; the scale is the whole image's."""
        rows, columns = draw_places(sample.pixels.shape[1:], sides, self._recipe.geometry, rng)
        margin = self._recipe.geometry.margin
        inner = rows[margin : len(rows) - margin], columns[margin : len(columns) - margin]
        truth = sample.truth[inner[0][:, None], inner[1][None]]
        pixels = sample.pixels[:, rows[:, None], columns[None]]
        return SampleCrop(pixels, intensity_scale(sample.pixels, self._recipe.normalisation), truth)
