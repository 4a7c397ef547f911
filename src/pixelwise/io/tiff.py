"""Read TIFF with tifffile: any bit depth, any number of channels; axes from the metadata separate pages from channels.

The axes S (samples of a pixel) and C (channels) are channels; every other axis except Y and X (I, Q, Z, T) is a stack
of pages of any length: three gray pages are never red, green and blue. Source: TIFF 6.0 (Adobe, 1992).
"""

import logging
import math
import re
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from jaxtyping import Shaped

from pixelwise.errors import BadImage
from pixelwise.io.georeference import read_georeference
from pixelwise.io.headers import Header, decoding, open_image_file, truncated_error
from pixelwise.io.pillow import stated_size
from pixelwise.io.tiff_directories import open_tiff

_GRAY_OR_COLOUR = {"MINISWHITE", "MINISBLACK", "RGB", "PALETTE", "MASK"}
_JPEG = {6, 7, 33007, 34892}
_LOSSY = _JPEG | {33003, 33005, 34712, 34933, 50001}
_TILE_GROWTH, _SMALL = 4, 1 << 24  # pixels of a tile: this many times those of the image, or this many
_SMALL_SEGMENT = 1 << 20  # pixels
_SEGMENT_HEAD = 1 << 16  # bytes of a tile or strip in which its own header is
_DAMAGED = "The file is damaged; export it again."
_GDAL_NODATA = 42113
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated transparency
_MICROMETRES = {
    "micron": 1.0,
    "microns": 1.0,
    "um": 1.0,
    "\u00b5m": 1.0,
    "\u03bcm": 1.0,
    "\\u00B5m": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
}
# Without a handler Python would print tifffile's log messages to the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff_header(file: BinaryIO, path: Path) -> Header:
    """Read the tags of a TIFF without decoding samples.

    Raises
    ------
    BadImage
        Colours other than gray, palette, RGB or JPEG's YCbCr, an unknown compression or sample type, data offsets
        outside the file, or too many directories.
    """
    tiff, warnings = open_tiff(file, path)
    with tiff:
        series, page = _main_series(tiff)
        _check_page(page, path)
        _check_data_size(series, file, path)
        axes, shape = str(series.axes), tuple(int(n) for n in series.shape)
        sizes = dict(zip(axes, shape, strict=True))
        extra = tuple(int(e) for e in page.extrasamples)
        samples = sizes.get("S", 1)
        alpha = bool(extra) and extra[-1] in _ALPHA and samples - len(extra) in (1, 3)
        palette = _palette(page)
        if palette is not None and (samples != 1 or np.dtype(series.dtype).kind not in "bu"):
            raise BadImage("one index per pixel in a palette image", f"{samples} of {series.dtype}", _DAMAGED, path)
        stacked = math.prod(n for axis, n in sizes.items() if axis not in "YXSC")
        pages = stacked + _further_pages(tiff)
        times = sizes.get("T", 1) if sizes.get("T", 1) > 1 and sizes.get("Z", 1) > 1 else 0
        nodata = _nodata(page)
        georeference, ignored = read_georeference(tiff, page, nodata)
        return Header(
            format="TIFF",
            height=sizes.get("Y", 1),
            width=sizes.get("X", 1),
            channels=samples * sizes.get("C", 1),
            dtype=str(np.dtype(series.dtype).newbyteorder("=")),
            alpha=alpha,
            pages=pages,
            stackable=pages == stacked and palette is None and not alpha and not times,
            times=times,
            orientation=_orientation(page),
            palette=palette,
            lossy=int(page.compression) in _LOSSY,
            bilevel=palette is None and np.dtype(series.dtype).kind == "b",
            white_is_zero=_name(page.photometric) == "MINISWHITE",
            nodata=nodata,
            spacing=_spacing(tiff, page),
            slices=pages if sizes.get("Z", 1) == pages == stacked and pages > 1 else 0,
            slice_spacing=_slice_spacing(tiff) if pages > 1 else None,
            georeference=georeference,
            warnings=(*warnings, *ignored),
        )


def decode_tiff(file: BinaryIO, path: Path, header: Header) -> Shaped[np.ndarray, "channels height width"]:
    """Decode the samples as (pages × channels, height, width)."""
    tiff, _ = open_tiff(file, path)
    with tiff:
        series, _ = _main_series(tiff)
        samples: np.ndarray = np.asarray(series.asarray())
        axes = str(series.axes)
    stack = [i for i, axis in enumerate(axes) if axis not in "YXSC"]
    colour = [axes.index(axis) for axis in "CS" if axis in axes]
    plane = [axes.index("Y"), axes.index("X")]
    ordered = samples.transpose(*stack, *colour, *plane).reshape(-1, header.height, header.width)
    return ordered.astype(ordered.dtype.newbyteorder("="), order="C", copy=False)


