"""NIfTI-1 and NIfTI-2 with nibabel; what is written keeps the header of its image, sform and qform to the byte.

Source: the NIfTI-1 and NIfTI-2 standards (nifti1.h, nifti2.h). The fourth axis, or the fifth of a vector image, is the
channels, as the Medical Segmentation Decathlon stores modalities.
"""

import gzip
import io
import logging
import math
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage, needs_extra
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.io.headers import decoding
from pixelwise.io.volumes.volume import Volume, VolumeHeader, check_volume, grid_of, turned_volume

_HEAD = 560  # bytes: the longer of both headers, and the flag of extensions
_MAX_OFFSET = 1 << 24  # bytes before the data: extensions of real files are far smaller
_MAX_EXTENSIONS = 1000
_UNITS = {"mm": "millimeter", "micron": "micrometer", "meter": "meter"}
_NAMES = {word: name for name, word in _UNITS.items()}


def read_nifti_header(path: Path) -> VolumeHeader:
    """Read the header of a NIfTI file.

    Raises
    ------
    BadImage
        Damaged or hostile sizes, several axes beyond the third, or samples that are no plain numbers.
    BadOption
        The extra `volumes` is not installed.
    """
    return _describe(path, _open(path))


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file; slope and intercept of the header are applied.

    Raises
    ------
    BadImage
        As for `read_nifti_header`, or truncated data.
    """
    image = _open(path)
    header = _describe(path, image)
    channels, depth, height, width = header.shape
    with decoding(path, "NIfTI"):
        samples = np.asanyarray(image.dataobj).reshape(width, height, depth, channels, order="F")
    return turned_volume(header, samples.transpose(3, 2, 1, 0))


def nifti_bytes(
    samples: Num[np.ndarray, "channels depth height width"], grid: Grid, like: Path | None, *, labels: bool
) -> bytes:
    """Return stored samples (not turned) as an uncompressed NIfTI file.

    Parameters
    ----------
    samples : (channels, depth, height, width) array
    grid : Grid
        The place of the samples, used without `like`.
    like : Path, optional
        A NIfTI file on the same grid: all fields of its header that concern the geometry are kept as they are.
    labels : bool
        The samples are class or object numbers.
    """
    nibabel = nibabel_library()
    array = np.asfortranarray(samples.transpose(3, 2, 1, 0))
    array = array[..., 0] if len(samples) == 1 else array
    if like is None:
        grid = grid if grid.unit in _NAMES else grid.in_millimetres()
        image = nibabel.Nifti1Image(array, grid.affine)
        image.header.set_xyzt_units(_NAMES.get(grid.unit or "", "unknown"))
        known = int(grid.direction is not None)
        image.set_sform(grid.affine, known)
        image.set_qform(grid.affine, known)
    else:
        source = _open(like)
        header = source.header.copy()
        header.extensions.clear()
        header.set_data_dtype(array.dtype)
        header["cal_min"] = header["cal_max"] = 0
        image = type(source)(array, None, header)
    image.header.set_intent("label" if labels else "none")
    return bytes(image.to_bytes())


def compressed(content: bytes) -> bytes:
    """Return gzip data without a time, so that equal volumes are equal files."""
    return gzip.compress(content, compresslevel=6, mtime=0)


def nibabel_library() -> Any:
    """Return the module `nibabel`.

    Raises
    ------
    BadOption
        It is not installed.
    """
    with needs_extra("nibabel", "NIfTI volumes", "volumes"):
        import nibabel
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # it prints what it also raises
    return nibabel


def is_packed(path: Path) -> bool:
    """Return whether the content of a file is compressed, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _open(path: Path) -> Any:
    """Return the nibabel image of a file, without its data."""
    nibabel = nibabel_library()
    with decoding(path, "NIfTI"):
        head = _read_head(path)
        second = head[4:7] == b"n+2"
        order = "<" if head[:4] in (b"\x5c\1\0\0", b"\x1c\2\0\0") else ">"
        place = struct.unpack_from(f"{order}q", head, 168) if second else struct.unpack_from(f"{order}f", head, 108)
        if not 0 <= place[0] <= _MAX_OFFSET:
            got = f"data that begin at byte {place[0]:.0f}"
            raise BadImage(f"data in the first {_MAX_OFFSET >> 20} MB", got, "Export the volume again.", path)
        _check_extensions(path, 544 if second else 352, int(place[0]), order)
        kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
        packed = is_packed(path)
        if packed == path.name.casefold().endswith(".gz"):
            return kind.from_filename(path)
        content = io.BytesIO(path.read_bytes())  # nibabel goes by the name
        file = gzip.GzipFile(fileobj=content) if packed else content
        return kind.from_file_map({"image": nibabel.FileHolder(filename=str(path), fileobj=file)})


