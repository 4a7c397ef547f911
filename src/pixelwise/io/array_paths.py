"""Paths of images inside array files: the file, the array in it, and the position of the image in a stack.

``images.npy``, ``images.npy/12``, ``train.npz/images/12``, ``scan.h5/volume/raw/12``, ``stack.tif/12``, ``film.mp4/12``
and ``film.gif/12`` are such paths.
"""

from pathlib import Path
from typing import Literal, NamedTuple

ArrayKind = Literal["NPY", "NPZ", "HDF5", "MAT", "TIFF pages", "frames"]
ARRAY_KINDS: dict[str, ArrayKind] = {
    ".npy": "NPY", ".npz": "NPZ", ".h5": "HDF5", ".hdf5": "HDF5", ".hdf": "HDF5", ".mat": "MAT"
}  # fmt: skip
PAGES: ArrayKind = "TIFF pages"  # of ``stack.tif/12``; a path that ends at the file is an image
FRAMES: ArrayKind = "frames"  # of videos and animated pictures
_TIFF = (".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
ANIMATED = (".gif", ".png", ".apng", ".webp")


class ArrayPath(NamedTuple):
    """An array file, its format, and the path inside it."""

    file: Path
    kind: ArrayKind
    inner: tuple[str, ...]


def parse_array_path(path: Path) -> ArrayPath | None:
    """Return the parts of a path to or into an array file; None for other paths.

    >>> parse_array_path(Path("images/a.png"))
    """
    text = str(path).casefold()
    for parent in (path, *path.parents) if any(suffix in text for suffix in ARRAY_KINDS) else ():
        kind = ARRAY_KINDS.get(parent.suffix.casefold())
        if kind is not None and parent.is_file():
            return ArrayPath(parent, kind, path.relative_to(parent).parts)
    if path.name.isdecimal() and path.parent.suffix and path.parent.is_file():
        ending = path.parent.suffix.casefold()
        stack = PAGES if ending in _TIFF else FRAMES if ending in (*VIDEOS, *ANIMATED) else None
        return None if stack is None else ArrayPath(path.parent, stack, (path.name,))
    return None
