"""Cityscapes: leftImg8bit and gtFine, with split and city as folders.

Cordts et al. 2016, "The Cityscapes Dataset for Semantic Urban Scene Understanding"; the table of labels is that of
cityscapesscripts/helpers/labels.py. Of the files of one image, ``_labelIds`` has the classes.
"""

from itertools import islice
from pathlib import Path

import numpy as np

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.layouts.image_folders import find_base, images_below, split_in_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Colour
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.read import read_mask
from pixelwise.text import pluralise

NAME = "Cityscapes"
_IMAGES = "leftImg8bit"
_TRUTHS = ("gtFine", "gtCoarse")
_KINDS = ("labelIds", "labelTrainIds")
_LOOKED = 100  # label files
_VOID = 6  # ids up to this one are not scored
IGNORED_TRAIN_ID = 255
# id -> name, colour; the train id of the 19 scored classes is their position among them
LABELS: dict[int, tuple[str, Colour]] = {
    0: ("unlabeled", (0, 0, 0)), 1: ("ego vehicle", (0, 0, 0)), 2: ("rectification border", (0, 0, 0)),
    3: ("out of roi", (0, 0, 0)), 4: ("static", (0, 0, 0)), 5: ("dynamic", (111, 74, 0)), 6: ("ground", (81, 0, 81)),
    7: ("road", (128, 64, 128)), 8: ("sidewalk", (244, 35, 232)), 9: ("parking", (250, 170, 160)),
    10: ("rail track", (230, 150, 140)), 11: ("building", (70, 70, 70)), 12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)), 14: ("guard rail", (180, 165, 180)), 15: ("bridge", (150, 100, 100)),
    16: ("tunnel", (150, 120, 90)), 17: ("pole", (153, 153, 153)), 18: ("polegroup", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)), 20: ("traffic sign", (220, 220, 0)), 21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)), 23: ("sky", (70, 130, 180)), 24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)), 26: ("car", (0, 0, 142)), 27: ("truck", (0, 0, 70)), 28: ("bus", (0, 60, 100)),
    29: ("caravan", (0, 0, 90)), 30: ("trailer", (0, 0, 110)), 31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)), 33: ("bicycle", (119, 11, 32)),
}  # fmt: skip
SCORED = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


def recognise(root: Path) -> bool:
    """Return whether a folder, or the only such folder in it, has leftImg8bit beside gtFine or gtCoarse."""
    return find_base(root, _has_format) is not None


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read images with their label ids. Raises `BadDataset` if no image has label ids."""
    base = find_base(root, _has_format) or root
    images: list[AnnotatedImage] = []
    found: set[str] = set()
    for path in images_below(base / _IMAGES):
        mask = _mask_of(base, path)
        parts = path.relative_to(base / _IMAGES).parts
        split = split_in_name("/".join(parts[:-1][:1]))  # train_extra is training too
        found.update(() if mask is None else (mask.stem.rpartition("_")[2],))
        images.append(
            AnnotatedImage(
                name="/".join((*parts[:-1], path.stem.removesuffix(f"_{_IMAGES}"))),
                image=path,
                annotation=None if mask is None else MaskFile(path=mask),
                split=split,
                group=parts[-2] if len(parts) > 2 else "",
            )
        )
    if len(found) != 1:
        got = "none" if not found else " and ".join(sorted(found))
        hint = "Unpack gtFine beside leftImg8bit; use one kind for all images."
        raise BadDataset("files _gtFine_labelIds.png for the images of leftImg8bit", got, hint, base)
    messages = [
        f"Masks are the files ending in _{found.copy().pop()}; other files of {_TRUTHS[0]} are not used (--masks)."
    ]
    images = _without_dummy_test(images, messages)
    table = LABELS if found.pop() == _KINDS[0] else {number: LABELS[label] for number, label in enumerate(SCORED)}
    if _KINDS[0] in messages[0]:
        messages.append("Ids 0 to 6 are classes here, although Cityscapes does not score them.")
    return AnnotatedSet(
        format=NAME,
        images=tuple(images),
        classes=tuple(name for name, _ in table.values()),
        values=tuple(table),
        colours=tuple(colour for _, colour in table.values()),
        ignore_value=IGNORED_TRAIN_ID if _KINDS[1] in messages[0] else None,
        instances=False,
        fixed_classes=True,
        messages=tuple(messages),
    )


def _has_format(folder: Path) -> bool:
    """Return whether there are images and truth; label files with other endings are those of sets such as IDD."""
    found = [folder / truth for truth in _TRUTHS if (folder / truth).is_dir()]
    if not (folder / _IMAGES).is_dir() or not found:
        return False
    masks = [path for truth in found for path in islice(truth.rglob("*.png"), _LOOKED)]
    return not masks or any(path.stem.endswith(_KINDS) for path in masks)


def _mask_of(base: Path, image: Path) -> Path | None:
    """Return the mask of an image: fine before coarse, label ids before training ids."""
    place = image.parent.relative_to(base / _IMAGES)
    stem = image.stem.removesuffix(f"_{_IMAGES}")
    paths = (base / truth / place / f"{stem}_{truth}_{kind}.png" for truth in _TRUTHS for kind in _KINDS)
    return next((path for path in paths if path.is_file()), None)


def _without_dummy_test(images: list[AnnotatedImage], messages: list[str]) -> list[AnnotatedImage]:
    """Leave out the masks of a test split whose truth is withheld: they contain void ids only."""
    test = [image for image in images if image.split == "test" and isinstance(image.annotation, MaskFile)]
    if not test or not all(
        _is_void(image.annotation.path) for image in test[:3] if isinstance(image.annotation, MaskFile)
    ):
        return images
    messages.append(f"test has {pluralise(len(test), 'image')} without truth (void only): left out.")
    return [image for image in images if image.split != "test"]


def _is_void(path: Path) -> bool:
    try:
        values = read_mask(path).values
    except BadImage:
        return False
    lowest = _VOID if path.stem.endswith(_KINDS[0]) else -1  # training ids are classes from 0 on
    return bool(np.all((values.astype(np.int64) <= lowest) | (values == IGNORED_TRAIN_ID)))
