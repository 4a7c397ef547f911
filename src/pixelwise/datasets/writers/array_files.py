"""Write images and labels as arrays: NPY files in folders, or an HDF5 file per image."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from pixelwise.datasets.writers.image_files import save_image, with_suffix, write_file
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.mask_folders import numbers_of, write_description
from pixelwise.errors import BadDataset, BadOption
from pixelwise.io.arrays.read import MAX_CHANNELS


def write_npy(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]images/NAME.npy`` and ``[split/]masks/NAME.npy``, and the class table of `write_folders`.

    Axes are (height, width) or (height, width, channels). Images of more channels are TIFF files.
    """

    def write(image: LabelledImage) -> int:
        labels, ignored = numbers_of(data, image)
        if len(image.pixels) > MAX_CHANNELS:
            save_image(image, out / image.path("images"), (".tif", ".tiff"))
        else:
            write_file(out / with_suffix(image.path("images"), ".npy"), _npy_bytes(_channels_last(image)))
        write_file(out / with_suffix(image.path("masks"), ".npy"), _npy_bytes(labels))
        return ignored

    write_description(data, out, max(data.map(write), default=0))
    return ()


def write_hdf5(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]NAME.h5`` with the arrays ``raw`` and ``label``, as PlantSeg and ilastik name them.

    Raises
    ------
    BadDataset
        More than 4 channels.
    BadOption
        `h5py` is not installed.
    """
    save = _hdf5_writer()

    def write(image: LabelledImage) -> int:
        if len(image.pixels) > MAX_CHANNELS:
            hint = "Use --to npy, which writes such images as TIFF."
            raise BadDataset(f"at most {MAX_CHANNELS} channels", f"{len(image.pixels)}", hint, image.source)
        labels, ignored = numbers_of(data, image)
        target = out / with_suffix(image.path(), ".h5")
        target.parent.mkdir(parents=True, exist_ok=True)
        save(target, {"raw": _channels_last(image), "label": labels})
        return ignored

    write_description(data, out, max(data.map(write), default=0))
    return ()


def _hdf5_writer() -> Callable[[Path, dict[str, np.ndarray]], None]:
    try:
        from pixelwise.io.arrays.hdf5 import write_hdf5
    except ImportError as error:
        hint = "Install it: pip install 'pixelwise[hdf5]'."
        raise BadOption("the package h5py, which writes HDF5", "none", hint) from error
    return write_hdf5


def _channels_last(image: LabelledImage) -> np.ndarray:
    return image.pixels[0] if len(image.pixels) == 1 else np.moveaxis(image.pixels, 0, -1)


def _npy_bytes(values: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()
