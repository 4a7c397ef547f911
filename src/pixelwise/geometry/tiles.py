"""Tiles: what to read, what to keep, where to write, so that each pixel is written exactly once.

The image stands at the corner of a canvas that is extended, once and by mirroring, to a size the network takes. Tiles
start at multiples of the total stride and read a halo that covers the receptive field; the read is cut at the edge of
the canvas, where the network's own padding acts in the whole-image prediction too. So tiled and whole prediction are
equal to rounding. For valid convolutions the read reaches beyond the canvas by the margin and is mirrored there: the
overlap-tile strategy of Ronneberger et al. 2015, figure 2.

Networks that look at the whole image cannot be exact. Their tiles overlap, and where they do the logits are blended
with weights that rise and fall linearly and add up to 1 everywhere.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float64, Int

from pixelwise.errors import BadOption
from pixelwise.geometry.sizes import Geometry

Span = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """A planned crop; a span (start, stop) per axis.

    Attributes
    ----------
    read : spans on the canvas
        May reach below 0 and beyond the image: the image is mirrored there.
    keep : spans within the network's output for that read
    write : spans in the image
        As large as `keep`.
    """

    read: tuple[Span, ...]
    keep: tuple[Span, ...]
    write: tuple[Span, ...]


def canvas_size(size: int, geometry: Geometry) -> int:
    """Return the side of the canvas of an image: what the network must put out to cover `size` pixels."""
    return geometry.legal_size(size + 2 * geometry.margin) - 2 * geometry.margin


def tile_grid(size: tuple[int, ...], core: int, geometry: Geometry) -> list[Tile]:
    """Cut an image of `size` into tiles that keep about `core` pixels a side.

    Parameters
    ----------
    size : tuple of int
        Image size per axis, at least 1.
    core : int
        Kept pixels per side; rounded up to a multiple of the total stride. A core as large as the image gives one
        tile: the whole-image prediction.
    geometry : Geometry

    Returns
    -------
    list of Tile
        Their `write` parts cover each pixel of the image exactly once.

    Raises
    ------
    BadOption
        A side or the core is below 1.
    """
    if min(size) < 1 or core < 1:
        raise BadOption("sides and a core of at least 1 pixel", f"sides {size}, core {core}", "Check the image.")
    axes = [_spans(side, core, geometry) for side in size]
    return [_tile(spans) for spans in product(*axes)]


def blended_grid(size: tuple[int, ...], core: int, geometry: Geometry, overlap: int) -> list[Tile]:
    """Cut an image like `tile_grid`, with parts to keep that reach `overlap` pixels into their neighbours'.

    Parameters
    ----------
    size, core, geometry
        As in `tile_grid`; a core as large as the image gives one tile.
    overlap : int
        A multiple of the total stride, at most half the core.

    Returns
    -------
    list of Tile
        As many as `tile_grid` gives, in the same order; `write` and `keep` are larger.

    Raises
    ------
    BadOption
        The overlap does not fit.
    """
    core = whole_strides(core, geometry)
    if overlap % geometry.total_stride or not 0 <= 2 * overlap <= core:
        expected = f"an overlap of k x {geometry.total_stride} pixels, at most {core // 2}"
        raise BadOption(expected, f"{overlap}", "Choose larger tiles.")
    axes = [_spans(side, core, geometry, overlap) for side in size]
    return [_tile(spans) for spans in product(*axes)]


def blend_weights(span: Span, own: Span, size: int, overlap: int) -> Float64[np.ndarray, " length"]:
    """Return the weights along one axis of a tile that keeps `span`, around its `own` part of the core grid.

    They rise from 0 to 1 over 2 x `overlap` pixels around each inner edge of `own`; those of the neighbour fall there.
    """
    places = np.arange(*span) + 0.5
    weights = np.ones(len(places))
    if overlap and own[0] > 0:
        weights = np.minimum(weights, (places - (own[0] - overlap)) / (2 * overlap))
    if overlap and own[1] < size:
        weights = np.minimum(weights, ((own[1] + overlap) - places) / (2 * overlap))
    return weights


def whole_strides(core: int, geometry: Geometry) -> int:
    """Return `core` rounded up to a multiple of the total stride."""
    return -(-core // geometry.total_stride) * geometry.total_stride


def _tile(spans: tuple[tuple[Span, Span, Span], ...]) -> Tile:
    return Tile(tuple(s[0] for s in spans), tuple(s[1] for s in spans), tuple(s[2] for s in spans))


def _spans(size: int, core: int, geometry: Geometry, overlap: int = 0) -> list[tuple[Span, Span, Span]]:
    """Return read, keep and write along one axis."""
    canvas, core = canvas_size(size, geometry), whole_strides(core, geometry)
    spans: list[tuple[Span, Span, Span]] = []
    for place in range(0, size, core):
        start = max(0, place - overlap)
        stop = min(place + core + overlap, canvas)
        if geometry.margin:
            # a legal input may have to be larger than core + margins: what it puts out beyond is dropped
            inside = geometry.legal_size(stop - start + 2 * geometry.margin)
            read = (start - geometry.margin, start - geometry.margin + inside)
            first = start
        else:
            read = (max(0, start - geometry.halo), min(canvas, stop + geometry.halo))
            first = read[0]
        write = (start, min(stop, size))
        spans.append((read, (write[0] - first, write[1] - first), write))
    return spans


def mirror_indices(start: int, stop: int, size: int) -> Int[np.ndarray, " length"]:
    """Return indices into an axis of `size` for positions `start`...`stop`-1, mirrored beyond its ends.

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
