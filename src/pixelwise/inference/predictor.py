"""Tiled prediction of logits with batches, test-time augmentation and bounded memory."""

import math
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import IDENTITY, Symmetry, TtaInputs
from pixelwise.geometry.tiles import (
    Side,
    Span,
    Tile,
    mirror_indices,
    padded_sizes,
    per_axis,
    tile_grid,
)
from pixelwise.inference.blending import Blender, LogitsWindow, blend_overlap
from pixelwise.inference.cut_plan import MIN_VOLUME_MEMORY, CutPlan, plan_cuts
from pixelwise.inference.staged import RegionTile, StagedImage, count_windows, region_tiles
from pixelwise.inference.tile_shape import fit_tile, read_voxels, shrink_tile
from pixelwise.io.volumes.windows import InMemoryVolume, VolumeReader
from pixelwise.io.windows import ImageReader, InMemoryReader
from pixelwise.runtimes.base import Runtime, StagedRuntime
from pixelwise.sampling.normalise import Scale

BATCH = 8  # batch size of small images
CORE_STEP = 256  # pixels by which tiles grow within the memory budget
TILE_BYTES = 2**30  # memory budget of the activations of a tile and the post-processing of the image
VOLUME_BYTES = 5 * 2**29  # the same for volumes, whose halo is a larger part of a tile
DECODING_BYTES = 8  # per pixel of an image with instance segmentation
BATCH_PIXELS = 2**19  # maximum pixels of a batch: larger batches are not faster and take more memory

Reader = ImageReader | VolumeReader


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """Default prediction options, stored in the model file.

    `tta` is the number of inputs of test-time augmentation (`geometry.symmetries.TTA_SYMMETRIES`).
    """

    tta: TtaInputs = 1


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """Bytes that a prediction may use, and its bytes per pixel of the image and per pixel of the input of a tile."""

    bytes: int
    image_pixel: int
    tile_pixel: int

    def side(self, size: tuple[int, int]) -> int:
        """Return the side of the largest tile input for an image of `size`."""
        return math.isqrt(self.pixels(size))

    def pixels(self, size: tuple[int, ...]) -> int:
        """Return the number of pixels of the largest tile input for an image of `size`."""
        return self.left(size) // self.tile_pixel

    def left(self, size: tuple[int, ...]) -> int:
        """Return the bytes left beside an image of `size`."""
        return max(0, self.bytes - self.image_pixel * math.prod(size))


def tile_budget(base: int, dimensions: int = 2) -> MemoryBudget:
    """Return the memory budget of tiles.

    A U-Net of base width b has about 8 b activations per pixel, and per voxel 6 b and 18 more: measured for widths of 4
    to 32.
    """
    if dimensions == 3:
        return MemoryBudget(bytes=VOLUME_BYTES, image_pixel=DECODING_BYTES, tile_pixel=4 * (6 * base + 18))
    return MemoryBudget(bytes=TILE_BYTES, image_pixel=DECODING_BYTES, tile_pixel=8 * 4 * base)


@dataclass(frozen=True)
class Job:
    """An image to predict: its reader, its intensity scale, and the windows that are already done."""

    source: Reader
    scale: Scale
    done: Collection[tuple[Span, ...]] = ()


class ReadTile(NamedTuple):
    """Tile `number` of `job` with its normalised input (channels, *size)."""

    job: Job
    number: int
    tile: Tile
    window: np.ndarray
    part: RegionTile | None = None  # of a cut network


class TileBatch(NamedTuple):
    """A batch of tiles: `stack` (tiles, channels, *size) holds the windows of `items`."""

    items: list[ReadTile]
    stack: np.ndarray


