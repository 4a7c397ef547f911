"""Model: a model file made ready to predict arrays."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Integer, Num

from pixelwise.errors import BadImage, BadModel
from pixelwise.geometry.symmetries import tta_symmetries
from pixelwise.geometry.tiles import Span
from pixelwise.inference.arrays import channels_first, warn_of_scale
from pixelwise.inference.blending import LogitsWindow
from pixelwise.inference.load_runtime import load_runtime
from pixelwise.inference.pipeline import prefetch
from pixelwise.inference.predictor import BATCH, Job, MemoryBudget, Predictor
from pixelwise.io.windows import InMemorySource
from pixelwise.labels.instances import start_decoding
from pixelwise.labels.targets import TargetOptions, most_probable_wins, probabilities_of
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.text import pluralise

Advance = Callable[[int], None]
Key = TypeVar("Key")
TILE_BYTES = 2**30  # of the activations of a tile and of what is kept of the image's pixels; tiles grow up to it
DECODING_BYTES = 8  # per pixel of an image whose objects are told apart


def _nobody(count: int) -> None:
    """Tell nobody about a finished tile."""


def _put(probabilities: np.ndarray, window: tuple[Span, ...], found: np.ndarray) -> None:
    (top, bottom), (left, right) = window
    probabilities[:, top:bottom, left:right] = found


@dataclass(frozen=True)
class Prediction:
    """What `Model` found in one image.

    Attributes
    ----------
    labels : (height, width) integers
        Class indices (uint8), or object numbers (uint16, or int32 where there are more than 65,535).
    probabilities : (classes, height, width) float16, or None
        If asked for, calibrated by the recipe's temperatures; kind "distance" has its distance behind the classes.
    warnings : tuple of str
        Sentences for the user.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None
    warnings: tuple[str, ...]


class Decoding:
    """What is known of one image while its parts come in.

    Attributes
    ----------
    missing : int
        Parts that have not come yet.
    """

    def __init__(
        self,
        target: TargetOptions,
        size: tuple[int, int],
        parts: int,
        warnings: tuple[str, ...],
        room: np.ndarray | None,
        temperatures: Temperatures = UNSCALED,
    ) -> None:
        self._decoder, self._warnings, self._chances = start_decoding(target, size), warnings, room
        self._target, self._temperatures = target, temperatures
        self.missing = parts

    def add(self, part: LogitsWindow) -> None:
        """Decide the pixels of a part."""
        # of classes only the order counts; thresholds were chosen for probabilities that are not calibrated
        by_order = most_probable_wins(self._target)
        self._decoder.add(part.write, part.logits if by_order else probabilities_of(part.logits, self._target))
        if self._chances is not None:
            _put(self._chances, part.write, probabilities_of(part.logits, self._target, self._temperatures))
        self.missing -= 1

    def finish(self) -> Prediction:
        """Return the result, once nothing is missing."""
        return Prediction(self._decoder.finish(), self._chances, self._warnings)


