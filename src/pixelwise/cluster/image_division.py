"""The division of images into units of about ten seconds: runs of images, and blocks of streamed ones."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, cast

import numpy as np

from pixelwise.cluster.image_batches import batch_starts, group_images
from pixelwise.cluster.image_units import Row
from pixelwise.cluster.job import FOLDER, LeaseTimes
from pixelwise.errors import PixelwiseError
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.inference.streaming_blocks import BlockPlan, plan_blocks, plan_to_json
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from pixelwise.runtimes.benchmark import time_tile
from pixelwise.runtimes.exported import find_export
from pixelwise.runtimes.machine import use_threads
from pixelwise.workflow.prediction.classification import BATCH_SIZE, open_classifier
from pixelwise.workflow.prediction.large import is_large, large_image, model_digest, open_stream_task
from pixelwise.workflow.prediction.masks import MaskInputs, Size, open_mask_model
from pixelwise.workflow.prediction.options import PredictOptions

UNIT_SECONDS = 10.0
MAX_IMAGES = 4096  # of a unit
UNITS_PER_WORKER = 4  # at least, where there are few images: the last worker ends soon after the first
_IMAGE_SECONDS, _PIXEL_SECONDS = 5e-3, 2e-8  # besides the network: opening and writing a file; decoding and encoding
Units = list[tuple[dict[str, Any], int]]


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
    model_file : Path
    card : ModelCard
        Of that model.
    rows : sequence of Row
        The images.
    request : JobRequest
    progress : Progress
    """
    options = request.options
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
    starts = batch_starts(model.predictor, [_size(row) for row in small])
    units = _runs(small, [timing.small(row) + _overhead(row) for row in small], starts, request)
    after: dict[int, tuple[int, int]] = {}
    digest = model_digest(model_file)
    for row in (row for row, streamed in zip(rows, large, strict=True) if streamed):
        plan = _plan(model, row, digest, request, timing.large(row), progress)
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
    share = sum(seconds) / (UNITS_PER_WORKER * request.workers)
    limit = max(min(request.unit_seconds, share), _IMAGE_SECONDS)
    groups = group_images(zip(rows, seconds, strict=True), starts, limit, MAX_IMAGES)
    # "later": a batch of one, which gives one process its first result early, is that of the first unit alone
    return [({"images": group, "later": number > 0}, len(group)) for number, group in enumerate(groups)]


def _plan(
    model: SegmentationModel, row: Row, digest: str, request: JobRequest, seconds: float, progress: Progress
) -> BlockPlan | None:
    """Return the blocks of a streamed image; None if it has one block, or cannot be read, which its unit reports."""
    scratch = request.out / FOLDER / "work" / f"plan-{token_hex(4)}"
    share = seconds / (UNITS_PER_WORKER * request.workers)
    image = large_image(Path(row[1]), scratch, row[0], digest, request.options)
    try:
        with open_stream_task(model, image, request.options) as task:
            plan = plan_blocks(task, image.result, min(request.unit_seconds, share), seconds, progress)
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
        self._side = card.geometry.valid_size(card.tile + 2 * (card.geometry.halo or card.geometry.margin))
        shape = (1, card.channels, self._side, self._side)
        self._tile = _time(model.predictor.runtime, shape, threads) * len(model.predictor.symmetries)

    def small(self, row: Row) -> float:
        """Return the seconds of an image in memory; those smaller than a tile take a part of its time."""
        size = _size(row)
        if not min(size):
            return 0.0
        return self._tile * min(self._model.tiles(size), math.prod(size) / self._side**2 + 0.05)

    def large(self, row: Row) -> float:
        """Return the seconds of a streamed image."""
        plan = self._model.predictor.plan(_size(row))
        tiles = math.prod(_size(row)) / self._core**2
        return self._tile * tiles * (1.0 if plan is None else plan.fraction)


def _time(runtime: Runtime, shape: tuple[int, ...], threads: int) -> float:
    tile = np.zeros(shape, np.float32)
    with use_threads(threads):
        runtime(tile)  # the first call plans and allocates
        return time_tile(runtime, tile)


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
