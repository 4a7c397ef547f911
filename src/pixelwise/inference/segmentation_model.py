"""Segmentation model that predicts masks and label images of images and volumes, from a run or an export."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Integer, Num

from pixelwise.errors import BadImage, BadModel, BadOption
from pixelwise.geometry.symmetries import tta_symmetries
from pixelwise.inference.arrays import check_axes, read_array, warn_of_scale
from pixelwise.inference.blending import LogitsWindow
from pixelwise.inference.load_runtime import load_runtime
from pixelwise.inference.memory import DECODING_BYTES, MASK_BYTES, tile_budget
from pixelwise.inference.pipeline import prefetch
from pixelwise.inference.predictor import BATCH, Predictor
from pixelwise.inference.spacing_change import Spacing, SpacingChange, find_spacing_change
from pixelwise.inference.tile_reading import Job, in_memory
from pixelwise.inference.whole_image import Tiling
from pixelwise.io.scratch import scratch_folder
from pixelwise.labels.instances import start_decoding
from pixelwise.labels.targets import TargetOptions, most_probable_wins, probabilities_of
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.text import pluralise

Advance = Callable[[int], None]
Key = TypeVar("Key")
Pixels = Num[np.ndarray, " channels *size"]


def _ignore(count: int) -> None:
    """Ignore a finished tile."""


@dataclass(frozen=True)
class Prediction:
    """Prediction of one image or volume.

    Attributes
    ----------
    labels : (height, width) or (depth, height, width) integers
        Class indices (uint8), or object numbers (uint16, or int32 for more than 65,535 objects).
    probabilities : (classes, *size) float16, or None
        On request: calibrated probabilities; for kind "distance" the distance is the last channel.
    warnings : tuple of str
        Sentences for the user.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None
    warnings: tuple[str, ...]


class PendingPrediction:
    """Post-processing of one image, window by window.

    The logits of a resampled volume are kept until all windows are added, and resampled to its grid.

    Attributes
    ----------
    missing : int
        Number of windows not added yet.
    """

    def __init__(
        self,
        target: TargetOptions,
        size: tuple[int, ...],
        windows: int,
        warnings: tuple[str, ...],
        buffer: np.ndarray | None,
        temperatures: Temperatures = UNSCALED,
        change: SpacingChange | None = None,
    ) -> None:
        self._decoder, self._warnings, self._probabilities = start_decoding(target, size), warnings, buffer
        self._target, self._temperatures, self._change = target, temperatures, change
        self._logits: np.ndarray | None = None  # at the spacing of the model
        self.missing = windows

    def add(self, window: LogitsWindow) -> None:
        """Add the logits of a window."""
        self.missing -= 1
        if self._change is None:
            self._decide(window)
            return
        if self._logits is None:
            self._logits = np.empty((len(window.logits), *self._change.model_size), window.logits.dtype)
        self._logits[window.place] = window.logits

    def _decide(self, window: LogitsWindow) -> None:
        # argmax does not need probabilities; thresholds were chosen for uncalibrated probabilities
        argmax = most_probable_wins(self._target)
        self._decoder.add(window.write, window.logits if argmax else probabilities_of(window.logits, self._target))
        if self._probabilities is not None:
            calibrated = probabilities_of(window.logits, self._target, self._temperatures)
            self._probabilities[window.place] = calibrated

    def finish(self) -> Prediction:
        """Return the prediction once no window is missing."""
        if self._change is not None and self._logits is not None:
            window, self._logits = self._change.window(self._logits), None
            self._decide(window)
        return Prediction(self._decoder.finish(), self._probabilities, self._warnings)


