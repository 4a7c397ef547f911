"""Write label images of any size tile by tile, resumable and atomic.

A tiled BigTIFF is written to a temporary file (`tiled_writer`), its directories last (`bigtiff`). OME-Zarr is written
from such tiles when all are complete (`zarr_write`).
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


def check_format(format: str) -> None:
    """Raise `BadOption` if a format cannot be written.

    Raises
    ------
    BadOption
        The format is unknown, or its library is not installed.
    """
    if format not in _SUFFIXES:
        raise BadOption("a format of tiff or zarr", f"`{format}`", "Give --format tiff or --format zarr.")
    if format == "zarr":
        zarr_library()


def result_path(folder: Path, name: str, format: Format) -> Path:
    """Return the path of the result called `name`."""
    return folder / f"{name}{_SUFFIXES[format]}"


def finish(tiles: TileFile, format: Format, metadata: PixelMetadata) -> Path:
    """Convert a completely written label image to its final format and name.

    Returns
    -------
    Path
        The BigTIFF, or the folder of the OME-Zarr image.

    Raises
    ------
    OutputFailed
        The file cannot be written; the tiles are kept, and the next process tries again.
    """
    if format == "tiff":
        finish_tiff(tiles, metadata)
    else:
        write_zarr(tiles.path, tiles.layout, tiles.read, metadata)
        tiles.discard()
    return tiles.path
