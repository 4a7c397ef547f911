"""The entry point for volumes: what a file or folder is, its header, its samples."""

from collections.abc import Callable
from pathlib import Path

from pixelwise.io.volumes.itk import is_dicom_series, read_itk, read_itk_header
from pixelwise.io.volumes.nifti import read_nifti, read_nifti_header
from pixelwise.io.volumes.volume import Volume, VolumeHeader
from pixelwise.io.volumes.zarr import is_zarr_volume, read_zarr_header, read_zarr_volume

FILE_FORMATS = ("NIfTI", "NRRD", "MetaImage", "DICOM")
"""Formats of `headers.open_image_file` that are volumes."""


def folder_format(path: Path) -> str | None:
    """Return the format of a folder that is one volume: "OME-Zarr" or "DICOM"; None for any other path.

    Raises
    ------
    BadImage
        A zarr store without a readable image.
    """
    try:
        if not path.is_dir():
            return None
        if is_zarr_volume(path):
            return "OME-Zarr"
        return "DICOM" if is_dicom_series(path) else None
    except PermissionError:  # who opens it is refused with the reason
        return None


def read_volume_header(path: Path, kind: str) -> VolumeHeader:
    """Read the header of a volume of format `kind`.

    Raises
    ------
    BadImage
        It is damaged, hostile, or no volume.
    BadOption
        The package that reads the format is not installed.
    """
    return _HEADERS[kind](path)


def read_volume(path: Path, kind: str) -> Volume:
    """Read a volume of format `kind`; see `read_volume_header`."""
    return _READERS[kind](path)


_HEADERS: dict[str, Callable[[Path], VolumeHeader]] = {
    "NIfTI": read_nifti_header,
    "NRRD": lambda path: read_itk_header(path, "NRRD"),
    "MetaImage": lambda path: read_itk_header(path, "MetaImage"),
    "DICOM": lambda path: read_itk_header(path, "DICOM"),
    "OME-Zarr": read_zarr_header,
}
_READERS: dict[str, Callable[[Path], Volume]] = {
    "NIfTI": read_nifti,
    "NRRD": lambda path: read_itk(path, "NRRD"),
    "MetaImage": lambda path: read_itk(path, "MetaImage"),
    "DICOM": lambda path: read_itk(path, "DICOM"),
    "OME-Zarr": read_zarr_volume,
}
