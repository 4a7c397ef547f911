"""Tiled prediction of logits with batches, test-time augmentation and bounded memory."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from pixelwise.geometry.sizes import Geometry, as_exact
from pixelwise.geometry.statistics_passes import network_work, plan_statistics
from pixelwise.geometry.symmetries import IDENTITY, Symmetry, TtaInputs
from pixelwise.geometry.tile_shape import fit_tile, read_voxels, shrink_tile
from pixelwise.geometry.tiles import Side, Span, Tile, padded_sizes, per_axis, read_pixels, tile_grid
from pixelwise.inference.blending import Blender, LogitsWindow, blend_overlap
from pixelwise.inference.cut_plan import MIN_VOLUME_MEMORY, CutPlan, plan_cuts
from pixelwise.inference.memory import MemoryBudget
from pixelwise.inference.staged import StagedImage, count_windows, region_tiles
from pixelwise.inference.tile_reading import Job, ReadTile, TileBatch, in_memory, make_batch, read_mirrored
from pixelwise.inference.whole_image import MAX_RATIO, Measuring, Tiling, count_tiles, measure_statistics
from pixelwise.io.scratch import scratch_bytes
from pixelwise.progress import Advance
from pixelwise.runtimes.base import MeasuringRuntime, Runtime, StagedRuntime
from pixelwise.runtimes.statistics import ChannelStatistics, neutral_statistics
from pixelwise.sampling.normalise import Scale

BATCH = 8  # batch size of small images
CORE_STEP = 256  # pixels by which tiles grow within the memory budget
BATCH_PIXELS = 2**19  # maximum pixels of a batch: larger batches are not faster and take more memory


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """Default prediction options, stored in the model file.

    `tta` is the number of inputs of test-time augmentation (`geometry.symmetries.TTA_SYMMETRIES`).
    """

    tta: TtaInputs = 1


class Predictor:
    """Predicts images and volumes of any size, tile by tile.

    Parameters
    ----------
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
    statistics_budget : MemoryBudget, optional
        Within it the statistics of instance and group normalisation are measured over the whole image before its tiles,
        which are then exact instead of blended, unless that costs too much (see `whole_image`).
    measuring : Measuring, optional
        How they are measured for an image; until then `runtime` has neutral statistics, and serves for planning.
    scratch : Path, optional
        Folder in which maps of a cut network may be kept that do not fit into memory (see `scratch`).

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
        statistics_budget: MemoryBudget | None = None,
        measuring: Measuring | None = None,
        scratch: Path | None = None,
    ) -> None:
        self.runtime, self.geometry, self.classes, self.core = runtime, geometry, classes, core
        self.symmetries, self.batch, self.memory_budget, self.window = symmetries, batch, memory_budget, window
        self.statistics_budget, self._measuring, self.scratch = statistics_budget, measuring, scratch
        self._plans: dict[tuple[int, ...], CutPlan | None] = {}
        self._neutral: Runtime | None = None  # of all sizes: it has a copy of the network
        self._tilings: dict[tuple[tuple[int, ...], int | None], tuple[Tiling, Predictor]] = {}

    def overlap(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many pixels the tiles of a large image extend into their neighbours; 0 if tiles are exact."""
        exact = self.exact_for(size)
        return exact.overlap(size) if exact is not self else self._blend_overlap(size)

    def _blend_overlap(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return blend_overlap(self._own_core(size), self.geometry, len(size))

    def with_core(self, core: Side) -> "Predictor":
        """Return the same predictor with a fixed tile size."""
        return self._with(core=core, memory_budget=None, window=None)

    def one_by_one(self) -> "Predictor":
        """Return the same predictor without batches: the bits of a tile do not depend on what is computed beside it."""
        return self._with(batch=1)

    def with_geometry(self, geometry: Geometry) -> "Predictor":
        """Return the same predictor with another geometry."""
        return self._with(geometry=geometry, window=None)

    def with_window(self, window: int, memory: int, scratch: Path | None = None) -> "Predictor":
        """Return the same predictor for images that are not in memory, with windows of `window` pixels if it is cut.

        `scratch` is the folder for maps that do not fit into `memory`.
        """
        budget = self.memory_budget and replace(
            self.memory_budget, bytes=min(memory, self.memory_budget.bytes), image_pixel=0
        )
        return self._with(memory_budget=budget, window=window, scratch=scratch)

    def without_statistics(self) -> "Predictor":
        """Return the same predictor, whose tiles are blended if it has whole-image layers."""
        return self._with(statistics_budget=None)

    def _with(self, **changes: Any) -> "Predictor":
        fields: dict[str, Any] = {
            "runtime": self.runtime,
            "geometry": self.geometry,
            "classes": self.classes,
            "core": self.core,
            "symmetries": self.symmetries,
            "batch": self.batch,
            "memory_budget": self.memory_budget,
            "window": self.window,
            "statistics_budget": self.statistics_budget,
            "measuring": self._measuring,
            "scratch": self.scratch,
        }
        return Predictor(**(fields | changes))

    @property
    def needs_statistics(self) -> bool:
        """Whether the statistics of an image must be measured before its tiles."""
        return self._measuring is not None

    def exact_for(self, size: tuple[int, ...], memory: int | None = None) -> "Predictor":
        """Return a predictor whose tiles are exact for an image of `size`, or this one if they would cost too much.

        If this predictor has whole-image layers, the other one `needs_statistics`. `memory` is that for maps of the
        whole image in bytes; by default that of `statistics_budget`.
        """
        return self._choose_tiling(size, memory)[1]

    def tiling(self, size: tuple[int, ...], memory: int | None = None) -> Tiling | None:
        """Return how an image is tiled by a network with whole-image layers; None if there is nothing to choose."""
        return self._choose_tiling(size, memory)[0]

    def measure(self, job: Job, advance: Advance | None = None) -> list[ChannelStatistics]:
        """Return the statistics of an image, for a predictor that `needs_statistics`."""
        layers = None if self._measuring is None else self._measuring.runtime.whole_image
        if self._measuring is None or layers is None:
            raise ValueError("a predictor whose tiles do not depend on statistics")

        def read(window: tuple[Span, ...]) -> np.ndarray:
            return job.scale.apply(read_mirrored(job.source, window))

        padded = padded_sizes(job.source.shape[1:], self.geometry)
        return measure_statistics(layers, self._measuring.plan, padded, read, advance)

    def with_statistics(self, statistics: Sequence[ChannelStatistics]) -> "Predictor":
        """Return the predictor of an image with the result of `measure`."""
        if self._measuring is None:
            raise ValueError("a predictor whose tiles do not depend on statistics")
        return self._with(runtime=self._measuring.runtime.with_statistics(statistics), measuring=None)

    def count_passes(self, size: tuple[int, ...]) -> int:
        """Return the number of tiles of all passes of `measure`."""
        return 0 if self._measuring is None else count_tiles(self._measuring.plan, padded_sizes(size, self.geometry))

    def _choose_tiling(self, size: tuple[int, ...], memory: int | None) -> tuple[Tiling | None, "Predictor"]:
        if self.geometry.exact or self._is_one_tile(size):
            return None, self
        if (size, memory) not in self._tilings:
            self._tilings[size, memory] = self._find_tiling(size, memory)
        return self._tilings[size, memory]

    def _find_tiling(self, size: tuple[int, ...], memory: int | None) -> tuple[Tiling, "Predictor"]:
        """Compare the cost of exact tiles with that of blended ones."""
        if self.statistics_budget is None:
            return Tiling(None, reason="without memory to measure them over the image"), self
        if tuple(self.symmetries) != (IDENTITY,):
            return Tiling(None, reason="test-time augmentation would measure them for each input"), self
        runtime = self.runtime
        if not isinstance(runtime, MeasuringRuntime) or runtime.whole_image is None:
            return Tiling(None, reason="they are measured only for runs, in PyTorch and float32"), self
        graph, padded = runtime.whole_image.graph, padded_sizes(size, self.geometry)
        plan = plan_statistics(graph, padded, self.statistics_budget.left(size) if memory is None else memory)
        if plan is None:
            return Tiling(None, reason="measuring them does not fit into memory"), self
        if self._neutral is None:
            self._neutral = runtime.with_statistics(neutral_statistics(graph))
        exact = self._with(
            runtime=self._neutral,
            geometry=as_exact(self.geometry),
            measuring=Measuring(runtime, plan),
        )
        cut = exact.plan(size)
        tiles = read_pixels(size, exact.core_of(size), exact.geometry) * (1.0 if cut is None else cut.fraction)
        blended = read_pixels(size, self._own_core(size), self.geometry, self._blend_overlap(size))
        ratio = (plan.work / network_work(graph) + tiles) / blended
        if ratio > MAX_RATIO:
            return Tiling(None, ratio, f"exact tiles would cost {ratio:.1f} times as much"), self
        return Tiling(plan, ratio), exact

    def core_of(self, size: tuple[int, ...]) -> Side:
        """Return the side of the valid region of a tile for an image of `size`, (height, width) or with depth."""
        exact = self.exact_for(size)
        return exact.core_of(size) if exact is not self else self._own_core(size)

    def _own_core(self, size: tuple[int, ...]) -> Side:
        """Return the side for the tiles of this predictor, which are blended if they are not exact."""
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
        exact = self.exact_for(size)
        if exact is not self:
            return exact.plan(size)
        runtime, budget = self.runtime, self.memory_budget
        if budget is None or self._is_one_tile(size) or tuple(self.symmetries) != (IDENTITY,):
            return None
        if not isinstance(runtime, StagedRuntime) or runtime.stages is None or runtime.stages.geometry != self.geometry:
            return None
        if size not in self._plans:
            core = self.core_of(size)
            required = len(size) == 3 and read_voxels(size, core, self.geometry) > self._voxels(budget, size)
            self._plans[size] = plan_cuts(
                runtime.stages,
                size,
                budget.left(size) - runtime.memory.held,
                core=core,
                last_core=self.window,
                required=required,
                scratch=scratch_bytes(self.scratch),
                factor=runtime.memory.factor,
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
            exact = self.exact_for(size)
            if exact.needs_statistics:
                measured = exact.with_statistics(exact.measure(job))
                yield from (tile._replace(runtime=measured.runtime) for tile in measured.read_tiles([job]))
                continue
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
            other = group and (tile.window.shape != group[0].window.shape or tile.runtime is not group[0].runtime)
            if group and (alone or other):
                yield make_batch(group)
                group, size = [], self.batch
            group.append(tile)
            if alone or len(group) >= min(size, self.batch_size(tile.window[0].size)):  # do not wait for the next tile
                yield make_batch(group)
                group, size = [], self.batch
        if group:
            yield make_batch(group)

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
            part, runtime = batch.items[0].part, batch.items[0].runtime or self.runtime
            if part is not None:
                job, tile = batch.items[0].job, batch.items[0].tile
                image = self._staged_image(job, runtime) if part.first or image is None else image
                yield [(job, window) for window in image.add(part, tile, batch.stack)]
                del batch
                continue
            logits = self._predict(batch.stack, runtime)
            yield [
                (item.job, window)
                for item, tile_logits in zip(batch.items, logits, strict=True)
                for window in self._complete_windows(item, tile_logits, blenders)
            ]
            del batch, logits  # frees their memory while waiting for the next batch

    def _staged_image(self, job: Job, runtime: Runtime) -> StagedImage:
        size = job.source.shape[1:]
        plan = self.plan(size)
        if plan is None or not isinstance(runtime, StagedRuntime):
            raise ValueError("a tile of a cut network without its plan")
        return StagedImage(runtime, plan, padded_sizes(size, self.geometry), self.scratch)

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

    def _predict(self, stack: np.ndarray, runtime: Runtime) -> Float[np.ndarray, "tiles classes *size"]:
        total: np.ndarray | None = None
        for symmetry in self.symmetries:
            logits = symmetry.invert(runtime(_contiguous(symmetry.apply(stack))))
            total = logits if total is None else total + logits
        if total is None:
            raise ValueError("symmetries must not be empty")
        return total if len(self.symmetries) == 1 else total / len(self.symmetries)


def _contiguous(stack: Num[np.ndarray, "*shape"]) -> Num[np.ndarray, "*shape"]:
    """Return an array in C order without negative strides: NumPy keeps that of a flipped axis of one sample."""
    array = np.ascontiguousarray(stack)
    return array if min(array.strides) >= 0 else array.copy()