class SegmentationModel:
    """Segmentation model for images or volumes of any size."""

    def __init__(self, model_card: ModelCard, predictor: Predictor) -> None:
        self.model_card, self.predictor = model_card, predictor

    @property
    def dimensions(self) -> int:
        """Spatial axes of the images that the model takes: 2, or 3 for volumes."""
        return self.model_card.network.dimensions

    def predict(
        self, image: Any, *, nodata: float | None = None, spacing: Spacing | None = None
    ) -> Integer[np.ndarray, "*size"]:
        """Return the mask (class indices) or the label image (object numbers) of an image or a volume.

        Parameters
        ----------
        image : (height, width), (channels, height, width) or (height, width, channels) array_like
            Any numeric type, on the scale of the training images; Pillow images and nested lists too. For a model of
            volumes (depth, height, width), (channels, depth, height, width) or (depth, height, width, channels).
        nodata : float, optional
            Value of pixels without data, which do not count for the normalisation; see `arrays.read_array`.
        spacing : (float, float, float), optional
            Of a volume: distance between voxels along z, y and x in millimetres. The volume is resampled to the spacing
            of the model, and its logits back. Needed if the model has a spacing.

        Raises
        ------
        BadImage
            Not numbers, a shape that does not fit the model, or NaN without `nodata`.
        BadOption
            A spacing is missing, is not one positive number per axis, or the model is one of images.
        """
        pixels = self._read(image, nodata)
        self._check_spacing(spacing)
        return self.predict_pixels(pixels, spacing=spacing).labels

    def probabilities(
        self, image: Any, *, nodata: float | None = None, spacing: Spacing | None = None
    ) -> Float32[np.ndarray, " classes *size"]:
        """Return the calibrated probabilities of the target classes; same input as `predict`.

        For models of kind "distance" the last channel is the predicted distance to the border of the object, from 0 to
        1.
        """
        pixels = self._read(image, nodata)
        self._check_spacing(spacing)
        probabilities = self._buffer(pixels)
        target, temperatures = self.model_card.target, self.model_card.temperatures
        for window in self._logits(pixels, spacing):
            probabilities[window.place] = probabilities_of(window.logits, target, temperatures)
        return probabilities.astype(np.float32)

    def _logits(self, pixels: Pixels, spacing: Spacing | None) -> Iterator[LogitsWindow]:
        """Yield the logits window by window; those of a resampled volume in one window."""
        change = find_spacing_change(pixels.shape[1:], spacing, self._target_spacing)
        given = pixels if change is None else change.to_model(pixels)
        scale = intensity_scale(given, self.model_card.normalisation)
        if change is None:
            yield from self.predictor.stream(given, scale)
        else:
            yield change.window(self.predictor.logits(given, scale))

    def _read(self, image: Any, nodata: float | None) -> Pixels:
        card = self.model_card
        return read_array(image, card.channels, card.reading, nodata, dimensions=self.dimensions)

    def _check_spacing(self, spacing: Spacing | None) -> None:
        """Raise `BadOption` if a spacing is missing, or has no effect."""
        if spacing is not None and self.dimensions == 2:
            raise BadOption("no spacing for a model of images", f"{tuple(spacing)}", "Omit it, or resize the image.")
        if spacing is None and self.dimensions == 3 and self.model_card.spacing is not None:
            trained = self.model_card.spacing
            hint = f"Give spacing=(z, y, x) in millimetres; spacing={trained} predicts the voxels as they are."
            raise BadOption(f"the spacing of the volume for a model of {trained}", "none", hint)

    def predict_pixels(
        self,
        pixels: Pixels,
        *,
        probabilities: bool = False,
        advance: Advance = _ignore,
        spacing: Spacing | None = None,
    ) -> Prediction:
        """Predict one image or volume; `advance` is called with 1 after each tile. `spacing` as for `predict`.

        Logits are post-processed per tile and never stored for the whole image. Memory besides the pixels and one tile,
        in bytes per pixel: 1 for masks, 6 to 7 if their regions are split and for kinds "boundary" and "distance", 5
        for "components" (see `labels.instances`); `probabilities` adds 2 per channel. A resampled volume takes 4 more
        per class at its own spacing and at that of the model.
        """
        item = (None, pixels, spacing)
        ((_, decoding),) = self.predict_many([item], probabilities=probabilities, advance=advance)
        return decoding.finish()

    def predict_many(
        self,
        images: Iterable[tuple[Key, Pixels] | tuple[Key, Pixels, Spacing | None]],
        *,
        probabilities: bool = False,
        advance: Advance = _ignore,
        concurrent: bool = False,
        first: int = 1,
    ) -> Generator[tuple[Key, PendingPrediction], None, None]:
        """Predict several images; images smaller than a tile are batched.

        Parameters
        ----------
        images : iterable of (key, pixels) or (key, pixels, spacing)
            The spacing of a volume in millimetres, or None.
        advance : callable
            Called with 1 after each tile.
        concurrent : bool
            Read and normalise `images` in one thread, compute in another, and post-process in the caller's. The first
            image is computed alone, so that it is available early.
        first : int
            The size of the first batch then.

        Yields
        ------
        key, PendingPrediction
            In the order of the images. `finish` returns the prediction; any thread may call it.
        """
        keys: dict[int, tuple[Key, PendingPrediction]] = {}

        def jobs() -> Iterator[Job]:
            for key, given, *rest in images:
                spacing = rest[0] if rest else None
                change = find_spacing_change(given.shape[1:], spacing, self._target_spacing)
                decoding = self._decoding(given, change, spacing, probabilities=probabilities)
                pixels = given if change is None else change.to_model(given)
                job = Job(in_memory(pixels), intensity_scale(pixels, self.model_card.normalisation))
                keys[id(job)] = key, decoding
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

    def tiles(self, size: tuple[int, ...], spacing: Spacing | None = None) -> int:
        """Return the number of tiles of an image of (height, width), or of a volume with its spacing."""
        change = find_spacing_change(size, spacing, self._target_spacing)
        return self.predictor.count(size if change is None else change.model_size)

    def tiling(self, size: tuple[int, ...]) -> Tiling | None:
        """Return how an image is tiled if the network has whole-image layers; None if there is nothing to choose."""
        return self.predictor.tiling(size)

    @property
    def _target_spacing(self) -> Spacing | None:
        """The spacing to which volumes are resampled; images are not."""
        return self.model_card.spacing if self.dimensions == 3 else None

    def _decoding(
        self, pixels: Pixels, change: SpacingChange | None, spacing: Spacing | None, *, probabilities: bool
    ) -> "PendingPrediction":
        warnings, size, card = self._check(pixels), pixels.shape[1:], self.model_card
        if self._target_spacing is not None and spacing is None:
            trained = " x ".join(f"{side:g}" for side in self._target_spacing)
            warnings = (*warnings, f"The spacing is unknown: it is taken for that of the model, {trained} mm.")
        buffer = self._buffer(pixels) if probabilities else None
        tiles = self.predictor.count(size if change is None else change.model_size)
        return PendingPrediction(card.target, size, tiles, warnings, buffer, card.temperatures, change)

    def _buffer(self, pixels: np.ndarray) -> np.ndarray:
        return np.empty((self.model_card.network.classes, *pixels.shape[1:]), np.float16)

    def _check(self, pixels: Pixels) -> tuple[str, ...]:
        """Check axes and channels; return warnings if the values differ strongly from the training images."""
        check_axes(pixels.ndim - 1, self.dimensions, pixels.shape)
        if pixels.shape[0] != self.model_card.channels:
            expected = f"{pluralise(self.model_card.channels, 'channel')}, as in training"
            raise BadImage(expected, f"{pixels.shape[0]}", "Convert the image, or use another model.")
        return warn_of_scale(pixels, self.model_card.intensity_range, self.model_card.intensity_peaks)


