"""Grad-CAM of segmentation models: a class or a region at one pixel, or over all pixels predicted as it."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import logit

from pixelwise.explain.crop import crop_for_masks
from pixelwise.labels.instances import decode
from pixelwise.labels.targets import probabilities_of
from pixelwise.model_file.model_card import ModelCard
from pixelwise.networks.models import Network
from pixelwise.text import pluralise
from pixelwise.workflow.inspection.attribution import AttributionRequest, AttributionTarget, PredictionPanels, index_of
from pixelwise.workflow.painting import colour

BOUNDARY_CLASSES = ("background", "interior", "boundary")
TARGETS = {"components": ("background", "object"), "boundary": BOUNDARY_CLASSES, "distance": BOUNDARY_CLASSES}


class MaskAttribution:
    """A request for the pixels of an image; see `attribution.ImageAttribution`."""

    def __init__(
        self, network: Network, model_card: ModelCard, pixels: np.ndarray, request: AttributionRequest
    ) -> None:
        self._model_card, self._request = model_card, request
        self.crop = crop_for_masks(network, model_card, pixels, request.pixel)
        (top, left), (height, width) = self.crop.origin, self.crop.shown.shape[1:]
        whole = self.crop.shown.size >= pixels.size
        self.location = "" if whole else f": rows {top} to {top + height - 1}, columns {left} to {left + width - 1}"

    def resolve(self, logits: np.ndarray) -> AttributionTarget:
        """Return the requested class, or the one predicted at the pixel, or the most frequent foreground class.

        Regions overlap: at a pixel it is the one that is written last, else the largest one.
        """
        model_card, crop, request = self._model_card, self.crop, self._request
        target = model_card.target
        names = target.region_names or TARGETS.get(target.kind, model_card.classes)
        requested = index_of(request.class_name, names)
        shown = _predicted(logits[: len(names), *crop.keep], model_card)
        counts = shown.reshape(len(names), -1).sum(1)
        shares = {name: float(count / shown[0].size) for name, count in zip(names, counts, strict=True)}
        first = 0 if target.regions else 1  # without a background
        region = np.zeros(logits.shape[1:], bool)
        if request.pixel is not None:
            row, column = (position - start for position, start in zip(request.pixel, crop.origin, strict=True))
            probabilities = probabilities_of(logits[:, *crop.keep], target, model_card.temperatures)
            here = np.flatnonzero(shown[:, row, column])
            index = int(here[-1] if len(here) else probabilities[:, row, column].argmax())
            index = index if requested is None else requested
            region[crop.keep][row, column] = True
            probability = probabilities[index, row, column]
            position = f"at row {request.pixel[0]}, column {request.pixel[1]}"
            caption = f"Grad-CAM for {names[index]} {position} (probability {probability:.2f})."
            return AttributionTarget(index, names[index], region, caption, shares)
        best_class = int(counts[first:].argmax()) + first if counts[first:].any() else 0
        index = best_class if requested is None else requested
        region[crop.keep] = shown[index]
        count = pluralise(int(counts[index]), "pixel")
        caption = (
            f"Grad-CAM for {names[index]}, over the {count} predicted as this {'region' * (not first) or 'class'}."
        )
        if not counts[index]:
            region[crop.keep] = True
            caption = f"Grad-CAM for {names[index]}, over all pixels, because it is not predicted."
        return AttributionTarget(index, names[index], region, caption, shares)

    def draw_prediction(self, logits: np.ndarray, target: AttributionTarget) -> PredictionPanels:
        """Return the predicted mask or objects, and the probability of the attributed class."""
        model_card = self._model_card
        probabilities = probabilities_of(logits[:, *self.crop.keep], model_card.target)
        objects = model_card.task == "instance"
        labels = decode(probabilities, model_card.target)
        shown = [] if objects else np.unique(labels).tolist()
        remark = (
            pluralise(int(labels.max()), "object") if objects else f"{len(shown)} of {len(model_card.classes)} classes"
        )
        return PredictionPanels(
            panels=(
                ("prediction", remark, colour(labels, model_card.colours, objects=objects)),
                (f"probability of {target.name}", "0 (dark) to 1 (bright)", probabilities[target.index]),
            ),
            legend=tuple((model_card.classes[i], model_card.colours[i]) for i in shown),
            region=None if target.region is None else target.region[self.crop.keep],
        )


def _predicted(
    logits: Float[np.ndarray, "classes height width"], model_card: ModelCard
) -> Bool[np.ndarray, "classes height width"]:
    """Return where each class is the most probable one, or each region more probable than its threshold."""
    thresholds = model_card.target.region_thresholds
    if model_card.target.regions:
        return logits > logit(np.array(thresholds))[:, None, None]
    return logits.argmax(0) == np.arange(len(logits))[:, None, None]