class PageStack:
    """The gray pages of a file as an array (pages, height, width); a page is read when it is indexed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._series() as (series, file):
            _check_page(series.keyframe, path)
            _check_data_size(series, file, path)
            self.shape = (len(series.pages), *map(int, series.keyframe.shape))
            self.dtype = np.dtype(series.dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        with self._series() as (series, _):
            if isinstance(index, int):
                return np.asarray(series.pages[index].asarray())
            return np.asarray(series.asarray()).reshape(self.shape)[index]

    @contextmanager
    def _series(self) -> Generator[tuple[Any, BinaryIO]]:
        file, _ = open_image_file(self._path)
        with closing(file), decoding(self._path, "TIFF"):
            yield _main_series(open_tiff(file, self._path)[0])[0], file


def _main_series(tiff: Any) -> tuple[Any, Any]:
    """Return the first series (the full resolution of a pyramid or slide) and its first page."""
    series = tiff.series[0]
    guard_segments(series.keyframe)
    return series, series.keyframe


def guard_segments(page: Any) -> None:
    """Make a page refuse tiles and strips whose own headers state a far larger picture: decoders believe them.

    A decoder that is called then raises `ValueError`.
    """
    decode, most = page.decode, _TILE_GROWTH * math.prod(page.chunks) + _SMALL_SEGMENT

    def guarded(data: Any, *arguments: Any, **options: Any) -> Any:
        size = None if data is None or page.jpegheader is not None else stated_size(bytes(data[:_SEGMENT_HEAD]))
        if size is not None and not 0 < math.prod(size) <= most:
            raise ValueError(f"a tile or strip that states {size[0]} x {size[1]} pixels")
        return decode(data, *arguments, **options)

    page.decode = guarded


def _further_pages(tiff: Any) -> int:
    """Return the number of pages of other sizes or types, without reduced copies of the image."""
    if tiff.series[0].kind not in ("generic", "uniform", "shaped", "ome", "imagej"):
        return 0  # slides also contain a label image and a thumbnail
    return sum(max(1, len(s.pages)) for s in tiff.series[1:] if not s.keyframe.is_reduced)


def _check_page(page: Any, path: Path) -> None:
    colours = _name(page.photometric)
    if colours not in _GRAY_OR_COLOUR and not (colours == "YCBCR" and int(page.compression) in _JPEG):
        raise BadImage("gray, palette or RGB colours", f"{colours} colours", "Save the image as RGB.", path)
    if page.dtype is None:
        got = f"samples of {page.bitspersample} bits in an unknown format"
        raise BadImage("8, 16 or 32 bits per sample", got, "Save the image again with 8 or 16 bits.", path)
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        got = f"compression {_name(page.compression)}"
        hint = "Save it with deflate or LZW, or update the package imagecodecs."
        raise BadImage("a supported compression", got, hint, path)


def _check_data_size(series: Any, file: BinaryIO, path: Path) -> None:
    length = file.seek(0, 2)
    if series.keyframe.is_tiled and math.prod(series.keyframe.tile) > _TILE_GROWTH * series.keyframe.size + _SMALL:
        got = " × ".join(map(str, series.keyframe.tile))
        raise BadImage("tiles of about the size of the image, or smaller", f"tiles of {got}", _DAMAGED, path)
    for page in series.pages:
        if page is None:
            continue
        if (absent := math.prod(page.chunked) - len(page.dataoffsets)) > 0:
            raise truncated_error(path, "TIFF", f"{absent} of {math.prod(page.chunked)} tiles or strips are missing")
        ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False))
        missing = max(ends, default=0) - length
        if missing > 0:
            raise truncated_error(path, "TIFF", f"{length} bytes, {missing} more are missing")


def _palette(page: Any) -> Shaped[np.ndarray, "entries 3"] | None:
    if _name(page.photometric) != "PALETTE" or page.colormap is None:
        return None
    return (np.asarray(page.colormap).T >> 8).astype(np.uint8)


def _orientation(page: Any) -> int:
    tag = page.tags.get("Orientation")
    value = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
    return value if 1 <= value <= 8 else 1


def _nodata(page: Any) -> float | None:
    """Return the value of pixels without a measurement: tag GDAL_NODATA, a number as text."""
    tag = page.tags.get(_GDAL_NODATA)
    try:
        return None if tag is None else float(str(tag.value).strip(" \0"))
    except ValueError:
        return None


def _spacing(tiff: Any, page: Any) -> tuple[float, float] | None:
    """Return micrometres per pixel (y, x) from OME or ImageJ metadata, or from a resolution in centimetres.

    A resolution in inches is a print resolution and is ignored.
    """
    if tiff.is_ome:
        return _ome_spacing(tiff.ome_metadata or "")
    unit = str((tiff.imagej_metadata or {}).get("unit", ""))
    scale = _MICROMETRES.get(unit)
    resolution_unit = page.tags.get("ResolutionUnit")
    if scale is None and resolution_unit is not None and int(resolution_unit.value) == 3:
        scale = 1e4
    x, y = page.tags.get("XResolution"), page.tags.get("YResolution")
    if scale is None or x is None or y is None:
        return None
    (xn, xd), (yn, yd) = x.value, y.value
    return (scale * yd / yn, scale * xd / xn) if xn and yn and xd and yd else None


def _slice_spacing(tiff: Any) -> float | None:
    """Return the distance of slices in micrometres, from OME or ImageJ metadata."""
    if tiff.is_ome:
        return _ome_size(tiff.ome_metadata or "", "Z")
    metadata = tiff.imagej_metadata or {}
    scale = _MICROMETRES.get(str(metadata.get("unit", "")))
    try:
        value = abs(float(metadata.get("spacing", 0))) * (scale or 0)
    except (TypeError, ValueError):
        return None
    return value if 0 < value < math.inf else None


def _ome_spacing(xml: str) -> tuple[float, float] | None:
    y, x = _ome_size(xml, "Y"), _ome_size(xml, "X")
    return None if y is None or x is None else (y, x)


def _ome_size(xml: str, axis: str) -> float | None:
    """Return the physical size of a sample along an axis in micrometres, the default unit of OME."""
    size = re.search(rf'PhysicalSize{axis}="([0-9.eE+-]+)"', xml)
    unit = re.search(rf'PhysicalSize{axis}Unit="([^"]*)"', xml)
    scale = _MICROMETRES.get(unit.group(1)) if unit else 1.0
    try:
        value = float(size.group(1)) * scale if size and scale else 0.0
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))
