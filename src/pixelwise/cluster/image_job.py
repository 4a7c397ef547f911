"""The job of a prediction: its identity, and its division into units of about ten seconds."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.cluster.image_units import Row, stamps
from pixelwise.cluster.job import Job, LeaseTimes, check_same, create_job, digest, find_job
from pixelwise.datasets.images.files import describe_folders, find_images
from pixelwise.errors import BadOption
from pixelwise.inference.load import find_model, find_model_card
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.model_file.model_card import ModelCard
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.benchmark import time_tile
from pixelwise.runtimes.cache import machine_facts
from pixelwise.runtimes.exported import find_export
from pixelwise.runtimes.machine import use_threads
from pixelwise.text import pluralise
from pixelwise.version import __version__
from pixelwise.workflow.prediction.classification import TABLE, check_class_options, open_classifier
from pixelwise.workflow.prediction.large import is_large, model_digest
from pixelwise.workflow.prediction.masks import (
    MaskInputs,
    check_mask_options,
    check_masks_free,
    image_size,
    open_mask_model,
)
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import check_free, check_output_folder, name_images, split_long_names
from pixelwise.workflow.tasks.choose import task_of

UNIT_SECONDS = 10.0
MAX_IMAGES = 4096  # of a unit
UNITS_PER_WORKER = 4  # at least, where there are few images: the last worker ends soon after the first
_IMAGE_SECONDS, _PIXEL_SECONDS = 5e-3, 2e-8  # besides the network: opening and writing a file; decoding and encoding
_STEPS = {"pixels": 8, "images": 64}  # images of a batch: units of whole batches are computed as in one process


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What is to be predicted, and by how many workers of how many threads (0: all)."""

    run: Path
    inputs: tuple[Path, ...]
    out: Path
    options: PredictOptions
    workers: int = 1
    threads: int = 0
    unit_seconds: float = UNIT_SECONDS
    times: LeaseTimes = field(default_factory=LeaseTimes)


def open_or_create(request: JobRequest, progress: Progress) -> Job:
    """Return the job of a prediction: that of the output folder if it is the same, or a new one.

    Raises
    ------
    OutputFailed
        The folder cannot be written, holds other results, or another job.
    BadModel, BadDataset, BadImage, BadOption
        The model, the inputs or the options cannot be used.
    """
    _check_options(request.options)
    paths = [image for path in request.inputs for image in find_images(path, request.out)]
    progress.message(*describe_folders(list(request.inputs), request.out))
    check_output_folder(request.out, list(request.inputs))
    model_file = find_model(request.run).absolute()
    card = find_model_card(model_file)
    by_pixel = task_of(card).unit == "pixels"
    (check_mask_options if by_pixel else check_class_options)(request.options)
    named, refused = _named(paths, by_pixel=by_pixel)
    marks = list(parallel_map(stamps, list(named.values())))
    sha256 = model_digest(model_file)
    identity = _identity(sha256, request.options, named, marks)
    job = find_job(request.out)
    if job is not None:
        check_same(job, identity)
        return job
    check = request.options
    if by_pixel:
        check_masks_free(request.out, named, check)
    else:
        check_free(request.out, (TABLE,), check)
    sizes = list(progress.track(parallel_map(image_size, list(named.values())), "reading headers", len(named)))
    rows = [
        [name, str(path), list(size), mark]
        for (name, path), size, mark in zip(named.items(), sizes, marks, strict=True)
    ]
    runtime, seconds = _measure(model_file, card, request, rows, progress)
    units, after = _divide(rows, seconds, request, step=_STEPS[task_of(card).unit])
    settings = {
        "folder": str(Path.cwd()),
        "model": str(model_file),
        "model_sha256": sha256,
        "task": card.task,
        "options": asdict(replace(request.options, runtime=runtime)),
        "refused": [[str(path), text] for path, text in refused],
        "machine": machine_facts(),
    }
    job = create_job(request.out, "predict", identity, units, settings, after=after, times=request.times)
    progress.message(f"{pluralise(len(rows), 'image')} in {pluralise(job.units, 'unit')}.")
    return job


def _check_options(options: PredictOptions) -> None:
    if options.overwrite:
        hint = "Remove the old results, or choose another --out."
        raise BadOption("--on without --overwrite", "both", hint)
    if options.tolerance is not None:
        raise BadOption("--on without --tolerance", "both", "Omit --tolerance: tiles are then exact.")


def _named(paths: Sequence[Path], *, by_pixel: bool) -> tuple[dict[str, Path], list[tuple[Path, str]]]:
    """Return the images by the names of their results, and those that cannot be predicted."""
    if by_pixel:
        return split_long_names(name_images(paths))
    return {str(path): path for path in dict.fromkeys(paths)}, []