class Model:
    """Predicts masks for images of any size.

    Parameters
    ----------
    model_card : ModelCard
    predictor : Predictor
    """

    def __init__(self, model_card: ModelCard, predictor: Predictor) -> None:
        self.model_card, self.predictor = model_card, predictor

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
        return self.predict_pixels(channels_first(image, self.model_card.channels)).labels

    def probabilities(self, image: Num[np.ndarray, "..."]) -> Float32[np.ndarray, "classes height width"]:
        """Return the calibrated probabilities of the target's classes for an image, as `predict` takes it.

        Models of kind "distance" tell in a last channel how deep each pixel lies in its object, from 0 to 1.
        """
        pixels = channels_first(image, self.model_card.channels)
        probabilities = self._room(pixels)
        for part in self.predictor.stream(pixels, intensity_scale(pixels, self.model_card.normalisation)):
            _put(
                probabilities,
                part.write,
                probabilities_of(part.logits, self.model_card.target, self.model_card.temperatures),
            )
        return probabilities.astype(np.float32)

    def predict_pixels(
        self,
        pixels: Num[np.ndarray, "channels height width"],
        *,
        probabilities: bool = False,
        advance: Advance = _nobody,
    ) -> Prediction:
        """Predict one image; `advance` is called with 1 after each tile.

        Every pixel is decided when its tile is done, so that the logits of the whole image never exist. Memory beside
        the pixels and one tile, in bytes per pixel: 1 for masks, 6 to 7 where their areas are split and for kinds
        "boundary" and "distance", 5 for "components" (see `labels.instances`); `probabilities` adds 2 per channel.
        """
        ((_, decoding),) = self.predict_many([(None, pixels)], probabilities=probabilities, advance=advance)
        return decoding.finish()

    def predict_many(
        self,
        images: Iterable[tuple[Key, Num[np.ndarray, "channels height width"]]],
        *,
        probabilities: bool = False,
        advance: Advance = _nobody,
        overlapped: bool = False,
    ) -> Generator[tuple[Key, Decoding], None, None]:
        """Predict images one after the other; those that are smaller than a tile are computed several at once.

        Parameters
        ----------
        images : iterable of (key, pixels)
        probabilities : bool
        advance : callable
            Is called with 1 after each tile.
        overlapped : bool
            A thread takes `images`, and scales them, another one computes, and the caller's decides pixels. The first
            image is computed alone, so that it is there soon.

        Yields
        ------
        key, Decoding
            In the order of the images. `finish` gives the prediction; any thread may call it.
        """
        keys: dict[int, tuple[Key, Decoding]] = {}

        def jobs() -> Iterator[Job]:
            for key, pixels in images:
                job = Job(InMemorySource(pixels), intensity_scale(pixels, self.model_card.normalisation))
                keys[id(job)] = key, self._decoding(pixels, probabilities=probabilities)
                yield job

        with closing(self._computed(jobs(), overlapped=overlapped)) as computed:
            for job, part in computed:
                key, decoding = keys[id(job)]
                decoding.add(part)
                advance(1)
                if decoding.missing == 0:
                    del keys[id(job)]
                    yield key, decoding

    def _computed(self, jobs: Iterable[Job], *, overlapped: bool) -> Generator[tuple[Job, LogitsWindow], None, None]:
        if not overlapped:
            yield from self.predictor.compute(self.predictor.gather(self.predictor.prepare(jobs)))
            return
        batches = self.predictor.gather(self.predictor.prepare(jobs), first=1)
        with (
            closing(prefetch(batches)) as gathered,
            closing(prefetch(self.predictor.compute_batches(gathered), 1, "network")) as computed,
        ):
            for parts in computed:
                yield from parts
                del parts  # while the next are waited for, these must not stay in memory

    def tiles(self, size: tuple[int, int]) -> int:
        """Return how many tiles an image of (height, width) takes."""
        return self.predictor.count(size)

    def _decoding(self, pixels: np.ndarray, *, probabilities: bool) -> "Decoding":
        warnings = self._check(pixels)
        height, width = pixels.shape[1:]
        room = self._room(pixels) if probabilities else None
        tiles = self.tiles((height, width))
        return Decoding(self.model_card.target, (height, width), tiles, warnings, room, self.model_card.temperatures)

    def _room(self, pixels: np.ndarray) -> np.ndarray:
        return np.empty((self.model_card.network.classes, *pixels.shape[1:]), np.float16)

    def _check(self, pixels: np.ndarray) -> tuple[str, ...]:
        """Refuse another number of channels; warn when the values lie far from those of the training images."""
        if pixels.shape[0] != self.model_card.channels:
            expected = f"{pluralise(self.model_card.channels, 'channel')}, as in training"
            raise BadImage(expected, f"{pixels.shape[0]}", "Convert the image, or use another model.")
        return warn_of_scale(pixels, self.model_card.intensity_range)


def load_model_for_prediction(
    path: Path | str,
    *,
    device: str = "auto",
    tile: int | None = None,
    tta: int | None = None,
    runtime: str = "torch",
    pixels: int | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a run folder, a model file or an exported file.

    Parameters
    ----------
    path : path
        A run folder, its model.safetensors, or an export of it.
    device : {"auto", "cpu", "cuda", "mps"}
        For runs; exports are computed by the processor.
    tile : int, optional
        Pixels a side that a tile keeps; by default what the model says.
    tta : int, optional
        Test-time augmentation: average over this many flipped and rotated inputs
        (`geometry.symmetries.TTA_SYMMETRIES`), each of which costs one prediction; by default the model's own setting.
    runtime : str
        One of `benchmark.RUNTIMES`. For exports "torch" means as much as "auto": they are read without it.
    pixels : int, optional
        How many are to be predicted; see `make_runtime.make_runtime`.
    progress : Progress, optional
        Is told which runtime computes, and why.

    Raises
    ------
    BadModel
        There is no model, it is not one of ours, or it tells the classes of whole images.
    BadOption
        No such number of turns, or no such runtime, or not for this file.
    """
    computes, model_card = load_runtime(path, device=device, runtime=runtime, pixels=pixels, progress=progress)
    if model_card.view is not None:
        raise BadModel("a model of masks", "one of whole-image classes", "Give another model.", Path(path))
    over = tta_symmetries(model_card.tta if tta is None else tta)
    core, room = (tile, None) if tile else (model_card.tile, _memory_for_tiles(model_card))
    classes = model_card.network.classes
    return Model(model_card, Predictor(computes, model_card.geometry, classes, core, over, batch=BATCH, room=room))


def _memory_for_tiles(model_card: ModelCard) -> MemoryBudget:
    """Return what tiles may grow to: the activations of a U-Net of base width b are about 8 b numbers per pixel."""
    return MemoryBudget(bytes=TILE_BYTES, image_pixel=DECODING_BYTES, tile_pixel=8 * 4 * model_card.network.base)
