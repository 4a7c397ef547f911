"""Export task of segmentation models: parity batches of random tiles, scored by mean IoU."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np

from pixelwise.exporters.description import Description, Limits
from pixelwise.exporters.samples import SEED, Feed, ParityBatch, Sample, draw_crop, make_feed, make_parity_batch
from pixelwise.labels.regions import write_regions
from pixelwise.labels.targets import probabilities_of
from pixelwise.metrics.semantic import class_scores, confusion, mean_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime
from pixelwise.text import list_first

# (batch, rows, columns) of one round; sides are enlarged to valid sizes, and differ from those of tracing
SHAPES = ((1, 320, 256), (2, 160, 192), (4, 64, 96))
VOLUME_SHAPES = ((1, 40, 64, 48), (2, 24, 32, 40), (4, 16, 24, 32))  # (batch, depth, rows, columns)
MAX_ROUNDS = 4
MAX_VALUES = 2_000_000  # logits in the parity data: 8 MB before compression
CALIBRATION_SIDE = {2: 256, 3: 64}  # side in pixels of the calibration tiles
MIN_SIDE = {2: 64, 3: 16}  # smallest side in pixels in the description of a bioimage.io package
MAX_TEST_VOXELS = 1_500_000  # of the test volume of a package, which covers the halo on both sides of a voxel
CHANNELS = {
    "components": ("background", "object"),
    "boundary": ("background", "interior", "boundary"),
    "distance": ("background", "interior", "boundary", "distance"),
}


class SegmentationExport:
    """Export task of a segmentation model; see `export_task`."""

    counted, score_name = "pixels", "IoU"
    exact = Limits(difference=1e-4, probability_difference=1e-3, disagreement=1e-5, score_loss=0.01)
    quantised = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=0.5)
    most_samples = MAX_ROUNDS * sum(shape[0] for shape in SHAPES)
    calibration_images = 64

    def __init__(self, model_card: ModelCard) -> None:
        self._model_card = model_card
        self._dimensions = model_card.network.dimensions
        if self._dimensions == 3:
            self.counted, self.calibration_images = "voxels", 16
        self.min_dynamic_side: int | None = model_card.geometry.legal_first
        self._softmax = model_card.softmax_channels
        self._classes = len(model_card.classes) if model_card.target.regions else self._softmax

    def make_parity_batches(self, samples: Sequence[Sample], reference: Runtime) -> list[ParityBatch]:
        """Return batches of random tiles from a fixed seed, cycling through the samples."""
        rng = np.random.default_rng(SEED)
        order = cycle(samples)
        shapes = SHAPES if self._dimensions == 2 else self._volume_shapes()
        per_round = sum(math.prod(shape) for shape in shapes) * self._model_card.network.classes
        rounds = max(1, min(MAX_ROUNDS, MAX_VALUES // per_round))
        return [
            make_parity_batch(
                [draw_crop(sample, tuple(sides), self._model_card, rng) for sample in islice(order, batch)], reference
            )
            for batch, *sides in shapes * rounds
        ]

    def _volume_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of a round; the first is that of a package, and large enough for its description."""
        batch, *sides = VOLUME_SHAPES[0]
        first = tuple(max(side, self._min_size(axis)) for axis, side in enumerate(sides))
        return ((batch, *first), *VOLUME_SHAPES[1:])

    def calibration_inputs(self, samples: Iterable[Sample]) -> Iterator[Feed]:
        """Yield random tiles; few samples are used several times."""
        rng = np.random.default_rng(SEED)
        for sample in islice(cycle(islice(samples, self.calibration_images)), self.calibration_images):
            sides = (CALIBRATION_SIDE[self._dimensions],) * self._dimensions
            yield make_feed(draw_crop(sample, sides, self._model_card, rng), self._model_card)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the softmax over the classes, and the sigmoid of a distance channel or of regions."""
        return probabilities_of(logits, self._model_card.target, channel_axis=1)

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return the most probable class of each pixel; of regions the class that is written last."""
        if self._model_card.target.regions:
            return np.stack([write_regions(image, self._model_card.target) for image in values])
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
        regions = model_card.target.region_names
        mixed = self._softmax != model_card.network.classes  # a distance channel is not part of the softmax
        activation = [] if mixed else [{"id": "softmax", "kwargs": {"axis": "channel"}}]
        notes = ["Use whole images if each image is normalised by its own mean and standard deviation."]
        if self._dimensions == 3 and not self._states_halo():
            halo = model_card.geometry.halo
            notes.append(f"Use whole volumes, or tiles that overlap by {2 * halo} voxels, of which half are dropped.")
        if model_card.target.kind != "classes":
            notes.append("Object post-processing is part of pixelwise; other tools get the probabilities only.")
        if regions:
            order = ", then ".join(
                f"{written} where {name} is above {threshold:g}"
                for name, written, threshold in zip(
                    regions, model_card.target.region_classes, model_card.target.region_thresholds, strict=True
                )
            )
            notes.append(
                f"Channels are regions, each with a sigmoid. To write a mask of classes, start with 0; {order}."
            )
        return Description(
            input_axes=[self._axis(axis, {"size": self._input_size(axis)}) for axis in range(self._dimensions)],
            output_axes=[self._axis(axis, self._output_size(axis)) for axis in range(self._dimensions)],
            channels=list(regions or CHANNELS.get(model_card.target.kind, model_card.classes)),
            postprocessing=[{"id": "sigmoid"}] if regions else activation,
            summary=f"Segmentation of {list_first(model_card.classes[1:], 12) or 'objects'}; {model_card.task}.",
            notes=notes,
            tag="segmentation",
        )

    def _name(self, axis: int) -> str:
        return "zyx"[-self._dimensions :][axis]

    def _axis(self, axis: int, rest: dict[str, Any]) -> dict[str, Any]:
        spacing, unit = self._model_card.spacing, "micrometer" if self._dimensions == 2 else "millimeter"
        scale = {} if spacing is None else {"scale": spacing[axis], "unit": unit}
        return {"type": "space", "id": self._name(axis), **scale, **rest}

    def _min_size(self, axis: int) -> int:
        """Return the smallest side of the input that leaves something inside the halo, if that is described."""
        geometry = self._model_card.geometry.along(axis)
        needed = 2 * geometry.halo + geometry.total_stride if self._states_halo() else 0
        return geometry.valid_size(max(MIN_SIDE[self._dimensions], needed))

    def _states_halo(self) -> bool:
        """Return whether the halo is described: always of images; of volumes unless their test would be too large."""
        axes = [self._model_card.geometry.along(axis) for axis in range(self._dimensions)]
        return self._dimensions == 2 or math.prod(2 * g.halo + g.total_stride for g in axes) <= MAX_TEST_VOXELS

    def _input_size(self, axis: int) -> dict[str, int]:
        return {"min": self._min_size(axis), "step": self._model_card.geometry.along(axis).legal_step}

    def _output_size(self, axis: int) -> dict[str, Any]:
        geometry = self._model_card.geometry.along(axis)
        size = {"size": {"tensor_id": "raw", "axis_id": self._name(axis), "offset": -2 * geometry.margin}}
        halo = geometry.halo if self._states_halo() else 0
        return size | ({"halo": halo} if halo else {})  # valid networks remove a border instead
