"""Streamed prediction of images of any size: reading, inference, post-processing and writing in bounded memory.

A killed process is resumed by the next one with the same inputs: tiles on disk are not computed again, and the result
is identical byte for byte to that of an uninterrupted process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Integer

from pixelwise.geometry.tiles import per_axis
from pixelwise.inference.arrays import warn_of_scale
from pixelwise.inference.cut_plan import CutPlan
from pixelwise.inference.memory import MemoryPlan, TileSizes, peak_memory, plan_memory
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.streaming.instances import find_objects, measure_streamed_objects, objects_memory, strips_of
from pixelwise.inference.streaming.masks import Fill, finish_mask, keep
from pixelwise.inference.streaming.state import resumable, store_scale, stored_scale, stream_identity
from pixelwise.inference.streaming.tiles import DEPTH, choose_exact, compute_windows, decider, with_measured_statistics
from pixelwise.inference.tile_reading import Job
from pixelwise.inference.tile_size import stored_core, stored_tile, streamed_core, tile_side
from pixelwise.inference.whole_image import Tiling
from pixelwise.io.georeference import choose_mask_nodata
from pixelwise.io.label_writer import Format, PixelMetadata, TiledLayout, TileFile, Window, finish
from pixelwise.io.sample_values import mark_missing
from pixelwise.io.windows import ImageReader
from pixelwise.labels.region_properties import ObjectTable
from pixelwise.labels.targets import TargetOptions, splits_regions
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.malloc import release_memory
from pixelwise.sampling.normalise import Scale
from pixelwise.sampling.normalise_windows import source_scale
from pixelwise.text import pluralise

_VERSION = 3  # of the journal: 2 marks missing pixels in maps; 3 has tiles whose side follows from the network
_CUT_MEMORY = 740 * 2**20  # for the maps and a tile of a cut network, so that the process takes 1.5 GB at most
_WINDOW = 512  # side of the windows of a cut network, a multiple of the tiles of the file


Watch = Callable[[TiledLayout, Window, np.ndarray], object]


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Options of a streamed prediction.

    Attributes
    ----------
    form : {"tiff", "zarr"}
        Tiled BigTIFF, or OME-Zarr.
    core : int or None
        Side in pixels of the valid region of a tile (rounded up to whole tiles of the file); None: that of
        `tile_size.streamed_core`.
    compression : {"deflate", "zstd"}
    sampled : bool
        Estimate the intensity scale from sampled windows instead of all pixels.
    """

    form: Format = "tiff"
    core: int | None = None
    compression: Literal["deflate", "zstd"] = "deflate"
    sampled: bool = False


@dataclass(frozen=True, kw_only=True)
class StreamTask:
    """An image to stream.

    Attributes
    ----------
    predictor : Predictor
        Its core is used if `options` give none and the image is not larger.
    identity : str
        Identifies the model and the image; only a journal with the same identity is resumed.
    """

    model_card: ModelCard
    predictor: Predictor
    source: ImageReader
    identity: str
    options: StreamOptions


