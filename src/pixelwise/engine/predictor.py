"""Any array becomes logits: tiles, symmetries, batches, bounded memory. Arrays only."""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num

from pixelwise.engine.blending import Blender, Part, blend_overlap
from pixelwise.engine.runtimes import Runtime
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import IDENTITY, Symmetry, Turns
from pixelwise.geometry.tiles import Span, Tile, mirror_indices, tile_grid
from pixelwise.images.preprocess import Scale
from pixelwise.images.windows import Source, Whole

BATCH = 8  # small images that are computed at once
BATCH_PIXELS = 2**19  # of all tiles of a batch together: more gains nothing and takes memory


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """How images are predicted where the user does not say otherwise; it travels in the model file.

    `turns` is the number of turned inputs that are averaged (`geometry.symmetries.TURNED`).
    """

    turns: Turns = 1


@dataclass(frozen=True)
class Job:
    """An image to predict: where its pixels come from, their scale, and the windows that are done already."""

    source: Source
    scale: Scale
    done: Collection[tuple[Span, ...]] = ()


class Prepared(NamedTuple):
    """A tile whose input (channels, rows, columns) is read and scaled; `job` and `number` say whose and which."""

    job: Job
    number: int
    tile: Tile
    window: np.ndarray


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
    ) -> None:
        self.runtime, self.geometry, self.classes, self.core = runtime, geometry, classes, core
        self.symmetries, self.batch = symmetries, batch
        self.overlap = blend_overlap(core, geometry)

    def with_core(self, core: int) -> "Predictor":
        """Return the same predictor with tiles of another size."""
        runtime, geometry, classes = self.runtime, self.geometry, self.classes
        return Predictor(runtime, geometry, classes, core, self.symmetries, batch=self.batch)

    def count(self, size: tuple[int, int]) -> int:
        """Return the number of tiles for an image of `size`."""
        return len(tile_grid(size, self.core, self.geometry))

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

    def stream(self, pixels: Num[np.ndarray, "channels height width"], scale: Scale) -> Iterator[Part]:
        """Yield the logits window by window; the windows cover each pixel once."""
        for _, part in self.compute(self.prepare([Job(Whole(pixels), scale)])):
            yield part

    def prepare(self, jobs: Iterable[Job]) -> Generator[Prepared, None, None]:
        """Read and scale the tiles of images, one image after the other. May run in a thread of its own."""
        for job in jobs:
            for number, tile in self._tiles(job):
                yield Prepared(job, number, tile, job.scale.apply(read_mirrored(job.source, tile.read)))

    def compute(self, prepared: Iterable[Prepared]) -> Iterator[tuple[Job, Part]]:
        """Yield the logits of tiles, window by window, in the order of the tiles."""
        blenders: dict[int, Blender] = {}
        for group in self._groups(prepared):
            for item, logits in zip(group, self._predict([item.window for item in group]), strict=True):
                (top, bottom), (left, right) = item.tile.keep
                kept = logits[:, top:bottom, left:right]
                if not self._blends(item.job):
                    yield item.job, Part(item.tile.write, kept)
                    continue
                key = id(item.job)
                if key not in blenders:
                    blenders[key] = self._blender(item.job)
                blender = blenders[key]
                for part in blender.add(item.number, item.tile, kept):
                    yield item.job, part
                if blender.finished:
                    del blenders[key]

    def _tiles(self, job: Job) -> list[tuple[int, Tile]]:
        if self._blends(job):
            return self._blender(job).tiles
        tiles = enumerate(tile_grid(job.source.shape[1:], self.core, self.geometry))
        return [(number, tile) for number, tile in tiles if tile.write not in job.done]

    def _blends(self, job: Job) -> bool:
        return self.overlap > 0 and max(job.source.shape[1:]) > self.core

    def _blender(self, job: Job) -> Blender:
        return Blender(job.source.shape[1:], self.core, self.geometry, self.overlap, job.done)

    def _groups(self, prepared: Iterable[Prepared]) -> Iterator[list[Prepared]]:
        """Gather neighbours of one size, at most `batch` of them."""
        group: list[Prepared] = []
        for item in prepared:
            if group and item.window.shape != group[0].window.shape:
                yield group
                group = []
            group.append(item)
            if len(group) >= self.together(item.window[0].size):  # now: a part must not wait for the next tile
                yield group
                group = []
        if group:
            yield group

    def _predict(self, windows: list[np.ndarray]) -> Float[np.ndarray, "tiles classes rows columns"]:
        stack = windows[0][None] if len(windows) == 1 else np.stack(windows)
        total: np.ndarray | None = None
        for symmetry in self.symmetries:
            logits = symmetry.invert(self.runtime(np.ascontiguousarray(symmetry.apply(stack))))
            total = logits if total is None else total + logits
        if total is None:
            raise ValueError("no symmetry to predict")
        return total if len(self.symmetries) == 1 else total / len(self.symmetries)


def read_mirrored(
    pixels: Num[np.ndarray, "channels height width"] | Source, window: tuple[Span, ...]
) -> Num[np.ndarray, "channels window_height window_width"]:
    """Read a window that may reach beyond the image, which is mirrored there without end."""
    source = Whole(pixels) if isinstance(pixels, np.ndarray) else pixels
    (top, bottom), (left, right) = window
    _, height, width = source.shape
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return source.read((top, bottom), (left, right))
    rows, columns = mirror_indices(top, bottom, height), mirror_indices(left, right, width)
    first, start = int(rows.min()), int(columns.min())
    near = source.read((first, int(rows.max()) + 1), (start, int(columns.max()) + 1))
    return near[:, (rows - first)[:, None], (columns - start)[None, :]]
