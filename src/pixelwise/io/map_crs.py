"""Coordinate reference systems of maps: keys of GeoTIFF, longitude and latitude, areas; rasters on another grid.

GDAL (rasterio) interprets the keys of GeoTIFF and moves pixels, PROJ (pyproj) transforms coordinates; neither uses the
network.
"""

import importlib
from functools import lru_cache
from io import BytesIO
from typing import Any, Literal

import numpy as np
import tifffile
from jaxtyping import Float64, Integer

from pixelwise.errors import needs_extra
from pixelwise.io.georeference import Georeference, TiffTag
from pixelwise.io.headers import WARNING_FILTERS

WGS84 = "OGC:CRS84"
"""Longitude and latitude in degrees, in this order: the coordinates of GeoJSON (RFC 7946, section 4)."""


def read_crs(georeference: Georeference) -> Any | None:
    """Return the CRS of an image as a `pyproj.CRS`; None if its file states none that is known.

    Raises
    ------
    BadOption
        The libraries for maps are not installed.
    """
    return _read_crs(georeference.crs) if georeference.crs else None


def parse_crs(text: str) -> Any | None:
    """Return the `pyproj.CRS` that a name such as ``EPSG:32632`` or a WKT text means; None if it means none."""
    pyproj = _library("pyproj")
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError:
        return None


def write_wkt(crs: Any) -> str:
    """Return a `pyproj.CRS` as well-known text, of version 1 as GDAL writes it, or else of 2019.

    Examples
    --------
    >>> write_wkt(parse_crs("EPSG:32632"))[:30]
    'PROJCS["WGS 84 / UTM zone 32N"'
    """
    try:
        text = crs.to_wkt("WKT1_GDAL")
    except _library("pyproj").exceptions.CRSError:
        text = None
    return text or crs.to_wkt("WKT2_2019")


def reproject(points: Float64[np.ndarray, "points 2"], source: Any, target: Any) -> Float64[np.ndarray, "points 2"]:
    """Return coordinates (x or longitude, y or latitude) in another CRS; not finite where it does not reach."""
    x, y = _transformer(source, target).transform(points[:, 0], points[:, 1])
    return np.column_stack([x, y]).astype(np.float64)


def equal_area_crs(longitude: float, latitude: float) -> Any:
    """Return the Lambert azimuthal equal-area projection in metres around a place, on the ellipsoid of WGS84.

    Every polygon has its true area in it, wherever it is; around the place coordinates are small, so that objects of
    square centimetres are as exact as countries. Geodesic polygons lose a thousandth of a square metre per corner.
    Source: Snyder 1987, "Map projections: a working manual", chapter 24.

    Examples
    --------
    >>> degree = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    >>> x, y = reproject(degree, WGS84, equal_area_crs(0.5, 0.5)).T
    >>> round(abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2e6)  # km2
    12308
    """
    projection = f"+proj=laea +lat_0={latitude:.6f} +lon_0={longitude:.6f} +datum=WGS84 +units=m +type=crs"
    return _library("pyproj").CRS.from_proj4(projection)


def move_pixels(
    pixels: Integer[np.ndarray, "*shape"], source: Georeference, target: Georeference, size: tuple[int, int]
) -> Integer[np.ndarray, "*moved"]:
    """Return the pixels of a raster on the grid of another one, each with the value at its centre; 0 outside.

    Parameters
    ----------
    pixels : (height, width) or (height, width, channels) array
    source, target : Georeference
        Of the pixels and of the other raster, with a transform. One that states no CRS has that of the other.
    size : (int, int)
        Height and width of the other raster.

    Returns
    -------
    (size[0], size[1]) or (size[0], size[1], channels) array of the same type

    Raises
    ------
    BadOption
        The libraries for maps are not installed.
    """
    rasterio, warp = _library("rasterio"), _library("rasterio.warp")
    crs = [read_crs(source), read_crs(target)]
    texts = [write_wkt(one or other) if one or other else "EPSG:3857" for one, other in (crs, crs[::-1])]
    texts = texts[:1] * 2 if source.crs == target.crs else texts
    bands = np.moveaxis(pixels, -1, 0) if pixels.ndim == 3 else pixels[None]
    wide = bands.astype(np.int32) if bands.dtype.itemsize > 1 else bands.astype(np.uint8)
    moved = np.zeros((len(bands), *size), wide.dtype)
    with WARNING_FILTERS:
        warp.reproject(
            np.ascontiguousarray(wide),
            moved,
            src_transform=rasterio.Affine(*(source.transform or ())),
            src_crs=texts[0],
            dst_transform=rasterio.Affine(*(target.transform or ())),
            dst_crs=texts[1],
            resampling=warp.Resampling.nearest,
        )
    moved = moved.astype(pixels.dtype)
    return np.moveaxis(moved, 0, -1) if pixels.ndim == 3 else moved[0]


@lru_cache(maxsize=64)
def _read_crs(tags: tuple[TiffTag, ...]) -> Any | None:
    rasterio, pyproj = _library("rasterio"), _library("pyproj")
    memory = BytesIO()
    extra = [(tag.code, tag.kind, tag.count, tag.data, True) for tag in tags]
    # with a grid, because GDAL warns about a file without one
    extra += [(33550, 12, 3, (1.0, 1.0, 0.0), True), (33922, 12, 6, (0.0,) * 6, True)]
    tifffile.imwrite(memory, np.zeros((1, 1), np.uint8), byteorder="<", metadata=None, extratags=extra)
    try:
        with rasterio.MemoryFile(memory.getvalue()) as file, file.open() as image:
            text = image.crs.to_wkt(version="WKT2_2019") if image.crs else ""
        return pyproj.CRS.from_wkt(text) if text else None
    except (rasterio.errors.RasterioError, pyproj.exceptions.CRSError):
        return None


@lru_cache(maxsize=64)
def _transformer(source: Any, target: Any) -> Any:
    return _library("pyproj").Transformer.from_crs(source, target, always_xy=True)


def _library(name: Literal["pyproj", "rasterio", "rasterio.warp"]) -> Any:
    with needs_extra(name.split(".")[0], "coordinate reference systems", "maps"):
        return importlib.import_module(name)
