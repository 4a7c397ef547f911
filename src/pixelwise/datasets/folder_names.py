"""Interpret file and folder names: split, role (image or mask) and pairing name."""

import re
import unicodedata
from pathlib import Path
from typing import Literal

from pixelwise.datasets.records import Split

Role = Literal["image", "mask"]

SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
IMAGE_WORDS = frozenset((
    "image", "images", "img", "imgs", "raw", "raws", "x", "input", "inputs", "picture", "pictures",
    "photo", "photos", "original", "originals", "jpegimages", "scan", "scans", "frame", "frames",
))  # fmt: skip
MASK_WORDS = frozenset((
    "mask", "masks", "label", "labels", "gt", "gts", "y", "annotation", "annotations", "annot",
    "annots", "target", "targets", "truth", "groundtruth", "ground_truth", "seg", "segs",
    "segmentation", "segmentations", "segmentationclass", "mattes", "labelling", "labeling",
))  # fmt: skip
# longest first, lower case: names are compared case-insensitively
MASK_SUFFIXES = (
    "_segmentation", "_annotation", "_masks", "_labels", "_matte", "_mask", "_label", "_seg", "_gt",
    "_l",
)  # fmt: skip
_PREFIX = re.compile(r"^(?:masks?|labels?|gt|seg|images?|imgs?)[_-](?=.)")
_IMAGE_SUFFIX = re.compile(r"(?<=.)[_-](?:images?|imgs?|raw)$")


def pairing_name(path: Path) -> str:
    """Return the name that pairs image and mask: the stem, NFC-normalised and case-folded."""
    return unicodedata.normalize("NFC", path.stem).casefold()


def strip_role_words(name: str) -> str:
    """Remove the words for image and mask from a pairing name: ``img_7`` and ``7_mask`` both become ``7``."""
    for suffix in MASK_SUFFIXES:
        if name.endswith((suffix, suffix.replace("_", "-"))) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return _IMAGE_SUFFIX.sub("", _PREFIX.sub("", name))


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a natural sort key: ``slice_9`` before ``slice_10``."""
    pieces = re.findall(r"\d+|\D+", text)
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold()) for piece in pieces)


def read_folder_name(name: str) -> tuple[Split | None, Role | None]:
    """Return the split and the role in a folder name such as ``train_masks`` or ``trainannot``."""
    name = unicodedata.normalize("NFC", name).casefold().replace("-", "_").replace(" ", "_")
    if name in SPLIT_WORDS:
        return SPLIT_WORDS[name], None
    if (role := _role(name)) is not None:
        return None, role
    for word, split in SPLIT_WORDS.items():
        for rest in (name.removeprefix(word), name.removesuffix(word)):
            rest = rest.strip("_")
            if len(rest) < len(name) and len(rest) > 1 and (role := _role(rest)) is not None:
                return split, role
    return None, None


def looks_like_masks(name: str) -> bool:
    """Return whether a folder name contains a word for masks, such as ``masks_2nd_observer``."""
    words = re.findall(r"[a-z]+", unicodedata.normalize("NFC", name).casefold())
    return any(word in MASK_WORDS or word.startswith("segmentation") for word in words if len(word) > 1)


def _role(name: str) -> Role | None:
    if name in IMAGE_WORDS:
        return "image"
    return "mask" if name in MASK_WORDS else None
