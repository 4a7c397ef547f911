"""What the tags of a TIFF say: sizes of pixels and slices, missing values, and what cannot be read."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.errors import BadImage
from pixelwise.io.headers import Header
from pixelwise.io.tiff import PageStack, read_tiff_header

GRAY = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
STACK = np.stack([GRAY, GRAY + 7, GRAY[::-1]])


def header_of(path: Path) -> Header:
    with path.open("rb") as file:
        return read_tiff_header(file, path)


def write(folder: Path, pixels: np.ndarray = GRAY, **options: Any) -> Path:
    tifffile.imwrite(folder / "a.tif", pixels, **options)
    return folder / "a.tif"


def replace_tag(path: Path, code: int, value: int, kind: int = 3) -> None:
    """Change the number of a tag of the first page."""
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[code]  # type: ignore[union-attr]
        offset = tag.offset
    content = bytearray(path.read_bytes())
    content[offset + 2 : offset + 12] = struct.pack("<HII", kind, 1, value)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("unit", "scale"), [("nm", 1e-3), ("micron", 1.0), ("um", 1.0), ("mm", 1e3), ("cm", 1e4), ("parsec", None)]
)
def test_units_of_imagej(tmp_path: Path, unit: str, scale: float | None) -> None:
    path = write(tmp_path, STACK, imagej=True, resolution=(4, 2), metadata={"unit": unit, "spacing": 3, "axes": "ZYX"})
    header = header_of(path)
    assert header.slices == 3
    if scale is None:
        assert (header.spacing, header.slice_spacing) == (None, None)
    else:
        assert header.spacing == pytest.approx((0.5 * scale, 0.25 * scale))
        assert header.slice_spacing == pytest.approx(3 * scale)


@pytest.mark.parametrize("spacing", ["near", 0, math.inf])
def test_a_distance_of_slices_that_is_none(tmp_path: Path, spacing: object) -> None:
    path = write(
        tmp_path, STACK, imagej=True, resolution=(4, 2), metadata={"unit": "um", "spacing": spacing, "axes": "ZYX"}
    )
    assert header_of(path).slice_spacing is None


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [((100, 50), "CENTIMETER", (200.0, 100.0)), ((100, 50), "INCH", None), ((0, 50), "CENTIMETER", None)],
)
def test_a_resolution_counts_in_centimetres(tmp_path: Path, resolution: Any, unit: str, expected: Any) -> None:
    header = header_of(write(tmp_path, resolution=resolution, resolutionunit=unit))
    assert header.spacing == (None if expected is None else pytest.approx(expected))


OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0"'
    ' DimensionOrder="XYZCT" Type="uint8" SizeX="16" SizeY="12" SizeZ="3" SizeC="1" SizeT="1" {sizes}>'
    '<TiffData IFD="0" PlaneCount="3"/></Pixels></Image></OME>'
)


@pytest.mark.parametrize(
    ("sizes", "plane", "slices"),
    [
        ('PhysicalSizeX="0.5" PhysicalSizeY="0.25" PhysicalSizeZ="2"', (0.25, 0.5), 2.0),
        ('PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.25" PhysicalSizeZ="2"', (0.25, 0.5), 2.0),
        ('PhysicalSizeX="0.5" PhysicalSizeZ="2" PhysicalSizeZUnit="furlong"', None, None),
        ('PhysicalSizeX="0.5" PhysicalSizeY="1e999" PhysicalSizeZ="1.2.3"', None, None),
        ("", None, None),
    ],
)
def test_sizes_in_the_metadata_of_ome(tmp_path: Path, sizes: str, plane: Any, slices: float | None) -> None:
    path = write(tmp_path, STACK, photometric="minisblack", description=OME.format(sizes=sizes), metadata=None)
    header = header_of(path)
    assert (header.spacing, header.slice_spacing, header.pages) == (plane, slices, 3)


@pytest.mark.parametrize(("text", "expected"), [("-9999", -9999.0), (" 0 ", 0.0), ("none", None)])
def test_the_value_of_missing_pixels(tmp_path: Path, text: str, expected: float | None) -> None:
    assert header_of(write(tmp_path, extratags=[(42113, "s", 0, text, True)])).nodata == expected


@pytest.mark.parametrize(("stored", "expected"), [(6, 6), (8, 8), (9, 1), (0, 1)])
def test_an_orientation_that_is_none_is_upright(tmp_path: Path, stored: int, expected: int) -> None:
    assert header_of(write(tmp_path, extratags=[(274, "H", 1, stored, True)])).orientation == expected


@pytest.mark.parametrize(
    ("code", "value", "message"),
    [
        (262, 8, "CIELAB colours"),
        (262, 5, "SEPARATED colours"),
        (259, 34676, "compression SGILOG"),
        (339, 6, "samples of 32 bits"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, code: int, value: int, message: str) -> None:
    path = write(tmp_path, GRAY.astype(np.float32))
    replace_tag(path, code, value)
    with pytest.raises(BadImage, match=message):
        header_of(path)


def test_indices_of_a_palette_are_whole_numbers(tmp_path: Path) -> None:
    colours = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) << 6
    path = write(tmp_path, photometric="palette", colormap=colours)
    palette = header_of(path).palette
    assert palette is not None
    assert np.array_equal(palette, colours.T >> 8)
    path = write(tmp_path, GRAY.astype(np.float32), extratags=[(320, "H", colours.size, colours.ravel(), True)])
    replace_tag(path, 262, 3)
    with pytest.raises(BadImage, match="palette"):
        header_of(path)


def test_a_tile_far_larger_than_its_image_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, tile=(16, 16))
    assert header_of(path).width == 16
    for code in (322, 323):
        replace_tag(path, code, 16384, 4)
    with pytest.raises(BadImage, match="tiles of"):
        header_of(path)


def test_pages_are_read_one_by_one_or_together(tmp_path: Path) -> None:
    stack = PageStack(write(tmp_path, STACK, photometric="minisblack"))
    assert (stack.shape, stack.dtype) == ((3, 12, 16), np.uint8)
    assert np.array_equal(stack[1], STACK[1])
    assert np.array_equal(stack[1:, 2:4], STACK[1:, 2:4])


def test_a_file_that_is_cut_off_says_how_much_is_missing(tmp_path: Path) -> None:
    path = write(tmp_path, metadata=None)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BadImage, match="10 more are missing"):
        header_of(path)
