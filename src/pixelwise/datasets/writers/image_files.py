"""Write the image of a case: the file itself where the other program reads the same pixels from it, else a new file."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelwise.atomic_write import write_error
from pixelwise.datasets.writers.labelled_set import LabelledImage, stored_header
from pixelwise.io.read import write_image

USUAL = (".png", ".jpg", ".jpeg", ".tif", ".tiff")


def save_image(image: LabelledImage, target: Path, accepted: Sequence[str] = USUAL) -> Path:
    """Write an image; `target` has no extension.

    The file is copied if its extension is accepted, and it is one upright page without alpha and palette. Otherwise
    the pixels are written: PNG for 8 or 16 bits with 1 or 3 channels, if accepted, else TIFF.

    Returns
    -------
    Path
        The written file.

    Raises
    ------
    OutputFailed
        It cannot be written.
    """
    suffix = image.source.suffix.lower()
    if suffix in accepted and is_plain(image):
        path = with_suffix(target, suffix)
        link_or_copy(image.source, path, link=False)
        return path
    path = with_suffix(target, ".png" if ".png" in accepted and fits_png(image.pixels) else ".tif")
    write_image(path, image.pixels)
    return path


def is_plain(image: LabelledImage) -> bool:
    """Return whether every program reads the pixels of the case from its file."""
    header = stored_header(image.source)
    if header is None:
        return False
    upright = header.orientation == 1 and not header.white_is_zero
    same = (header.height, header.width) == image.pixels.shape[1:]
    channels = header.channels == len(image.pixels) or (header.channels == 1 and _is_repeated(image.pixels))
    whole = header.pages == 1 and not header.alpha and header.palette is None
    return upright and same and channels and whole and header.gray_step == 1


def _is_repeated(pixels: np.ndarray) -> bool:
    """Return whether a gray image was repeated to three channels, as it is when it is read again."""
    return len(pixels) == 3 and all(np.array_equal(pixels[0], channel) for channel in pixels[1:])


def fits_png(pixels: np.ndarray) -> bool:
    """Return whether a PNG holds these pixels without loss."""
    return pixels.dtype.name in ("uint8", "uint16") and len(pixels) in (1, 3)


def link_or_copy(source: Path, target: Path, *, link: bool) -> str:
    """Link a file, if `link` and the file system allows it, or else copy it; return "link" or "copy"."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            try:
                os.link(source.resolve(), target)
            except OSError:  # another file system, or one without links
                pass
            else:
                return "link"
        if source.is_dir():  # Zarr
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        raise write_error(target, error) from error
    return "copy"


def write_file(path: Path, content: bytes) -> None:
    """Write a file into a folder that gets its final name when all is written: no file needs to be atomic."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise write_error(path, error) from error


def with_suffix(path: Path, suffix: str) -> Path:
    """Append a suffix; unlike `Path.with_suffix` a dot in the name stays."""
    return path.with_name(path.name + suffix)
