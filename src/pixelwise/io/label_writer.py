"""Where label images of any size go: tile by tile, continued after a kill, whole or not there at all.

A tiled BigTIFF grows in its own place (`tiled_writer`) and gets its directories at the end (`bigtiff`).
OME-Zarr is written from such tiles in one go when they are all there (`zarr_write`).
"""

from pathlib import Path
from typing import Literal

from pixelwise.errors import BadOption
from pixelwise.io.bigtiff import finish_tiff
from pixelwise.io.tiled_writer import Compression, TiledLayout, TileFile, Window
from pixelwise.io.zarr import zarr_library
from pixelwise.io.zarr_write import PixelMetadata, write_zarr

__all__ = [
    "Compression",
    "Format",
    "PixelMetadata",
    "TileFile",
    "TiledLayout",
    "Window",
    "check_format",
    "finish",
    "result_path",
]

Format = Literal["tiff", "zarr"]
_SUFFIXES: dict[str, str] = {"tiff": ".tif", "zarr": ".ome.zarr"}


def check_format(form: str) -> None:
    """Refuse a format that cannot be written here, before any work.

    Raises
    ------
    BadOption
        Unknown, or its library is not installed.
    """
    if form not in _SUFFIXES:
        raise BadOption("a format of tiff or zarr", f"`{form}`", "Give --format tiff or --format zarr.")
    if form == "zarr":
        zarr_library()


def result_path(folder: Path, name: str, form: Format) -> Path:
    """Return the place of the result called `name`."""
    return folder / f"{name}{_SUFFIXES[form]}"


def finish(tiles: TileFile, form: Format, meaning: PixelMetadata) -> Path:
    """Give a label image, all of whose windows are written, its final form and name.

    Returns
    -------
    Path
        The BigTIFF, or the folder of the OME-Zarr image.

    Raises
    ------
    OutputFailed
        The place cannot be written; the tiles stay, and the next process tries again.
    """
    if form == "tiff":
        finish_tiff(tiles, meaning.spacing, meaning.palette)
    else:
        write_zarr(tiles.path, tiles.layout, tiles.read, meaning)
        tiles.discard()
    return tiles.path
