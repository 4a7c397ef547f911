"""Images in an object store: which there are, their sizes, and copies of them while a unit is computed.

OME-Zarr is read where it is, a chunk at a time. Other files are copied, predicted and removed, a unit at a time.
"""

import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pixelwise.datasets.folder_layout import is_image_name
from pixelwise.datasets.naming.folder_names import natural_key
from pixelwise.errors import BadDataset, PixelwiseError
from pixelwise.io.headers import ZARR_MARKERS
from pixelwise.io.object_store import address, fetch_object, find_object, is_remote, list_objects, read_object
from pixelwise.io.read import SUFFIXES
from pixelwise.io.zarr import ZarrPlanes, is_zarr
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.prediction.masks import Size, image_size

_HEAD = 1 << 16  # bytes in which the header of most images lies
_HEAD_FIRST = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")  # formats that begin with their size

Row = list[Any]  # name, path, size, stamps


def find_remote_images(path: Path) -> list[Path]:
    """Return the images at an address: the object itself, or those below it, in natural order.

    Raises
    ------
    BadDataset
        There are none.
    BadImage
        The store does not answer.
    """
    if is_zarr(path) or (is_image_name(path.name) and find_object(path) is not None):
        return [path]
    names = [entry.path.relative_to(path) for entry in list_objects(path)]
    names = [name for name in names if not any(part.startswith(".") for part in name.parent.parts)]
    stores = _outermost({name.parent for name in names if name.name in ZARR_MARKERS})
    images = {name for name in names if is_image_name(name.name) and not name.name.startswith(".")}
    outside = {name for name in images if not stores & set(name.parents)}
    if not (stores or outside):
        raise BadDataset(f"images ({', '.join(SUFFIXES)})", "none", "Check the address.", address(path))
    return [path / name for name in sorted(stores | outside, key=lambda name: natural_key(str(name)))]


def remote_stamps(path: Path) -> list[list[int | str]]:
    """Return size and mark of the content of an image; of an OME-Zarr image those of its metadata."""
    files = [path / name for name in ("zarr.json", ".zattrs")] if is_zarr(path) else [path]
    found = [entry for file in files if (entry := find_object(file)) is not None]
    return [[entry.size, entry.mark] for entry in found]


def remote_size(path: Path, model_card: ModelCard) -> Size:
    """Return the size of an image, from its header where it begins with one; zeros if it is unusable."""
    if is_zarr(path):
        try:
            return ZarrPlanes(path).shape[1:]
        except PixelwiseError:
            return (0, 0)
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as folder:
        copy = Path(folder) / path.name
        try:
            if path.suffix.casefold() in _HEAD_FIRST:
                copy.write_bytes(read_object(path, _HEAD))
                if min(size := image_size(copy, model_card)):
                    return size
            fetch_object(path, copy)
        except PixelwiseError:
            return (0, 0)
        return image_size(copy, model_card)


@contextmanager
def local_copies(rows: Sequence[Row], folder: Path) -> Generator[dict[str, str], None, None]:
    """Copy the images of a unit that must be files into a folder, which is removed; yield their paths by their address.

    Raises
    ------
    BadImage
        The store does not answer.
    OSError
        The disk is full.
    """
    remote = [row[1] for row in rows if is_remote(row[1]) and not is_zarr(Path(row[1]))]
    copies = {path: str(folder / str(number) / Path(path).name) for number, path in enumerate(remote)}
    try:
        for path, copy in copies.items():
            fetch_object(Path(path), Path(copy))
        yield copies
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _outermost(folders: set[Path]) -> set[Path]:
    """Return folders that are in no other one: an OME-Zarr image consists of groups and arrays."""
    return {folder for folder in folders if not folders & set(folder.parents)}
