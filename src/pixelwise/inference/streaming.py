"""Images of any size: windows in, network, decisions, tiles out, all at the same time and in bounded memory.

A process that is killed is continued by the next one with the same job: tiles that are on the disk are never computed
again, and the result is the same to the last byte as that of a process that was not killed.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer

from pixelwise.inference.arrays import warn_of_scale
from pixelwise.inference.memory import MemoryPlan, TileSizes, peak_memory, plan_memory
from pixelwise.inference.pipeline import BackgroundWriter, prefetch
from pixelwise.inference.predictor import Job, Predictor, ReadTile
from pixelwise.inference.streaming_instances import find_objects, measure_objects, objects_memory, pack
from pixelwise.inference.streaming_masks import finish_mask
from pixelwise.inference.tile_size import choose_core, stored_core, stored_tile, tile_side
from pixelwise.io.label_writer import Format, PixelMetadata, TiledLayout, TileFile, finish
from pixelwise.io.windows import Source
from pixelwise.labels.instances import class_of, foreground_of, most_probable_class, seeds_of
from pixelwise.labels.region_properties import ObjectTable
from pixelwise.labels.targets import TargetOptions, most_probable_wins, probabilities_of, splits
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.runtimes.malloc import give_back
from pixelwise.sampling.normalise import Scale
from pixelwise.sampling.normalise_windows import source_scale
from pixelwise.text import pluralise

DEPTH = 2  # tiles that wait between reader, network and writer
_VERSION = 1  # of what a journal means
_STORED = 256  # pixels a side of the file's tiles where nobody names the size of tiles
_MEMORY = 1100 * 2**20  # bytes that the process may reach behind a tile, when the size of tiles is chosen


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a large image is predicted.

    Attributes
    ----------
    form : {"tiff", "zarr"}
        Tiled BigTIFF, or OME-Zarr.
    core : int or None
        Pixels a side that a tile keeps (rounded up to whole tiles of the file); None measures the quickest.
    compression : {"deflate", "zstd"}
    sampled : bool
        Estimate the intensity scale from windows in the place of a pass over all pixels.
    """

    form: Format = "tiff"
    core: int | None = None
    compression: Literal["deflate", "zstd"] = "deflate"
    sampled: bool = False


@dataclass(frozen=True)
class StreamResult:
    """What came out: the file, the tiles that were computed and those that were there already, and the objects."""

    path: Path
    computed: int
    found: int
    objects: ObjectTable | None
    memory: MemoryPlan


def stream_image(
    model_card: ModelCard,
    predictor: Predictor,
    source: Source,
    path: Path,
    *,
    identity: str,
    options: StreamOptions,
    progress: Progress,
) -> StreamResult:
    """Predict a picture of any size into a mask or a label image.

    Parameters
    ----------
    model_card : ModelCard
    predictor : Predictor
        Its core is used where `options` name none and the image is no larger than that.
    source : Source
    path : Path
        Of the result.
    identity : str
        Says which model and which file these are; a journal of another identity is not continued.
    options : StreamOptions
    progress : Progress
        Is told the memory before the start.

    Raises
    ------
    BadImage
        The picture is damaged, or holds values that cannot be used.
    OutputFailed
        The place cannot be written, the disk is full, or another process is at work there.
    """
    dtype, decide = decider(model_card.target)
    masks = model_card.target.kind == "classes"
    growing = path if _final(model_card.target) else path.with_name(f"{path.name}.decided")
    whole = _identity(model_card, predictor, source, identity, options)
    tiles, predictor = _open(growing, source, dtype, whole, predictor, options)
    try:
        scale = _scale(model_card, source, tiles, options, progress)
        plan = _plan(model_card, predictor, source, dtype)
        progress.message(
            f"{pluralise(predictor.count(source.shape[1:]), 'tile')} of {predictor.core} pixels a side. {plan}"
        )
        if predictor.overlap:
            progress.message(
                f"Approximate: the network sees whole images; tiles are blended over {2 * predictor.overlap}."
            )
        if not masks:
            progress.message("Each object takes about 250 bytes on top.")
        found = len(tiles.done)
        computed = _compute(predictor, Job(source, scale, frozenset(tiles.done)), tiles, decide, progress)
        table = None
        result = tiles
        if masks and not _final(model_card.target):
            result = finish_mask(tiles, model_card.target, path, progress)
        elif not masks:
            result, objects = find_objects(tiles, model_card.target, path, progress)
            table = measure_objects(result, objects, source, progress)
        names = model_card.classes if masks else ()
        palette = model_card.colours if masks else ()
        finish(result, options.form, PixelMetadata(spacing=source.spacing, palette=palette, names=names))
        if result is not tiles:
            tiles.discard()
    except BaseException:
        tiles.close()
        raise
    return StreamResult(path, computed, found, table, plan)


def decider(
    target: TargetOptions,
) -> tuple[Literal["uint8", "uint16"], Callable[[Float[np.ndarray, "classes h w"]], Integer[np.ndarray, "h w"]]]:
    """Return what is kept of the logits of a part, and its type: nothing else of them is ever stored."""
    if most_probable_wins(target):
        return "uint8", most_probable_class
    if target.kind == "classes" and not splits(target):
        return "uint8", lambda logits: class_of(probabilities_of(logits, target), target)
    if target.kind == "components":
        return "uint8", lambda logits: foreground_of(probabilities_of(logits, target), target).astype(np.uint8)
    return "uint16", lambda logits: pack(*seeds_of(probabilities_of(logits, target), target))


