"""TIFF stacks as volumes: the metadata of ImageJ, which Fiji, napari and Bio-Formats read with the distances of slices.

Source: ImageJ's TiffDecoder and FileInfo (the description "ImageJ=", spacing and unit).
"""

from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Num

from pixelwise.atomic_write import atomic_write
from pixelwise.geometry.grid import VOLUME_AXES, Grid
from pixelwise.io.headers import Header

_MICROMETRE = "micrometer"
_IMAGEJ_TYPES = ("uint8", "uint16", "float32")


def stack_grid(header: Header) -> Grid:
    """Return the grid of a stack of pages: micrometres if the file states them; else voxels of size 1.

    A distance of slices without a pixel size, or the other way round, is no scale.
    """
    if header.spacing is None or header.slice_spacing is None:
        return Grid(axes=VOLUME_AXES, spacing=(1.0, 1.0, 1.0))
    return Grid(axes=VOLUME_AXES, spacing=(header.slice_spacing, *header.spacing), unit=_MICROMETRE)


def write_stack(path: Path, samples: Num[np.ndarray, "channels depth height width"], grid: Grid) -> None:
    """Write a volume as a TIFF stack of ImageJ; as OME-TIFF by its name, or if ImageJ lacks the type of its numbers.

    Raises
    ------
    OutputFailed
        The file cannot be written.
    """
    millimetres = grid.millimetres
    scale = None if millimetres is None else tuple(1000 * side for side in millimetres)
    ome = samples.dtype.name not in _IMAGEJ_TYPES or ".ome" in path.suffixes
    axes, pages = ("ZYX", samples[0]) if len(samples) == 1 else ("ZCYX", samples.swapaxes(0, 1))
    distances: dict[str, object] = {} if scale is None else {"spacing": scale[0], "unit": "um"}
    atomic_write(
        path,
        lambda file: tifffile.imwrite(
            file,
            np.ascontiguousarray(pages),
            imagej=not ome,
            ome=ome,
            photometric="minisblack",
            metadata={"axes": axes, **distances} if not ome else _ome(axes, scale),
            resolution=None if scale is None or ome else (1 / scale[2], 1 / scale[1]),
        ),
    )


def _ome(axes: str, scale: tuple[float, ...] | None) -> dict[str, object]:
    """Return the metadata of OME-TIFF, whose default unit is the micrometre."""
    sizes = {} if scale is None else {f"PhysicalSize{axis}": side for axis, side in zip("ZYX", scale, strict=True)}
    return {"axes": axes, **sizes}