@dataclass(frozen=True)
class StreamResult:
    """The result file, the numbers of computed and of resumed tiles, the objects, and the memory plan."""

    path: Path
    computed: int
    resumed: int
    objects: ObjectTable | None
    memory: MemoryPlan


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A streamed image with everything that its tiles depend on."""

    tiles: TileFile
    predictor: Predictor
    scale: Scale
    decide: Callable[[np.ndarray], np.ndarray]
    fill: Fill
    dtype: Literal["uint8", "uint16"]
    cut: CutPlan | None
    nodata: int | None
    tiling: Tiling | None

    def blended(self, size: tuple[int, ...]) -> bool:
        """Return whether neighbouring tiles of an image of `size` depend on each other."""
        return self.predictor.blends(size)


def stream_image(
    task: StreamTask,
    path: Path,
    progress: Progress,
    *,
    observe: Callable[[np.ndarray], None] | None = None,
    watch: Watch | None = None,
) -> StreamResult:
    """Predict the mask or label image of an image of any size.

    Parameters
    ----------
    path : Path
        Of the result.
    progress : Progress
        Receives the memory bound before the start.
    observe : callable, optional
        Receives the finished mask or label image in strips of rows, from the top.
    watch : callable, optional
        Receives the layout of the tiles, and window and logits of each one that is computed here, not by an earlier
        process.

    Raises
    ------
    BadImage
        The image is damaged, or has invalid values.
    OutputFailed
        The result cannot be written, the disk is full, or another process is writing it.
    """
    stream, model_card, source = open_stream(task, path, progress), task.model_card, task.source
    tiles, predictor, cut, nodata = stream.tiles, stream.predictor, stream.cut, stream.nodata
    masks, size = model_card.target.kind == "classes", source.shape[1:]
    with resumable(tiles):
        plan = _plan(model_card, predictor, source, stream.dtype, computes=predictor.count(size) > len(tiles.done))
        side = predictor.core if cut is None else _WINDOW
        progress.message(f"{pluralise(predictor.count(size), 'tile')} of {side} pixels per side. {plan}")
        progress.message(*([] if cut is None else [str(cut)]))
        progress.message(*([] if stream.tiling is None else [str(stream.tiling)]))
        if not masks:
            progress.message("Each object takes about 250 more bytes.")
        resumed = len(tiles.done)
        fill = _filler(source, nodata)
        final = _is_final(model_card.target)
        computed = compute_tiles(stream, Job(source, stream.scale, frozenset(tiles.done)), progress, watch)
        table = None
        result = tiles
        if masks and not final:
            result = finish_mask(tiles, model_card.target, path, progress, fill=fill)
        elif not masks:
            result, objects = find_objects(tiles, model_card.target, path, progress)
            table = measure_streamed_objects(result, objects, source, progress)
        if observe is not None:
            for window in strips_of(result.layout):
                observe(result.read(*window))
        metadata = PixelMetadata(
            spacing=source.spacing,
            georeference=source.georeference,
            nodata=nodata,
            palette=model_card.colours if masks else (),
            names=model_card.classes if masks else (),
        )
        finish(result, task.options.form, metadata)
        if result is not tiles:
            tiles.discard()
    return StreamResult(path, computed, resumed, table, plan)


def open_stream(task: StreamTask, path: Path, progress: Progress, notes: Mapping[str, Any] | None = None) -> Stream:
    """Open or create the file of the tiles of an image, and measure what they depend on, unless `notes` have it.

    `path` and `progress` as in `stream_image`; `notes` are those of the file of another process for the same image.
    """
    model_card, predictor, source, options = task.model_card, task.predictor, task.source, task.options
    dtype, decide = decider(model_card.target)
    final = _is_final(model_card.target)
    tile_path = path if final else path.with_name(f"{path.name}.decided")
    nodata = _mask_nodata(model_card, source) if model_card.target.kind == "classes" else None
    size = source.shape[1:]
    tiling = predictor.tiling(size, _CUT_MEMORY)
    predictor = choose_exact(predictor, size, _CUT_MEMORY)
    streamed = predictor.with_window(_WINDOW, _CUT_MEMORY, path.parent)
    cut = None if options.core else streamed.plan(size)
    predictor = predictor if cut is None else streamed
    core = _core(model_card, predictor, size, options)
    predictor = predictor if cut is not None else predictor.with_core(core).one_by_one()
    more = {"version": _VERSION, "given": task.identity, "core": core, "sampled": options.sampled}
    layout = TiledLayout(
        height=size[0], width=size[1], dtype=dtype, tile=stored_tile(core), compression=options.compression
    )
    tiles = TileFile(tile_path, layout, stream_identity(model_card, predictor, source, cut, **more))
    for name, value in sorted((notes or {}).items()):
        if name not in tiles.notes:
            tiles.note(name, value)
    with resumable(tiles):
        scale = _scale(model_card, source, tiles, options, progress)
        predictor = with_measured_statistics(predictor, Job(source, scale), tiles, progress)
    fill = _filler(source, nodata) if final else keep
    return Stream(
        tiles=tiles,
        predictor=predictor,
        scale=scale,
        decide=decide,
        fill=fill,
        dtype=dtype,
        cut=cut,
        nodata=nodata,
        tiling=tiling,
    )


def compute_tiles(stream: Stream, job: Job, progress: Progress, watch: Watch | None = None) -> int:
    """Predict the tiles of an image that are not done, and write them; return their number; `watch` as above."""

    def write(window: Window, numbers: np.ndarray) -> None:
        stream.tiles.write(window, stream.fill(window, numbers))

    def see(window: Window, logits: np.ndarray) -> None:
        if watch is not None:
            watch(stream.tiles.layout, window, logits)

    resumed = len(stream.tiles.done)
    return compute_windows(stream.predictor, job, write, stream.decide, progress, resumed, see)


def _mask_nodata(model_card: ModelCard, source: ImageReader) -> int | None:
    """Return the value of missing pixels in the mask of a map."""
    place = source.georeference
    return None if place is None else choose_mask_nodata(place.nodata, len(model_card.classes))


def _filler(source: ImageReader, nodata: int | None) -> Fill:
    """Return what marks the pixels of a window of the mask whose channels are all missing in the image."""
    if nodata is None:
        return keep

    def fill(window: Window, mask: Integer[np.ndarray, "rows columns"]) -> Integer[np.ndarray, "rows columns"]:
        return mark_missing(source.read(*window), mask, nodata)

    return fill


def _is_final(target: TargetOptions) -> bool:
    """Return whether the stored tiles are the final mask."""
    return target.kind == "classes" and not any(target.class_areas) and not splits_regions(target)


def _core(model_card: ModelCard, predictor: Predictor, size: tuple[int, ...], options: StreamOptions) -> int:
    """Return the side of the valid region of a tile, which neither the machine nor the memory left on it changes."""
    default = max(per_axis(predictor.core, 2))
    core = options.core or predictor.window or (default if max(size) <= default else None)
    geometry = predictor.geometry
    return stored_core(core, geometry) if core else streamed_core(model_card.network.base, geometry)


def _scale(
    model_card: ModelCard, source: ImageReader, tiles: TileFile, options: StreamOptions, progress: Progress
) -> Scale:
    """Return the intensity scale, from the journal or from a pass over the image."""
    stored = stored_scale(tiles, model_card)
    if stored is not None:
        return stored
    if options.sampled and model_card.normalisation.kind == "image":
        progress.message("The intensity scale is estimated from windows spread over the image.")
    with progress.bar("measuring intensities", source.shape[1]) as advance:
        result = source_scale(source, model_card.normalisation, lambda rows: advance(rows, ""), sampled=options.sampled)
    progress.message(*warn_of_scale(result.sample, model_card.intensity_range))
    store_scale(tiles, result.scale)
    return result.scale


def _plan(
    model_card: ModelCard,
    predictor: Predictor,
    source: ImageReader,
    dtype: Literal["uint8", "uint16"],
    *,
    computes: bool,
) -> MemoryPlan:
    """Compute one batch of tiles to measure its memory, unless none will be, and return the memory plan."""
    channels, height, width = source.shape
    cut = predictor.plan((height, width))
    if cut is None:
        overlap = max(predictor.overlap((height, width)))
        keep = max(per_axis(predictor.core, 2)) + 2 * overlap
        image_side = predictor.geometry.valid_size(max(height, width) + 2 * predictor.geometry.margin)
        side = min(tile_side(keep, predictor.geometry), image_side)
        keep, batch, more = min(keep, side), predictor.batch_size(side * side), 0
        for _ in range(2 if computes else 0):  # the allocator is in a steady state after the first call
            predictor.runtime(np.zeros((batch, channels, side, side), np.float32))
        release_memory()
    else:  # its maps and tiles are counted instead of measured
        side, keep, batch, overlap, more = cut.read, cut.cores[-1], 1, 0, cut.bytes
    sizes = TileSizes(
        height=height,
        width=width,
        read=side,
        keep=keep,
        channels=channels,
        classes=predictor.classes,
        batch=batch,
        pixel_bytes=source.dtype.itemsize,
        decided_bytes=np.dtype(dtype).itemsize,
        blended=overlap > 0,
    )
    objects = 0 if _is_final(model_card.target) else objects_memory(width, height)
    return plan_memory(sizes, process=peak_memory() + more, image=source.plan(side), depth=DEPTH, objects=objects)
