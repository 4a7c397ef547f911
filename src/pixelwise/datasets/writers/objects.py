"""Labels as other programs expect them: objects without ignored pixels, or classes without objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from pixelwise.datasets.records import first_class
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.labels.label_image import MAX_TABLE_LABEL, components, renumber
from pixelwise.labels.targets import IGNORE

IGNORED_LOST = "ignored pixels became background"


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberedObjects:
    """A label image with 0 as background, the class index of each of its numbers, and what was lost."""

    labels: Int32[np.ndarray, "height width"]
    class_index: Int64[np.ndarray, " numbers"]
    losses: tuple[str, ...]


def objects_of(data: LabelledSet, image: LabelledImage) -> NumberedObjects:
    """Return the objects of an image; each connected component of a class is an object where the labels are classes."""
    labels, class_index = number_objects(image.labels, data.task, data.classes)
    losses = (IGNORED_LOST,) if (image.labels == data.ignored).any() else ()
    return NumberedObjects(labels=labels, class_index=class_index, losses=losses)


def regions_of(data: LabelledSet, image: LabelledImage) -> NumberedObjects:
    """Return a number for each class instead of each object: its region, in all its parts."""
    ignored = image.labels == data.ignored
    labels = np.where(ignored, 0, image.labels + 1 - data.first_class).astype(np.int32)
    return NumberedObjects(
        labels=labels,
        class_index=np.arange(len(data.classes) + 1 - data.first_class) + data.first_class - 1,
        losses=(IGNORED_LOST,) if ignored.any() else (),
    )


def number_objects(
    labels: Int32[np.ndarray, "height width"], task: str, classes: Sequence[str]
) -> tuple[Int32[np.ndarray, "height width"], Int64[np.ndarray, " numbers"]]:
    """Return a label image with 0 as background, and the class index of each number.

    Examples
    --------
    >>> classes = np.array([[2, 0, 1, 1], [0, 255, 0, 0]], np.int32)
    >>> number_objects(classes, "multiclass", ("background", "cell", "debris"))
    (array([[2, 0, 1, 1],
           [0, 0, 0, 0]], dtype=int32), array([0, 1, 2]))
    """
    if task == "instance":
        objects = np.maximum(labels, 0)
        if int(objects.max(initial=0)) >= MAX_TABLE_LABEL:
            objects = renumber(objects)
        return objects, np.ones(int(objects.max(initial=0)) + 1, np.int64)
    objects, class_index = np.zeros(labels.shape, np.int32), [0]
    for index in range(first_class(task, classes), len(classes)):
        found = components(labels == index)
        objects[found > 0] = found[found > 0] + len(class_index) - 1
        class_index += [index] * int(found.max(initial=0))
    return objects, np.array(class_index)


def classes_of(data: LabelledSet, image: LabelledImage) -> tuple[Int32[np.ndarray, "*size"], tuple[str, ...]]:
    """Return class indices with 255 for ignored pixels, and what was lost."""
    if data.task != "instance":
        return image.labels, ()
    labels = (image.labels > 0).astype(np.int32)
    labels[image.labels == data.ignored] = IGNORE
    return labels, ("the objects became one class, so that those that touch are merged",)


def class_losses(data: LabelledSet) -> tuple[str, ...]:
    """Return what is lost where classes become objects without a class."""
    if data.task == "instance":
        return ()
    lost = "The connected components of each class became objects"
    if len(data.classes) - data.first_class > 1:
        return (f"{lost}; their classes ({', '.join(data.classes)}) are not written.",)
    return (f"{lost}.",)


def background_loss(data: LabelledSet) -> tuple[str, ...]:
    """Return what is lost where only objects have names."""
    if data.first_class and data.classes[0].casefold() != "background":
        return (f"The name of class 0, {data.classes[0]}, is not written: what no object covers is background.",)
    return ()
