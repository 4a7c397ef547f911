"""NRRD, MetaImage and DICOM with SimpleITK.

The text headers of NRRD and MetaImage are checked before the library opens a file: they may name other files for the
data. Directions of ITK and DICOM are LPS+; the grid is RAS+. Sources: the NRRD format definition (Teem); the MetaIO
documentation; DICOM PS3.3, C.7.6.2 (image plane).
"""

import glob
import math
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Num

from pixelwise.errors import BadImage, needs_extra, printable
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.io.headers import decoding, truncated_error
from pixelwise.io.volumes.dicom_lengths import check_lengths
from pixelwise.io.volumes.segments import Segment, segments_of
from pixelwise.io.volumes.volume import Volume, VolumeHeader, check_volume, grid_of, turned_volume
from pixelwise.text import pluralise

_READERS = {"NRRD": "NrrdImageIO", "MetaImage": "MetaImageIO", "DICOM": "GDCMImageIO"}
_TEXT = 1 << 20  # bytes of a text header: sequences have lines per frame
_LINE = 1 << 16  # bytes of one of its lines
_NAME = 250  # characters of the name of a file, above which file systems raise errors of their own
_LINES = 5_000  # of NRRD, where the library compares each key with all others
_MAX_AXES = 5
_MAX_CHANNELS = 65_536
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNEVEN = 0.02  # of the distance of slices: rounded positions stay below
_MAX_SERIES = 16
_SAME = 0.01  # by which spacing (mm) and directions of the slices of a series may differ
_PLACE = {"0028|0030": ("spacing of pixels", 2), "0020|0032": ("position", 3), "0020|0037": ("directions", 6)}
_ONE_SERIES = "Give the folder of one series, or save it as NIfTI first."


def read_itk_header(path: Path, kind: str) -> VolumeHeader:
    """Read the header of an NRRD, MetaImage or DICOM file, or of the folder of a DICOM series.

    Raises
    ------
    BadImage
        Damaged or hostile sizes, data in another folder, several series, or slices that are missing.
    BadOption
        The extra `volumes` is not installed.
    """
    return _open(path, kind)[1]


def read_itk(path: Path, kind: str) -> Volume:
    """Read a volume; see `read_itk_header`."""
    reader, header = _open(path, kind)
    with decoding(path, header.format):
        samples, source = _unpacked(path, header) if kind == "MetaImage" else None, reader
        if samples is None:
            source = reader.Execute()
            samples = np.asarray(_sitk().GetArrayFromImage(source))
    channels, *sides = header.shape
    several = source.GetNumberOfComponents if source is reader else source.GetNumberOfComponentsPerPixel
    if int(several()) > 1:  # the components are the last axis
        samples = np.moveaxis(samples.reshape(*sides, channels), -1, 0)
    return turned_volume(header, samples.reshape(channels, *sides))


def read_segments(path: Path) -> tuple[Segment, ...]:
    """Return the segments of a segmentation of 3D Slicer in an NRRD file; none for any other."""
    reader, header = _open(path, "NRRD")
    with decoding(path, header.format):
        return segments_of({key: str(reader.GetMetaData(key)) for key in reader.GetMetaDataKeys()})


def is_dicom_series(folder: Path) -> bool:
    """Return whether a folder holds DICOM files: whether the first and the last of its files are some."""
    if not folder.is_dir():
        return False
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if len(files) < 2:
        return False
    return all(_is_dicom(path) for path in (files[0], files[-1]))


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def itk_bytes(
    samples: Num[np.ndarray, "channels depth height width"], suffix: str, grid: Grid, like: tuple[Path, str] | None
) -> bytes:
    """Return stored samples (not turned) as an NRRD or MetaImage file in one piece, compressed.

    Parameters
    ----------
    samples : (channels, depth, height, width) array
        Several channels become the components of each voxel.
    suffix : str
        ".nrrd" or ".mha".
    grid : Grid
        The place of the samples, used without `like`; written in millimetres, which these formats mean.
    like : (Path, str), optional
        A file of ITK on the same grid, and its format: spacing, origin and direction are copied as they are.
    """
    sitk = _sitk()
    several = len(samples) > 1
    array = np.moveaxis(samples, 0, -1) if several else samples[0]
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=several)
    if like is None:
        placed = grid.in_millimetres()
        affine = _LPS @ placed.affine
        spacing = np.array(placed.spacing[::-1])
        image.SetSpacing([float(side) for side in spacing])
        image.SetOrigin([float(value) for value in affine[:3, 3]])
        image.SetDirection([float(value) for value in (affine[:3, :3] / spacing).ravel()])
    else:
        reader, _ = _open(*like)
        spacing, origin, direction = _place(reader)
        image.SetSpacing(spacing.tolist())
        image.SetOrigin(origin.tolist())
        image.SetDirection(direction.ravel().tolist())
    with TemporaryDirectory() as folder:
        temporary = Path(folder) / f"volume{suffix}"
        sitk.WriteImage(image, str(temporary), useCompression=True)
        return temporary.read_bytes()


