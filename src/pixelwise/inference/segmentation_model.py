"""Segmentation model that predicts masks and label images of arrays, from a run or an export."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Integer, Num

from pixelwise.errors import BadImage, BadModel
from pixelwise.geometry.symmetries import tta_symmetries
from pixelwise.geometry.tiles import Span
from pixelwise.inference.arrays import read_array, warn_of_scale
from pixelwise.inference.blending import LogitsWindow
from pixelwise.inference.load_runtime import load_runtime
from pixelwise.inference.pipeline import prefetch
from pixelwise.inference.predictor import BATCH, Job, Predictor, tile_budget
from pixelwise.io.windows import InMemoryReader
from pixelwise.labels.instances import start_decoding
from pixelwise.labels.targets import TargetOptions, most_probable_wins, probabilities_of
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.text import pluralise

Advance = Callable[[int], None]
Key = TypeVar("Key")


def _ignore(count: int) -> None:
    """Ignore a finished tile."""


def _put(probabilities: np.ndarray, window: tuple[Span, ...], values: np.ndarray) -> None:
    (top, bottom), (left, right) = window
    probabilities[:, top:bottom, left:right] = values


@dataclass(frozen=True)
class Prediction:
    """Prediction of one image.

    Attributes
    ----------
    labels : (height, width) integers
        Class indices (uint8), or object numbers (uint16, or int32 for more than 65,535 objects).
    probabilities : (classes, height, width) float16, or None
        On request: calibrated probabilities; for kind "distance" the distance is the last channel.
    warnings : tuple of str
        Sentences for the user.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None
    warnings: tuple[str, ...]


class PendingPrediction:
    """Post-processing of one image, window by window.

    Attributes
    ----------
    missing : int
        Number of windows not added yet.
    """

    def __init__(
        self,
        target: TargetOptions,
        size: tuple[int, int],
        windows: int,
        warnings: tuple[str, ...],
        buffer: np.ndarray | None,
        temperatures: Temperatures = UNSCALED,
    ) -> None:
        self._decoder, self._warnings, self._probabilities = start_decoding(target, size), warnings, buffer
        self._target, self._temperatures = target, temperatures
        self.missing = windows

    def add(self, window: LogitsWindow) -> None:
        """Add the logits of a window."""
        # argmax does not need probabilities; thresholds were chosen for uncalibrated probabilities
        argmax = most_probable_wins(self._target)
        self._decoder.add(window.write, window.logits if argmax else probabilities_of(window.logits, self._target))
        if self._probabilities is not None:
            calibrated = probabilities_of(window.logits, self._target, self._temperatures)
            _put(self._probabilities, window.write, calibrated)
        self.missing -= 1

    def finish(self) -> Prediction:
        """Return the prediction once no window is missing."""
        return Prediction(self._decoder.finish(), self._probabilities, self._warnings)


