"""Prediction of segmentation masks, label images and object tables; large images are streamed.

Reading, inference, post-processing and writing overlap in a pipeline of threads.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadOption, Interrupted, OutputFailed, PixelwiseError
from pixelwise.geometry.grid import millimetres_of
from pixelwise.inference.approximate_halo import smallest_halo
from pixelwise.inference.load import find_model_card
from pixelwise.inference.pipeline import ordered_map
from pixelwise.inference.predictor import BATCH
from pixelwise.inference.segmentation_model import PendingPrediction, SegmentationModel, load_model_for_prediction
from pixelwise.inference.tile_reading import Job
from pixelwise.io.label_writer import check_format
from pixelwise.io.read import MAX_PIXELS, Image, probe
from pixelwise.io.windows import MAX_PIXELS_WINDOWED, open_windows
from pixelwise.model_file.model_card import ModelCard, with_nodata
from pixelwise.progress import Progress
from pixelwise.sampling.normalise_windows import source_scale
from pixelwise.workflow.prediction.large import LargeImage, is_large, large_image, model_digest, predict_large
from pixelwise.workflow.prediction.objects import check_formats
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions, check_free, name_images, split_long_names
from pixelwise.workflow.prediction.volumes import check_volume_options, result_names
from pixelwise.workflow.prediction.writing import ImageOutputs, OutputSummary, write_classes

_MEASURED = 8  # images for measuring the seam error of a halo
_MAX_PENDING = 2**25  # pixels of results waiting to be written, and of images read ahead
_READERS, _WRITERS = 4, 4  # maximum number of threads
Size = tuple[int, ...]


class LoadedImage(NamedTuple):
    """An image with the name of its results and its path."""

    name: str
    path: Path
    image: Image


Failed = list[tuple[Path, str]]


@dataclass(frozen=True, kw_only=True)
class MaskInputs:
    """What the choice of the runtime and of the halo depends on: all images with their sizes, as far as known."""

    paths: tuple[Path, ...] = ()
    sizes: tuple[Size, ...] = ()


def predict_masks(
    model_file: Path, paths: Sequence[Path], folder: Path, options: PredictOptions, progress: Progress
) -> Predictions:
    """Predict a mask or a label image of each path into `folder`; see `predict`."""
    card = find_model_card(model_file)
    check_mask_options(options, card)
    named, too_long = split_long_names(name_images(paths))
    digest, sizes = model_digest(model_file), {path: image_size(path, card) for path in named.values()}
    large = {
        name: large_image(path, folder, name, digest, options, len(sizes[path]))
        for name, path in named.items()
        if is_large(path, sizes[path], options)
    }
    if any(image.begun for image in large.values()):
        progress.message(f"Resuming the prediction in {folder}.")
    else:
        check_masks_free(folder, named, options)
    inputs = MaskInputs(paths=tuple(named.values()), sizes=tuple(sizes.values()))
    model = open_mask_model(model_file, options, inputs, progress)
    small = {name: (path, sizes[path]) for name, path in named.items() if name not in large}
    return predict_named(model, small, list(large.values()), folder, options, progress, too_long)


def check_mask_options(options: PredictOptions, model_card: ModelCard) -> None:
    """Raise BadOption for options that contradict each other, or that are unknown."""
    if options.symmetries and options.tta not in (None, 4):
        raise BadOption("--symmetries or --tta", f"both, with --tta {options.tta}", "Use only one of them.")
    if model_card.network.dimensions == 3:
        check_volume_options(options)
    else:
        check_format(options.format or "tiff")
    check_formats(options.save)


def check_masks_free(folder: Path, names: Collection[str], options: PredictOptions) -> None:
    """Raise OutputFailed if a folder has results of these names."""
    check_free(folder, result_file_names(names), options)


def result_file_names(names: Collection[str]) -> list[str]:
    """Return the names that the results of images of these names may have."""
    endings = ("png", "tif", "ome.zarr")
    return [f"{name}.{end}" for name in names for end in endings] + [r for name in names for r in result_names(name)]


def open_mask_model(
    model_file: Path, options: PredictOptions, inputs: MaskInputs, progress: Progress
) -> SegmentationModel:
    """Load a model, with the runtime and the halo for all images that are to be predicted."""
    model = load_model_for_prediction(
        model_file,
        device=options.device,
        tile=options.tile,
        tta=4 if options.symmetries else options.tta,
        runtime=options.runtime,
        sizes=inputs.sizes,
        progress=progress,
    )
    model.model_card = with_nodata(model.model_card, options.nodata)
    if options.tolerance is not None:
        model = _with_smaller_halo(model, inputs.paths, options.tolerance, progress)
    return model


def predict_named(
    model: SegmentationModel,
    small: dict[str, tuple[Path, Size]],
    large: Sequence[LargeImage],
    folder: Path,
    options: PredictOptions,
    progress: Progress,
    refused: Failed | None = None,
    *,
    first: int = 1,
) -> Predictions:
    """Predict images whose results have names, and write the tables about all of them.

    Parameters
    ----------
    small : dict of str to (Path, tuple of int)
        The name of the results of each image that fits in memory, its path, and its size.
    large : sequence of LargeImage
        Images that are streamed.
    folder : Path
        The output folder.
    refused : list of (Path, str), optional
        Images that cannot be predicted, each with the reason.
    first : int
        Images in the first batch: one, so that a result is available early, or as many as in the others.
    """
    legend = write_classes(folder, model.model_card)
    written, failed = OutputSummary(folder, model.model_card, options), Failed()
    for path, text in refused or ():
        failed.append((path, text))
        progress.message(f"Skipped: {text}")
    _predict_small(model, small, written, failed, progress, first)
    for image in large:
        try:
            written.files += predict_large(model, image, options, progress)
            written.quantities += image.quantity_rows()
        except PixelwiseError as error:
            _add_failure(image.path, error, failed)
            progress.message(f"Skipped: {error}")
    written.finish()
    written.files.append(legend)
    for image in large:
        image.forget()
    return Predictions(
        tuple(written.files),
        tuple(failed),
        confidence=tuple(written.confidence),
        totals=written.totals,
        outliers=written.outliers,
    )


def _predict_small(
    model: SegmentationModel,
    named: dict[str, tuple[Path, Size]],
    written: OutputSummary,
    failed: Failed,
    progress: Progress,
    first: int,
) -> None:
    """Predict images that fit in memory, several small ones at a time."""
    tiles = {path: model.tiles(size) if min(size) else 1 for path, size in named.values()}
    largest = max((math.prod(size) for _, size in named.values()), default=0)
    pending = max(1, _MAX_PENDING // max(1, largest))
    reported = len(failed)
    # finding objects holds the GIL: four threads take twice the CPU time of one; only writing runs in parallel
    lock = Lock()
    tiling = model.tiling(max((size for _, size in named.values()), key=math.prod)) if largest else None
    progress.message(*([] if tiling is None else [str(tiling)]))

    def save(item: tuple[LoadedImage, PendingPrediction]) -> ImageOutputs:
        (name, path, image), decoding = item
        with lock:
            result = decoding.finish()
        return written.save(name, path, image, result)

    with progress.bar("predicting", sum(tiles.values())) as advance:

        def report_failures() -> None:
            nonlocal reported
            for path, text in failed[reported:]:
                progress.message(f"Skipped: {text}")
                advance(tiles[path], path.name)
            reported = len(failed)

        loaded = _read(model, named, written.options.pages, failed, min(_READERS, pending))
        predictions = model.predict_many(
            ((item, item.image.pixels, millimetres_of(item.image.grid)) for item in loaded),
            probabilities=written.options.probabilities or written.options.confidence,
            advance=lambda count: advance(count, ""),
            concurrent=True,
            first=first,
        )
        outputs = ordered_map(save, predictions, _WRITERS, min(2 * BATCH, pending))
        with closing(predictions), closing(outputs):
            for output in outputs:
                written.add(output)
                progress.message(*written.take_notes())
                report_failures()
        report_failures()
    progress.message(*written.take_notes(), *written.describe_read_warnings())


def _read(
    model: SegmentationModel, named: dict[str, tuple[Path, Size]], pages: int | None, failed: Failed, threads: int
) -> Iterator[LoadedImage]:
    """Yield images in order, several are read at once; unreadable ones are skipped."""
    card = model.model_card

    def read(item: tuple[str, tuple[Path, Size]]) -> LoadedImage | tuple[Path, PixelwiseError]:
        name, (path, _) = item
        try:
            dimensions = card.network.dimensions
            return LoadedImage(name, path, read_pixels(path, card.channels, pages, card.reading, dimensions=dimensions))
        except PixelwiseError as error:
            return path, error

    for loaded in ordered_map(read, named.items(), threads, threads):
        if isinstance(loaded, LoadedImage):
            yield loaded
        else:
            _add_failure(*loaded, failed)


def _add_failure(path: Path, error: PixelwiseError, failed: Failed) -> None:
    """Record why an image is skipped; raise errors that affect all images."""
    if isinstance(error, OutputFailed | Interrupted):
        raise error
    failed.append((path, str(error)))


def _with_smaller_halo(
    model: SegmentationModel, paths: Sequence[Path], tolerance: float, progress: Progress
) -> SegmentationModel:
    """Return the model with the smallest halo whose seam error on some of the images is within `tolerance`."""
    chosen = [paths[i] for i in np.unique(np.linspace(0, len(paths) - 1, min(_MEASURED, len(paths))).astype(int))]
    jobs: list[Job] = []
    for path in chosen:
        try:
            source = open_windows(path, channels=model.model_card.channels, options=model.model_card.reading)
        except PixelwiseError:
            continue  # reported when it is predicted
        scale = source_scale(source, model.model_card.normalisation, lambda _: None, sampled=True).scale
        jobs.append(Job(source, scale))
    choice = smallest_halo(model.predictor, jobs, tolerance)
    for job in jobs:
        job.source.close()
    progress.message(str(choice))
    return SegmentationModel(model.model_card, model.predictor.with_geometry(choice.geometry))


def image_size(path: Path, model_card: ModelCard) -> Size:
    """Read the size from the header, such as (height, width); zeros if unusable or too large, reported later."""
    unusable = (0,) * model_card.network.dimensions
    try:
        info = probe(path, volumes=model_card.reading.volumes)
    except PixelwiseError:
        return unusable
    limit = MAX_PIXELS_WINDOWED if info.format == "TIFF" or len(info.size) == 3 else MAX_PIXELS
    return info.size if len(info.size) == len(unusable) and math.prod(info.size) <= limit else unusable