def _sitk() -> Any:
    """Return the module `SimpleITK`; `BadOption` if it is not installed."""
    with needs_extra("SimpleITK", "NRRD, MHA and DICOM volumes", "volumes"):
        import SimpleITK
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


def _open(path: Path, kind: str) -> tuple[Any, VolumeHeader]:
    """Return a reader that has not read its samples, and the header."""
    _check_name(path)
    if kind == "DICOM" and path.is_dir():
        return _open_series(path)
    placed = _check_text(path) if kind != "DICOM" else True
    reader = _reader(path, kind)
    channels, sides, itemsize, dtype = _sizes(path, reader)
    shape = channels, sides[2], sides[1], sides[0]
    check_volume(path, shape, itemsize, _stored_bytes(path))
    return reader, VolumeHeader(
        format=kind, shape=shape, dtype=dtype, grid=_grid(path, reader, placed=placed), warnings=_notes(placed)
    )


def _notes(placed: bool) -> tuple[str, ...]:
    return () if placed else ("the header states no orientation: the axes are taken as they are stored",)


def _reader(path: Path, kind: str) -> Any:
    if kind == "DICOM":
        check_lengths(path)
    reader = _sitk().ImageFileReader()
    reader.SetImageIO(_READERS[kind])
    reader.SetFileName(str(path))
    with decoding(path, kind):
        reader.ReadImageInformation()
    if kind == "DICOM":
        _check_place(path, reader)
    return reader


