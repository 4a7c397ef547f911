"""Jobs and tiles on their way from the reader of an image to the network."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Num

from pixelwise.geometry.tiles import Span, Tile, mirror_indices
from pixelwise.inference.staged import RegionTile
from pixelwise.io.volumes.windows import InMemoryVolume, VolumeReader
from pixelwise.io.windows import ImageReader, InMemoryReader
from pixelwise.runtimes.base import Runtime
from pixelwise.sampling.normalise import Scale

Reader = ImageReader | VolumeReader


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
    runtime: Runtime | None = None  # of the image, if the statistics of the network are those of the image


class TileBatch(NamedTuple):
    """A batch of tiles: `stack` (tiles, channels, *size) holds the windows of `items`."""

    items: list[ReadTile]
    stack: np.ndarray


def make_batch(group: list[ReadTile]) -> TileBatch:
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
