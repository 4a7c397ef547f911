"""Grad-CAM of classification models: a class of the whole image."""

import numpy as np

from pixelwise.errors import BadOption
from pixelwise.explain.crop import crop_for_class
from pixelwise.labels.temperature_scaling import scaled_softmax
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.inspection.attribution import AttributionRequest, AttributionTarget, PredictionPanels, index_of


class ClassAttribution:
    """A request for the class of an image; see `attribution.ImageAttribution`.

    Raises
    ------
    BadOption
        The request names a pixel.
    """

    location = ""  # always the centre, as in prediction

    def __init__(self, model_card: ModelCard, pixels: np.ndarray, request: AttributionRequest) -> None:
        if model_card.view is None:
            raise TypeError("expected a classification model")
        if request.pixel is not None:
            got = f"--pixel {request.pixel[0]},{request.pixel[1]}"
            raise BadOption("no --pixel for a classification model", got, "Choose a class with --class.")
        self._model_card, self._request = model_card, request
        self.crop = crop_for_class(model_card, model_card.view, pixels)

    def resolve(self, logits: np.ndarray) -> AttributionTarget:
        """Return the requested or the most probable class."""
        names = self._model_card.classes
        requested = index_of(self._request.class_name, names)
        probabilities = scaled_softmax(logits, self._model_card.temperatures, 0)
        best = np.argsort(-probabilities, kind="stable").tolist()
        index = best[0] if requested is None else requested
        top = ", ".join(f"{names[i]} {probabilities[i]:.2f}" for i in best[:3])
        shares = dict(zip(names, probabilities.tolist(), strict=True))
        return AttributionTarget(index, names[index], None, f"Grad-CAM for {names[index]}. Predicted: {top}.", shares)

    def draw_prediction(self, logits: np.ndarray, target: AttributionTarget) -> PredictionPanels:
        """Return nothing: the prediction is no picture."""
        return PredictionPanels()