def load_model_for_prediction(
    path: Path | str,
    *,
    device: str = "auto",
    tile: int | None = None,
    tta: int | None = None,
    runtime: str = "torch",
    sizes: Sequence[tuple[int, ...]] | None = None,
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
        Side in pixels of the valid region of a tile, along all axes; by default the setting of the model.
    tta : int, optional
        Test-time augmentation: average over this many flipped and rotated inputs
        (`geometry.symmetries.TTA_SYMMETRIES`), each of which costs one prediction; by default the setting of the model.
    runtime : str
        One of `benchmark.RUNTIMES`. For exports "torch" is the same as "auto".
    sizes : sequence of tuple of int, optional
        Of the images to predict, if known; see `make_runtime.make_runtime`.
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
    whole_tiles = bool(tile) or tta not in (None, 1)
    loaded, model_card = load_runtime(
        path, device=device, runtime=runtime, sizes=sizes, may_cut=not whole_tiles, progress=progress
    )
    if model_card.view is not None:
        raise BadModel("a segmentation model", "a classification model", "Use another model.", Path(path))
    network = model_card.network
    symmetries = tta_symmetries(model_card.tta if tta is None else tta, network.dimensions)
    decoding = MASK_BYTES if most_probable_wins(model_card.target) else DECODING_BYTES
    budget = tile_budget(network.base, network.dimensions, decoding)
    geometry, classes = model_card.geometry, network.classes
    predictor = Predictor(
        loaded,
        geometry,
        classes,
        tile or model_card.tile,
        symmetries,
        batch=BATCH,
        memory_budget=None if tile else budget,
        statistics_budget=budget,
        scratch=scratch_folder(),
    )
    return SegmentationModel(model_card, predictor)
