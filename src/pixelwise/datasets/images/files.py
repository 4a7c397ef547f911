"""Find the image files of a folder and all folders below it.

What has the name of an image but cannot be read (a pipe, a link to nothing, an empty folder `a.png`), and folders
without permission, are listed too: reading them fails with the reason, so that they are reported like damaged files.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.folder_layout import check_folder, is_image_name
from pixelwise.datasets.naming.folder_names import IMAGE_WORDS, SYSTEM_FOLDERS, natural_key
from pixelwise.errors import BadDataset, printable
from pixelwise.io.array_paths import VIDEOS, parse_array_path
from pixelwise.io.arrays.frames import count_frames
from pixelwise.io.arrays.read import image_axes, list_arrays
from pixelwise.io.read import SUFFIXES, is_volume_folder
from pixelwise.io.zarr import is_zarr
from pixelwise.text import pluralise

_SHOWN = 4  # kinds of other files that are named


def find_images(path: Path, excluded: Path | None = None) -> list[Path]:
    """Return the images of a path: the file itself, or those in the folder and all folders below it, in natural order.

    Of an array file (NPY, NPZ, HDF5) or of an array in one, these are its images, each as a path into the file; of a
    video its frames.
    Hidden files and folders are left out, and so is the folder `excluded`. Folders that may not be read are listed.

    Raises
    ------
    BadDataset
        The path does not exist, or contains no image; or an array file has several arrays.
    BadImage
        An array file or a video cannot be read, or the package for videos is missing.
    """
    if parse_array_path(path) is not None:
        return _array_images(path)
    if path.suffix.casefold() in VIDEOS and path.is_file():
        count = count_frames(path)
        return [path / f"{index:0{len(str(count - 1))}}" for index in range(count)]
    if _is_image_folder(path) or (is_image_name(path.name) and not path.is_dir() and os.path.lexists(path)):
        return [path]
    if not path.exists():
        raise BadDataset("an image or a folder of images", "a path that does not exist", "Check the path.", path)
    check_folder(path)
    images = [file for file in _walk(path, excluded) if _is_listed(file)]
    if not images:
        video = next((file for file in _walk(path, excluded) if file.suffix.casefold() in VIDEOS), None)
        hint = "Check the path." if video is None else f"Name the video itself, such as {printable(video.name)}."
        raise BadDataset(f"images ({', '.join(SUFFIXES)})", "none" if video is None else "videos", hint, path)
    return sorted(images, key=lambda inner: natural_key(str(inner.relative_to(path))))


def _array_images(path: Path) -> list[Path]:
    """Return the images of an array file, or of the array in it that a path names."""
    place = parse_array_path(path)
    arrays = [array for array in list_arrays(path) if array.path == path or (place is not None and path == place.file)]
    if len(arrays) > 1:
        named = [array for array in arrays if IMAGE_WORDS & set(re.split(r"[^0-9a-z]+", array.path.name.casefold()))]
        if len(named) != 1:
            names = [printable(array.path.name) for array in arrays]
            shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            raise BadDataset("one array of images", shown, f"Name one of them: {path.name}/{names[0]}.", path)
        arrays = named
    if not arrays or image_axes(arrays[0].shape) is not None or image_axes(arrays[0].shape[1:]) is None:
        return [arrays[0].path if arrays else path]
    return [arrays[0].path / str(index) for index in range(arrays[0].shape[0])]


def describe_folders(folders: Sequence[Path], excluded: Path | None = None) -> list[str]:
    """Return messages about images in sub-folders, and about files that are left out because they are no images."""
    messages: list[str] = []
    for folder in (folder for folder in folders if folder.is_dir() and not _is_image_folder(folder)):
        files = _walk(folder, excluded)
        images = [file for file in files if _is_listed(file)]
        nested = sum(file.parent != folder for file in images)
        if nested and nested < len(images):
            found = pluralise(nested, "image in sub-folders is", "images in sub-folders are")
            messages.append(f"{folder.name}: {found} predicted too.")
        others = Counter(file.suffix.casefold() or file.name for file in files if file not in set(images))
        if others:
            kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(_SHOWN))
            more = ", ..." if len(others) > _SHOWN else ""
            messages.append(f"{folder.name}: left out {pluralise(others.total(), 'file')} ({kinds}{more}).")
    return messages


def _walk(folder: Path, excluded: Path | None) -> list[Path]:
    """Return all visible files below a folder, and folders: images, and those that are `_is_listed`."""
    found: list[Path] = []
    barred: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=lambda error: barred.append(Path(error.filename))):
        visible = (name for name in folders if not (name.startswith(".") or name.casefold() in SYSTEM_FOLDERS))
        inner = [Path(place, name) for name in visible]
        images = [path for path in inner if _is_image_folder(path)]
        kept = [path.name for path in inner if path not in images and not _is_same(path, excluded)]
        folders[:] = sorted(kept)
        found += [*images, *(Path(place, name) for name in files if not name.startswith("."))]
        if is_image_name(Path(place).name) and place != str(folder) and not (files or folders or images):
            found.append(Path(place))
    return [*found, *barred]


def _is_listed(path: Path) -> bool:
    """Return whether a path found by `_walk` is an image by its name, or a folder, which is an image or unreadable."""
    return is_image_name(path.name) or path.is_dir()


def _is_image_folder(path: Path) -> bool:
    """Return whether a folder is one image: OME-Zarr, or a DICOM series."""
    return is_zarr(path) or is_volume_folder(path)


def _is_same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()