def _identity(sha256: str, options: PredictOptions, named: dict[str, Path], marks: Sequence[list[list[int]]]) -> str:
    """Return a digest of everything that the outputs depend on."""
    images = hashlib.sha256()
    for (name, path), mark in zip(named.items(), marks, strict=True):
        images.update(json.dumps([name, str(path), mark]).encode())
    chosen = {name: value for name, value in asdict(options).items() if name != "device"}
    return digest({"pixelwise": __version__, "model": sha256, "options": chosen, "images": images.hexdigest()})


def _measure(
    model_file: Path, card: ModelCard, request: JobRequest, rows: Sequence[Row], progress: Progress
) -> tuple[str, list[float]]:
    """Return the runtime that one process would choose, and the expected seconds of each image."""
    options = request.options
    if card.view is not None:
        runtime = open_classifier(model_file, options, progress).runtime
        tile = _time(runtime, (1, card.channels, card.view.side, card.view.side), request.threads)
        return options.runtime, [tile + _overhead(row) for row in rows]
    sizes = tuple(tuple(row[2]) for row in rows)
    paths = tuple(Path(row[1]) for row in rows)
    model = open_mask_model(model_file, options, MaskInputs(paths=paths, sizes=sizes), progress)
    side = card.geometry.valid_size(card.tile + 2 * (card.geometry.halo or card.geometry.margin))
    tile = _time(model.predictor.runtime, (1, card.channels, side, side), request.threads)
    tile *= len(model.predictor.symmetries)
    return _runtime_name(model_file, options, model), [
        _seconds(model, row, tile, side) + _overhead(row) for row in rows
    ]


def _time(runtime: Runtime, shape: tuple[int, ...], threads: int) -> float:
    tile = np.zeros(shape, np.float32)
    with use_threads(threads):
        runtime(tile)  # the first call plans and allocates
        return time_tile(runtime, tile)


def _seconds(model: SegmentationModel, row: Row, tile_seconds: float, side: int) -> float:
    """Return the expected seconds of the network for an image; small ones take a part of a tile."""
    size = tuple(row[2])
    if not min(size):
        return 0.0
    return tile_seconds * min(model.tiles(size), math.prod(size) / side**2 + 0.05)


def _overhead(row: Row) -> float:
    return _IMAGE_SECONDS + _PIXEL_SECONDS * math.prod(row[2])


def _runtime_name(model_file: Path, options: PredictOptions, model: SegmentationModel) -> str:
    """Return the runtime by a name that every worker understands in the same way."""
    if options.runtime != "auto" or find_export(model_file) is not None:
        return options.runtime
    names = {"OnnxRuntime": "onnx", "OpenVinoRuntime": "openvino"}
    return names.get(type(model.predictor.runtime).__name__, "torch")


def _divide(
    rows: Sequence[Row], seconds: Sequence[float], request: JobRequest, step: int
) -> tuple[Iterator[tuple[dict[str, Any], int]], dict[int, tuple[int, int]]]:
    """Return the units with their weights, and which units need others first."""
    large = [is_large(Path(row[1]), tuple(row[2]), request.options) for row in rows]
    small = [(row, cost) for row, cost, streamed in zip(rows, seconds, large, strict=True) if not streamed]
    share = sum(cost for _, cost in small) / (UNITS_PER_WORKER * request.workers)
    limit = max(min(request.unit_seconds, share), _IMAGE_SECONDS)
    units = [({"images": group}, max(1, len(group))) for group in group_images(small, limit, step)]
    units += [({"large": [row]}, 1) for row, streamed in zip(rows, large, strict=True) if streamed]
    return iter(units or [({"images": []}, 1)]), {}


def group_images(images: Iterable[tuple[Row, float]], seconds: float, step: int) -> Iterator[list[Row]]:
    """Group images into runs of about `seconds`; runs of more than a batch have whole batches.

    Parameters
    ----------
    images : iterable of (list, float)
        Each with its expected seconds.
    seconds : float
    step : int
        Images of a batch.

    Examples
    --------
    >>> [len(group) for group in group_images([([str(n)], 1.0) for n in range(10)], 4.0, step=2)]
    [4, 4, 2]
    """
    group: list[Row] = []
    total = 0.0
    for row, cost in images:
        group.append(row)
        total += cost
        whole = len(group) < step or len(group) % step == 0
        if (total >= seconds and whole) or len(group) >= MAX_IMAGES:
            yield group
            group, total = [], 0.0
    if group:
        yield group
