"""ilastik: ``NAME_Simple Segmentation.EXT``, an image or HDF5, beside each image, with labels from 1.

Source: ilastik documentation, "Data Export": the simple segmentation has the number of the label of each pixel.
"""

import re
from dataclasses import replace
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.formats.image_index import ImageIndex
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.layouts.suffixed_masks import find_suffixed_masks
from pixelwise.datasets.options import DataOptions
from pixelwise.io.arrays.read import list_arrays
from pixelwise.io.volumes.names import stem_of

_MASKS = ("_Simple Segmentation", "-Simple Segmentation", "_Simple_Segmentation", "_simple-segmentation")
_OUTPUTS = ("_Probabilities", "-Probabilities", "_Uncertainty", "_Features", "_Labels")
_HDF5 = (".h5", ".hdf5")
_SEGMENTATION = re.compile(r"(?i)[_-]simple[ _-]segmentation$")


def recognise(root: Path) -> bool:
    """Return whether a folder contains simple segmentations of ilastik beside their images."""
    if not any(_SEGMENTATION.search(path.stem) for path in find_files(root, "")):
        return False
    return any(image.annotation is not None for image in _images(root))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the simple segmentations beside the images; every pixel has a label, and there is no 0.

    Raises `BadDataset` if several images fit equally well.
    """
    text = "ilastik simple segmentations: labels are numbered from 1, in the order of the project (--classes)."
    return AnnotatedSet(format="ilastik", images=_images(root), instances=options.task == "instance", messages=(text,))


def _images(root: Path) -> tuple[AnnotatedImage, ...]:
    """Return the images with their segmentations: images, or else the first array of an HDF5 file."""
    images = find_suffixed_masks(ImageIndex(root), _MASKS, _OUTPUTS).images
    return tuple(
        image if image.annotation is not None else replace(image, annotation=_array(image)) for image in images
    )


def _array(image: AnnotatedImage) -> MaskFile | None:
    names = (f"{stem_of(image.image)}{ending}{kind}" for ending in _MASKS for kind in _HDF5)
    path = next((path for name in names if (path := image.image.with_name(name)).is_file()), None)
    arrays = list_arrays(path) if path is not None else ()
    return MaskFile(path=arrays[0].path) if arrays else None
