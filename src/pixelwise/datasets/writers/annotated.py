"""A data set as the record that writers of annotation files take."""

import shutil
from collections.abc import Callable
from pathlib import Path

from pixelwise.atomic_write import temporary_path
from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.writers.image_files import USUAL
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.mask_folders import write_pair
from pixelwise.datasets.writers.objects import background_loss

WriteAnnotations = Callable[[AnnotatedSet, Path], tuple[str, ...]]


def write_annotations(write: WriteAnnotations, objects: str = "") -> Callable[[LabelledSet, Path], tuple[str, ...]]:
    """Return the writer of a data set for one that takes annotations; `objects` is what to know about objects.

    Images that other programs would read differently, and all labels, become files in a temporary folder first, so
    that one image is in memory at a time. It is beside the output folder, so that images can be linked and not copied.
    """

    def write_set(data: LabelledSet, out: Path) -> tuple[str, ...]:
        known = (objects,) if objects and data.task == "instance" else ()
        files = temporary_path(out)  # removed later if this process is killed
        try:
            losses = write(annotate(data, files), out)
        finally:
            shutil.rmtree(files, ignore_errors=True)
        return (*known, *background_loss(data), *losses)

    return write_set


def annotate(data: LabelledSet, folder: Path) -> AnnotatedSet:
    """Write the images and masks of a data set into a folder, and return them as annotated images."""

    def write(image: LabelledImage) -> tuple[AnnotatedImage, int]:
        pair = write_pair(data, image, folder, USUAL)
        annotated = AnnotatedImage(
            name=image.name, image=pair.image, annotation=MaskFile(path=pair.mask), split=image.split
        )
        return annotated, pair.ignored

    written = list(data.map(write))
    first = data.first_class
    return AnnotatedSet(
        format="pixelwise",
        images=tuple(image for image, _ in written),
        classes=data.classes[first:],
        values=() if data.task == "instance" else tuple(range(first, len(data.classes))),
        colours=data.colours[first : len(data.classes)],
        ignore_value=max((ignored for _, ignored in written), default=0) or None,
        instances=data.task == "instance",
    )
