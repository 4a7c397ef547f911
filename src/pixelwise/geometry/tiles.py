"""Tiles: what to read, what to keep, where to write, so that each pixel is written exactly once.

The image stands at the corner of a canvas that is extended, once and by mirroring, to a size the network takes. Tiles
start at multiples of the total stride and read a halo that covers the receptive field; the read is cut at the edge of
the canvas, where the network's own padding acts in the whole-image prediction too. So tiled and whole prediction are
equal to rounding. For valid convolutions the read reaches beyond the canvas by the margin and is mirrored there: the
overlap-tile strategy of Ronneberger et al. 2015, figure 2.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Int

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
    return [
        Tile(tuple(s[0] for s in spans), tuple(s[1] for s in spans), tuple(s[2] for s in spans))
        for spans in product(*axes)
    ]


def _spans(size: int, core: int, geometry: Geometry) -> list[tuple[Span, Span, Span]]:
    """Return read, keep and write along one axis."""
    stride, canvas = geometry.total_stride, canvas_size(size, geometry)
    core = -(-core // stride) * stride
    spans: list[tuple[Span, Span, Span]] = []
    for start in range(0, size, core):
        stop = min(start + core, canvas)
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
    """
    if size == 1:
        return np.zeros(stop - start, np.int64)
    period = 2 * (size - 1)
    positions = np.arange(start, stop) % period
    return np.minimum(positions, period - positions)
