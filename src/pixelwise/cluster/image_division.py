"""The division of images into units of about ten seconds: runs of images, and blocks of streamed ones.

Units become smaller towards the end, so that workers end at about the same time: each is a share of what remains.
Hummel, Schonberg, Flynn 1992, "Factoring: a method for scheduling parallel loops".
"""

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import numpy as np

from pixelwise.cluster.image_batches import batch_starts, group_images
from pixelwise.cluster.job import FOLDER, UNIT_SECONDS, LeaseTimes
from pixelwise.cluster.storage.remote_images import Row
from pixelwise.errors import PixelwiseError
from pixelwise.geometry.grid import millimetres_of
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.inference.spacing_change import find_spacing_change
from pixelwise.inference.streaming.blocks import BlockPlan, plan_blocks, plan_to_json
from pixelwise.io.object_store import is_remote
from pixelwise.io.read import probe
from pixelwise.io.zarr import is_zarr
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.exported import find_export
from pixelwise.runtimes.machine import use_threads
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.workflow.prediction.classification import BATCH_SIZE, open_classifier
from pixelwise.workflow.prediction.large import is_large, large_image, model_digest, open_stream_task
from pixelwise.workflow.prediction.masks import MaskInputs, Size, open_mask_model
from pixelwise.workflow.prediction.options import PredictOptions

