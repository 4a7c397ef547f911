"""A model file of whole-image classes made ready to predict arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Num
from scipy.special import softmax

from pixelwise.engine.machine import choose_device
from pixelwise.engine.modelfile import Recipe, load_model
from pixelwise.engine.runtimes import Runtime, TorchRuntime
from pixelwise.errors import BadImage, BadModel
from pixelwise.images.photos import View, fit, middle
from pixelwise.images.preprocess import intensity_scale


class PhotoModel:
    """Tells the class of whole images of any size.

    Parameters
    ----------
    recipe : Recipe
        Of a model of whole-image classes.
    runtime : Runtime
        Photos (batch, channels, side, side) -> logits (batch, classes).
    view : View
    mirrored : bool
        Logits are averaged over each photo and its mirror image: twice the work, a little more accuracy.
    """

    def __init__(self, recipe: Recipe, runtime: Runtime, view: View, *, mirrored: bool = False) -> None:
        self.recipe, self._runtime, self._view, self._mirrored = recipe, runtime, view, mirrored

    def predict(self, image: Num[np.ndarray, "..."]) -> int:
        """Return the index of the most probable class; `recipe.classes` holds its name.

        Parameters
        ----------
        image : (height, width), (channels, height, width) or (height, width, channels) array
            Of any numeric type, in the values the training images had.

        Raises
        ------
        BadImage
            The shape does not fit the model.
        """
        return int(self.probabilities(image).argmax())

    def probabilities(self, image: Num[np.ndarray, "..."]) -> Float32[np.ndarray, " classes"]:
        """Return the probability of each class for an image, as `predict` takes it."""
        return self.predict_batch([self.look(channels_first(image, self.recipe.channels))])[0]

    def look(self, pixels: Num[np.ndarray, "channels height width"]) -> Float32[np.ndarray, "channels side side"]:
        """Return what the network gets of a photo: its middle, at the planned size and on the scale of the network.

        Raises
        ------
        BadImage
            Another number of channels.
        """
        if pixels.shape[0] != self.recipe.channels:
            expected = f"{self.recipe.channels} channel(s), as in training"
            raise BadImage(expected, f"{pixels.shape[0]}", "Convert the image, or use another model.")
        if 0 in pixels.shape:
            raise BadImage("an image with pixels", f"shape {pixels.shape}", "Give another image.")
        fitted = fit(pixels, self._view.shorter)
        scale = intensity_scale(fitted, self.recipe.normalisation)
        return scale.apply(middle(fitted, self._view.side, self._view.side))

    def predict_batch(
        self, looks: Sequence[Float32[np.ndarray, "channels side side"]]
    ) -> Float32[np.ndarray, "images classes"]:
        """Return the probabilities of the classes for what `look` returned of some photos."""
        batch = np.stack(looks)
        logits = self._runtime(batch)
        if self._mirrored:
            logits = (logits + self._runtime(np.ascontiguousarray(batch[:, :, :, ::-1]))) / 2
        return softmax(logits.astype(np.float32), axis=1).astype(np.float32)


def channels_first(image: Num[np.ndarray, "..."], channels: int) -> Num[np.ndarray, "channels height width"]:
    """Bring an array to (channels, height, width); a gray one is repeated where three channels are wanted.

    Raises
    ------
    BadImage
        The shape does not fit.
    """
    if image.ndim == 2 and channels in (1, 3):
        return np.broadcast_to(image, (channels, *image.shape))
    if image.ndim == 3 and image.shape[0] == channels:
        return image
    if image.ndim == 3 and image.shape[2] == channels:
        return np.moveaxis(image, 2, 0)
    expected = f"(height, width), ({channels}, height, width) or (height, width, {channels})"
    raise BadImage(expected, f"shape {image.shape}", "Bring the array into one of these shapes.")


def load_photo_model(path: Path, *, device: str = "auto", mirrored: bool = False) -> PhotoModel:
    """Load a model file of whole-image classes.

    Raises
    ------
    BadModel
        It is not one of ours, or it predicts masks.
    """
    network, recipe = load_model(path)
    if recipe.view is None:
        raise BadModel("a model of whole-image classes", f"one of the task {recipe.task}", "Give another run.", path)
    return PhotoModel(recipe, TorchRuntime(network, choose_device(device)), recipe.view, mirrored=mirrored)
