"""Any array becomes logits: tiles, symmetries, batches, bounded memory. Arrays only."""

import math
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import IDENTITY, Symmetry, TtaInputs
from pixelwise.geometry.tiles import Span, Tile, mirror_indices, tile_grid
from pixelwise.inference.blending import Blender, LogitsWindow, blend_overlap
from pixelwise.io.windows import InMemorySource, Source
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import Scale

BATCH = 8  # small images that are computed at once
CORE_STEP = 256  # pixels by which tiles grow where there is room
BATCH_PIXELS = 2**19  # of all tiles of a batch together: more gains nothing and takes memory


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """How images are predicted where the user does not say otherwise; it travels in the model file.

    `tta` is the number of turned inputs that are averaged (`geometry.symmetries.TTA_SYMMETRIES`).
    """

    tta: TtaInputs = 1


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """Bytes that a prediction may take, and what they are taken by: a pixel of the image, and one of a tile's input."""

    bytes: int
    image_pixel: int
    tile_pixel: int

    def side(self, size: tuple[int, int]) -> int:
        """Return the side of the largest input of a tile beside an image of `size`."""
        return math.isqrt(max(0, self.bytes - self.image_pixel * math.prod(size)) // self.tile_pixel)


@dataclass(frozen=True)
class Job:
    """An image to predict: where its pixels come from, their scale, and the windows that are done already."""

    source: Source
    scale: Scale
    done: Collection[tuple[Span, ...]] = ()


class ReadTile(NamedTuple):
    """A tile whose input (channels, rows, columns) is read and scaled; `job` and `number` say whose and which."""

    job: Job
    number: int
    tile: Tile
    window: np.ndarray


class TileBatch(NamedTuple):
    """Tiles that are computed at once: `stack` (tiles, channels, rows, columns) holds the windows of `items`."""

    items: list[ReadTile]
    stack: np.ndarray


class Predictor:
    """Predicts images of any size, tile by tile.

    Parameters
    ----------
    runtime : Runtime
    geometry : Geometry
        Of the network behind the runtime; `geometry.exact` says whether tiles equal the whole. Where they cannot, they
        overlap and are blended (see `blending`).
    classes : int
        Channels of the logits.
    core : int
        Pixels a side that a tile keeps; a core as large as the image predicts it whole.
    symmetries : sequence of Symmetry
        Logits are averaged over these turned inputs; each costs one prediction.
    batch : int
        Tiles of one size that are computed at once at most, of one image or of several; fewer where they are large.
    room : Room, optional
        Tiles of large images grow as far as it allows, because a large one reads less beyond what it keeps; without
        it, and where tiles are not exact, they stay at `core`.

    Notes
    -----
    Memory: the pixels as they came, plus for one tile of side T = core + 2 halo (or 2 margin) the float input and the
    network's activations, which for a U-Net of base width b are about 8 b T^2 numbers; `logits` adds
    classes x height x width numbers, `stream` adds nothing where tiles are exact.
    """

    def __init__(
        self,
        runtime: Runtime,
        geometry: Geometry,
        classes: int,
        core: int,
        symmetries: Sequence[Symmetry] = (IDENTITY,),
        *,
        batch: int = 1,
        room: MemoryBudget | None = None,
    ) -> None:
        self.runtime, self.geometry, self.classes, self.core = runtime, geometry, classes, core
        self.symmetries, self.batch, self.room = symmetries, batch, room
        self.overlap = blend_overlap(core, geometry)

    def with_core(self, core: int) -> "Predictor":
        """Return the same predictor with tiles of another size, whatever the image."""
        runtime, geometry, classes = self.runtime, self.geometry, self.classes
        return Predictor(runtime, geometry, classes, core, self.symmetries, batch=self.batch)

    def core_of(self, size: tuple[int, int]) -> int:
        """Return the pixels a side that a tile of an image of (height, width) keeps."""
        if self.room is None or not self.geometry.exact or max(size) <= self.core:
            return self.core
        beyond = self.geometry.margin or self.geometry.halo
        return max(self.core, (self.room.side(size) - 2 * beyond) // CORE_STEP * CORE_STEP)

    def count(self, size: tuple[int, int]) -> int:
        """Return the number of tiles for an image of `size`."""
        return len(tile_grid(size, self.core_of(size), self.geometry))

    def together(self, pixels: int) -> int:
        """Return how many tiles whose inputs have so many pixels are computed at once."""
        return min(self.batch, max(1, BATCH_PIXELS // pixels))

    def logits(
        self, pixels: Num[np.ndarray, "channels height width"], scale: Scale
    ) -> Float[np.ndarray, "classes height width"]:
        """Return the logits of the whole image."""
        whole: np.ndarray | None = None
        for part in self.stream(pixels, scale):
            if whole is None:
                whole = np.empty((self.classes, *pixels.shape[1:]), part.logits.dtype)
            (top, bottom), (left, right) = part.write
            whole[:, top:bottom, left:right] = part.logits
        if whole is None:
            return np.empty((self.classes, 0, 0), np.float32)
        return whole

    def stream(self, pixels: Num[np.ndarray, "channels height width"], scale: Scale) -> Iterator[LogitsWindow]:
        """Yield the logits window by window; the windows cover each pixel once."""
        for _, part in self.compute(self.gather(self.prepare([Job(InMemorySource(pixels), scale)]))):
            yield part

    def prepare(self, jobs: Iterable[Job]) -> Generator[ReadTile, None, None]:
        """Read and scale the tiles of images, one image after the other. May run in a thread of its own."""
        for job in jobs:
            for number, tile in self._tiles(job):
                yield ReadTile(job, number, tile, job.scale.apply(read_mirrored(job.source, tile.read)))

    def gather(self, prepared: Iterable[ReadTile], *, first: int | None = None) -> Generator[TileBatch, None, None]:
        """Put neighbours of one size together, at most `batch` of them. May run in the thread that prepares.

        `first` is the number of tiles in the first batch at most: a small one brings the first result sooner.
        """
        group: list[ReadTile] = []
        most = first or self.batch
        for item in prepared:
            if group and item.window.shape != group[0].window.shape:
                yield _batch(group)
                group, most = [], self.batch
            group.append(item)
            if len(group) >= min(most, self.together(item.window[0].size)):  # now: a part must not wait for the next
                yield _batch(group)
                group, most = [], self.batch
        if group:
            yield _batch(group)

    def compute(self, batches: Iterable[TileBatch]) -> Generator[tuple[Job, LogitsWindow], None, None]:
        """Yield the logits of tiles, window by window, in the order of the tiles."""
        for parts in self.compute_batches(batches):
            yield from parts
            del parts  # while the next are computed, these must not stay in memory

    def compute_batches(self, batches: Iterable[TileBatch]) -> Generator[list[tuple[Job, LogitsWindow]], None, None]:
        """Yield the same, together what comes of one batch: threads that hand over less often wait less."""
        blenders: dict[int, Blender] = {}
        for batch in batches:
            logits = self._predict(batch.stack)
            yield [
                (item.job, part)
                for item, answer in zip(batch.items, logits, strict=True)
                for part in self._parts(item, answer, blenders)
            ]
            del batch, logits  # while the next is waited for, these must not stay in memory

    def _parts(
        self, item: ReadTile, logits: Float[np.ndarray, "classes rows columns"], blenders: dict[int, Blender]
    ) -> Iterator[LogitsWindow]:
        """Yield the windows that are decided with a tile."""
        (top, bottom), (left, right) = item.tile.keep
        kept = logits[:, top:bottom, left:right]
        if not self._blends(item.job):
            yield LogitsWindow(item.tile.write, kept)
            return
        key = id(item.job)
        if key not in blenders:
            blenders[key] = self._blender(item.job)
        yield from blenders[key].add(item.number, item.tile, kept)
        if blenders[key].finished:
            del blenders[key]

    def _tiles(self, job: Job) -> list[tuple[int, Tile]]:
        if self._blends(job):
            return self._blender(job).tiles
        size = job.source.shape[1:]
        tiles = enumerate(tile_grid(size, self.core_of(size), self.geometry))
        return [(number, tile) for number, tile in tiles if tile.write not in job.done]

    def _blends(self, job: Job) -> bool:
        return self.overlap > 0 and max(job.source.shape[1:]) > self.core

    def _blender(self, job: Job) -> Blender:
        return Blender(job.source.shape[1:], self.core, self.geometry, self.overlap, job.done)

    def _predict(self, stack: np.ndarray) -> Float[np.ndarray, "tiles classes rows columns"]:
        total: np.ndarray | None = None
        for symmetry in self.symmetries:
            logits = symmetry.invert(self.runtime(np.ascontiguousarray(symmetry.apply(stack))))
            total = logits if total is None else total + logits
        if total is None:
            raise ValueError("no symmetry to predict")
        return total if len(self.symmetries) == 1 else total / len(self.symmetries)


def _batch(group: list[ReadTile]) -> TileBatch:
    """Stack the windows, which are kept once."""
    if len(group) == 1:
        return TileBatch(group, group[0].window[None])
    stack = np.stack([item.window for item in group])
    return TileBatch([item._replace(window=window) for item, window in zip(group, stack, strict=True)], stack)


def read_mirrored(
    pixels: Num[np.ndarray, "channels height width"] | Source, window: tuple[Span, ...]
) -> Num[np.ndarray, "channels window_height window_width"]:
    """Read a window that may reach beyond the image, which is mirrored there without end."""
    source = InMemorySource(pixels) if isinstance(pixels, np.ndarray) else pixels
    (top, bottom), (left, right) = window
    _, height, width = source.shape
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return source.read((top, bottom), (left, right))
    rows, columns = mirror_indices(top, bottom, height), mirror_indices(left, right, width)
    first, start = int(rows.min()), int(columns.min())
    near = source.read((first, int(rows.max()) + 1), (start, int(columns.max()) + 1))
    return near[:, (rows - first)[:, None], (columns - start)[None, :]]
