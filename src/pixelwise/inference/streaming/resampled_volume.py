"""Prediction of a volume of any size at another spacing than its own: tiles of the volume, each resampled by itself.

A tile of the volume needs the logits of a region at the spacing of the model, which is predicted with the halo of the
network and read from the part of the volume that determines it. The result is that of the whole volume in memory, to
rounding: the response of a spline has vanished where the part ends.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float32

from pixelwise.geometry.grid import Grid
from pixelwise.geometry.tile_shape import fit_tile
from pixelwise.geometry.tiles import Span, Tile, tile_over
from pixelwise.inference.pipeline import BackgroundWriter, prefetch
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.spacing_change import SpacingChange
from pixelwise.inference.streaming.tiles import DEPTH
from pixelwise.inference.tile_reading import Job, ReadTile, make_batch, read_mirrored
from pixelwise.io.volumes.windows import VolumeReader
from pixelwise.progress import Progress
from pixelwise.sampling.resample import resample_image_window, spans_to_read
from pixelwise.text import pluralise

Window = tuple[Span, ...]
MAX_WORK = 8.0  # times the volume, that tiles may read: more with the halo of deep networks
_STEPS = 64  # tiles become smaller at most this often to fit into the memory


@dataclass(frozen=True)
class ResampledVolume:
    """A volume that is resampled to the spacing of a model as it is read.

    Examples
    --------
    >>> from pixelwise.inference.spacing_change import find_spacing_change
    >>> from pixelwise.io.volumes.windows import InMemoryVolume
    >>> change = find_spacing_change((8, 8, 8), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0))
    >>> ResampledVolume(InMemoryVolume(np.zeros((1, 8, 8, 8))), change).read((0, 4), (1, 3), (0, 4)).shape
    (1, 4, 2, 4)
    """

    source: VolumeReader
    change: SpacingChange

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels, depth, height, width at the spacing of the model."""
        depth, height, width = self.change.model_size
        return self.source.shape[0], depth, height, width

    @property
    def dtype(self) -> np.dtype:
        """Data type of the voxels."""
        return np.dtype(np.float32)

    @property
    def grid(self) -> Grid | None:
        """None: results are on the grid of the volume."""
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages about automatic decisions."""
        return self.source.warnings

    @property
    def memory_bytes(self) -> int:
        """Bytes permanently held in memory."""
        return self.source.memory_bytes

    def read(self, planes: Span, rows: Span, columns: Span) -> Float32[np.ndarray, "channels depth rows columns"]:
        """Return a window at the spacing of the model; errors are those of the volume."""
        window, change = (planes, rows, columns), self.change
        spans = spans_to_read(change.size, change.model_size, window, change.coarse, cubic=True)
        part = self.source.read(spans[0], spans[1], spans[2])
        return resample_image_window(part, spans, change.size, change.model_size, window, change.coarse)

    def close(self) -> None:
        """Close the file."""
        self.source.close()


@dataclass(frozen=True)
class ResampledTiles:
    """The tiles of a volume whose logits are computed at the spacing of the model.

    Attributes
    ----------
    predictor : Predictor
        With exact tiles.
    side : tuple of int
        Of the tiles, along each axis of the volume.
    """

    change: SpacingChange
    predictor: Predictor
    side: tuple[int, ...]

    @property
    def windows(self) -> list[Window]:
        """The tiles, in the order in which they are computed."""
        axes = [
            [(start, min(start + side, length)) for start in range(0, length, side)]
            for side, length in zip(self.side, self.change.size, strict=True)
        ]
        return list(product(*axes))

    @property
    def largest_read(self) -> int:
        """The number of voxels of the largest input of a tile."""
        return math.prod(max(lengths) for lengths in self._reads())

    @property
    def work(self) -> float:
        """What all tiles read, relative to the volume at the spacing of the model."""
        pairs = zip(self._reads(), self.change.model_size, strict=True)
        return math.prod(sum(lengths) / side for lengths, side in pairs)

    def _reads(self) -> list[list[int]]:
        """Return the lengths of the inputs of the tiles along each axis."""
        reads: list[list[int]] = []
        for axis, (side, length) in enumerate(zip(self.side, self.change.size, strict=True)):
            lengths: list[int] = []
            for start in range(0, length, side):
                window = [(0, 1)] * len(self.side)
                window[axis] = (start, min(start + side, length))
                first, last = self.tile(tuple(window)).read[axis]
                lengths.append(last - first)
            reads.append(lengths)
        return reads

    def tile(self, window: Window) -> Tile:
        """Return what the network reads for a tile of the volume."""
        return tile_over(self.change.logits_spans(window), self.change.model_size, self.predictor.geometry)

    def compute(
        self,
        job: Job,
        write: Callable[[Window, np.ndarray], None],
        decide: Callable[[np.ndarray], np.ndarray],
        progress: Progress,
    ) -> tuple[int, int]:
        """Predict the tiles that are not done, and write them; return the numbers of computed and of finished tiles.

        Parameters
        ----------
        job : Job
            Its source is a `ResampledVolume`; its windows are those of the volume.
        write, decide, progress
            As for `streaming.compute_windows`.
        """
        windows = self.windows
        missing = [window for window in windows if window not in job.done]
        resumed = len(windows) - len(missing)
        if resumed:
            progress.message(f"Resumed: {resumed:,} of {pluralise(len(windows), 'tile')} already done.")

        def read() -> Iterator[ReadTile]:
            for number, window in enumerate(missing):
                tile = self.tile(window)
                yield ReadTile(job, number, tile, job.scale.apply(read_mirrored(job.source, tile.read)))

        def put(item: tuple[Window, np.ndarray]) -> None:
            write(*item)

        with (
            closing(prefetch(read(), DEPTH)) as tiles,
            BackgroundWriter(put, DEPTH) as writer,
            progress.bar("predicting", len(windows)) as advance,
        ):
            advance(resumed, "")
            batches = (make_batch([tile]) for tile in tiles)  # one by one: the same bits after an interruption
            for window, (_, part) in zip(missing, self.predictor.compute(batches), strict=True):
                writer.put((window, decide(self.change.from_model_window(part.logits, window))))
                advance(1, "")
        return len(missing), resumed


def plan_tiles(predictor: Predictor, change: SpacingChange, voxels: int, multiple: Sequence[int]) -> ResampledTiles:
    """Return tiles whose input has at most about `voxels`; if none fits, the smallest ones.

    Parameters
    ----------
    predictor : Predictor
        With exact tiles.
    voxels : int
        Of the largest input of a tile, at the spacing of the model.
    multiple : sequence of int
        Sides that are smaller than the volume are multiples of these.
    """
    geometry = predictor.geometry
    core = fit_tile(change.model_size, geometry, voxels)
    side = [
        _side(math.ceil(part * length / whole), length, step)
        for part, whole, length, step in zip(core, change.model_size, change.size, multiple, strict=True)
    ]
    for _ in range(_STEPS):
        tiles = ResampledTiles(change, predictor, tuple(side))
        if tiles.largest_read <= voxels:
            break
        larger = [axis for axis in range(len(side)) if side[axis] > multiple[axis]]
        if not larger:
            break
        axis = max(larger, key=lambda place: side[place] / multiple[place])
        side[axis] = _side(side[axis] - max(multiple[axis], side[axis] // 8), change.size[axis], multiple[axis])
    return ResampledTiles(change, predictor, tuple(side))


def _side(wanted: int, length: int, multiple: int) -> int:
    """Return the side of tiles of about `wanted` voxels along an axis: a multiple, or the whole axis."""
    return length if wanted >= length else max(multiple, wanted // multiple * multiple)
