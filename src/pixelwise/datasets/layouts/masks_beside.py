"""Find several binary masks beside each image: ``3.jpg`` with ``3_cell.png`` and ``3_nucleus.png`` in one folder."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pixelwise.datasets.naming.folder_names import MASK_SUFFIXES, has_affix, pairing_name
from pixelwise.datasets.naming.outputs import find_outputs
from pixelwise.datasets.naming.rules import boundaries
from pixelwise.errors import BadImage
from pixelwise.io.read import read_mask

MOST = 0.8  # fraction of the images that have several masks
_READ = 8  # masks, and images, whose values are read
_SMOOTH = 0.5  # fraction of the pixels with the smallest or largest value in a mask with smooth edges


def find_masks_beside(files: Sequence[Path], fewest: int = 2) -> dict[Path, list[Path]]:
    """Return the masks of each image of a folder; empty if images have not several binary masks beside them.

    Parameters
    ----------
    files : sequence of Path
        The image files of one folder.
    fewest : int
        Number of images with masks in the folder, at least; 1 in a folder per image.

    Notes
    -----
    A mask has the name of its image with something added. If one of the masks of an image is named as usual
    (``3_mask.png``), that one is its mask. Other images with longer names are not masks: their values are not binary.
    """
    outputs = {path for paths in find_outputs(files).values() for path in paths}
    names = {pairing_name(path): path for path in files if path not in outputs}
    if len(names) < len(files) - len(outputs):
        return {}  # files of one name and different endings
    masks: dict[Path, list[Path]] = defaultdict(list)
    owned: dict[Path, Path] = {}
    for name, path in names.items():
        begins = (name[:cut] for cut in reversed(boundaries(name)) if not name[cut].isalnum())
        owner = next((names[begin] for begin in begins if begin in names), None)
        if owner is not None:
            masks[owner].append(path)
            owned[path] = owner
    images = [path for path in names.values() if path not in owned]
    if any(owner in owned for owner in masks) or not _are_several(images, masks, fewest):
        return {}
    return dict(masks) if _are_binary(images, masks) else {}


def _are_several(images: Sequence[Path], masks: dict[Path, list[Path]], fewest: int) -> bool:
    """Return whether most images have several masks, none of which has a usual name for the mask of an image."""
    several = sum(len(masks.get(image, ())) > 1 for image in images)
    if len(images) < fewest or several < MOST * len(images):
        return False
    endings = Counter(_ending(image, mask) for image, own in masks.items() for mask in own)
    usual = [ending for ending in endings if any(has_affix(f"x{ending}", affix) for affix in MASK_SUFFIXES)]
    return not any(endings[ending] >= MOST * len(images) for ending in usual)


def _ending(image: Path, mask: Path) -> str:
    return pairing_name(mask)[len(pairing_name(image)) :]


def _are_binary(images: Sequence[Path], masks: dict[Path, list[Path]]) -> bool:
    """Return whether masks have two values, perhaps with smooth edges between them, and images have more."""
    of_each = [masks[image][index % len(masks[image])] for index, image in enumerate(sorted(masks))]
    return are_binary(of_each) and not all(map(_is_binary, images[:_READ]))


def are_binary(masks: Sequence[Path]) -> bool:
    """Return whether masks have two values, perhaps with smooth edges between them; some of them are read."""
    return all(map(_is_binary, masks[:: max(1, len(masks) // _READ)][:_READ]))


def _is_binary(path: Path) -> bool:
    try:
        mask = read_mask(path)
    except BadImage:
        return False
    values, counts = np.unique(mask.values, return_counts=True)
    if mask.values.ndim == 3:
        return False
    smooth = len(values) > 16 and int(counts[0] + counts[-1]) > _SMOOTH * int(counts.sum())
    return len(values) <= 2 or smooth
