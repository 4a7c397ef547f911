"""Blocks of a streamed image: computed by several processes, and assembled to the bytes that one process writes.

What is measured (intensity scale, statistics) is measured once and given to every process. A block is a run of windows
in the order in which one process writes them; its tiles are stored compressed, as they will be in the file.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.errors import BadRun
from pixelwise.geometry.tiles import padded_size, tile_grid
from pixelwise.inference.staged import region_tiles
from pixelwise.inference.streaming.images import Stream, StreamTask, compute_tiles, open_stream
from pixelwise.inference.tile_reading import Job
from pixelwise.io.label_writer import Window
from pixelwise.io.tiled_writer import WindowTiles, read_windows
from pixelwise.io.windows import ImageReader
from pixelwise.progress import Progress

TILES, JOURNAL = "tiles", "journal"  # the files of a block


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """What all blocks of an image have in common, and the blocks.

    Attributes
    ----------
    notes : dict
        What was measured, JSON-ready.
    windows : str
        SHA-256 of all windows in their order.
    blocks : tuple of (int, int)
        The first window of each block, and the one after its last.
    """

    notes: dict[str, Any]
    windows: str
    blocks: tuple[tuple[int, int], ...]


def plan_blocks(
    task: StreamTask, scratch: Path, longest: Callable[[float], float], whole_seconds: float, progress: Progress
) -> BlockPlan:
    """Measure what every block needs, and divide the windows of an image into blocks.

    Parameters
    ----------
    scratch : Path
        Of a file that may be written, and is removed.
    longest : callable
        Seconds of all blocks that are left -> about the seconds of the next one.
    whole_seconds : float
        Expected seconds of the whole image.

    Returns
    -------
    BlockPlan
        With one block if the tiles of the network are blended: they depend on each other.
    """
    stream = open_stream(task, scratch, progress)
    try:
        notes, groups = dict(stream.tiles.notes), _groups(stream, task.source)
    finally:
        stream.tiles.discard()
    windows = [window for group in groups for window in group]
    if stream.blended(task.source.shape[1:]):
        groups = [windows]
    each = whole_seconds / max(1, len(windows))
    blocks: list[tuple[int, int]] = []
    first = stop = 0
    for group in groups:
        stop += len(group)
        if (stop - first) * each >= longest((len(windows) - first) * each):
            blocks.append((first, stop))
            first = stop
    if first < stop:
        blocks.append((first, stop))
    return BlockPlan(notes=notes, windows=_digest(windows), blocks=tuple(blocks))


def compute_block(task: StreamTask, plan: BlockPlan, block: tuple[int, int], folder: Path, progress: Progress) -> None:
    """Compute the windows of a block into two files, `TILES` and `JOURNAL`, in an empty folder.

    Raises
    ------
    BadRun
        This process divides the image into other windows.
    BadImage, OutputFailed
        As `streaming.stream_image`.
    """
    stream = open_stream(task, folder / "block", progress, plan.notes)
    try:
        windows = _windows(stream, task.source, plan)
        own = frozenset(windows[slice(*block)])
        job = Job(task.source, stream.scale, frozenset(windows) - own)
        compute_tiles(stream, job, progress)
        stream.tiles.sync()
    finally:
        stream.tiles.close()
    stream.tiles.tiles_path.rename(folder / TILES)
    stream.tiles.journal_path.rename(folder / JOURNAL)


def collect_blocks(task: StreamTask, plan: BlockPlan, files: Sequence[tuple[Path, Path]], path: Path) -> None:
    """Write the tiles of all blocks where `streaming.stream_image` finds them, and has nothing left to compute.

    Parameters
    ----------
    files : sequence of (Path, Path)
        Tiles and journal of each block, in order.
    path : Path
        Of the result.

    Raises
    ------
    BadRun
        A block is incomplete or damaged.
    OutputFailed
        The file cannot be written.
    """
    stream = open_stream(task, path, Progress(), plan.notes)
    try:
        windows = _windows(stream, task.source, plan)
        for block, (tiles, journal) in zip(plan.blocks, files, strict=True):
            found = read_windows(tiles, journal)
            for window in windows[slice(*block)]:
                stream.tiles.take(window, _tiles_of(found, window, tiles))
        stream.tiles.sync()
    finally:
        stream.tiles.close()


def plan_to_json(plan: BlockPlan) -> dict[str, Any]:
    """Return a plan as a JSON-ready object, without its blocks."""
    return {"notes": plan.notes, "windows": plan.windows}


def plan_from_json(value: dict[str, Any], blocks: Sequence[Sequence[int]] = ()) -> BlockPlan:
    """Return a plan from its JSON object, with these blocks."""
    pairs = tuple((int(first), int(stop)) for first, stop in blocks)
    return BlockPlan(notes=value["notes"], windows=value["windows"], blocks=pairs)


def _groups(stream: Stream, source: ImageReader) -> list[list[Window]]:
    """Return the windows in the order in which one process writes them; those of a group are computed together."""
    predictor, size = stream.predictor, source.shape[1:]
    plan = predictor.plan(size)
    if plan is None:
        grid = tile_grid(size, predictor.core_of(size), predictor.geometry)
        return [[(tile.write[0], tile.write[1])] for tile in grid]
    padded = padded_size(size[0], predictor.geometry), padded_size(size[1], predictor.geometry)
    groups: list[list[Window]] = []
    for part, tile in region_tiles(plan, size, padded):
        if part.first:
            groups.append([])
        if part.last_step:
            groups[-1].append((tile.write[0], tile.write[1]))
    return groups


def _windows(stream: Stream, source: ImageReader, plan: BlockPlan) -> list[Window]:
    windows = [window for group in _groups(stream, source) for window in group]
    if _digest(windows) != plan.windows:
        hint = "Use the same version of pixelwise, and the same runtime, on all machines."
        raise BadRun("the windows for which the job was made", f"{len(windows)} others", hint, stream.tiles.path)
    return windows


def _tiles_of(found: WindowTiles, window: Window, path: Path) -> list[tuple[int, bytes]]:
    if window not in found:
        raise BadRun("a complete block", f"one without the window {window}", "Remove it and run again.", path)
    return found[window]()


def _digest(windows: Sequence[Window]) -> str:
    return hashlib.sha256(json.dumps(windows).encode()).hexdigest()