def _check_name(path: Path) -> None:
    """Refuse a path that is not UTF-8: the library would end the process."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise BadImage("a path in UTF-8", "a name with other bytes", "Rename the file or folder.", path) from error


def _check_place(path: Path, reader: Any) -> None:
    """Refuse spacing, position and directions of DICOM that are no numbers: the library would take others."""
    for tag, (name, count) in _PLACE.items():
        if not reader.HasMetaDataKey(tag):
            continue
        text = str(reader.GetMetaData(tag))
        try:
            values = [float(value) for value in text.split("\\")]
        except ValueError:
            values = []
        usable = len(values) == count and all(map(math.isfinite, values))
        parallel = count == 6 and usable and not np.cross(values[:3], values[3:]).any()
        if not usable or parallel or (count == 2 and min(values) <= 0):
            hint = "Export the series again."
            raise BadImage(f"{count} numbers as {name}", f"`{printable(text.strip()[:60])}`", hint, path)


def _check_text(path: Path) -> bool:
    """Check which file a text header names for the data; return whether it states directions."""
    text = _header_text(path)
    names = re.findall(rb"(?im)^[ \t]*(?:data ?file[ \t]*:|ElementDataFile[ \t]*=)[ \t]*([^\n]*)", text)
    hint = "Save the volume in one file (.nrrd, .mha)."
    for name in (name.decode("utf-8", "replace").strip() for name in names):
        if name == "LOCAL":
            continue
        if re.search(r"[/\\%]|^LIST", name) or name in ("", ".", ".."):
            raise BadImage("the data in the same file or folder", f"data in `{printable(name[:80])}`", hint, path)
        if len(name) > _NAME or not (path.parent / name).is_file():  # reading a pipe would wait for ever
            raise BadImage(f"a file `{printable(name[:80])}` of data beside it", "none", hint, path)
    _check_numbers(path, text)
    return re.search(rb"(?im)^(?:space directions\s*:|(?:TransformMatrix|Orientation|Rotation)\s*=)", text) is not None


def _unpacked(path: Path, header: VolumeHeader) -> np.ndarray | None:
    """Return the compressed samples of a MetaImage; None for those that are not compressed.

    The library returns what is in memory if they are damaged, or their compressed size is not stated.
    """
    text = _header_text(path)
    if not re.search(rb"(?im)^[ \t]*CompressedData\s*[:=]\s*T", text):
        return None
    name = text.rpartition(b"=")[2].strip().decode()
    dtype = np.dtype(header.dtype).newbyteorder(">" if re.search(rb"(?im)^[^\n]*MSB\s*[:=]\s*T", text) else "<")
    needed = math.prod(header.shape) * dtype.itemsize
    with (path if name == "LOCAL" else path.parent / name).open("rb") as file:
        while name == "LOCAL" and not file.readline().lstrip().startswith(b"ElementDataFile"):
            pass
        content = zlib.decompressobj(wbits=47).decompress(file.read(), needed)  # of zlib or gzip
    if len(content) < needed:
        raise truncated_error(path, "MetaImage", f"{len(content)} of {needed} bytes")
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("="))


def _header_text(path: Path) -> bytes:
    """Return the text header of an NRRD or MetaImage file, with the line ends of Unix.

    The library reads headers of any length, skips spaces before names, takes ":" for "=", and ignores names that it
    does not know, such as those in other letters: what this module could overlook is refused.
    """
    with path.open("rb") as file:
        head = file.read(_TEXT + 1)
    lines = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if head.startswith(b"NRRD"):
        text, end, _ = lines.partition(b"\n\n")
        whole, single = bool(end) or len(head) <= _TEXT, True
    else:
        found = re.search(rb"(?m)^ElementDataFile[ \t]*=[^\n]*$", head.replace(b"\r\n", b"\n"))
        text = head.replace(b"\r\n", b"\n")[: found.end() if found else 0]
        whole, single = found is not None, len(re.findall(rb"(?i)ElementDataFile", head)) == 1
    many = head.startswith(b"NRRD") and text.count(b"\n") > _LINES
    if not whole or not single or many or b"\0" in text or max(map(len, text.split(b"\n"))) > _LINE:
        got = "a header that is too long, incomplete or ambiguous"
        raise BadImage(f"a text header of at most {_TEXT >> 10} kB", got, "Export the volume again.", path)
    return text


def _check_numbers(path: Path, text: bytes) -> None:
    """Check the numbers of a text header that decide on memory: how many axes there are, and how many bytes follow."""
    for axes in re.findall(rb"(?im)^[ \t]*(?:dimension|NDims)\s*[:=][ \t]*([^\n]*)", text):
        if not re.fullmatch(rb"\d{1,9}\s*", axes) or not 2 <= int(axes) <= _MAX_AXES:  # -13 would end the process
            got = printable(axes[:20].decode("utf-8", "replace"))
            raise BadImage(f"2 to {_MAX_AXES} axes", got, "Save one volume per file.", path)
    for packed in re.findall(rb"(?im)^[ \t]*CompressedDataSize\s*[:=]\s*(\d+)", text):
        if int(packed[:20]) > (stored := _stored_bytes(path)):
            got = f"{int(packed[:20])} compressed bytes in a file of {stored}"
            raise BadImage("a complete MetaImage", got, "Download or export the file again.", path)


def _stored_bytes(path: Path) -> int:
    """Return the size of a file; with its data, if they are in a file of their own."""
    apart = path.suffix.casefold() in (".mhd", ".nhdr")
    files = path.parent.glob(f"{glob.escape(path.stem)}.*") if apart else [path]
    return sum(file.stat().st_size for file in files)


def _sizes(path: Path, reader: Any) -> tuple[int, tuple[int, int, int], int, str]:
    """Return channels, sides (x, y, z), bytes of a sample, and its type."""
    sitk = _sitk()
    sides, components = [int(side) for side in reader.GetSize()], int(reader.GetNumberOfComponents())
    further = [side for side in sides[3:] if side > 1]
    if len(further) + (components > 1) > 1:
        got = f"{' x '.join(str(side) for side in sides)} with {components} values each"
        raise BadImage("three axes and one of channels", got, "Save one volume per time.", path)
    if components > _MAX_CHANNELS:  # the type of a sample is found with an image of one voxel
        raise BadImage(f"at most {_MAX_CHANNELS} channels", f"{components}", "Save fewer channels.", path)
    with decoding(path, "volume"):
        image = sitk.Image([1] * len(sides), reader.GetPixelIDValue(), components)
        dtype = np.asarray(sitk.GetArrayViewFromImage(image)).dtype
    width, height, depth = (*sides, 1)[:3]
    return components * (further[0] if further else 1), (width, height, depth), dtype.itemsize, str(dtype)


def _place(reader: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return spacing, origin and direction of three axes in LPS+."""
    count = min(3, len(reader.GetSize()))
    whole = np.array(reader.GetDirection(), np.float64)
    side = round(len(whole) ** 0.5)
    spacing, origin, direction = np.ones(3), np.zeros(3), np.eye(3)
    spacing[:count], origin[:count] = reader.GetSpacing()[:count], reader.GetOrigin()[:count]
    direction[:count, :count] = whole.reshape(side, side)[:count, :count]
    return spacing, origin, direction


