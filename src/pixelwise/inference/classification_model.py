"""Classification model that predicts the class of arrays, from a run or an export."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Num

from pixelwise.errors import BadImage, BadModel
from pixelwise.inference.arrays import read_array, warn_of_scale
from pixelwise.inference.load_runtime import load_runtime
from pixelwise.labels.temperature_scaling import scaled_softmax
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.sampling.resize_crop import View, centre_crop, resize_shorter_side, to_8_bit_range
from pixelwise.text import pluralise


class ClassificationModel:
    """Image classifier for images of any size.

    Parameters
    ----------
    model_card : ModelCard
        Of a classification model.
    runtime : Runtime
        Images (batch, channels, side, side) -> logits (batch, classes).
    mirrored : bool
        Test-time augmentation: average the logits over each image and its mirror image, at twice the time.
    """

    def __init__(self, model_card: ModelCard, runtime: Runtime, view: View, *, mirrored: bool = False) -> None:
        self.model_card, self.runtime, self._view, self._mirrored = model_card, runtime, view, mirrored

    def predict(self, image: Any, *, nodata: float | None = None) -> int:
        """Return the index of the most probable class; `model_card.classes` holds its name.

        Parameters
        ----------
        image : (height, width), (channels, height, width) or (height, width, channels) array_like
            Any numeric type, on the scale of the training images; 16-bit images are rescaled to 8 bits. Pillow images
            and nested lists too.
        nodata : float, optional
            Value of pixels without data; see `arrays.read_array`.

        Raises
        ------
        BadImage
            Not numbers, a shape that does not fit the model, or NaN without `nodata`.
        """
        return int(self.probabilities(image, nodata=nodata).argmax())

    def probabilities(self, image: Any, *, nodata: float | None = None) -> Float32[np.ndarray, " classes"]:
        """Return the calibrated probability of each class; same input as `predict`."""
        return self.predict_pixels(read_array(image, self.model_card.channels, self.model_card.reading, nodata))

    def predict_pixels(self, pixels: Num[np.ndarray, "channels height width"]) -> Float32[np.ndarray, " classes"]:
        """Return the probability of each class for an image (channels, height, width)."""
        return self.predict_batch([self.look(pixels)])[0]

    def look(self, pixels: Num[np.ndarray, "channels height width"]) -> Float32[np.ndarray, "channels side side"]:
        """Return the network input: the centre crop, resized and normalised.

        Raises
        ------
        BadImage
            The number of channels differs from the model, or the image is empty.
        """
        self._check(pixels)
        fitted = resize_shorter_side(pixels, self._view.shorter)
        scale = intensity_scale(fitted, self.model_card.normalisation)
        return scale.apply(centre_crop(fitted, self._view.side, self._view.side))

    def warnings(self, pixels: Num[np.ndarray, "channels height width"]) -> tuple[str, ...]:
        """Return a warning if the values differ strongly from those of the training images."""
        return warn_of_scale(to_8_bit_range(pixels), self.model_card.intensity_range)

    def predict_batch(
        self, inputs: Sequence[Float32[np.ndarray, "channels side side"]]
    ) -> Float32[np.ndarray, "images classes"]:
        """Return the probabilities of the classes for network inputs made by `look`."""
        batch = np.stack(inputs)
        logits = self.runtime(batch)
        if self._mirrored:
            logits = (logits + self.runtime(np.ascontiguousarray(batch[:, :, :, ::-1]))) / 2
        return scaled_softmax(logits.astype(np.float32), self.model_card.temperatures, 1)

    def _check(self, pixels: np.ndarray) -> None:
        if pixels.shape[0] != self.model_card.channels:
            expected = f"{pluralise(self.model_card.channels, 'channel')}, as in training"
            raise BadImage(expected, f"{pixels.shape[0]}", "Convert the image, or use another model.")
        if 0 in pixels.shape:
            raise BadImage("an image with pixels", f"shape {pixels.shape}", "Use another image.")


def load_classification_model(
    path: Path | str,
    *,
    device: str = "auto",
    runtime: str = "torch",
    mirrored: bool = False,
    progress: Progress | None = None,
) -> ClassificationModel:
    """Load a classification model from a run folder, a model file or an exported file.

    Parameters
    ----------
    device : str
        As in `load_runtime.load_runtime`.
    runtime : str
        As there; for runs "auto" is "torch", without a benchmark.
    mirrored : bool
        As in `ClassificationModel`.

    Raises
    ------
    BadModel
        The model is missing or invalid, or a segmentation model.
    BadOption
        The runtime is unknown, or cannot run this file.
    """
    name = "torch" if runtime == "auto" else runtime
    loaded, model_card = load_runtime(path, device=device, runtime=name, progress=progress)
    if model_card.view is None:
        got = f"one of the task {model_card.task}"
        raise BadModel("a classification model", got, "Use another model.", Path(path))
    return ClassificationModel(model_card, loaded, model_card.view, mirrored=mirrored)