class Predictor:
    """Predicts images and volumes of any size, tile by tile.

    Parameters
    ----------
    runtime : Runtime
    geometry : Geometry
        Of the network. Unless `geometry.exact`, tiles overlap and are blended (see `blending`).
    classes : int
        Number of channels of the logits.
    core : int or sequence of int
        Side in pixels of the valid region of a tile, along all axes or along each; an image that is not larger is
        predicted as a whole.
    symmetries : sequence of Symmetry
        Test-time augmentation: the logits are averaged over these symmetries; each costs one prediction.
    batch : int
        Maximum batch size, of tiles of one or several images; smaller for large tiles.
    memory_budget : MemoryBudget, optional
        Tiles of large images grow within this budget, because the halo is a smaller fraction of a large tile. Without
        it, and if tiles are not exact, the size is `core`. Within it deep networks are cut (see `cut_plan`).
    window : int, optional
        Side of the windows of a cut network; by default chosen.

    Notes
    -----
    Memory: the pixels, plus for one tile of side T = core + 2 halo (or 2 margin) the float input and the activations of
    the network, about 8 b T^2 numbers for a U-Net of base width b; `logits` adds classes x height x width numbers,
    `stream` adds nothing if tiles are exact.
    """

    def __init__(
        self,
        runtime: Runtime,
        geometry: Geometry,
        classes: int,
        core: Side,
        symmetries: Sequence[Symmetry] = (IDENTITY,),
        *,
        batch: int = 1,
        memory_budget: MemoryBudget | None = None,
        window: int | None = None,
    ) -> None:
        self.runtime, self.geometry, self.classes, self.core = runtime, geometry, classes, core
        self.symmetries, self.batch, self.memory_budget, self.window = symmetries, batch, memory_budget, window
        self._plans: dict[tuple[int, ...], CutPlan | None] = {}

    def overlap(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many pixels the tiles of a large image extend into their neighbours; 0 if tiles are exact."""
        return blend_overlap(self.core_of(size), self.geometry, len(size))

    def with_core(self, core: Side) -> "Predictor":
        """Return the same predictor with a fixed tile size."""
        runtime, geometry, classes = self.runtime, self.geometry, self.classes
        return Predictor(runtime, geometry, classes, core, self.symmetries, batch=self.batch)

    def with_window(self, window: int, memory: int) -> "Predictor":
        """Return the same predictor for images that are not in memory, with windows of `window` pixels if it is cut."""
        budget = self.memory_budget and replace(
            self.memory_budget, bytes=min(memory, self.memory_budget.bytes), image_pixel=0
        )
        runtime, geometry, classes, core = self.runtime, self.geometry, self.classes, self.core
        symmetries, batch = self.symmetries, self.batch
        return Predictor(runtime, geometry, classes, core, symmetries, batch=batch, memory_budget=budget, window=window)

    def core_of(self, size: tuple[int, ...]) -> Side:
        """Return the side of the valid region of a tile for an image of `size`, (height, width) or with depth."""
        budget = self.memory_budget
        if budget is None or self._is_one_tile(size):
            return self.core
        if len(size) == 3:
            voxels = self._voxels(budget, size)
            if self.geometry.exact:
                return fit_tile(size, self.geometry, voxels)
            return shrink_tile(size, self.geometry, voxels, self.core)
        if not self.geometry.exact or not isinstance(self.core, int):
            return self.core
        border = self.geometry.margin or self.geometry.halo
        return max(self.core, (budget.side((size[0], size[1])) - 2 * border) // CORE_STEP * CORE_STEP)

    def plan(self, size: tuple[int, ...]) -> CutPlan | None:
        """Return how the network is cut for an image of `size`; None for tiles of the whole network.

        It is cut where that saves much work (see `cut_plan`), for images larger than a tile within a memory budget.
        """
        runtime, budget = self.runtime, self.memory_budget
        if budget is None or self._is_one_tile(size) or tuple(self.symmetries) != (IDENTITY,):
            return None
        if not isinstance(runtime, StagedRuntime) or runtime.stages is None or runtime.stages.geometry != self.geometry:
            return None
        if size not in self._plans:
            core = self.core_of(size)
            required = len(size) == 3 and read_voxels(size, core, self.geometry) > self._voxels(budget, size)
            self._plans[size] = plan_cuts(
                runtime.stages, size, budget.left(size), core=core, last_core=self.window, required=required
            )
        return self._plans[size]

    def count(self, size: tuple[int, ...]) -> int:
        """Return the number of windows for an image of `size`."""
        plan = self.plan(size)
        if plan is not None:
            return count_windows(plan, size)
        return len(tile_grid(size, self.core_of(size), self.geometry))

    def windows(self, size: tuple[int, ...]) -> list[tuple[Span, ...]]:
        """Return the windows for an image of `size`, in the order in which they are computed."""
        plan = self.plan(size)
        if plan is None:
            return [tile.write for tile in tile_grid(size, self.core_of(size), self.geometry)]
        parts = region_tiles(plan, size, padded_sizes(size, self.geometry))
        return [tile.write for part, tile in parts if part.last_step]

    def batch_size(self, pixels: int) -> int:
        """Return the batch size of tiles whose inputs have this number of pixels."""
        return min(self.batch, max(1, BATCH_PIXELS // pixels))

    def logits(self, pixels: Num[np.ndarray, " channels *size"], scale: Scale) -> Float[np.ndarray, " classes *size"]:
        """Return the logits of the whole image."""
        result: np.ndarray | None = None
        for window in self.stream(pixels, scale):
            if result is None:
                result = np.empty((self.classes, *pixels.shape[1:]), window.logits.dtype)
            result[window.place] = window.logits
        if result is None:
            return np.empty((self.classes, *pixels.shape[1:]), np.float32)
        return result

    def stream(self, pixels: Num[np.ndarray, " channels *size"], scale: Scale) -> Iterator[LogitsWindow]:
        """Yield the logits window by window; the windows cover each pixel once."""
        for _, window in self.compute(self.make_batches(self.read_tiles([Job(in_memory(pixels), scale)]))):
            yield window

    def read_tiles(self, jobs: Iterable[Job]) -> Generator[ReadTile, None, None]:
        """Read and normalise the tiles of images, one image after the other. May run in a separate thread."""
        for job in jobs:
            size = job.source.shape[1:]
            plan = self.plan(size)
            if plan is not None:
                padded = padded_sizes(size, self.geometry)
                for number, (part, tile) in enumerate(region_tiles(plan, size, padded, job.done)):
                    window = job.scale.apply(read_mirrored(job.source, tile.read))
                    yield ReadTile(job, number, tile, window, part)
                continue
            for number, tile in self._tiles(job):
                yield ReadTile(job, number, tile, job.scale.apply(read_mirrored(job.source, tile.read)))

    def make_batches(self, tiles: Iterable[ReadTile], *, first: int | None = None) -> Generator[TileBatch, None, None]:
        """Group consecutive tiles of one size into batches. May run in the thread that reads.

        `first` is the maximum size of the first batch; a small one makes the first result available earlier.
        """
        group: list[ReadTile] = []
        size = first or self.batch
        for tile in tiles:
            alone = tile.part is not None
            if group and (alone or tile.window.shape != group[0].window.shape):
                yield _batch(group)
                group, size = [], self.batch
            group.append(tile)
            if alone or len(group) >= min(size, self.batch_size(tile.window[0].size)):  # do not wait for the next tile
                yield _batch(group)
                group, size = [], self.batch
        if group:
            yield _batch(group)

    def compute(self, batches: Iterable[TileBatch]) -> Generator[tuple[Job, LogitsWindow], None, None]:
        """Yield the logits of tiles, window by window, in the order of the tiles."""
        for windows in self.compute_batches(batches):
            yield from windows
            del windows  # frees their memory while the next ones are computed

    def compute_batches(self, batches: Iterable[TileBatch]) -> Generator[list[tuple[Job, LogitsWindow]], None, None]:
        """Yield the windows of each batch as a list, which needs fewer handovers between threads."""
        blenders: dict[int, Blender] = {}
        image: StagedImage | None = None
        for batch in batches:
            part = batch.items[0].part
            if part is not None:
                job, tile = batch.items[0].job, batch.items[0].tile
                image = self._staged_image(job) if part.first or image is None else image
                yield [(job, window) for window in image.add(part, tile, batch.stack)]
                del batch
                continue
            logits = self._predict(batch.stack)
            yield [
                (item.job, window)
                for item, tile_logits in zip(batch.items, logits, strict=True)
                for window in self._complete_windows(item, tile_logits, blenders)
            ]
            del batch, logits  # frees their memory while waiting for the next batch

    def _staged_image(self, job: Job) -> StagedImage:
        size = job.source.shape[1:]
        plan = self.plan(size)
        if plan is None or not isinstance(self.runtime, StagedRuntime):
            raise ValueError("a tile of a cut network without its plan")
        return StagedImage(self.runtime, plan, padded_sizes(size, self.geometry))

    def _complete_windows(
        self, item: ReadTile, logits: Float[np.ndarray, " classes *size"], blenders: dict[int, Blender]
    ) -> Iterator[LogitsWindow]:
        """Yield the windows that are complete with a tile."""
        valid = logits[item.tile.kept]
        if not self.blends(item.job.source.shape[1:]):
            yield LogitsWindow(item.tile.write, valid)
            return
        key = id(item.job)
        if key not in blenders:
            blenders[key] = self._blender(item.job)
        yield from blenders[key].add(item.number, item.tile, valid)
        if blenders[key].finished:
            del blenders[key]

    def _tiles(self, job: Job) -> list[tuple[int, Tile]]:
        if self.blends(job.source.shape[1:]):
            return self._blender(job).tiles
        size = job.source.shape[1:]
        tiles = enumerate(tile_grid(size, self.core_of(size), self.geometry))
        return [(number, tile) for number, tile in tiles if tile.write not in job.done]

    def _voxels(self, budget: MemoryBudget, size: tuple[int, ...]) -> int:
        """Return the number of voxels of the largest tile input of a volume."""
        return max(budget.pixels(size), MIN_VOLUME_MEMORY // budget.tile_pixel)

    def blends(self, size: tuple[int, ...]) -> bool:
        """Return whether the tiles of an image of `size` are blended, so that they depend on each other."""
        return not self._is_one_tile(size) and any(self.overlap(size))

    def _is_one_tile(self, size: tuple[int, ...]) -> bool:
        return all(side <= core for side, core in zip(size, per_axis(self.core, len(size)), strict=True))

    def _blender(self, job: Job) -> Blender:
        size = job.source.shape[1:]
        return Blender(size, self.core_of(size), self.geometry, self.overlap(size), job.done)

    def _predict(self, stack: np.ndarray) -> Float[np.ndarray, "tiles classes *size"]:
        total: np.ndarray | None = None
        for symmetry in self.symmetries:
            logits = symmetry.invert(self.runtime(np.ascontiguousarray(symmetry.apply(stack))))
            total = logits if total is None else total + logits
        if total is None:
            raise ValueError("symmetries must not be empty")
        return total if len(self.symmetries) == 1 else total / len(self.symmetries)


def _batch(group: list[ReadTile]) -> TileBatch:
    """Stack the windows; the items become views, so that each window is stored once."""
    if len(group) == 1:
        return TileBatch(group, group[0].window[None])
    stack = np.stack([item.window for item in group])
    return TileBatch([item._replace(window=window) for item, window in zip(group, stack, strict=True)], stack)


def in_memory(pixels: Num[np.ndarray, " channels *size"]) -> Reader:
    """Return the reader of an image or a volume in memory."""
    return InMemoryReader(pixels) if pixels.ndim == 3 else InMemoryVolume(pixels)


def read_mirrored(
    pixels: Num[np.ndarray, " channels *size"] | Reader, window: tuple[Span, ...]
) -> Num[np.ndarray, " channels *window_size"]:
    """Read a window that may extend beyond the image, with reflection padding of any width."""
    source = in_memory(pixels) if isinstance(pixels, np.ndarray) else pixels
    size = source.shape[1:]
    if all(start >= 0 and stop <= side for (start, stop), side in zip(window, size, strict=True)):
        return source.read(*window)
    indices = [mirror_indices(*span, side) for span, side in zip(window, size, strict=True)]
    near = [(int(index.min()), int(index.max()) + 1) for index in indices]
    local = (index - first for index, (first, _) in zip(indices, near, strict=True))
    return source.read(*near)[(slice(None), *np.ix_(*local))]