def _grid(path: Path, reader: Any, *, placed: bool) -> Grid:
    spacing, origin, direction = _place(reader)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    grid = grid_of(path, _LPS @ affine, "millimeter")
    if placed:
        return grid
    unit = None if set(grid.spacing) == {1.0} else grid.unit  # the default of the library
    return Grid(axes=VOLUME_AXES, spacing=grid.spacing, unit=unit)


def _open_series(folder: Path) -> tuple[Any, VolumeHeader]:
    sitk, stored = _sitk(), 0
    for path in sorted(folder.iterdir()):  # the library opens every file of the folder
        if not (path.is_file() or path.is_dir() or path.name.startswith(".")):
            got = f"a pipe, device, socket or broken link, `{printable(path.name)}`"
            raise BadImage("a folder of files", got, "Remove it.", folder)
        _check_name(path)
        if path.is_file() and not path.name.startswith("."):
            check_lengths(path)
            stored += _is_dicom(path) and path.name != "DICOMDIR"
    with decoding(folder, "DICOM"):
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not 0 < len(series) <= _MAX_SERIES:
        raise BadImage("one DICOM series", f"{len(series)} in the folder", _ONE_SERIES, folder)
    with decoding(folder, "DICOM"):
        files = [sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), each) for each in series]
    found = [[(name, _reader(Path(name), "DICOM")) for name in names] for names in files]
    without = [[(name, reader) for name, reader in slices if not _is_localizer(reader)] for slices in found]
    whole = [slices for slices in (without if any(without) else found) if slices]
    if len(whole) != 1:
        raise BadImage("one DICOM series", f"{len(whole)} in the folder", _ONE_SERIES, folder)
    names, readers = [name for name, _ in whole[0]], [reader for _, reader in whole[0]]
    localizers = sum(map(len, found)) - len(names)
    channels, (width, height, deep), itemsize, dtype = _sizes(folder, readers[0])
    if deep != 1 or any(reader.GetSize() != readers[0].GetSize() for reader in readers):
        raise BadImage("slices of one size", "different sizes, or several slices in a file", _ONE_SERIES, folder)
    if any(_differ(reader, readers[0]) for reader in readers):
        got = "slices of different spacing, direction or type"
        raise BadImage("one geometry and one type of samples in a series", got, _ONE_SERIES, folder)
    shape = channels, len(names), height, width
    check_volume(folder, shape, itemsize, sum(Path(name).stat().st_size for name in names))
    affine = _series_affine(folder, readers)
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(names)
    others = stored - sum(map(len, found))
    left_out = [
        (others, f"{pluralise(others, 'file')} of the folder without an image left out"),
        (localizers, f"{pluralise(localizers, 'localizer')} left out"),
    ]
    notes = tuple(text for count, text in left_out if count)
    grid = grid_of(folder, affine, "millimeter")
    return reader, VolumeHeader(format="DICOM", shape=shape, dtype=dtype, grid=grid, warnings=notes)


def _is_localizer(reader: Any) -> bool:
    """Return whether a slice is a scout view, in another plane than the volume: a value of Image Type says so."""
    key = "0008|0008"
    return reader.HasMetaDataKey(key) and "LOCALIZER" in str(reader.GetMetaData(key)).upper()


def _differ(one: Any, other: Any) -> bool:
    """Return whether two slices differ in spacing, direction, or the type of their samples."""
    if (one.GetPixelID(), one.GetNumberOfComponents()) != (other.GetPixelID(), other.GetNumberOfComponents()):
        return True
    first, second = ([*slice_.GetSpacing()[:2], *slice_.GetDirection()] for slice_ in (one, other))
    return not np.allclose(first, second, rtol=0, atol=_SAME)


@np.errstate(over="ignore", invalid="ignore")  # of positions near the largest numbers, which are refused
def _series_affine(folder: Path, readers: Sequence[Any]) -> np.ndarray:
    """Return the matrix of a series in RAS+, from the positions of its slices, which must be evenly spaced."""
    spacing, origin, direction = _place(readers[0])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, origin
    if len(readers) > 1:
        places = np.array([_place(reader)[1] for reader in readers])
        steps = np.diff(places, axis=0)
        mean = steps.mean(0)
        if np.abs(steps - mean).max() > _UNEVEN * max(float(np.linalg.norm(mean)), 1e-6):
            gaps = np.linalg.norm(steps, axis=1)
            got = f"distances from {gaps.min():.4g} to {gaps.max():.4g} mm"
            raise BadImage("evenly spaced slices of a series", got, "Add the missing slices.", folder)
        affine[:3, 2] = mean
    return _LPS @ affine
