"""Model: a model file made ready to predict arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer, Num
from scipy.special import softmax

from pixelwise.engine.arrays import channels_first, warn_of_scale
from pixelwise.engine.predictor import Part, Predictor
from pixelwise.engine.recipe import Recipe
from pixelwise.errors import BadImage, BadModel
from pixelwise.geometry.symmetries import turned
from pixelwise.geometry.tiles import Span
from pixelwise.images.preprocess import intensity_scale
from pixelwise.labels.decoding import start_decoding

Advance = Callable[[int], None]


def _nobody(count: int) -> None:
    """Tell nobody about a finished tile."""


def _put(chances: np.ndarray, window: tuple[Span, ...], found: np.ndarray) -> None:
    (top, bottom), (left, right) = window
    chances[:, top:bottom, left:right] = found


@dataclass(frozen=True)
class Prediction:
    """What `Model` found in one image.

    Attributes
    ----------
    labels : (height, width) integers
        Class indices (uint8), or object numbers (uint16, or int32 where there are more than 65,535).
    probabilities : (classes, height, width) float16, or None
        If asked for.
    warnings : tuple of str
        Sentences for the user.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None
    warnings: tuple[str, ...]


class Model:
    """Predicts masks for images of any size.

    Parameters
    ----------
    recipe : Recipe
    predictor : Predictor
    """

    def __init__(self, recipe: Recipe, predictor: Predictor) -> None:
        self.recipe, self._predictor = recipe, predictor

    def predict(self, image: Num[np.ndarray, "..."]) -> Integer[np.ndarray, "height width"]:
        """Return the mask (class indices) or the label image (object numbers) of an image.

        Parameters
        ----------
        image : (height, width), (channels, height, width) or (height, width, channels) array
            Of any numeric type, in the values the training images had.

        Raises
        ------
        BadImage
            The shape does not fit the model.
        """
        return self.predict_pixels(channels_first(image, self.recipe.channels)).labels

    def probabilities(self, image: Num[np.ndarray, "..."]) -> Float32[np.ndarray, "classes height width"]:
        """Return the probabilities of the target's classes for an image, as `predict` takes it."""
        pixels = channels_first(image, self.recipe.channels)
        chances = self._room(pixels)
        for part in self._stream(pixels, _nobody):
            _put(chances, part.write, softmax(part.logits, axis=0))
        return chances.astype(np.float32)

    def predict_pixels(
        self,
        pixels: Num[np.ndarray, "channels height width"],
        *,
        probabilities: bool = False,
        advance: Advance = _nobody,
    ) -> Prediction:
        """Predict one image; `advance` is called with 1 after each tile.

        Every pixel is decided when its tile is done, so that the logits of the whole image never exist. Memory beside
        the pixels and one tile, in bytes per pixel: 1 for masks, 5 for kind "components", 6 to 7 for "boundary" (see
        `labels.decoding`); `probabilities` adds 2 per class.
        """
        warnings = self._check(pixels)
        decoder = start_decoding(self.recipe.target, pixels.shape[1:])
        chances = self._room(pixels) if probabilities else None
        only_order_counts = self.recipe.target.kind == "classes" and not probabilities
        for part in self._stream(pixels, advance):
            found = part.logits if only_order_counts else softmax(part.logits, axis=0)
            decoder.add(part.write, found)
            if chances is not None:
                _put(chances, part.write, found)
        return Prediction(decoder.finish(), chances, warnings)

    def tiles(self, size: tuple[int, int]) -> int:
        """Return how many tiles an image of (height, width) takes."""
        return self._predictor.count(size)

    def _stream(self, pixels: np.ndarray, advance: Advance) -> Iterator[Part]:
        for part in self._predictor.stream(pixels, intensity_scale(pixels, self.recipe.normalisation)):
            yield part
            advance(1)

    def _room(self, pixels: np.ndarray) -> np.ndarray:
        return np.empty((self.recipe.network.classes, *pixels.shape[1:]), np.float16)

    def _check(self, pixels: np.ndarray) -> tuple[str, ...]:
        """Refuse another number of channels; warn when the values lie far from those of the training images."""
        if pixels.shape[0] != self.recipe.channels:
            expected = f"{self.recipe.channels} channel(s), as in training"
            raise BadImage(expected, f"{pixels.shape[0]}", "Convert the image, or use another model.")
        return warn_of_scale(pixels, self.recipe.intensity_range)


def load_model_for_prediction(
    path: Path | str, *, device: str = "auto", tile: int | None = None, turns: int | None = None
) -> Model:
    """Load a run folder or a model file.

    Parameters
    ----------
    path : path
        A run folder, or its model.safetensors.
    device : {"auto", "cpu", "cuda", "mps"}
    tile : int, optional
        Pixels a side that a tile keeps; by default what the model says.
    turns : int, optional
        Average over so many turned inputs (`geometry.symmetries.TURNED`), each of which costs one prediction; by
        default what the model says.

    Raises
    ------
    BadModel
        There is no model, it is not one of ours, or it tells the classes of whole images.
    BadOption
        No such number of turns.
    """
    # torch is imported here and not above: models that were exported do without it and start faster
    from pixelwise.engine.machine import choose_device
    from pixelwise.engine.modelfile import find_model_file, load_model
    from pixelwise.engine.runtime_torch import TorchRuntime

    path = find_model_file(path)
    network, recipe = load_model(path)
    if recipe.view is not None:
        raise BadModel("a model of masks", "one of whole-image classes", "Give another run.", path)
    runtime = TorchRuntime(network, choose_device(device))
    over = turned(recipe.turns if turns is None else turns)
    core = tile or recipe.tile
    return Model(recipe, Predictor(runtime, recipe.geometry, recipe.network.classes, core, over))
