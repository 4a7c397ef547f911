"""Exact tiles for networks with instance or group normalisation: its statistics are measured before the tiles.

Tiles of such a network differ from the whole image because each would be normalised by itself, and blending hides
that. Measured over the whole image first (see `geometry.statistics_passes`), the statistics are fixed for all tiles,
and the logits are those of the whole image.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Num

from pixelwise.geometry.statistics_passes import OperationGraph, StatisticsPass, StatisticsPlan, cut_axis
from pixelwise.geometry.tiles import Span
from pixelwise.progress import Advance
from pixelwise.runtimes.base import MeasuringRuntime, WholeImageLayers
from pixelwise.runtimes.malloc import release_memory
from pixelwise.runtimes.statistics import ChannelStatistics, Moments

MAX_RATIO = 2.5  # of the cost of exact tiles to that of blended ones, up to which tiles are exact

ReadWindow = Callable[[tuple[Span, ...]], Num[np.ndarray, " channels *size"]]  # of the padded, normalised image


@dataclass(frozen=True)
class Tiling:
    """How the tiles of an image are computed by a network with whole-image layers.

    Attributes
    ----------
    plan : StatisticsPlan or None
        The passes that make tiles exact; None if tiles are blended.
    ratio : float
        Cost of exact tiles, passes included, relative to that of blended ones; 0 if it is unknown.
    reason : str
        Why tiles are blended.
    """

    plan: StatisticsPlan | None
    ratio: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        """Return the choice and its reason in one sentence."""
        if self.plan is None:
            return f"Approximate, because the network has whole-image layers: tiles are blended ({self.reason})."
        return (
            f"Exact: the whole-image layers of the network are measured first, in {len(self.plan.passes)} passes; "
            f"all together about {self.ratio:.1f} times the work of blended tiles."
        )


@dataclass(frozen=True)
class Measuring:
    """The passes over an image, and the runtime that computes them."""

    runtime: MeasuringRuntime
    plan: StatisticsPlan


@dataclass(frozen=True)
class _StoredMap:
    """A map of the whole padded image: values (channels, *size), and image pixels per pixel along each axis."""

    values: np.ndarray
    strides: tuple[int, ...]

    def window(self, spans: Sequence[Span]) -> np.ndarray:
        """Return a view of the values in a window of the image."""
        place = (slice(low // stride, high // stride) for (low, high), stride in zip(spans, self.strides, strict=True))
        return self.values[(slice(None), *place)]


def measure_statistics(
    layers: WholeImageLayers,
    plan: StatisticsPlan,
    size: tuple[int, ...],
    read: ReadWindow,
    advance: Advance | None = None,
) -> list[ChannelStatistics]:
    """Measure the statistics of all normalisations over an image, in the order of the layers.

    Parameters
    ----------
    size : tuple of int
        Of the padded image.
    read : callable
        Returns windows of it.
    advance : callable, optional
        Called after each tile.
    """
    stored: dict[int, _StoredMap] = {}
    statistics: dict[int, ChannelStatistics] = {}
    for index, (step, core) in enumerate(zip(plan.passes, plan.cores, strict=True)):
        moments: Moments | None = None
        for window, keep, write in _tiles(step, core, size):
            inputs = {
                number: read(window)[None] if number == 0 else stored[number].window(window)[None]
                for number in step.reads
            }
            part, values = layers.measure(step, inputs, keep, statistics)
            moments = part if moments is None else moments.merge(part)
            _store(values, stored, layers.graph, size, write)
            if advance is not None:
                advance(1, "")
        if moments is not None:
            statistics[step.norm] = moments.statistics(layers.graph[step.norm].groups)
        for number in plan.drops(index):
            del stored[number]
        release_memory()
    return [statistics[step.norm] for step in plan.passes]


def count_tiles(plan: StatisticsPlan, size: tuple[int, ...]) -> int:
    """Return the number of tiles of all passes over a padded image of `size`."""
    return sum(sum(1 for _ in _tiles(*each, size)) for each in zip(plan.passes, plan.cores, strict=True))


def _tiles(
    step: StatisticsPass, core: tuple[int, ...], size: tuple[int, ...]
) -> Iterator[tuple[tuple[Span, ...], tuple[Span, ...], tuple[Span, ...]]]:
    """Yield for each tile what it reads, its valid region from there, and the same in the image."""
    for write in product(*(cut_axis(side, length) for side, length in zip(size, core, strict=True))):
        axes = zip(write, step.halo, size, strict=True)
        window = tuple((max(0, start - halo), min(side, stop + halo)) for (start, stop), halo, side in axes)
        keep = tuple((start - first, stop - first) for (start, stop), (first, _) in zip(write, window, strict=True))
        yield window, keep, write


def _store(
    values: Mapping[int, np.ndarray],
    stored: dict[int, _StoredMap],
    graph: OperationGraph,
    size: tuple[int, ...],
    write: tuple[Span, ...],
) -> None:
    """Write the values of a tile into maps of the whole image, whose channels are adjacent in memory."""
    for number, value in values.items():
        if number not in stored:
            strides = graph[number].strides
            sides = (side // stride for side, stride in zip(size, strides, strict=True))
            array = np.moveaxis(np.empty((*sides, len(value)), value.dtype), -1, 0)
            stored[number] = _StoredMap(array, strides)
        stored[number].window(write)[:] = value
