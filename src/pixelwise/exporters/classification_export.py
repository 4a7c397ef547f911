"""Export task of classification models: parity batches of network inputs, scored by accuracy."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from scipy.special import softmax

from pixelwise.exporters.description import Description, Limits
from pixelwise.exporters.samples import (
    SEED,
    Feed,
    ParityBatch,
    Sample,
    SampleCrop,
    draw_crop,
    make_feed,
    make_parity_batch,
)
from pixelwise.metrics.classification import count_classes
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.sampling.resize_crop import View, centre_crop
from pixelwise.text import list_first

BATCH_SIZES = (1, 5, 32)  # of images at the size of prediction, used in a cycle
# (batch, rows, columns) of images at other sizes, relative to the side of prediction; their class is not scored
OTHER_SHAPES = ((2, 1.25, 0.75), (1, 1.0, 1.5), (3, 0.8, 0.8))
MAX_IMAGES, MIN_IMAGES = 1000, 64
MAX_VALUES = 24_000_000  # pixel values in the parity data: 24 MB for 8 bits, before compression
UNKNOWN = -1  # ground truth of images that are not scored


class ClassificationExport:
    """Export task of a classification model; see `export_task`."""

    counted, score_name = "images", "accuracy"
    # one image of a thousand may be on the boundary between two classes
    exact = Limits(difference=1e-4, probability_difference=1e-3, disagreement=1e-3, score_loss=0.1)
    quantised = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=1.0)
    calibration_images = 300

    def __init__(self, model_card: ModelCard, view: View) -> None:
        self._model_card, self._view = model_card, view
        self.most_samples = max(MIN_IMAGES, min(MAX_IMAGES, MAX_VALUES // (model_card.channels * view.side**2)))
        # tracing treats a map of one pixel as a constant, so the last map needs two per side, or a static size
        min_side = model_card.geometry.total_stride + 1
        self.min_dynamic_side = None if view.side < min_side or _has_static_size(model_card) else min_side

    def make_parity_batches(self, samples: Sequence[Sample], reference: Runtime) -> list[ParityBatch]:
        """Use every sample once at the size of prediction, and a few at other sizes if the graph accepts them."""
        remaining = iter(samples)
        batches: list[ParityBatch] = []
        for batch in cycle(BATCH_SIZES):
            crops = [self._centre_crop(sample) for sample in islice(remaining, batch)]
            if not crops:
                break
            batches.append(make_parity_batch(crops, reference))
        rng, order = np.random.default_rng(SEED), cycle(samples)
        for batch, *factors in OTHER_SHAPES if self.min_dynamic_side else ():
            rows, columns = (max(self.min_dynamic_side or 1, round(factor * self._view.side)) for factor in factors)
            crops = [self._random_crop(sample, (rows, columns), rng) for sample in islice(order, batch)]
            batches.append(make_parity_batch(crops, reference))
        return batches

    def calibration_inputs(self, samples: Iterable[Sample]) -> Iterator[Feed]:
        """Yield the network input of each image."""
        for sample in islice(samples, self.calibration_images):
            yield make_feed(self._centre_crop(sample), self._model_card)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return the softmax over the classes."""
        return softmax(logits, axis=1)

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return the most probable class of each image."""
        return values.argmax(1)

    def count(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Return the confusion matrix of the images whose class is known."""
        known = truth != UNKNOWN
        return count_classes(truth[known], predicted[known], self._model_card.network.classes)

    def score(self, counts: np.ndarray) -> float:
        """Return the top-1 accuracy."""
        return float(np.trace(counts) / max(1, counts.sum()))

    def describe(self) -> Description:
        """Return the description of a package: images of the training size, and one probability per class.

        Most of these networks accept other sizes too, but they were not evaluated at other scales, and the format of
        the description cannot express the resizing.
        """
        model_card, view = self._model_card, self._view
        notes = [
            f"Resize an image to a shorter side of {view.shorter} pixels, with area averaging when shrinking, and use "
            f"the centre crop of {view.side} x {view.side} pixels.",
            "Rescale values of 16-bit files to 8 bits: divide them by 257.",
        ]
        return Description(
            input_axes=[{"type": "space", "id": axis, "size": view.side} for axis in "yx"],
            output_axes=[],
            channels=list(model_card.classes),
            postprocessing=[{"id": "softmax", "kwargs": {"axis": "channel"}}],
            summary=f"Image classification: {list_first(model_card.classes, 12)}.",
            notes=notes,
            tag="classification",
        )

    def _centre_crop(self, sample: Sample) -> SampleCrop:
        """Return the centre crop of an image, as in prediction."""
        scale = intensity_scale(sample.pixels, self._model_card.normalisation)
        return SampleCrop(centre_crop(sample.pixels, self._view.side, self._view.side), scale, sample.truth)

    def _random_crop(self, sample: Sample, sides: tuple[int, int], rng: np.random.Generator) -> SampleCrop:
        """Return a random crop of another size, without ground truth."""
        return draw_crop(sample, sides, self._model_card, rng)._replace(truth=np.array(UNKNOWN, np.int64))


def _has_static_size(model_card: ModelCard) -> bool:
    """Return whether a network can only be traced for a static size.

    The adaptive average pooling of VGG is available in ONNX for known sizes only; ResNet-D shortcuts round sizes up,
    which tracing cannot express for dynamic sizes.
    """
    return model_card.network.name.startswith("vgg") or model_card.network.shortcut == "D"
