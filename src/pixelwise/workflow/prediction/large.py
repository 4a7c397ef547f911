"""Predict, of images too large for memory: windows in, tiles out, continued after a stop."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pixelwise.atomic_write import atomic_write_text
from pixelwise.errors import Interrupted
from pixelwise.inference.segmentation_model import Model
from pixelwise.inference.streaming import StreamOptions, stream_image
from pixelwise.io.label_writer import Compression, Format, result_path
from pixelwise.io.windows import open_windows
from pixelwise.io.zarr import is_zarr
from pixelwise.progress import Progress
from pixelwise.runtimes.exported import files_of
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.writing import write_table

STREAMED = 100_000_000
"""Pixels from which an image streams. Below, mask and pixels fit any memory, and PNG is what most programs want."""

USUAL: dict[Format, Compression] = {"tiff": "deflate", "zarr": "zstd"}
"""What compresses where nobody says otherwise: any program reads the one in TIFF, and the other in Zarr."""


@dataclass(frozen=True)
class LargeImage:
    """A large image and where its result goes; `identity` says what the result depends on."""

    path: Path
    result: Path
    identity: str

    @property
    def record(self) -> Path:
        """Return the file that says, until the whole command is done, that this image is."""
        return self.result.with_name(f".{self.result.name}.done")

    @property
    def table(self) -> Path:
        """Return where its table of objects goes: one of its own, for it may be as large as the image."""
        return self.result.with_name(f"{self.result.name.removesuffix('.tif').removesuffix('.ome.zarr')}.objects.csv")

    @property
    def begun(self) -> bool:
        """Tell whether an earlier process has begun this image, or finished it in a command that was stopped."""
        names = (self.result.name, f"{self.result.name}.decided")
        return self.record.exists() or any((self.result.parent / f".{name}.journal").exists() for name in names)

    @property
    def done(self) -> bool:
        """Tell whether a command that was stopped has finished this image, with the same model and options."""
        return self.result.exists() and self.record.is_file() and self.record.read_text("utf-8") == self.identity


def is_large(path: Path, size: tuple[int, int], options: PredictOptions) -> bool:
    """Tell whether an image of `size` streams."""
    return options.format is not None or is_zarr(path) or size[0] * size[1] > STREAMED


def large_image(path: Path, folder: Path, name: str, model: str, options: PredictOptions) -> LargeImage:
    """Return where a large image goes; `model` is the digest of the model's files."""
    stamps = [path / file for file in ("zarr.json", ".zattrs")] if path.is_dir() else [path]
    found = [(stamp.stat().st_size, stamp.stat().st_mtime_ns) for stamp in stamps if stamp.is_file()]
    depends = [model, str(path.resolve()), found, options.tta, options.symmetries, options.tile, options.tolerance]
    depends += [options.format, options.pages, options.compression, options.sampled_intensities]
    identity = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
    return LargeImage(path, result_path(folder, name, _form(options)), identity)


def predict_large(model: Model, image: LargeImage, options: PredictOptions, progress: Progress) -> list[Path]:
    """Predict one large image; return the files written.

    Raises
    ------
    Interrupted
        The user stopped it; the same command continues.
    """
    if image.done:
        progress.message(f"{image.path.name} was finished before the stop.")
        return [file for file in (image.result, image.table) if file.exists()]
    source = open_windows(image.path, channels=model.model_card.channels, pages=options.pages)
    progress.message(*(f"{image.path.name}: {warning}" for warning in source.warnings))
    if options.probabilities or options.overlays or options.confidence:
        names = "no probabilities, no overlay and no confidence"
        progress.message(f"{image.path.name} streams: {names} are written for it.")
    try:
        streamed = stream_image(
            model.model_card,
            model.predictor,
            source,
            image.result,
            identity=f"{image.identity} {type(model.predictor.runtime).__name__}",
            options=StreamOptions(
                form=_form(options),
                core=options.tile,
                compression=options.compression or USUAL[_form(options)],
                sampled=options.sampled_intensities,
            ),
            progress=progress,
        )
    except KeyboardInterrupt as stop:
        hint = "Run the same command again: finished tiles are kept."
        raise Interrupted("the end of the prediction", "not every tile is predicted", hint, image.path) from stop
    finally:
        source.close()
    files = [image.result]
    if streamed.objects is not None:
        files.append(image.table)
        write_table(image.table, [(image.path.name, streamed.objects)], model.model_card.classes)
    atomic_write_text(image.record, image.identity)
    return files


def model_digest(file: Path) -> str:
    """Return the sha256 of all files of a model: the weights of an OpenVINO export lie beside its .xml."""
    digest = hashlib.sha256()
    for path in files_of(file):
        if path.is_file():
            with path.open("rb") as opened:
                while block := opened.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _form(options: PredictOptions) -> Format:
    return options.format or "tiff"
