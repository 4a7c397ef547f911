"""Write volumes with their label volumes: files that have the format already are copied, others keep voxels and grid.

NIfTI, NRRD and MetaImage hold the whole grid, so that a volume is stored in the order of its axes. TIFF and OME-Zarr
hold sizes of voxels alone: what is written there has the standard axes, as volumes are read.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from pixelwise.datasets.writers.image_files import link_or_copy, with_suffix, write_file
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.mask_folders import number_ignored, write_description
from pixelwise.io.read import probe, volume_format
from pixelwise.io.volumes.names import suffix_of
from pixelwise.io.volumes.nifti import compressed, is_packed
from pixelwise.io.volumes.slices import slice_files
from pixelwise.io.volumes.write import result_suffix, write_labels_like, write_volume_like
from pixelwise.io.zarr import is_zarr
from pixelwise.labels.targets import IGNORE

NIFTI = ".nii.gz"
_COPIED = {".nii.gz": "NIfTI", ".nii": "NIfTI", ".nrrd": "NRRD", ".mha": "MetaImage"}
_ALIKE = {".nii": NIFTI, ".tiff": ".tif"}
_WITHOUT_PLACE = (".tif", ".ome.zarr")
_WIDE = ("float64", "int64", "uint64")


def write_volumes(suffix: str = "") -> Callable[[LabelledSet, Path], tuple[str, ...]]:
    """Return the writer of ``[split/]images``, ``[split/]masks``, ``classes.txt`` and ``dataset.json`` in one format.

    Without a suffix each volume keeps its format; DICOM series become NIfTI.
    """

    def write_set(data: LabelledSet, out: Path) -> tuple[str, ...]:
        def write(image: LabelledImage) -> tuple[int, tuple[str, ...]]:
            image = replace(image, name=image.name.removesuffix(".ome")) if stripped else image
            saved, losses = save_volume(image, out / image.path("images"), suffix)
            ending = suffix or result_suffix(saved)
            return save_labels(data, image, with_suffix(out / image.path("masks"), ending)), losses

        # the suffix of `a.ome.zarr` is its last part
        stripped = all(case.name.endswith(".ome") for case in data.dataset.cases)
        written = list(data.map(write))
        write_description(data, out, max((ignored for ignored, _ in written), default=0))
        return data.describe_losses(losses for _, losses in written)

    return write_set


def save_volume(
    image: LabelledImage, target: Path, suffix: str = "", *, link: bool = False
) -> tuple[Path, tuple[str, ...]]:
    """Write the volume of a case; `target` has no suffix, and `suffix` chooses the format, by default its own.

    With `link` a file that has the format already is a hard link where the file system allows it.

    Returns
    -------
    (Path, tuple of str)
        The written file or folder, and a sentence for each thing that the format does not hold.

    Raises
    ------
    OutputFailed
        It cannot be written.
    """
    own = _own_suffix(image)
    if own and suffix in ("", own):
        path = with_suffix(target, own)
        link_or_copy(image.source, path, link=link)
        return path, ()
    suffix = suffix or result_suffix(image.source)
    path = with_suffix(target, suffix)
    if own == ".nii" and suffix == NIFTI:
        write_file(path, compressed(image.source.read_bytes()))
    elif _ALIKE.get(own) == suffix:
        link_or_copy(image.source, path, link=False)
    else:
        if image.grid is None:
            raise ValueError(f"{image.source} is no volume")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume_like(path, image.pixels, image.grid, _like(image, suffix))
        return path, _losses(image, suffix)
    return path, ()


def save_labels(data: LabelledSet, image: LabelledImage, path: Path) -> int:
    """Write the labels of a volume on its grid; return the value of ignored voxels, 0 if there is none."""
    if data.task == "instance":
        values, ignored = number_ignored(image.labels, data.ignored)
    else:
        values, ignored = image.labels, IGNORE
    write_label_volume(image, values, path)
    return ignored


def write_label_volume(image: LabelledImage, values: Integer[np.ndarray, "depth height width"], path: Path) -> None:
    """Write numbers from 0 on the grid of a volume; the suffix of `path` is the format."""
    if image.grid is None:
        raise ValueError(f"{image.source} is no volume")
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = next((end for end in _WITHOUT_PLACE if path.name.endswith(end)), "")
    write_labels_like(path, values, image.grid, _like(image, suffix))


def _own_suffix(image: LabelledImage) -> str:
    """Return the suffix under which the file or folder can be copied; "" if the volume has to be written anew."""
    source = image.source
    if image.channel_files and image.channel_files != (source,):
        return ""
    suffix = suffix_of(source).casefold()
    if source.is_dir():
        suffix = ".ome.zarr" if is_zarr(source) else ""
    elif slice_files(source) or (suffix not in (".tif", ".tiff") and _COPIED.get(suffix, "") != volume_format(source)):
        suffix = ""
    if not suffix:
        return ""
    if _COPIED.get(suffix) == "NIfTI":
        suffix = NIFTI if is_packed(source) else ".nii"  # whatever the name says
    info = probe(source)  # without flags, as who reads the copy
    whole = info.size == image.pixels.shape[1:] and info.channels in (1, len(image.pixels))
    return suffix if whole and (info.channels == len(image.pixels) or _is_repeated(image)) else ""


def _is_repeated(image: LabelledImage) -> bool:
    return all(np.array_equal(image.pixels[0], channel) for channel in image.pixels[1:])


def _like(image: LabelledImage, suffix: str) -> tuple[Path, str] | None:
    """Return the file whose stored grid is kept, and its format; None for the standard axes."""
    placed = image.grid is not None and image.grid.direction is not None
    if suffix in _WITHOUT_PLACE and placed:
        return None
    kind = volume_format(image.source)
    return None if kind is None else (image.source, kind)


def _losses(image: LabelledImage, suffix: str) -> tuple[str, ...]:
    grid, losses = image.grid, list[str]()
    if grid is not None and grid.direction is not None and suffix in _WITHOUT_PLACE:
        losses.append("origin and orientation are not written; the axes are those of RAS")
    if grid is not None and grid.unit is None and suffix != ".ome.zarr":
        if suffix != ".tif":
            losses.append("the size of a voxel has no unit, and will be read as millimetres")
        elif len({*grid.spacing}) > 1:
            losses.append("the size of a voxel has no unit, and is not written")
    if probe(image.source).dtype in _WIDE:
        losses.append("values of 64 bits became values of 32 bits")
    return tuple(losses)
