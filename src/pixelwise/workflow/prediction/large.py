"""Streaming prediction of large images: read by windows, written by tiles, resumed after an interruption."""

import hashlib
import json
import math
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pixelwise.atomic_write import atomic_write_text
from pixelwise.datasets.writers.object_table import Cells
from pixelwise.errors import BadImage, Interrupted
from pixelwise.inference.arrays import warn_of_spacing
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.inference.streaming.images import StreamOptions, StreamTask, Watch, stream_image
from pixelwise.inference.streaming.volumes import stream_volume
from pixelwise.io.label_writer import Compression, Format, result_path
from pixelwise.io.volumes.windows import open_volume_windows, reads_windows
from pixelwise.io.windows import open_windows
from pixelwise.io.zarr import is_zarr
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.exported import model_files
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.quantities import PixelScale, quantity_rows
from pixelwise.workflow.prediction.volumes import VolumeFiles, counted_rows, table_rows, write_volume_tables
from pixelwise.workflow.prediction.writing import write_table
from pixelwise.workflow.quantities import QuantityCounter

STREAMED = 100_000_000
"""Pixels above which an image is streamed. Smaller ones fit in memory, and most programs read PNG."""

BEGUN = "begun"  # content of a record until the image is finished
DEFAULT_COMPRESSION: dict[Format, Compression] = {"tiff": "deflate", "zarr": "zstd"}
"""The most widely supported compression of each format."""


@dataclass(frozen=True)
class LargeImage:
    """A large image and the path of its result; `identity` is a digest of everything the result depends on."""

    path: Path
    result: Path
    identity: str

    @property
    def record(self) -> Path:
        """Return the file that marks this image as begun or, if it holds the identity, as finished."""
        return self.result.with_name(f".{self.result.name}.done")

    @property
    def table(self) -> Path:
        """Return the path of its object table, which may be as large as the image."""
        return self.result.with_name(f"{self.stem}.objects.csv")

    @property
    def stem(self) -> str:
        """Return the name of the results without a suffix."""
        return self.result.name.removesuffix(".tif").removesuffix(".ome.zarr")

    @property
    def volumes(self) -> Path:
        """Return the path of the table of the volumes of its classes."""
        return self.result.with_name(f"{self.stem}.volumes.csv")

    @property
    def quantities(self) -> Path:
        """Return the file with the rows of this image in the table of quantities, until all images are finished."""
        return self.result.with_name(f".{self.result.name}.quantities")

    def quantity_rows(self) -> list[Cells]:
        """Return the rows of this image in the table of quantities; none for a model without intervals."""
        return json.loads(self.quantities.read_text("utf-8")) if self.quantities.is_file() else []

    def forget(self) -> None:
        """Remove what is only needed until all images are finished."""
        self.record.unlink(missing_ok=True)
        self.quantities.unlink(missing_ok=True)

    @property
    def begun(self) -> bool:
        """Return whether an interrupted command started or finished this image."""
        names = (self.result.name, f"{self.result.name}.decided")
        return self.record.exists() or any((self.result.parent / f".{name}.journal").exists() for name in names)

    @property
    def done(self) -> bool:
        """Return whether an interrupted command finished this image with the same model and options."""
        return self.result.exists() and self.record.is_file() and self.record.read_text("utf-8") == self.identity


def is_large(path: Path, size: tuple[int, ...], options: PredictOptions) -> bool:
    """Return whether an image of `size` is streamed; volumes only if they can be read by windows."""
    if len(size) == 3:
        return reads_windows(path) and options.format in (None, "zarr") and math.prod(size) > STREAMED
    return options.format is not None or is_zarr(path) or size[0] * size[1] > STREAMED


def large_image(path: Path, folder: Path, name: str, model: str, options: PredictOptions, axes: int = 2) -> LargeImage:
    """Return the paths and identity of a large image or volume; `model` is the digest of the model's files."""
    try:
        files = [path / file for file in ("zarr.json", ".zattrs")] if path.is_dir() else [path]
        stats = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    except PermissionError:  # reported where the image is read
        stats = []
    inputs = [model, os.path.realpath(path), stats, options.tta, options.symmetries, options.tile, options.tolerance]
    inputs += [options.format, options.pages, options.nodata, options.compression, options.sampled_intensities]
    identity = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    form: Format = _format_of(options) if axes == 2 else "zarr"
    return LargeImage(path, result_path(folder, name, form), identity)


