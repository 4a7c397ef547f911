"""Computing a cut network region by region: the maps at its cuts are kept, everything else is computed tile by tile.

The image is read twice per region: for the first step, and for the last one, which computes the fine skips again.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pixelwise.geometry.regions import Step, cut_span, output_spans, region_grid, step_tiles
from pixelwise.geometry.subgraphs import MapKey
from pixelwise.geometry.tiles import Span, Tile
from pixelwise.inference.blending import LogitsWindow
from pixelwise.inference.cut_plan import CutPlan
from pixelwise.io.scratch import ScratchFile, StoredMap
from pixelwise.runtimes.base import StagedRuntime
from pixelwise.runtimes.malloc import release_memory

Area = tuple[Span, ...]


@dataclass(frozen=True)
class RegionTile:
    """What a tile of a cut network is for.

    Attributes
    ----------
    areas : tuple of Area
        Where each step is computed for the region.
    last_step : bool
        The tile is one of the last step instead of the first.
    first, last : bool
        It is the first, or the last tile of the region.
    """

    areas: tuple[Area, ...]
    last_step: bool
    first: bool
    last: bool


@dataclass(frozen=True)
class _KeptMap:
    """A map in an area of the image: values (channels, *size) in memory or in a file, and image pixels per pixel."""

    values: np.ndarray | StoredMap
    area: Area
    stride: int

    def read(self, spans: tuple[Span, ...]) -> np.ndarray:
        """Return the values in a window of the image, as a view if they are in memory."""
        place = self._place(spans)
        return self.values.read(place) if isinstance(self.values, StoredMap) else self.values[(slice(None), *place)]

    def write(self, spans: tuple[Span, ...], values: np.ndarray) -> None:
        """Write values in a window of the image."""
        place = self._place(spans)
        if isinstance(self.values, StoredMap):
            self.values.write(place, values)
        else:
            self.values[(slice(None), *place)] = values

    def _place(self, spans: tuple[Span, ...]) -> list[slice]:
        return [
            slice((low - start) // self.stride, (high - start) // self.stride)
            for (low, high), (start, _) in zip(spans, self.area, strict=True)
        ]


def count_windows(plan: CutPlan, size: Sequence[int]) -> int:
    """Return the number of windows of logits of an image of `size`."""
    return math.prod(
        sum(len(cut_span(span, plan.cores[-1])) for span in cut_span((0, side), plan.region)) for side in size
    )


def region_tiles(
    plan: CutPlan, size: tuple[int, ...], padded: tuple[int, ...], done: Collection[tuple[Span, ...]] = ()
) -> Iterator[tuple[RegionTile, Tile]]:
    """Yield the tiles that read the image, region by region; regions whose windows are all `done` are left out.

    Spans are in pixels of the padded image. `write` of a tile of the last step ends at the edge of the image.
    """
    for region in region_grid(size, plan.region):
        axes = [output_spans(plan.steps, span, side) for span, side in zip(region, padded, strict=True)]
        areas = tuple(zip(*axes, strict=True))
        outputs = [
            tile
            for tile in _last_tiles(plan.steps[-1], areas[-1], plan.cores[-1], padded, size)
            if tile.write not in done
        ]
        if not outputs:
            continue
        inputs = step_tiles(plan.steps[0], areas[0], plan.cores[0], padded)
        for number, tile in enumerate(inputs):
            yield RegionTile(areas, last_step=False, first=number == 0, last=False), tile
        for number, tile in enumerate(outputs, 1):
            yield RegionTile(areas, last_step=True, first=False, last=number == len(outputs)), tile


class StagedImage:
    """The kept maps of the current region of an image.

    Parameters
    ----------
    padded : tuple of int
        Size of the padded image.
    scratch : Path, optional
        Folder for the maps that the plan does not keep in memory.
    """

    def __init__(
        self, runtime: StagedRuntime, plan: CutPlan, padded: tuple[int, ...], scratch: Path | None = None
    ) -> None:
        self._runtime, self._plan, self._padded = runtime, plan, padded
        self._scratch = None if scratch is None or not plan.stored else ScratchFile(scratch)
        self._maps: dict[MapKey, _KeptMap] = {}
        last_use = {key: index for index, step in enumerate(plan.steps) for key in step.subgraph.inputs}
        self._expired = [[key for key, use in last_use.items() if use == index] for index in range(len(plan.steps))]
        self._inner_done = False
        self._shapes: tuple[int, tuple[tuple[int, ...], ...]] | None = None

    def add(self, part: RegionTile, tile: Tile, window: Float[np.ndarray, "one channels *size"]) -> list[LogitsWindow]:
        """Compute a tile that reads the image; return its logits if it is one of the last step."""
        if part.first:
            self._clear()
            self._inner_done = False
        if not part.last_step:
            self._compute(0, part.areas[0], tile, window)
            return []
        if not self._inner_done:
            self._compute_inner(part.areas)
        logits = self._run(len(self._plan.steps) - 1, tile, window)
        if part.last:
            self._clear()
            release_memory()
        return [LogitsWindow(tile.write, logits)]

    def _clear(self) -> None:
        """Remove the maps of a region."""
        self._maps.clear()
        if self._scratch is not None:
            self._scratch.clear()

    def _compute_inner(self, areas: tuple[Area, ...]) -> None:
        """Compute the steps between the first and the last one."""
        for index in range(1, len(self._plan.steps) - 1):
            subgraph = self._plan.steps[index].subgraph
            if self._plan.steps[index].identity:
                self._maps[subgraph.output] = self._maps.pop(subgraph.inputs[0])
                continue
            for tile in step_tiles(self._plan.steps[index], areas[index], self._plan.cores[index], self._padded):
                self._compute(index, areas[index], tile)
            for key in self._expired[index]:
                self._maps.pop(key, None)
        self._inner_done = True

    def _compute(self, index: int, area: Area, tile: Tile, image: np.ndarray | None = None) -> None:
        """Compute a tile of a step into its map."""
        values = self._run(index, tile, image)
        key = self._plan.steps[index].subgraph.output
        if key not in self._maps:
            scratch = self._scratch if key in self._plan.stored else None
            self._maps[key] = _empty_map(area, values, tile, scratch)
        self._maps[key].write(tile.write, values)

    def _run(self, index: int, tile: Tile, image: np.ndarray | None = None) -> Float[np.ndarray, " channels *size"]:
        """Return the output of a step in the valid region of a tile."""
        step = self._plan.steps[index]
        inputs = [
            image if image is not None and key == ("encoder", 0) else self._maps[key].read(tile.read)[None]
            for key in step.subgraph.inputs
        ]
        shapes = index, tuple(values.shape for values in inputs)
        if shapes != self._shapes:
            release_memory()  # freed blocks of other sizes would not be used again
            self._shapes = shapes
        output = self._runtime.run_subgraph(step.subgraph, *inputs)[0]
        stride = (tile.read[0][1] - tile.read[0][0]) // output.shape[1]
        return output[(slice(None), *(slice(low // stride, high // stride) for low, high in tile.keep))]


def _empty_map(area: Area, values: np.ndarray, tile: Tile, scratch: ScratchFile | None) -> _KeptMap:
    """Return a map with the memory layout of its values: torch keeps channels adjacent, other runtimes rows."""
    stride = (tile.write[0][1] - tile.write[0][0]) // values.shape[1]
    sides = tuple((stop - start) // stride for start, stop in area)
    if scratch is not None:
        return _KeptMap(scratch.allocate((len(values), *sides), values.dtype), area, stride)
    if values.strides[0] > values.strides[-1]:
        return _KeptMap(np.empty((len(values), *sides), values.dtype), area, stride)
    return _KeptMap(np.moveaxis(np.empty((*sides, len(values)), values.dtype), -1, 0), area, stride)


def _last_tiles(step: Step, area: Area, core: int, padded: tuple[int, ...], size: tuple[int, ...]) -> Iterator[Tile]:
    """Yield the tiles of the last step, of which only the pixels in the image are kept."""
    for tile in step_tiles(step, area, core, padded):
        write = tuple((start, min(stop, side)) for (start, stop), side in zip(tile.write, size, strict=True))
        lengths = (stop - start for start, stop in write)
        keep = tuple((start, start + length) for (start, _), length in zip(tile.keep, lengths, strict=True))
        yield Tile(tile.read, keep, write)
