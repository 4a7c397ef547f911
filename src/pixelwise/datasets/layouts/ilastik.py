"""ilastik: ``NAME_Simple Segmentation.EXT`` beside each image, with labels from 1.

Source: ilastik documentation, "Data Export": the simple segmentation has the number of the label of each pixel.
"""

import re
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedSet
from pixelwise.datasets.formats.image_index import ImageIndex
from pixelwise.datasets.formats.json_content import find_files
from pixelwise.datasets.layouts.suffixed_masks import find_suffixed_masks
from pixelwise.datasets.options import DataOptions

_MASKS = ("_Simple Segmentation", "-Simple Segmentation", "_Simple_Segmentation", "_simple-segmentation")
_OUTPUTS = ("_Probabilities", "-Probabilities", "_Uncertainty", "_Features", "_Labels")
_SEGMENTATION = re.compile(r"(?i)[_-]simple[ _-]segmentation$")


def recognise(root: Path) -> bool:
    """Return whether a folder contains simple segmentations of ilastik beside their images."""
    if not any(_SEGMENTATION.search(path.stem) for path in find_files(root, "")):
        return False
    return any(image.annotation is not None for image in find_suffixed_masks(ImageIndex(root), _MASKS, _OUTPUTS).images)


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the simple segmentations beside the images; every pixel has a label, and there is no 0.

    Raises
    ------
    BadDataset
        Several images fit equally well.
    """
    found = find_suffixed_masks(ImageIndex(root), _MASKS, _OUTPUTS)
    text = "ilastik simple segmentations: labels are numbered from 1, in the order of the project (--classes)."
    return AnnotatedSet(format="ilastik", images=found.images, instances=options.task == "instance", messages=(text,))