def _check_extensions(path: Path, first: int, end: int, order: str) -> None:
    """Check that the extensions after the header, each with its length, end before the data."""
    content, count = _read_head(path, end), 0
    if content[first - 4 : first - 3] == b"\0":  # there are none
        return
    while first + 8 <= len(content):
        length, count = struct.unpack_from(f"{order}i", content, first)[0], count + 1
        if count > _MAX_EXTENSIONS or not 8 <= length <= end - first:
            got = f"extension {count} of {length} bytes with {end - first} left"
            hint = "Export the volume again."
            raise BadImage(f"at most {_MAX_EXTENSIONS} extensions before the data", got, hint, path)
        first += length


def _read_head(path: Path, length: int = _HEAD) -> bytes:
    with path.open("rb") as file:
        if not is_packed(path):
            return file.read(length)
        with gzip.GzipFile(fileobj=file) as content:
            return content.read(length)


def _describe(path: Path, image: Any) -> VolumeHeader:
    with decoding(path, "NIfTI"):
        dtype, sides = image.get_data_dtype(), tuple(int(side) for side in image.header.get_data_shape())
    if dtype.fields is not None or dtype.kind not in "iufc":
        raise BadImage("a number per voxel", f"voxels of type {dtype}", "Save one channel per file.", path)
    if not sides:  # the header states a negative number of axes
        raise BadImage("a volume with axes", "one without", "The file is damaged; export it again.", path)
    width, height, depth, *further = (*sides, 1, 1)[: max(3, len(sides))] if len(sides) < 3 else sides
    if sum(side > 1 for side in further) > 1:
        got = " x ".join(str(side) for side in sides)
        raise BadImage("three axes and one of channels", got, "Save one volume per time.", path)
    shape = math.prod(further), depth, height, width
    check_volume(path, shape, dtype.itemsize, path.stat().st_size)
    grid, warnings = _grid(path, image.header)
    return VolumeHeader(format="NIfTI", shape=shape, dtype=str(dtype.newbyteorder("=")), grid=grid, warnings=warnings)


def _disagreement(header: Any, grid: Grid) -> tuple[str, ...]:
    """Return a message if sform and qform are both set and place voxels differently; other programs take the qform."""
    with suppress(ValueError, nibabel_library().spatialimages.HeaderDataError):  # a qform that is no rotation
        qform = header.get_qform(coded=True)[0]
        shape = [int(side) for side in header.get_data_shape()[:3]]
        if qform is not None and grid.difference(Grid.from_affine(qform, grid.unit), shape[::-1]):
            return ("sform and qform of the header place it differently: the sform counts",)
    return ()


def _grid(path: Path, header: Any) -> tuple[Grid, tuple[str, ...]]:
    """Return the grid of a header, by sform, else qform, else the spacing alone, as the standard says."""
    with decoding(path, "NIfTI"):
        name = header.get_xyzt_units()[0]
        placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        affine = header.get_best_affine()
        zooms = [abs(float(zoom)) for zoom in header.get_zooms()[:3]]
    unit = _UNITS.get(name, "millimeter")
    warnings = () if name in _UNITS else ("the header states no unit of length: millimetres are meant",)
    if placed:
        grid = grid_of(path, affine, unit)
        return grid, (*warnings, *_disagreement(header, grid))
    unit = None if zooms == [1.0] * len(zooms) and name not in _UNITS else unit
    usable = [zoom if 0 < zoom < math.inf else 1.0 for zoom in [*zooms, 1.0, 1.0][:3]]
    text = "the header states no orientation: the axes are taken as they are stored"
    return Grid(axes=VOLUME_AXES, spacing=tuple(usable[::-1]), unit=unit), (*warnings, text)
