"""Labels as other programs expect them: objects without ignored pixels, or classes without objects."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.labels.label_image import components
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
    labels = image.labels
    ignored = (IGNORED_LOST,) if (labels == data.ignored).any() else ()
    if data.task == "instance":
        objects = np.maximum(labels, 0)
        return NumberedObjects(
            labels=objects, class_index=np.ones(int(objects.max(initial=0)) + 1, np.int64), losses=ignored
        )
    objects, class_index = np.zeros(labels.shape, np.int32), [0]
    for index in range(data.first_class, len(data.classes)):
        found = components(labels == index)
        count = int(found.max(initial=0))
        objects[found > 0] = found[found > 0] + len(class_index) - 1
        class_index += [index] * count
    return NumberedObjects(labels=objects, class_index=np.array(class_index), losses=ignored)


def classes_of(data: LabelledSet, image: LabelledImage) -> tuple[Int32[np.ndarray, "height width"], tuple[str, ...]]:
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
