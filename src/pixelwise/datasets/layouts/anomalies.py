"""MVTec AD and sets like it: good images for training, and images with defects whose masks are in ``ground_truth``.

Bergmann et al. 2019, "MVTec AD - a comprehensive real-world dataset for unsupervised anomaly detection":
``train/good/000.png``, ``test/good/000.png``, ``test/crack/000.png`` with ``ground_truth/crack/000_mask.png``, for each
kind of object. Mishra et al. 2021 (BTAD) call the folders ``ok`` and ``ko``.
"""

from collections.abc import Iterator
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, ObjectMasks
from pixelwise.datasets.layouts.image_folders import folders_in, images_in
from pixelwise.datasets.naming.folder_names import pairing_name, strip_mask_words
from pixelwise.datasets.options import DataOptions
from pixelwise.text import pluralise

NAME = "defects (MVTec AD)"
_GOOD = frozenset(("good", "ok", "normal"))
_MASKS = "ground_truth"


def recognise(root: Path) -> bool:
    """Return whether a folder, or folders in it, have good images for training and masks of defects for testing."""
    return bool(_objects(root))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read images with the masks of their defects; good images have empty masks.

    The given splits are for methods that learn from good images alone. Here defects are learned, so that all images are
    used together.
    """
    images = [image for folder in _objects(root) for image in _read_object(root, folder)]
    defects = sum(isinstance(image.annotation, ObjectMasks) and bool(image.annotation.paths) for image in images)
    good = sum(isinstance(image.annotation, ObjectMasks) and not image.annotation.paths for image in images)
    text = (
        f"{pluralise(defects, 'image')} with a mask of defects and {pluralise(good, 'good image')}, which have empty "
        "masks. train has good images alone: train and test are used together, and split anew (--val-share)."
    )
    return AnnotatedSet(format=NAME, images=tuple(images), instances=False, messages=(text,))


def _objects(root: Path) -> list[Path]:
    """Return the folders with ``train``, ``test`` and ``ground_truth``: `root`, or those in it."""
    return [folder for folder in (root, *folders_in(root)) if _has_format(folder)]


def _has_format(folder: Path) -> bool:
    train = [inner.name.casefold() for inner in folders_in(folder / "train")]
    masks = [inner.name for inner in folders_in(folder / _MASKS)]
    if not train or not set(train) <= _GOOD or images_in(folder / _MASKS):
        return False
    return any(images_in(folder / "test" / name) and images_in(folder / _MASKS / name) for name in masks)


def _read_object(root: Path, folder: Path) -> Iterator[AnnotatedImage]:
    for place in (inner for split in ("train", "test") for inner in folders_in(folder / split)):
        masks = {strip_mask_words(pairing_name(path)): path for path in images_in(folder / _MASKS / place.name)}
        good = place.name.casefold() in _GOOD
        for path in images_in(place):
            mask = masks.get(pairing_name(path))
            known = mask is not None or good
            yield AnnotatedImage(
                name=path.relative_to(root).with_suffix("").as_posix(),
                image=path,
                annotation=ObjectMasks(paths=() if mask is None else (mask,)) if known else None,
            )
