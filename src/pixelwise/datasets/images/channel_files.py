"""Images stored as one file per channel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pixelwise.errors import BadImage
from pixelwise.io.read import Image, ReadOptions, read_image
from pixelwise.text import pluralise


def read_stored(
    image: Path,
    channel_files: Sequence[Path] = (),
    pages: int | None = None,
    *,
    channels: int | None = None,
    size: tuple[int, int] | None = None,
    options: ReadOptions | None = None,
    interleaved: bool = False,
) -> Image:
    """Read an image as it is stored: one file, or one file per channel.

    Parameters
    ----------
    channel_files : sequence of Path
        Files of one channel each, in order; if empty, `image` has all channels.
    pages : int, optional
        Number of TIFF pages that are channels of one image.
    channels, size, options, interleaved : optional
        Of `io.read.read_image`.

    Returns
    -------
    Image
        Channels of different types are converted to one that holds the values of all.

    Raises
    ------
    BadImage
        A file cannot be read; a file has several channels, or another size than the first.
    """
    if not channel_files:
        return read_image(image, pages=pages, channels=channels, size=size, options=options, interleaved=interleaved)
    planes = [read_image(path, pages=pages, options=options) for path in channel_files]
    first = planes[0].pixels.shape[1:]
    for path, channel in zip(channel_files, planes, strict=True):
        count, *sides = channel.pixels.shape
        if count != 1:
            hint = "Save one file per channel, or all channels in one file."
            raise BadImage("one channel per file", pluralise(count, "channel"), hint, path)
        if tuple(sides) != first:
            hint = "Export all channels of an image at one size."
            expected, got = (" x ".join(map(str, each)) for each in (first, sides))
            raise BadImage(f"{expected}, as {channel_files[0].name}", got, hint, path)
        _check_grid(channel, planes[0], path, channel_files[0])
    warnings = dict.fromkeys(warning for channel in planes for warning in channel.warnings)
    pixels = np.concatenate([channel.pixels for channel in planes])
    return replace(planes[0], pixels=pixels, warnings=tuple(warnings))


def _check_grid(channel: Image, first: Image, path: Path, first_path: Path) -> None:
    """Check that the volumes of two channels lie on one another."""
    if channel.grid is not None and first.grid is not None:
        text = first.grid.difference(channel.grid, first.pixels.shape[1:])
        if text:
            raise BadImage(f"the grid of {first_path.name}", text, "Resample the channels onto one grid.", path)
