"""Choose what is read of masks with several channels in array files: classes, objects, or one of the channels.

PanNuke has object numbers in a channel per class, CoNIC object numbers and the class of each as two channels, TissueNet
the numbers of cells and of their nuclei. What the channels are is seen in a few masks of each array.
"""

from collections.abc import Sequence
from dataclasses import replace

from pixelwise.datasets.annotations import AnnotatedImage, MaskFile
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadImage
from pixelwise.io.arrays.parts import MARK, kind_of_mask
from pixelwise.io.arrays.read import decode_array

_LOOKED = 8  # masks of an array


def with_parts(
    images: Sequence[AnnotatedImage], channels: int, options: DataOptions, notes: list[str]
) -> list[AnnotatedImage]:
    """Return the images of an array with the part of their masks that is read, and note what was decided.

    Parameters
    ----------
    channels : int
        Of each mask.
    options : DataOptions
        Task "multiclass" reads the classes of objects.
    notes : list of str
        Extended by what was decided.
    """
    if channels == 1 or (channels == 3 and not _are_numbers(images)):
        return list(images)
    part, note = _choose(_kinds(images), channels, classes=options.task == "multiclass")
    if not part:
        return list(images)
    notes.append(note)
    return [
        replace(image, annotation=replace(image.annotation, path=image.annotation.path / f"{MARK}{part}"))
        if isinstance(image.annotation, MaskFile)
        else image
        for image in images
    ]


def _choose(kinds: set[str], channels: int, *, classes: bool) -> tuple[str, str]:
    """Return the part of masks that is read, and a sentence; none if their channels are classes or unknown."""
    if not kinds or kinds == {"one-hot"}:
        return "", ""
    if kinds <= {"one-hot", "objects"}:
        text = f"Masks have object numbers in {channels} channels, one per class"
        return ("classes", f"{text}: read as classes.") if classes else (
            "objects", f"{text}: read as objects (--task multiclass reads the classes)."
        )  # fmt: skip
    if kinds == {"object classes"}:
        text = "Masks have object numbers, and the class of each, as two channels"
        return ("1", f"{text}: the classes are read.") if classes else (
            "0", f"{text}: the objects are read (--task multiclass reads the classes)."
        )  # fmt: skip
    return (
        "0",
        f"Masks have numbers in {channels} channels that overlap: the first channel is read, and not the others.",
    )


def _kinds(images: Sequence[AnnotatedImage]) -> set[str]:
    """Return what the channels of some masks are."""
    kinds = {_kind(image) for image in images[:: max(1, len(images) // _LOOKED)][:_LOOKED]}
    return {kind for kind in kinds if kind}


def _kind(image: AnnotatedImage) -> str:
    if not isinstance(image.annotation, MaskFile):
        return ""
    try:
        samples = decode_array(image.annotation.path)
    except BadImage:
        return ""  # the scan reports it
    return (kind_of_mask(samples) or "") if samples.dtype.kind in "uif" else ""


def _are_numbers(images: Sequence[AnnotatedImage]) -> bool:
    """Return whether masks of three channels are numbers and no colours: each pixel is set in one channel at most."""
    return _kinds(images) <= {"objects"}