MAX_IMAGES = 4096  # of a unit
SHORTEST = 0.5  # seconds of a unit, where it may be shorter than all: a commit takes milliseconds
SHARES = 2  # per worker: a unit is at most this part of what remains
_VOLUME_SIDE = 64  # voxels of the cube whose time is measured
_QUICK = 0.3  # seconds of a call of the network whose first one, which plans and allocates, is not representative
_IMAGE_SECONDS, _PIXEL_SECONDS = 5e-3, 2e-8  # besides the network: opening and writing a file; decoding and encoding
Units = list[tuple[dict[str, Any], int]]


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What is to be predicted, and by how many workers of how many threads (0: all).

    `store` is the address of the outputs if they are in an object store; `out` is then a folder for the job.
    """

    run: Path
    inputs: tuple[Path, ...]
    out: Path
    options: PredictOptions
    workers: int = 1
    threads: int = 0
    unit_seconds: float = UNIT_SECONDS
    times: LeaseTimes = field(default_factory=LeaseTimes)
    store: Path | None = None

    def longest(self, remaining: float) -> float:
        """Return the seconds of the next unit, if the rest of the work takes `remaining`.

        Examples
        --------
        >>> request = JobRequest(run=Path(), inputs=(), out=Path(), options=PredictOptions(), workers=2)
        >>> [request.longest(remaining) for remaining in (100.0, 8.0, 1.0)]
        [10.0, 2.0, 0.5]
        """
        return min(self.unit_seconds, max(remaining / (SHARES * self.workers), SHORTEST))


@dataclass(frozen=True, kw_only=True)
class Division:
    """The units with their weights, which of them need others first, and the runtime that one process would choose."""

    units: Units
    after: dict[int, tuple[int, int]]
    runtime: str


def divide_images(
    model_file: Path, card: ModelCard, rows: Sequence[Row], request: JobRequest, progress: Progress
) -> Division:
    """Divide images into units, by the time that the network takes on this machine.

    Parameters
    ----------
    card : ModelCard
        Of that model.
    rows : sequence of Row
        The images.
    """
    options = request.options
    keep_large_blocks()  # as in workers, whose time is measured
    if card.view is not None:
        runtime = open_classifier(model_file, options, progress).runtime
        each = _time(runtime, (1, card.channels, card.view.side, card.view.side), request.threads)
        starts = [number % BATCH_SIZE == 0 for number in range(len(rows))]
        units = _runs(rows, [each + _overhead(row) for row in rows], starts, request)
        return Division(units=units, after={}, runtime=options.runtime)
    sizes = tuple(_size(row) for row in rows)
    paths = tuple(Path(row[1]) for row in rows)
    model = open_mask_model(model_file, options, MaskInputs(paths=paths, sizes=sizes), progress)
    runtime_name = _runtime_name(model_file, options, model)
    timing = _Timing(model, request.threads)
    large = [is_large(path, size, options) for path, size in zip(paths, sizes, strict=True)]
    small = [row for row, streamed in zip(rows, large, strict=True) if not streamed]
    starts = batch_starts(model.predictor, [_computed_size(model, row) for row in small])
    units = _runs(small, [timing.small(row) + _overhead(row) for row in small], starts, request)
    after: dict[int, tuple[int, int]] = {}
    digest = model_digest(model_file)
    for row in (row for row, streamed in zip(rows, large, strict=True) if streamed):
        plan = _plan(model, row, digest, request, timing, progress) if _has_blocks(row) else None
        if plan is not None:
            first = len(units)
            shared = {"row": row, "plan": plan_to_json(plan)}
            units += [({"block": {**shared, "windows": list(block)}}, 1) for block in plan.blocks]
            after[len(units)] = first, len(units)
            whole = {**shared, "blocks": [list(block) for block in plan.blocks], "first": first}
            units.append(({"assemble": whole}, 1))
        else:
            units.append(({"large": [row]}, 1))
    return Division(units=units or [({"images": []}, 1)], after=after, runtime=runtime_name)


def _runs(rows: Sequence[Row], seconds: Sequence[float], starts: Sequence[bool], request: JobRequest) -> Units:
    """Return units that are runs of images."""
    groups = group_images(list(zip(rows, seconds, strict=True)), starts, request.longest, MAX_IMAGES)
    # "later": a batch of one, which gives one process its first result early, is that of the first unit alone
    return [({"images": group, "later": number > 0}, len(group)) for number, group in enumerate(groups)]


def _has_blocks(row: Row) -> bool:
    """Return whether an image may be divided: not volumes, nor files of an object store, which are copied once."""
    return len(row[2]) == 2 and (not is_remote(row[1]) or is_zarr(Path(row[1])))


def _plan(
    model: SegmentationModel, row: Row, digest: str, request: JobRequest, timing: "_Timing", progress: Progress
) -> BlockPlan | None:
    """Return the blocks of a streamed image; None if it has one block, or cannot be read, which its unit reports."""
    scratch = request.out / FOLDER / "work" / f"plan-{token_hex(4)}"
    image = large_image(Path(row[1]), scratch, row[0], digest, request.options)
    try:
        with open_stream_task(model, image, request.options) as task:
            plan = plan_blocks(task, image.result, request.longest, timing.large(row), progress)
    except PixelwiseError:
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return plan if len(plan.blocks) > 1 else None


class _Timing:
    """Expected seconds of the network for images, from the time of one tile."""

    def __init__(self, model: SegmentationModel, threads: int) -> None:
        card, self._model = model.model_card, model
        self._core = card.tile
        border = card.geometry.halo or card.geometry.margin
        wanted = [card.tile + 2 * border] * 2 if model.dimensions == 2 else [_VOLUME_SIDE] * 3
        sides = card.geometry.valid_sizes(wanted)
        self._side, self._pixels = sides[-1], math.prod(sides)
        self._tile = _time(model.predictor.runtime, (1, card.channels, *sides), threads)
        self._tile *= len(model.predictor.symmetries)

    def small(self, row: Row) -> float:
        """Return the seconds of an image in memory; those smaller than a tile take a part of its time."""
        size = _size(row)
        if not min(size):
            return 0.0
        if len(size) == 3:
            return self._tile * math.prod(_computed_size(self._model, row)) / self._pixels
        return self._tile * min(self._model.tiles(size), math.prod(size) / self._side**2 + 0.05)

    def large(self, row: Row) -> float:
        """Return the seconds of a streamed image."""
        plan = self._model.predictor.plan(_size(row))
        tiles = math.prod(_size(row)) / self._core**2
        return self._tile * tiles * (1.0 if plan is None else plan.fraction)


def _time(runtime: Runtime, shape: tuple[int, ...], threads: int) -> float:
    """Return the seconds of a call of the network: workers wait for this number, so that it may be a rough one."""
    tile, seconds = np.zeros(shape, np.float32), 0.0
    with use_threads(threads):
        for _ in range(2):
            began = time.perf_counter()
            runtime(tile)
            seconds = time.perf_counter() - began
            if seconds > _QUICK:
                break
    return seconds


def _computed_size(model: SegmentationModel, row: Row) -> Size:
    """Return the size of an image as the network sees it: a volume is resampled to the spacing of the model."""
    size, card = _size(row), model.model_card
    if len(size) == 2 or not min(size):
        return size
    try:
        grid = probe(Path(row[1]), volumes=card.reading.volumes).grid
        change = find_spacing_change(size, millimetres_of(grid), card.spacing)
    except PixelwiseError:  # reported when it is predicted
        return (0, 0, 0)
    return size if change is None else change.model_size


def _overhead(row: Row) -> float:
    return _IMAGE_SECONDS + _PIXEL_SECONDS * math.prod(row[2])


def _size(row: Row) -> Size:
    return cast("Size", tuple(row[2]))


def _runtime_name(model_file: Path, options: PredictOptions, model: SegmentationModel) -> str:
    """Return the runtime by a name that every worker understands in the same way."""
    if options.runtime != "auto" or find_export(model_file) is not None:
        return options.runtime
    names = {"OnnxRuntime": "onnx", "OpenVinoRuntime": "openvino"}
    return names.get(type(model.predictor.runtime).__name__, "torch")
