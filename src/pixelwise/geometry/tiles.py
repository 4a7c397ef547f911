"""Tiles with halo: what to read, which region is valid, and where to write it, each pixel exactly once.

The image is extended by reflection to the padded size, a valid size of the network. Tiles start at multiples of the
total stride and read a halo that covers the receptive field; reads end at the edge of the padded image, where the
network's own padding acts in whole-image prediction too. Tiled and whole prediction are therefore equal to rounding.
For valid convolutions reads extend beyond the padded image by the border and are reflected there: the overlap-tile
strategy of Ronneberger et al. 2015, figure 2.

Networks that depend on the whole image cannot be exact. Their tiles overlap, and the logits are blended with linear
weights that sum to 1 everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float64, Int

from pixelwise.errors import BadOption
from pixelwise.geometry.layer_graph import Span
from pixelwise.geometry.sizes import Geometry


@dataclass(frozen=True)
class Tile:
    """A planned crop; a span (start, stop) per axis.

    Attributes
    ----------
    read : spans in the padded image
        May be below 0 or beyond the image, which is reflected there.
    keep : spans in the network's output for that read
        The valid region.
    write : spans in the image
        As large as `keep`.
    """

    read: tuple[Span, ...]
    keep: tuple[Span, ...]
    write: tuple[Span, ...]

    @property
    def kept(self) -> tuple[slice, ...]:
        """The valid region as slices of (channels, *read)."""
        return (slice(None), *(slice(start, stop) for start, stop in self.keep))


Side = int | Sequence[int]  # of all axes, or of each


def per_axis(side: Side, axes: int) -> tuple[int, ...]:
    """Return one number per axis: a single one counts for all axes.

    Raises
    ------
    BadOption
        There is another number of numbers than axes.

    Examples
    --------
    >>> per_axis(4, 3), per_axis((1, 4, 4), 3)
    ((4, 4, 4), (1, 4, 4))
    """
    if isinstance(side, int):
        return (side,) * axes
    if len(side) != axes:
        raise BadOption(f"one number for each of {axes} axes", f"{len(side)}", "Give one number for all axes.")
    return tuple(side)


def padded_size(size: int, geometry: Geometry) -> int:
    """Return the padded size of an image: the output size that covers `size` pixels."""
    return geometry.valid_size(size + 2 * geometry.margin) - 2 * geometry.margin


def padded_sizes(size: Sequence[int], geometry: Geometry) -> tuple[int, ...]:
    """Return the padded size of an image along each of its axes."""
    return tuple(padded_size(side, geometry.along(axis)) for axis, side in enumerate(size))


def tile_grid(size: tuple[int, ...], core: Side, geometry: Geometry) -> list[Tile]:
    """Divide an image of `size` into tiles with valid regions of about `core` pixels per side.

    Parameters
    ----------
    size : tuple of int
        Image size per axis, at least 1: (height, width) or (depth, height, width).
    core : int or sequence of int
        Side of the valid region, of all axes or of each; rounded up to a multiple of the total stride. If it is as
        large as the image, there is one tile: whole-image prediction.

    Returns
    -------
    list of Tile
        Their `write` spans cover each pixel of the image exactly once.

    Raises
    ------
    BadOption
        A side or `core` is below 1.
    """
    cores = per_axis(core, len(size))
    if min(size) < 1 or min(cores) < 1:
        raise BadOption("sides and tiles of at least 1 pixel", f"sides {size}, tile {core}", "Check the image.")
    axes = [_spans(size[axis], cores[axis], geometry.along(axis)) for axis in range(len(size))]
    return [_tile(spans) for spans in product(*axes)]


def tile_over(region: Sequence[Span], size: Sequence[int], geometry: Geometry) -> Tile:
    """Return the exact tile whose valid region is any region of an image, not one of the grid.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=4, reach=9, halo=8, margin=0, legal_first=4, legal_step=4, receptive_field=18
    ... )
    >>> tile_over([(21, 30)], [100], geometry)
    Tile(read=((12, 40),), keep=((9, 18),), write=((21, 30),))
    """
    spans: list[tuple[Span, Span, Span]] = []
    for axis, (start, stop) in enumerate(region):
        along = geometry.along(axis)
        first, last = start // along.total_stride * along.total_stride, round_to_stride(stop, along)
        read, begin = _read_span(first, min(last, padded_size(size[axis], along)), size[axis], along)
        spans.append((read, (start - begin, stop - begin), (start, stop)))
    return _tile(tuple(spans))


def blended_grid(size: tuple[int, ...], core: Side, geometry: Geometry, overlap: Side) -> list[Tile]:
    """Divide an image like `tile_grid`, with valid regions that extend `overlap` pixels into their neighbours.

    Parameters
    ----------
    size, core, geometry
        As in `tile_grid`.
    overlap : int or sequence of int
        A multiple of the total stride, at most half of `core`.

    Returns
    -------
    list of Tile
        In number and order those of `tile_grid`; `write` and `keep` are larger.

    Raises
    ------
    BadOption
        The overlap is not allowed.
    """
    cores, overlaps = rounded_cores(core, geometry, len(size)), per_axis(overlap, len(size))
    axes: list[list[tuple[Span, Span, Span]]] = []
    for axis, (side, rounded, shared) in enumerate(zip(size, cores, overlaps, strict=True)):
        stride = geometry.along(axis).total_stride
        if shared % stride or not 0 <= 2 * shared <= rounded:
            expected = f"an overlap of k x {stride} pixels, at most {rounded // 2}"
            raise BadOption(expected, f"{shared}", "Choose larger tiles.")
        axes.append(_spans(side, rounded, geometry.along(axis), shared))
    return [_tile(spans) for spans in product(*axes)]


def read_pixels(size: Sequence[int], core: Side, geometry: Geometry, overlap: Side = 0) -> int:
    """Return how many pixels all tiles of an image read together, halos included.

    Parameters
    ----------
    core, geometry
        As in `tile_grid`.
    overlap : int or sequence of int
        As in `blended_grid`.

    Examples
    --------
    >>> geometry = Geometry(
    ...     total_stride=4, reach=9, halo=8, margin=0, legal_first=4, legal_step=4, receptive_field=18
    ... )
    >>> read_pixels((100, 100), 100, geometry), read_pixels((100, 100), (52, 100), geometry)
    (10000, 11600)
    """
    pixels = 1
    axes = zip(size, per_axis(core, len(size)), per_axis(overlap, len(size)), strict=True)
    for axis, (side, core_side, shared) in enumerate(axes):  # a grid reads a product of its axes
        reads = [read for read, _, _ in _spans(side, core_side, geometry.along(axis), shared)]
        pixels *= sum(stop - start for start, stop in reads)
    return pixels


def blend_weights(span: Span, cell: Span, size: int, overlap: int) -> Float64[np.ndarray, " length"]:
    """Return the blending weights along one axis of a tile with valid region `span` around its grid `cell`.

    They rise from 0 to 1 over 2 x `overlap` pixels around each inner edge of the cell, where the neighbour's fall.
    """
    positions = np.arange(*span) + 0.5
    weights = np.ones(len(positions))
    if overlap and cell[0] > 0:
        weights = np.minimum(weights, (positions - (cell[0] - overlap)) / (2 * overlap))
    if overlap and cell[1] < size:
        weights = np.minimum(weights, ((cell[1] + overlap) - positions) / (2 * overlap))
    return weights


def round_to_stride(core: int, geometry: Geometry) -> int:
    """Return `core` rounded up to a multiple of the total stride."""
    return -(-core // geometry.total_stride) * geometry.total_stride


def rounded_cores(core: Side, geometry: Geometry, axes: int) -> tuple[int, ...]:
    """Return `core` rounded up to a multiple of the total stride along each axis."""
    return tuple(round_to_stride(side, geometry.along(axis)) for axis, side in enumerate(per_axis(core, axes)))


def _tile(spans: tuple[tuple[Span, Span, Span], ...]) -> Tile:
    return Tile(tuple(s[0] for s in spans), tuple(s[1] for s in spans), tuple(s[2] for s in spans))


def _spans(size: int, core: int, geometry: Geometry, overlap: int = 0) -> list[tuple[Span, Span, Span]]:
    """Return read, keep and write along one axis."""
    padded, core = padded_size(size, geometry), round_to_stride(core, geometry)
    spans: list[tuple[Span, Span, Span]] = []
    for place in range(0, size, core):
        start = max(0, place - overlap)
        stop = min(place + core + overlap, padded)
        read, first = _read_span(start, stop, size, geometry)
        write = (start, min(stop, size))
        spans.append((read, (write[0] - first, write[1] - first), write))
    return spans


def _read_span(start: int, stop: int, size: int, geometry: Geometry) -> tuple[Span, int]:
    """Return what is read for an output between multiples of the total stride, and where its output begins."""
    if geometry.margin:
        # a valid input may have to be larger than the tile and its borders: the excess output is dropped
        inside = geometry.valid_size(stop - start + 2 * geometry.margin)
        return (start - geometry.margin, start - geometry.margin + inside), start
    read = (max(0, start - geometry.halo), min(padded_size(size, geometry), stop + geometry.halo))
    return read, read[0]


def mirror_indices(start: int, stop: int, size: int) -> Int[np.ndarray, " length"]:
    """Return indices into an axis of `size` for positions `start`...`stop`-1, reflected beyond its ends.

    The edge pixel is not repeated (numpy's mode "reflect"), at any distance; an axis of one pixel repeats it.

    Examples
    --------
    >>> mirror_indices(-2, 6, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    if size == 1:
        return np.zeros(stop - start, np.int64)
    period = 2 * (size - 1)
    positions = np.arange(start, stop) % period
    return np.minimum(positions, period - positions)
