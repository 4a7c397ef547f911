"""What a model predicted of each class in its validation images, beside what is true: the base of its error bars."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

MAX_IMAGES = 256
MAX_PAIRS = 2**16  # of all classes: about two megabytes of JSON
_MAX_SIZE = 2.0**44  # pixels

Pairs = tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True, kw_only=True)
class QuantityRecord:
    """Predicted and true quantities of validation images, per class without the background.

    Attributes
    ----------
    objects, sizes : tuples (classes, images, 2)
        Number of objects, and pixels or voxels of the size of the model's, predicted and true.

    Examples
    --------
    >>> record = record_of(np.array([[[[3.0, 4.0], [90.0, 100.0]]]]))  # one image, one class
    >>> record.objects, record.sizes
    ((((3.0, 4.0),),), (((90.0, 100.0),),))
    >>> record.pairs.shape
    (1, 1, 2, 2)
    """

    objects: Pairs
    sizes: Pairs

    @property
    def pairs(self) -> Float64[np.ndarray, "images classes 2 2"]:
        """The pairs (predicted, true) of each image and class, of objects and of sizes."""
        classes = len(self.objects)
        both = np.array([self.objects, self.sizes], np.float64)
        return np.moveaxis(both.reshape(2, classes, len(self.objects[0]) if classes else 0, 2), (0, 2), (2, 0))

    def fits(self, classes: int) -> bool:
        """Return whether it can be the record of a model with so many classes without the background."""
        pairs = (self.objects, self.sizes)
        images = {len(row) for kind in pairs for row in kind}
        return (
            all(len(kind) == classes for kind in pairs)
            and len(images) <= 1
            and sum(images) <= MAX_IMAGES
            and all(
                math.isfinite(value) and 0 <= value <= _MAX_SIZE
                for kind in pairs
                for row in kind
                for pair in row
                for value in pair
            )
        )


def record_of(pairs: Float64[np.ndarray, "images classes 2 2"]) -> QuantityRecord:
    """Return the record of pairs as in `QuantityRecord.pairs`; of many images evenly spaced ones."""
    images, classes = pairs.shape[:2]
    most = max(1, min(MAX_IMAGES, MAX_PAIRS // max(1, classes)))
    if images > most:
        pairs = pairs[np.unique(np.linspace(0, images - 1, most).astype(int))]
    objects, sizes = (_as_tuples(np.moveaxis(pairs[:, :, kind], 0, 1)) for kind in (0, 1))
    return QuantityRecord(objects=objects, sizes=sizes)


def _as_tuples(pairs: Float64[np.ndarray, "classes images 2"]) -> Pairs:
    return tuple(tuple((round(p, 3), round(t, 3)) for p, t in row) for row in pairs.tolist())
