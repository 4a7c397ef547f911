"""Write volumes and label volumes, in the format and on the grid of their image."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, Num

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.errors import BadOption
from pixelwise.geometry.grid import Grid
from pixelwise.io.volumes.itk import itk_bytes
from pixelwise.io.volumes.names import suffix_of
from pixelwise.io.volumes.nifti import compressed, nifti_bytes
from pixelwise.io.volumes.read import read_volume_header
from pixelwise.io.volumes.stack import write_stack
from pixelwise.io.volumes.volume import VolumeHeader
from pixelwise.io.volumes.zarr import write_zarr_volume

WRITTEN = (".nii.gz", ".nii", ".nrrd", ".mha", ".tif", ".ome.zarr")
_LIKE = {".nhdr": ".nrrd", ".mhd": ".mha", ".tiff": ".tif", ".zarr": ".ome.zarr"}
_ITK = {".nrrd": "NRRD", ".mha": "MetaImage"}


class _Source(NamedTuple):
    """The file whose grid is kept, its format and its header."""

    path: Path
    kind: str
    header: VolumeHeader


def result_suffix(image: Path) -> str:
    """Return the suffix of a label volume for an image: that of its format; NIfTI for a DICOM series.

    Examples
    --------
    >>> result_suffix(Path("a.nii.gz")), result_suffix(Path("b.mhd")), result_suffix(Path("series"))
    ('.nii.gz', '.mha', '.nii.gz')
    """
    suffix = suffix_of(image).casefold()
    suffix = _LIKE.get(suffix, suffix)
    return suffix if suffix in WRITTEN else ".nii.gz"


def write_labels_like(
    path: Path,
    labels: Integer[np.ndarray, "depth height width"],
    grid: Grid,
    like: tuple[Path, str] | None = None,
) -> Path:
    """Write a label volume; its suffix is the format.

    Parameters
    ----------
    path : Path
        Ends in one of `WRITTEN`.
    labels : (depth, height, width) array of numbers from 0
        On the standard axes, as volumes are read; stored with 8 bits if the numbers fit, else 16 or 32.
    grid : Grid
        That of the image as it was read; the place of the labels if `like` is not given.
    like : (Path, str), optional
        The file of the image, and its format: the labels are stored on exactly its grid and in its orientation; where
        both files have the same format, the fields of its header are copied.

    Returns
    -------
    Path
        The written file or folder.

    Raises
    ------
    BadOption
        Negative numbers, another suffix, or labels of another size than their image.
    OutputFailed
        It cannot be written.
    """
    stored = _narrow(path, labels)
    source = None if like is None else _Source(*like, read_volume_header(*like))
    if source is not None:
        if labels.shape != source.header.turned_shape[1:]:
            got = " x ".join(map(str, labels.shape))
            expected = " x ".join(map(str, source.header.turned_shape[1:]))
            raise BadOption(f"labels of {expected} voxels", got, "Write the labels of this image.", path)
        stored, grid = source.header.grid.turn.undo(stored), source.header.grid
    _write(path, stored[None], grid, source, labels=True)
    return path


def write_volume_like(
    path: Path, samples: Num[np.ndarray, "channels depth height width"], grid: Grid, like: tuple[Path, str] | None
) -> Path:
    """Write samples such as those of an image, or probabilities; see `write_labels_like`.

    Channels are the fourth axis of NIfTI, the components of a voxel in NRRD and MetaImage, and an axis C otherwise.
    """
    source = None if like is None else _Source(*like, read_volume_header(*like))
    if source is not None:
        samples, grid = source.header.grid.turn.undo(samples), source.header.grid
    _write(path, samples, grid, source, labels=False)
    return path


def _write(
    path: Path,
    samples: Num[np.ndarray, "channels depth height width"],
    grid: Grid,
    source: _Source | None,
    *,
    labels: bool,
) -> None:
    suffix = next((end for end in WRITTEN if path.name.casefold().endswith(end)), "")
    kind = source.kind if source is not None else ""
    if suffix in (".nii", ".nii.gz"):
        like = source.path if source is not None and kind == "NIfTI" else None
        content = nifti_bytes(samples, grid, like, labels=labels)
        atomic_write_bytes(path, compressed(content) if suffix == ".nii.gz" else content)
    elif suffix in _ITK:
        same = source is not None and kind in _ITK.values()
        atomic_write_bytes(path, itk_bytes(samples, suffix, grid, (source.path, kind) if same and source else None))
    elif suffix == ".tif":
        write_stack(path, samples, grid)
    elif suffix == ".ome.zarr":
        zarr = source.path if source is not None and kind == "OME-Zarr" else None
        write_zarr_volume(path, samples, grid, zarr, labels=labels)
    else:
        raise BadOption(f"a name ending in {', '.join(WRITTEN)}", path.name, "Choose one of them.", path)


def _narrow(path: Path, labels: Integer[np.ndarray, "depth height width"]) -> Integer[np.ndarray, "depth height width"]:
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high >= 2**32:
        raise BadOption("numbers from 0 to 2^32 - 1", f"{low} to {high}", "Renumber the objects.", path)
    return labels.astype(np.uint8 if high < 256 else np.uint16 if high < 1 << 16 else np.uint32)
