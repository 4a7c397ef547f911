"""What the names of files and folders say: which part, image or mask, and which name pairs with which."""

import re
import unicodedata
from pathlib import Path
from typing import Literal

from pixelwise.datasets.records import Part

Role = Literal["image", "mask"]

PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
IMAGES = frozenset((
    "image", "images", "img", "imgs", "raw", "raws", "x", "input", "inputs", "picture", "pictures",
    "photo", "photos", "original", "originals", "jpegimages", "scan", "scans", "frame", "frames",
))  # fmt: skip
MASKS = frozenset((
    "mask", "masks", "label", "labels", "gt", "gts", "y", "annotation", "annotations", "annot",
    "annots", "target", "targets", "truth", "groundtruth", "ground_truth", "seg", "segs",
    "segmentation", "segmentations", "segmentationclass", "mattes", "labelling", "labeling",
))  # fmt: skip
# longest first, lower case: names are compared without case
SUFFIXES_OF_MASKS = (
    "_segmentation", "_annotation", "_masks", "_labels", "_matte", "_mask", "_label", "_seg", "_gt",
    "_l",
)  # fmt: skip
_PREFIX = re.compile(r"^(?:masks?|labels?|gt|seg|images?|imgs?)[_-](?=.)")
_SUFFIX_OF_IMAGES = re.compile(r"(?<=.)[_-](?:images?|imgs?|raw)$")


def pairing_name(path: Path) -> str:
    """Return the name that pairs image and mask: no ending, one form of Unicode, no case."""
    return unicodedata.normalize("NFC", path.stem).casefold()


def without_role(name: str) -> str:
    """Drop what says "image" or "mask" from a pairing name: ``img_7`` and ``7_mask`` are both ``7``."""
    for suffix in SUFFIXES_OF_MASKS:
        if name.endswith((suffix, suffix.replace("_", "-"))) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return _SUFFIX_OF_IMAGES.sub("", _PREFIX.sub("", name))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts ``slice_9`` before ``slice_10``."""
    pieces = re.findall(r"\d+|\D+", text)
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold()) for piece in pieces)


def read_folder_name(name: str) -> tuple[Part | None, Role | None]:
    """Say which part and which role a folder's name tells, such as ``train_masks`` or ``trainannot``."""
    name = unicodedata.normalize("NFC", name).casefold().replace("-", "_").replace(" ", "_")
    if name in PARTS:
        return PARTS[name], None
    if (role := _role(name)) is not None:
        return None, role
    for word, part in PARTS.items():
        for rest in (name.removeprefix(word), name.removesuffix(word)):
            rest = rest.strip("_")
            if len(rest) < len(name) and len(rest) > 1 and (role := _role(rest)) is not None:
                return part, role
    return None, None


def looks_like_masks(name: str) -> bool:
    """Say whether a folder's name contains a word for masks, such as ``masks_2nd_observer``."""
    words = re.findall(r"[a-z]+", unicodedata.normalize("NFC", name).casefold())
    return any(word in MASKS or word.startswith("segmentation") for word in words if len(word) > 1)


def _role(name: str) -> Role | None:
    if name in IMAGES:
        return "image"
    return "mask" if name in MASKS else None