class SegmentationModel:
    """Segmentation model for images of any size.

    Parameters
    ----------
    model_card : ModelCard
    predictor : Predictor
    """

    def __init__(self, model_card: ModelCard, predictor: Predictor) -> None:
        self.model_card, self.predictor = model_card, predictor

    def predict(self, image: Any, *, nodata: float | None = None) -> Integer[np.ndarray, "height width"]:
        """Return the mask (class indices) or the label image (object numbers) of an image.

        Parameters
        ----------
        image : (height, width), (channels, height, width) or (height, width, channels) array_like
            Any numeric type, on the scale of the training images; Pillow images and nested lists too.
        nodata : float, optional
            Value of pixels without data, which do not count for the normalisation; see `arrays.read_array`.

        Raises
        ------
        BadImage
            Not numbers, a shape that does not fit the model, or NaN without `nodata`.
        """
        return self.predict_pixels(self._read(image, nodata)).labels

    def probabilities(self, image: Any, *, nodata: float | None = None) -> Float32[np.ndarray, "classes height width"]:
        """Return the calibrated probabilities of the target classes; same input as `predict`.

        For models of kind "distance" the last channel is the predicted distance to the border of the object, from 0 to
        1.
        """
        pixels = self._read(image, nodata)
        probabilities = self._buffer(pixels)
        target, temperatures = self.model_card.target, self.model_card.temperatures
        for window in self.predictor.stream(pixels, intensity_scale(pixels, self.model_card.normalisation)):
            _put(probabilities, window.write, probabilities_of(window.logits, target, temperatures))
        return probabilities.astype(np.float32)

    def _read(self, image: Any, nodata: float | None) -> Num[np.ndarray, "channels height width"]:
        return read_array(image, self.model_card.channels, self.model_card.reading, nodata)

    def predict_pixels(
        self,
        pixels: Num[np.ndarray, "channels height width"],
        *,
        probabilities: bool = False,
        advance: Advance = _ignore,
    ) -> Prediction:
        """Predict one image; `advance` is called with 1 after each tile.

        Logits are post-processed per tile and never stored for the whole image. Memory besides the pixels and one tile,
        in bytes per pixel: 1 for masks, 6 to 7 if their regions are split and for kinds "boundary" and "distance", 5
        for "components" (see `labels.instances`); `probabilities` adds 2 per channel.
        """
        ((_, decoding),) = self.predict_many([(None, pixels)], probabilities=probabilities, advance=advance)
        return decoding.finish()

    def predict_many(
        self,
        images: Iterable[tuple[Key, Num[np.ndarray, "channels height width"]]],
        *,
        probabilities: bool = False,
        advance: Advance = _ignore,
        concurrent: bool = False,
        first: int = 1,
    ) -> Generator[tuple[Key, PendingPrediction], None, None]:
        """Predict several images; images smaller than a tile are batched.

        Parameters
        ----------
        images : iterable of (key, pixels)
        probabilities : bool
        advance : callable
            Called with 1 after each tile.
        overlapped : bool
            Read and normalise `images` in one thread, compute in another, and post-process in the caller's. The first
            image is computed alone, so that it is available early.
        first : int
            The size of the first batch then.

        Yields
        ------
        key, Decoding
            In the order of the images. `finish` returns the prediction; any thread may call it.
        """
        keys: dict[int, tuple[Key, PendingPrediction]] = {}

        def jobs() -> Iterator[Job]:
            for key, pixels in images:
                job = Job(InMemoryReader(pixels), intensity_scale(pixels, self.model_card.normalisation))
                keys[id(job)] = key, self._decoding(pixels, probabilities=probabilities)
                yield job

        with closing(self._computed(jobs(), first if concurrent else None)) as computed:
            for job, window in computed:
                key, decoding = keys[id(job)]
                decoding.add(window)
                advance(1)
                if decoding.missing == 0:
                    del keys[id(job)]
                    yield key, decoding

    def _computed(self, jobs: Iterable[Job], first: int | None) -> Generator[tuple[Job, LogitsWindow], None, None]:
        """Yield logits; with `first`, the size of the first batch, reading and computing run in threads."""
        if first is None:
            yield from self.predictor.compute(self.predictor.make_batches(self.predictor.read_tiles(jobs)))
            return
        batches = self.predictor.make_batches(self.predictor.read_tiles(jobs), first=first)
        with (
            closing(prefetch(batches)) as prefetched,
            closing(prefetch(self.predictor.compute_batches(prefetched), 1, "network")) as computed,
        ):
            for windows in computed:
                yield from windows
                del windows  # frees their memory while waiting for the next ones

    def tiles(self, size: tuple[int, int]) -> int:
        """Return the number of tiles of an image of (height, width)."""
        return self.predictor.count(size)

    def _decoding(self, pixels: np.ndarray, *, probabilities: bool) -> "PendingPrediction":
        warnings = self._check(pixels)
        height, width = pixels.shape[1:]
        buffer = self._buffer(pixels) if probabilities else None
        tiles = self.tiles((height, width))
        return PendingPrediction(
            self.model_card.target, (height, width), tiles, warnings, buffer, self.model_card.temperatures
        )

    def _buffer(self, pixels: np.ndarray) -> np.ndarray:
        return np.empty((self.model_card.network.classes, *pixels.shape[1:]), np.float16)

    def _check(self, pixels: np.ndarray) -> tuple[str, ...]:
        """Check the number of channels; return warnings if the values differ strongly from the training images."""
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
    largest: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> SegmentationModel:
    """Load a segmentation model from a run folder, a model file or an exported file.

    Parameters
    ----------
    path : path
        A run folder, its model.safetensors, or an export of it.
    device : {"auto", "cpu", "cuda", "mps"}
        For runs; exports run on the CPU.
    tile : int, optional
        Side in pixels of the valid region of a tile; by default the setting of the model.
    tta : int, optional
        Test-time augmentation: average over this many flipped and rotated inputs
        (`geometry.symmetries.TTA_SYMMETRIES`), each of which costs one prediction; by default the setting of the model.
    runtime : str
        One of `benchmark.RUNTIMES`. For exports "torch" is the same as "auto".
    pixels : int, optional
        Number of pixels to predict; see `make_runtime.make_runtime`.
    largest : (height, width), optional
        Size of the largest image, if known; see `make_runtime.make_runtime`.
    progress : Progress, optional
        Receives messages about the choice of the runtime.

    Raises
    ------
    BadModel
        The model is missing or invalid, or a classification model.
    BadOption
        The number of inputs of test-time augmentation is not supported, or the runtime is unknown or cannot run this
        file.
    """
    largest = None if tile or tta not in (None, 1) else largest  # those are computed with whole tiles
    loaded, model_card = load_runtime(
        path, device=device, runtime=runtime, pixels=pixels, largest=largest, progress=progress
    )
    if model_card.view is not None:
        raise BadModel("a segmentation model", "a classification model", "Use another model.", Path(path))
    symmetries = tta_symmetries(model_card.tta if tta is None else tta)
    core, budget = (tile, None) if tile else (model_card.tile, tile_budget(model_card.network.base))
    geometry, classes = model_card.geometry, model_card.network.classes
    return SegmentationModel(
        model_card, Predictor(loaded, geometry, classes, core, symmetries, batch=BATCH, memory_budget=budget)
    )
