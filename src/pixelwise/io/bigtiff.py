"""Pyramid levels and directories of a BigTIFF label image. Sources: TIFF 6.0; the BigTIFF proposal.

Each level is a tiled directory; reduced levels have NewSubfileType 1. GDAL, libvips, QuPath and tifffile read this as a
pyramid.
"""

import struct
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from pixelwise.io.georeference import nodata_tag
from pixelwise.io.tiled_writer import PyramidLevel, TileFile
from pixelwise.io.write import Colour
from pixelwise.io.zarr_write import PixelMetadata

_ASCII, _SHORT, _LONG, _RATIONAL, _DOUBLE, _LONG8 = 2, 3, 4, 5, 12, 16
_FORMATS = {  # and numbers per value
    _ASCII: ("B", 1),
    _SHORT: ("H", 1),
    _LONG: ("I", 1),
    _RATIONAL: ("I", 2),
    _DOUBLE: ("d", 1),
    _LONG8: ("Q", 1),
}
_BITS = {"uint8": 8, "uint16": 16, "uint32": 32}
_COMPRESSIONS = {"deflate": 8, "zstd": 50000}
Tag = tuple[int, int, Sequence[int] | Sequence[float]]  # code, type, numbers


def finish_tiff(tiles: TileFile, metadata: PixelMetadata) -> None:
    """Write the pyramid and the directories, and rename the file to its final name.

    Parameters
    ----------
    tiles : TileFile
        A file whose tiles are all written.
    metadata : PixelMetadata
        The palette is used for 8-bit masks. The place on a map is that of the full resolution: reduced levels follow.
    """
    tiles.reorder()
    add_levels(tiles)
    link = 8  # the pointer in the header, written last
    first = 0
    spacing = metadata.spacing
    for level in tiles.levels:
        reduced = level is not tiles.levels[0]
        tags = _tags(level, spacing, metadata.palette, reduced=reduced)
        tags += [] if reduced else _map_tags(metadata)
        at, next_link = _write_directory(tiles, sorted(tags, key=lambda tag: tag[0]))
        if first:
            tiles.patch(link, struct.pack("<Q", at))
        else:
            first = at
        link = next_link
        spacing = (spacing[0] * 2, spacing[1] * 2) if spacing else None
    tiles.finalize(first)


def add_levels(tiles: TileFile) -> None:
    """Append levels of half the size until one fits into a tile; every second pixel is kept (nearest neighbour)."""
    side = tiles.layout.tile
    while max(tiles.levels[-1].layout.height, tiles.levels[-1].layout.width) > side:
        above = tiles.levels[-1].layout
        below = above.shrunk()
        tiles.levels.append(PyramidLevel(below, {}))
        number = len(tiles.levels) - 1
        for index in range(below.down * below.across):
            i, j = divmod(index, below.across)
            rows = i * 2 * side, min(above.height, (i + 1) * 2 * side)
            columns = j * 2 * side, min(above.width, (j + 1) * 2 * side)
            tiles.append(number, index, tiles.read(rows, columns, number - 1)[::2, ::2])


def _tags(
    level: PyramidLevel, spacing: tuple[float, float] | None, palette: Sequence[Colour], *, reduced: bool
) -> list[Tag]:
    layout = level.layout
    locations = [level.locations[index] for index in range(layout.down * layout.across)]
    has_palette = bool(palette) and layout.dtype == "uint8"
    tags: list[Tag] = [
        (254, _LONG, [int(reduced)]),
        (256, _LONG, [layout.width]),
        (257, _LONG, [layout.height]),
        (258, _SHORT, [_BITS[layout.dtype]]),
        (259, _SHORT, [_COMPRESSIONS[layout.compression]]),
        (262, _SHORT, [3 if has_palette else 1]),
        (277, _SHORT, [1]),
        (322, _LONG, [layout.tile]),
        (323, _LONG, [layout.tile]),
        (324, _LONG8, [offset for offset, _ in locations]),
        (325, _LONG8, [count for _, count in locations]),
        (339, _SHORT, [1]),
    ]
    if has_palette:
        rows = [*palette, *[(0, 0, 0)] * 256][:256]
        tags.append((320, _SHORT, [row[channel] * 257 for channel in range(3) for row in rows]))
    if spacing:
        tags += [(282, _RATIONAL, _per_centimetre(spacing[1])), (283, _RATIONAL, _per_centimetre(spacing[0]))]
        tags.append((296, _SHORT, [3]))
    return tags


def _map_tags(metadata: PixelMetadata) -> list[Tag]:
    """Return the tags of the place on a map, byte for byte, and of the value of missing pixels."""
    tags = [] if metadata.georeference is None else list(metadata.georeference.tags)
    if metadata.nodata is not None:
        tags.append(nodata_tag(metadata.nodata))
    return [(tag.code, tag.kind, np.frombuffer(tag.data, f"<{_FORMATS[tag.kind][0]}").tolist()) for tag in tags]


def _per_centimetre(spacing: float) -> list[int]:
    """Return pixels per centimetre as a fraction of two 32-bit numbers."""
    value = 1e4 / spacing
    fraction = Fraction(value).limit_denominator(max(1, int((2**32 - 1) / max(value, 1.0)) - 1))
    return [fraction.numerator, fraction.denominator]


def _write_directory(tiles: TileFile, tags: list[Tag]) -> tuple[int, int]:
    """Append a directory; return its offset and the offset of its pointer to the next directory."""
    entries = b""
    for number, kind, values in tags:
        letter, each = _FORMATS[kind]
        data = struct.pack(f"<{len(values)}{letter}", *values)
        count = len(values) // each
        inline = data.ljust(8, b"\0") if len(data) <= 8 else struct.pack("<Q", tiles.append_bytes(data))
        entries += struct.pack("<HHQ", number, kind, count) + inline
    at = tiles.append_bytes(struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", 0))
    return at, at + 8 + len(entries)
