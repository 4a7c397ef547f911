"""Where the pixels of a map are on the earth: the tags of GeoTIFF, carried from an image to its results.

The coordinate reference system (CRS) is never interpreted here: its tags are copied byte for byte. The grid is, so that
it can follow an image that is turned upright. Source: OGC 19-008r4, "OGC GeoTIFF Standard" 1.1, chapters 7 and B.6.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

Affine = tuple[float, float, float, float, float, float]

_SCALE, _TIE_POINTS, _MATRIX = 33550, 33922, 34264
_KEYS, _KEY_DOUBLES, _KEY_TEXT = 34735, 34736, 34737
_RASTER_TYPE, _PIXEL_IS_POINT = 1025, 2
_NODATA = 42113
_ASCII, _SHORT, _DOUBLE = 2, 3, 12
_UNITS = {_ASCII: 1, _SHORT: 2, _DOUBLE: 8}  # bytes of the types that these tags may have
_TYPES = {_SCALE: _DOUBLE, _TIE_POINTS: _DOUBLE, _MATRIX: _DOUBLE, _KEYS: _SHORT, _KEY_DOUBLES: _DOUBLE}
_SHIFT = 0.51  # pixels: programs disagree by half a pixel about what a tie point is
_MAX_BYTES = 1 << 20  # of one tag: a long description of a CRS has a few thousand


@dataclass(frozen=True)
class TiffTag:
    """A TIFF tag: code, type (TIFF 6.0, section 2), number of values, and their little-endian bytes."""

    code: int
    kind: int
    count: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Georeference:
    """The place of an image in a coordinate reference system.

    Attributes
    ----------
    crs : tuple of TiffTag
        The GeoTIFF keys, as stored; empty if the CRS is unknown.
    grid : tuple of TiffTag
        Tie points, pixel scale or matrix, as stored.
    transform : (a, b, c, d, e, f) or None
        x = a column + b row + c, y = d column + e row + f, where (0, 0) is the top left corner of the first pixel. None
        if the image has ground control points instead of a regular grid.
    nodata : float or None
        Value of pixels without a measurement.
    """

    crs: tuple[TiffTag, ...]
    grid: tuple[TiffTag, ...]
    transform: Affine | None
    nodata: float | None = None

    @property
    def tags(self) -> tuple[TiffTag, ...]:
        """The tags of a TIFF on the same grid, without the value of missing pixels."""
        return (*self.grid, *self.crs)

    def upright(self, orientation: int, size: tuple[int, int]) -> "Georeference | None":
        """Return the place of an image after `headers.apply_orientation`; None if its grid is unknown.

        Parameters
        ----------
        orientation : int
            EXIF orientation, 1...8.
        size : (int, int)
            Stored height and width.

        Examples
        --------
        >>> stored = Georeference(crs=(), grid=(), transform=(2.0, 0.0, 100.0, 0.0, -2.0, 50.0))
        >>> turned = stored.upright(6, (10, 20))
        >>> turned.locate(np.array([[10.0, 0.0]])).tolist()  # the top right corner is the stored top left one
        [[100.0, 50.0]]
        """
        if orientation == 1:
            return self
        if self.transform is None:
            return None
        height, width = float(size[0]), float(size[1])
        # upright (column, row) -> stored (column, row)
        stored: dict[int, Affine] = {
            2: (-1.0, 0.0, width, 0.0, 1.0, 0.0),
            3: (-1.0, 0.0, width, 0.0, -1.0, height),
            4: (1.0, 0.0, 0.0, 0.0, -1.0, height),
            5: (0.0, 1.0, 0.0, 1.0, 0.0, 0.0),
            6: (0.0, 1.0, 0.0, -1.0, 0.0, height),
            7: (0.0, -1.0, width, -1.0, 0.0, height),
            8: (0.0, -1.0, width, 1.0, 0.0, 0.0),
        }
        transform = _compose(self.transform, stored[orientation])
        return replace(self, transform=transform, grid=_grid_tags(transform, point=_is_point(self.crs)))

    def locate(self, points: np.ndarray) -> np.ndarray:
        """Return the map coordinates (n, 2) of positions (column, row) of pixel corners."""
        if self.transform is None:
            raise ValueError("an image without a regular grid")
        a, b, c, d, e, f = self.transform
        return points @ np.array([[a, d], [b, e]]) + np.array([c, f])

    def lies_on(self, size: tuple[int, int], other: "Georeference", size_of_other: tuple[int, int]) -> bool:
        """Return whether two rasters (height, width) have the same pixels, or do not state enough to decide.

        Examples
        --------
        >>> one = Georeference(crs=(), grid=(), transform=(2.0, 0.0, 100.0, 0.0, -2.0, 50.0))
        >>> shifted = replace(one, transform=(2.0, 0.0, 104.0, 0.0, -2.0, 50.0))
        >>> one.lies_on((9, 9), one, (9, 9)), one.lies_on((9, 9), shifted, (9, 9))
        (True, False)
        """
        if self.transform is None or other.transform is None:
            return True
        corners = np.array([(0, 0), (size[1], 0), (0, size[0]), (size[1], size[0])], np.float64)
        apart = np.abs(other.find(self.locate(corners)) - corners).max()
        return size == size_of_other and bool(apart <= _SHIFT)

    def find(self, coordinates: np.ndarray) -> np.ndarray:
        """Return the positions (column, row) of map coordinates (n, 2): the inverse of `locate`."""
        if self.transform is None:
            raise ValueError("an image without a regular grid")
        a, b, c, d, e, f = self.transform
        return (coordinates - np.array([c, f])) @ np.linalg.inv(np.array([[a, d], [b, e]]))


def read_georeference(tiff: Any, page: Any, nodata: float | None) -> tuple[Georeference | None, tuple[str, ...]]:
    """Read the GeoTIFF tags of a page of an open `tifffile.TiffFile`, and messages about what is ignored."""
    tags = {
        code: tag
        for code in (_SCALE, _TIE_POINTS, _MATRIX, _KEYS, _KEY_DOUBLES, _KEY_TEXT)
        if (tag := _read_tag(tiff, page, code)) is not None
    }
    damaged = sorted(code for code in _TYPES if code in page.tags and code not in tags)
    if damaged:
        return None, (f"the coordinates are damaged (TIFF tag {damaged[0]}) and ignored",)
    crs = tuple(tags[code] for code in (_KEYS, _KEY_DOUBLES, _KEY_TEXT) if code in tags and _KEYS in tags)
    grid = tuple(tags[code] for code in (_SCALE, _TIE_POINTS, _MATRIX) if code in tags)
    if not grid:
        return None, ()  # a CRS without a place is of no use to a result
    transform = _transform_of({tag.code: _doubles(tag) for tag in grid}, point=_is_point(crs))
    return Georeference(crs=crs, grid=grid, transform=transform, nodata=nodata), ()


def read_world_file(path: Path) -> Georeference | None:
    """Return the place that a world file beside an image states, in an unknown CRS; None without a valid one.

    A world file has the name of the image and an ending such as .tfw, .jgw, .pgw or .wld, and six numbers: the matrix
    column by column, then x and y of the centre of the first pixel. Source: ESRI, "World files for raster datasets".
    """
    ending = path.suffix[1:].casefold()
    endings = {f"{ending[:1]}{ending[-1:]}w", f"{ending}w", "wld"}
    names = _world_files(path.parent, path.parent.stat().st_mtime_ns)
    name = next((name for ending in sorted(endings) if (name := names.get((path.stem, ending)))), None)
    if name is None:
        return None
    try:
        with (path.parent / name).open(encoding="ascii") as file:
            a, d, b, e, c, f = map(float, file.read(1000).split())
    except (OSError, ValueError):
        return None
    if not np.isfinite((a, b, c, d, e, f)).all() or a * e == b * d:
        return None
    transform = _compose((a, b, c, d, e, f), (1.0, 0.0, -0.5, 0.0, 1.0, -0.5))
    return Georeference(crs=(), grid=_grid_tags(transform, point=False), transform=transform)


@lru_cache(maxsize=256)
def _world_files(folder: Path, changed: int) -> dict[tuple[str, str], str]:
    """Return the names of the world files in a folder by stem and ending; a folder is listed again when it changed."""
    with os.scandir(folder) as entries:
        paths = [Path(entry.name) for entry in entries if entry.name[-1:] in "wWdD" and entry.is_file()]
    return {(path.stem, path.suffix[1:].casefold()): path.name for path in paths if 4 <= len(path.suffix) <= 5}


def nodata_tag(value: int) -> TiffTag:
    """Return the tag GDAL_NODATA, a number as text."""
    data = f"{value}\0".encode("ascii")
    return TiffTag(_NODATA, _ASCII, len(data), data)


def choose_mask_nodata(nodata: float | None, classes: int) -> int | None:
    """Return the value of missing pixels in an 8-bit mask: that of the image if it is no class, else 255.

    Examples
    --------
    >>> choose_mask_nodata(254.0, 3), choose_mask_nodata(0.0, 3), choose_mask_nodata(-9999.0, 3)
    (254, 255, 255)
    """
    if nodata is None or classes > 255:
        return None
    usable = float(nodata).is_integer() and classes <= nodata <= 255
    return int(nodata) if usable else 255


def _read_tag(tiff: Any, page: Any, code: int) -> TiffTag | None:
    """Return a tag with its bytes as stored; None if it is absent, or of a type that it must not have."""
    tag = page.tags.get(code)
    if tag is None:
        return None
    kind, count = int(tag.dtype), int(tag.count)
    unit = _UNITS.get(kind)
    if unit is None or kind != _TYPES.get(code, _ASCII) or not 0 < count * unit <= _MAX_BYTES:
        return None
    tiff.filehandle.seek(int(tag.valueoffset))
    data = bytes(tiff.filehandle.read(count * unit))
    if len(data) != count * unit:
        return None
    if tiff.byteorder == ">" and unit > 1:
        data = np.frombuffer(data, f">u{unit}").astype(f"<u{unit}").tobytes()
    return TiffTag(code, kind, count, data)


def _doubles(tag: TiffTag) -> list[float]:
    return [float(value) for value in np.frombuffer(tag.data, "<f8")]


def _is_point(crs: Sequence[TiffTag]) -> bool:
    """Return whether a tie point is the centre of a pixel instead of its top left corner (GTRasterTypeGeoKey)."""
    keys = next((np.frombuffer(tag.data, "<u2") for tag in crs if tag.code == _KEYS), np.zeros(0, np.uint16))
    entries = keys[4 : 4 + (len(keys) - 4) // 4 * 4].reshape(-1, 4) if len(keys) >= 8 else np.zeros((0, 4), np.uint16)
    return any(
        int(key) == _RASTER_TYPE and int(place) == 0 and int(value) == _PIXEL_IS_POINT
        for key, place, _, value in entries
    )


def _transform_of(grid: dict[int, list[float]], *, point: bool) -> Affine | None:
    """Return the affine transform of pixel corners; None for ground control points and for impossible grids."""
    matrix, scale, ties = grid.get(_MATRIX, []), grid.get(_SCALE, []), grid.get(_TIE_POINTS, [])
    if len(matrix) == 16:
        a, b, _, c, d, e, _, f = matrix[:8]
    elif len(scale) >= 2 and len(ties) == 6:
        column, row, _, x, y, _ = ties
        a, b, c, d, e, f = scale[0], 0.0, x - column * scale[0], 0.0, -scale[1], y + row * scale[1]
    else:
        return None
    found = (a, b, c, d, e, f)
    if not np.isfinite(found).all() or a * e == b * d:
        return None
    return _compose(found, (1.0, 0.0, -0.5, 0.0, 1.0, -0.5)) if point else found


def _grid_tags(transform: Affine, *, point: bool) -> tuple[TiffTag, ...]:
    """Return the tags of a grid: scale and tie point if it is north up, else a matrix."""
    a, b, c, d, e, f = _compose(transform, (1.0, 0.0, 0.5, 0.0, 1.0, 0.5)) if point else transform
    if b == 0 and d == 0 and a > 0 and e < 0:
        return _double_tag(_SCALE, (a, -e, 0.0)), _double_tag(_TIE_POINTS, (0.0, 0.0, 0.0, c, f, 0.0))
    return (_double_tag(_MATRIX, (a, b, 0.0, c, d, e, 0.0, f, *[0.0] * 7, 1.0)),)


def _double_tag(code: int, values: Sequence[float]) -> TiffTag:
    return TiffTag(code, _DOUBLE, len(values), np.array(values, "<f8").tobytes())


def _compose(outer: Affine, inner: Affine) -> Affine:
    """Return the transform that applies `inner` first."""
    a, b, c, d, e, f = outer
    g, h, i, j, k, m = inner
    return a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f