def predict_large(
    model: SegmentationModel,
    image: LargeImage,
    options: PredictOptions,
    progress: Progress,
    watch: Watch | None = None,
) -> list[Path]:
    """Predict one large image; return the files written; `watch` as of `stream_image`, of images alone.

    Raises
    ------
    Interrupted
        Stopped by the user; the same command resumes.
    """
    if image.done:
        progress.message(f"{image.path.name} is already finished.")
        return [file for file in (image.result, image.table, image.volumes) if file.exists()]
    card = model.model_card
    if model.dimensions == 3:
        return _predict_large_volume(model, image, progress)
    with open_stream_task(model, image, options) as task:
        source, counter = task.source, QuantityCounter(card)
        warnings = (*source.warnings, *warn_of_spacing(source.spacing, card.spacing))
        progress.message(*(f"{image.path.name}: {warning}" for warning in warnings))
        if options.probabilities or options.overlays or options.confidence or options.save:
            outputs = "probabilities, overlay, confidence and the files of --save are not written"
            progress.message(f"{image.path.name} is streamed: {outputs} for it.")
        atomic_write_text(image.record, BEGUN)
        try:
            observe = counter.add if card.quantities is not None else None
            streamed = stream_image(task, image.result, progress, observe=observe, watch=watch)
            _store_quantities(image, counter, PixelScale(spacing=source.spacing), card)
        except KeyboardInterrupt as stop:
            raise _interrupted(image) from stop
        except BadImage:
            image.record.unlink(missing_ok=True)
            raise
    files = [image.result]
    if streamed.objects is not None:
        files.append(image.table)
        write_table(image.table, [(image.path.name, streamed.objects)], model.model_card.classes)
    atomic_write_text(image.record, image.identity)
    return files


def _predict_large_volume(model: SegmentationModel, image: LargeImage, progress: Progress) -> list[Path]:
    """Predict one large volume; return the files written."""
    card = model.model_card
    nodata = card.reading.nodata
    source = open_volume_windows(
        image.path, channels=card.channels, nodata=None if nodata in (None, "none") else float(nodata)
    )
    progress.message(*(f"{image.path.name}: {warning}" for warning in source.warnings))
    counter = QuantityCounter(card)
    try:
        streamed = stream_volume(
            card,
            model.predictor,
            source,
            image.result,
            identity=_stream_identity(model, image),
            progress=progress,
            observe=counter.add if card.quantities is not None else None,
        )
        _store_quantities(image, counter, PixelScale(grid=source.grid), card)
    except KeyboardInterrupt as stop:
        raise _interrupted(image) from stop
    finally:
        source.close()
    rows = counted_rows(image.path.name, streamed.voxels, source.grid, card)
    objects = (
        () if streamed.objects is None else table_rows(image.path.name, streamed.objects, source.grid, card.classes[-1])
    )
    files = VolumeFiles((image.result,), tuple(rows), tuple(objects))
    tables = write_volume_tables(image.result.parent, [files], prefix=f"{image.stem}.")
    atomic_write_text(image.record, image.identity)
    return [image.result, *tables]


def _store_quantities(image: LargeImage, counter: QuantityCounter, scale: PixelScale, card: ModelCard) -> None:
    """Keep the rows of an image in the table of quantities until all images are finished."""
    if rows := quantity_rows(image.path.name, scale, counter.counts(), card, large=True):
        atomic_write_text(image.quantities, json.dumps(rows))


def _interrupted(image: LargeImage) -> Interrupted:
    hint = "Run the same command again to resume; finished tiles are kept."
    return Interrupted("a finished prediction", "an interruption before the last tile", hint, image.path)


@contextmanager
def open_stream_task(
    model: SegmentationModel, image: LargeImage, options: PredictOptions
) -> Generator[StreamTask, None, None]:
    """Open a large image for the computation of blocks, as `predict_large` does for all of it."""
    card = model.model_card
    source = open_windows(image.path, channels=card.channels, pages=options.pages, options=card.reading)
    try:
        yield StreamTask(
            model_card=card,
            predictor=model.predictor,
            source=source,
            identity=_stream_identity(model, image),
            options=_stream_options(options),
        )
    finally:
        source.close()


def model_digest(file: Path) -> str:
    """Return the SHA-256 of all files of a model, including the weights next to the .xml of an OpenVINO export."""
    digest = hashlib.sha256()
    for path in model_files(file):
        if path.is_file():
            with path.open("rb") as opened:
                while block := opened.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _stream_identity(model: SegmentationModel, image: LargeImage) -> str:
    return f"{image.identity} {type(model.predictor.runtime).__name__}"


def _stream_options(options: PredictOptions) -> StreamOptions:
    return StreamOptions(
        form=_format_of(options),
        core=options.tile,
        compression=options.compression or DEFAULT_COMPRESSION[_format_of(options)],
        sampled=options.sampled_intensities,
    )


def _format_of(options: PredictOptions) -> Format:
    return "zarr" if options.format == "zarr" else "tiff"