def _final(target: TargetOptions) -> bool:
    """Tell whether what is decided of a tile is what stands in the result."""
    return target.kind == "classes" and not any(target.class_areas) and not splits(target)


def _compute(
    predictor: Predictor,
    job: Job,
    tiles: TileFile,
    decide: Callable[[np.ndarray], np.ndarray],
    progress: Progress,
) -> int:
    """Predict what is not done: a thread reads ahead, one compresses and writes behind. Return the parts written."""
    count = predictor.count(job.source.shape[1:])
    if job.done:
        progress.message(f"Continued: {len(job.done):,} of {pluralise(count, 'tile was', 'tiles were')} done already.")
    computed = 0

    def write(item: tuple[Any, np.ndarray]) -> None:
        tiles.write(*item)

    with (
        closing(prefetch(predictor.prepare([job]), DEPTH)) as prepared,
        BackgroundWriter(write, DEPTH) as writer,
        progress.bar("predicting", count) as advance,
    ):
        advance(len(job.done), "")
        for _, part in predictor.compute(predictor.gather(_trimmed(prepared))):
            writer.put((part.write, decide(part.logits)))
            computed += 1
            advance(1, "")
    return computed


def _trimmed(prepared: Iterable[ReadTile]) -> Iterator[ReadTile]:
    """Pass tiles on; where their size changes, give back what the allocator kept for the last one."""
    shape: tuple[int, ...] | None = None
    for item in prepared:
        if item.window.shape != shape:
            give_back()
            shape = item.window.shape
        yield item


def _open(
    path: Path,
    source: Source,
    dtype: Literal["uint8", "uint16"],
    identity: str,
    predictor: Predictor,
    options: StreamOptions,
) -> tuple[TileFile, Predictor]:
    """Open what is there or begin; the size of the tiles is measured once and then kept."""
    _, height, width = source.shape
    core = options.core or (predictor.core if max(height, width) <= predictor.core else None)
    core = stored_core(core, predictor.geometry) if core else None
    layout = TiledLayout(
        height=height,
        width=width,
        dtype=dtype,
        tile=stored_tile(core) if core else _STORED,
        compression=options.compression,
    )
    tiles = TileFile(path, layout, identity)
    core = core or tiles.notes.get("core")
    if not core:
        core = choose_core(predictor, source.shape[0], _MEMORY)[0].core
        tiles.note("core", core)
    return tiles, predictor.with_core(core)


def _scale(model_card: ModelCard, source: Source, tiles: TileFile, options: StreamOptions, progress: Progress) -> Scale:
    """Return the intensity scale: what an earlier process found, or that of a pass over the picture."""
    kept = tiles.notes.get("scale")
    if kept is not None:
        return Scale(np.array(kept["factor"]), np.array(kept["shift"]))
    if options.sampled and model_card.normalisation.kind == "image":
        progress.message("The intensity scale is an estimate from windows spread over the image.")
    with progress.bar("measuring intensities", source.shape[1]) as advance:
        found = source_scale(source, model_card.normalisation, lambda rows: advance(rows, ""), sampled=options.sampled)
    progress.message(*warn_of_scale(found.sample, model_card.intensity_range))
    tiles.note("scale", {"factor": found.scale.factor.tolist(), "shift": found.scale.shift.tolist()})
    return found.scale


def _plan(model_card: ModelCard, predictor: Predictor, source: Source, dtype: Literal["uint8", "uint16"]) -> MemoryPlan:
    """Compute one batch of tiles, to know what it takes, and return the memory of the whole."""
    channels, height, width = source.shape
    keep = predictor.core + 2 * predictor.overlap
    whole = predictor.geometry.legal_size(max(height, width) + 2 * predictor.geometry.margin)
    side = min(tile_side(keep, predictor.geometry), whole)
    batch = predictor.together(side * side)
    for _ in range(2):  # the second time the allocator has made its choices
        predictor.runtime(np.zeros((batch, channels, side, side), np.float32))
    give_back()
    sizes = TileSizes(
        height=height,
        width=width,
        read=side,
        keep=min(keep, side),
        channels=channels,
        classes=predictor.classes,
        batch=batch,
        pixel_bytes=source.dtype.itemsize,
        decided_bytes=np.dtype(dtype).itemsize,
        blended=predictor.overlap > 0,
    )
    objects = 0 if _final(model_card.target) else objects_memory(width, height)
    return plan_memory(sizes, process=peak_memory(), image=source.plan(side), depth=DEPTH, objects=objects)


def _identity(model_card: ModelCard, predictor: Predictor, source: Source, given: str, options: StreamOptions) -> str:
    """Return a digest of everything that the decided tiles depend on."""
    depends = {
        "version": _VERSION,
        "given": given,
        "shape": source.shape,
        "dtype": str(source.dtype),
        "target": asdict(model_card.target),
        "normalisation": asdict(model_card.normalisation),
        "geometry": asdict(predictor.geometry),
        "symmetries": [asdict(symmetry) for symmetry in predictor.symmetries],
        "core": options.core,
        "sampled": options.sampled,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
