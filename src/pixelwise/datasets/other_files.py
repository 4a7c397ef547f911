"""Describe the files of a data set that are neither images nor annotations that can be read, with what to do."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from pixelwise.errors import BadImage, printable
from pixelwise.io.array_paths import ARRAY_KINDS
from pixelwise.io.arrays.read import StoredArray, list_arrays
from pixelwise.io.read import is_volume_folder
from pixelwise.text import pluralise

_KINDS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((".dcm",), "Put the slices of each volume into a folder of its own."),
    ((".mgz", ".mgh", ".img", ".hdr"), "Save the volumes as NIfTI (.nii.gz)."),
    ((".npz", ".npy", ".h5", ".hdf5", ".hdf", ".mat"),
      "Name the arrays `images` and `masks`, with one image or a stack (images, height, width) in each."),
    ((".pkl", ".pt", ".parquet", ".tfrecord"),
     "Save each image and each mask of the arrays as a TIFF or PNG of its own."),
    ((".czi", ".nd2", ".lif", ".oib", ".oif", ".vsi", ".svs", ".ndpi", ".mrxs", ".scn", ".ims"),
     "Export them as TIFF, such as with Bio-Formats or QuPath."),
    ((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"), "Unpack them first."),
    ((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg"),
      "Put masks beside them, masks/NAME.mp4 or masks/NAME/0000.png, or export their frames as PNG."),
    ((".heic", ".heif", ".exr", ".dng", ".cr2", ".nef", ".arw", ".psd", ".svg", ".pdf"),
     "Save them as PNG or TIFF."),
)  # fmt: skip
# images of cameras and microscopes; libheif for HEIC comes with encoders under the GPL
_UNREAD = tuple(end for endings, _ in _KINDS if {".heic", ".czi"} & set(endings) for end in endings)
_BOXES = frozenset(("xmin", "x_min", "bbox", "x1", "left", "xtl", "bbox_x"))
_ARRAYS = 6  # that a message lists
_READ = 1 << 16  # bytes of an annotation file
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".tar.xz", ".tar.bz2")
# programs whose exports are refused: words at the start of these, each alternative of all its words, and what helps
_PROGRAMS: dict[str, tuple[tuple[tuple[str, ...], ...], str]] = {
    "Hasty": (
        (('"export_format_version"', '"label_classes"'),),
        "export COCO instead, or semantic or instance segmentation as PNG",
    ),
    "Labelbox": (
        (('"data_row"', '"projects"'), ('"DataRow ID"', '"Labeled Data"')),
        "its masks are on a server; download them as PNG, or convert the outlines to COCO",
    ),
}
_MASK_NAME = re.compile(r"mask|label|annot|seg|gt|truth", re.IGNORECASE)
_ANNOTATIONS = (
    ".xml",
    ".json",
    ".ndjson",
    ".geojson",
    ".mat",
    ".npy",
    ".npz",
    ".h5",
    ".csv",
    ".roi",
    ".txt",
    ".pkl",
    ".shp",
)


def describe_without_images(names: Sequence[str]) -> tuple[str, str]:
    """Return what a folder without images contains, and a hint.

    Examples
    --------
    >>> describe_without_images(["train.npz", "val.npz", "README"])
    ('2 .npz files', 'Name the arrays `images` and `masks`, with one image or a stack (images, height, width) in each.')
    """
    for endings, hint in _KINDS:
        counts = Counter(end for name in names if (end := _ending(name, endings)) and not name.startswith("."))
        if counts:
            ending, count = counts.most_common(1)[0]
            return pluralise(count, f"{ending} file"), hint
    return f"none among {pluralise(len(names), 'file')}", "Check the path."


def describe_arrays(root: Path) -> tuple[str, str] | None:
    """Return what the first array file with several arrays contains, and the flags that say which are the masks.

    None if there is no such file.
    """
    for path in sorted(root.rglob("*")):
        if path.suffix.casefold() not in ARRAY_KINDS:
            continue
        try:
            arrays = list_arrays(path)
        except BadImage:
            continue
        if len(arrays) > 1:
            names = [printable(array.path.relative_to(path).as_posix()) for array in arrays]
            sizes = [" x ".join(map(str, array.shape)) for array in arrays]
            shown = ", ".join(f"{name} ({size})" for name, size in zip(names[:_ARRAYS], sizes, strict=False))
            more = f" and {len(names) - _ARRAYS} more" if len(names) > _ARRAYS else ""
            mask, image = min(arrays, key=_marks), max(arrays, key=_marks)
            evident = len(arrays) == 2 and _marks(mask) < _marks(image)
            given = [quote(one.path.relative_to(path).as_posix()) if evident else "NAME" for one in (image, mask)]
            hint = f"Say which are the images and the masks: --images {given[0]} --masks {given[1]}."
            return f"{printable(path.relative_to(root).as_posix())} with the arrays {shown}{more}", hint
    return None


def _marks(array: StoredArray) -> tuple[int, bool]:
    """Return what is smaller for masks than for their images: masks have no channels, or two values."""
    return len(array.shape), array.dtype.kind != "b"


def describe_unread_annotations(root: Path) -> str:
    """Return a sentence on files beside images that may be annotations but have no known format; empty if none."""
    paths = sorted(path for path in root.rglob("*.*") if not path.name.startswith(".") and path.is_file())
    counts = Counter(end for path in paths if (end := _ending(path.name, (*_ANNOTATIONS, *_ARCHIVES))))
    if not counts:
        return ""
    ending, count = counts.most_common(1)[0]
    first = next(path for path in paths if path.name.casefold().endswith(ending))
    archive = next((path for path in paths if path.name.casefold().endswith(_ARCHIVES)), None)
    if archive is not None and _MASK_NAME.search(archive.name):
        return f"{printable(archive.relative_to(root))} is an archive: unpack it, or give its masks as a folder."
    shapes = next((path for path in paths if path.suffix.casefold() == ".shp"), None)
    if shapes is not None:
        name = printable(shapes.relative_to(root))
        return f"{name} is a shapefile: save it as GeoPackage (.gpkg) or GeoJSON, such as with QGIS or ogr2ogr."
    for program, (words, hint) in _PROGRAMS.items():
        if ending in (".json", ".ndjson") and _has_words(first, words):
            return f"{printable(first.relative_to(root))} is an export of {program}: {hint}."
    files = f"{pluralise(count, f'{ending} file')} ({printable(first.relative_to(root))})"
    if ending == ".xml" and _has_boxes(first):
        return f"{files} {'has' if count == 1 else 'have'} boxes alone, which cannot train a segmentation."
    if ending == ".csv" and _has_columns_of_boxes(first):
        return f"{files} {'has' if count == 1 else 'have'} boxes alone, which cannot train a segmentation."
    return f"{files} {'has' if count == 1 else 'have'} no format that can be read: export masks as PNG, or COCO."


def describe_unread_images(names: Sequence[str]) -> str:
    """Return a sentence on files that may be the images but cannot be read, such as HEIC; empty if there are none.

    Parameters
    ----------
    names : sequence of str
        Names of all files.

    Examples
    --------
    >>> describe_unread_images(["IMG_1.HEIC", "IMG_2.HEIC", "1.png"])
    '2 .heic files (IMG_1.HEIC) cannot be read: save them as PNG or TIFF.'
    """
    counts = Counter(end for name in names if (end := _ending(name, _UNREAD)) and not name.startswith("."))
    if not counts:
        return ""
    ending, count = counts.most_common(1)[0]
    first = next(name for name in names if name.casefold().endswith(ending))
    hint = next(hint for endings, hint in _KINDS if ending in endings)
    return f"{pluralise(count, f'{ending} file')} ({printable(first)}) cannot be read: {hint[0].lower()}{hint[1:]}"


def describe_slices(images: Sequence[Path]) -> str:
    """Return a sentence on planes beside volumes, which may be the masks of their slices; empty if there are none."""
    volumes = sum(is_volume_folder(path) for path in images)
    if not 0 < volumes < len(images):
        return ""
    series, planes = pluralise(volumes, "DICOM series", "DICOM series"), pluralise(len(images) - volumes, "image")
    hint = "masks of slices are read if those of each series are saved as one volume, such as .nii.gz"
    return f"{series} and {planes}: {hint}."


def _has_words(path: Path, alternatives: Sequence[Sequence[str]]) -> bool:
    """Return whether the start of a file has all words of one of the alternatives."""
    try:
        with path.open("rb") as file:
            text = file.read(_READ).decode("utf-8", "replace")
    except OSError:
        return False
    return any(all(word in text for word in words) for words in alternatives)


def _has_boxes(path: Path) -> bool:
    """Return whether an annotation file of Pascal VOC has boxes."""
    try:
        with path.open("rb") as file:
            return b"<bndbox>" in file.read(_READ)
    except OSError:
        return False


def _has_columns_of_boxes(path: Path) -> bool:
    """Return whether the header of a table names the corners of boxes."""
    try:
        with path.open("rb") as file:
            header = file.read(_READ).partition(b"\n")[0].decode("utf-8", "replace").casefold()
    except OSError:
        return False
    return bool(_BOXES & {word.strip(' "\r') for word in header.replace(";", ",").split(",")})


def _ending(name: str, endings: Sequence[str]) -> str:
    return next((end for end in sorted(endings, key=len, reverse=True) if name.casefold().endswith(end)), "")
