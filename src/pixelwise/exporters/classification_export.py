"""The subject of whole images: photos as prediction sees them, scored by the share of right ones."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice

import numpy as np
from scipy.special import softmax

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
from pixelwise.metrics.classification import count_classes
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.sampling.resize_crop import View, middle

BATCHES = (1, 5, 32)  # of photos at the size of prediction, by turns
# (batch, rows, columns) of photos at other sizes, as shares of the usual side; their class is not scored.
OTHER_SHAPES = ((2, 1.25, 0.75), (1, 1.0, 1.5), (3, 0.8, 0.8))
MOST_PHOTOS, LEAST_PHOTOS = 1000, 64
MOST_VALUES = 24_000_000  # pixel values in a proof: 24 MB for 8 bits, before compression
UNKNOWN = -1  # truth of what is not scored


class ClassificationExport:
    """See `export_task.ExportTask`; `model_card` is one of whole-image classes, `view` what it sees."""

    counted, score_name = "photos", "accuracy"
    # a single photo of a thousand may lie on the edge between two classes
    exact = Limits(difference=1e-4, probability_difference=1e-3, disagreement=1e-3, score_loss=0.1)
    quantised = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=1.0)
    observed = 300

    def __init__(self, model_card: ModelCard, view: View) -> None:
        self._recipe, self._view = model_card, view
        self.most_samples = max(LEAST_PHOTOS, min(MOST_PHOTOS, MOST_VALUES // (model_card.channels * view.side**2)))
        # tracing takes a map of a single pixel for a constant, so the last map has two a side, or one size is traced
        least = model_card.geometry.total_stride + 1
        self.free_from = None if view.side < least or _has_one_size(model_card) else least

    def make_trials(self, samples: Sequence[Sample], reference: Runtime) -> list[ParityBatch]:
        """Take every sample once at the size of prediction, and a few at other sizes where the graph takes them."""
        left = iter(samples)
        trials: list[ParityBatch] = []
        for batch in cycle(BATCHES):
            seen = [self._look(sample) for sample in islice(left, batch)]
            if not seen:
                break
            trials.append(make_parity_batch(seen, reference))
        rng, order = np.random.default_rng(SEED), in_turn(samples)
        for batch, *shares in OTHER_SHAPES if self.free_from else ():
            rows, columns = (max(self.free_from or 1, round(share * self._view.side)) for share in shares)
            cuts = [self._cut(sample, (rows, columns), rng) for sample in islice(order, batch)]
            trials.append(make_parity_batch(cuts, reference))
        return trials

    def feeds(self, samples: Iterable[Sample]) -> Iterator[Feed]:
        """Yield a photo each, as prediction sees it."""
        for sample in islice(samples, self.observed):
            yield make_feed(self._look(sample), self._recipe)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Take the soft-max over the classes."""
        return softmax(logits, axis=1)

    def decide(self, values: np.ndarray) -> np.ndarray:
        """Return the most probable class of each photo."""
        return values.argmax(1)

    def count(self, truth: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Count photos whose class is known."""
        known = truth != UNKNOWN
        return count_classes(truth[known], found[known], self._recipe.network.classes)

    def score(self, counts: np.ndarray) -> float:
        """Return the share of right photos."""
        return float(np.trace(counts) / max(1, counts.sum()))

    def describe(self) -> Description:
        """Return what a package says: photos of the one size that was learned, and a number per class.

        Most of these networks take other sizes too, but what they say of a photo at another scale than that of the
        training was never scored, and a description has no word for bringing a photo to its scale.
        """
        model_card, view = self._recipe, self._view
        notes = [
            f"Bring a photo to a shorter side of {view.shorter} pixels, averaging where it shrinks, and give the "
            f"middle {view.side} x {view.side} of it.",
            "Values of 16-bit files are brought to the scale of 8 bits: divide them by 257.",
        ]
        return Description(
            inside=[{"type": "space", "id": axis, "size": view.side} for axis in "yx"],
            outside=[],
            channels=list(model_card.classes),
            postprocessing=[{"id": "softmax", "kwargs": {"axis": "channel"}}],
            finds=f"Tells the class of a whole image: {listed(model_card.classes)}.",
            notes=notes,
            tag="classification",
        )

    def _look(self, sample: Sample) -> SampleCrop:
        """See the middle of a photo, as `PhotoModel.look`."""
        scale = intensity_scale(sample.pixels, self._recipe.normalisation)
        return SampleCrop(middle(sample.pixels, self._view.side, self._view.side), scale, sample.truth)

    def _cut(self, sample: Sample, sides: tuple[int, int], rng: np.random.Generator) -> SampleCrop:
        """Cut a window of another size, whose class nobody knows."""
        rows, columns = draw_places(sample.pixels.shape[1:], sides, self._recipe.geometry, rng)
        scale = intensity_scale(sample.pixels, self._recipe.normalisation)
        return SampleCrop(sample.pixels[:, rows[:, None], columns[None]], scale, np.array(UNKNOWN, np.int64))


def _has_one_size(model_card: ModelCard) -> bool:
    """Tell whether a network can be traced for one size alone.

    VGG's linear layers see a fixed grid of means, which ONNX has for known sizes alone; shortcuts D round sizes up,
    in a way that tracing cannot follow for all of them at once.
    """
    return model_card.network.name.startswith("vgg") or model_card.network.shortcut == "D"
