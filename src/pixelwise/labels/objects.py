"""Label images: one integer per object, 0 is background. Pure functions on numpy arrays."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int32, Num
from scipy import ndimage
from skimage.measure import regionprops

EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, kw_only=True)
class ObjectRow:
    """A row of the object table; positions in pixels from the top left corner, `area` in pixels.

    `box` is (top, left, bottom, right), the last two exclusive. `mean_intensity` is the mean over channels and
    pixels, None without an image.
    """

    id: int
    area: int
    centroid_row: float
    centroid_column: float
    box: tuple[int, int, int, int]
    perimeter: float
    mean_intensity: float | None


def components(mask: Bool[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """Number the connected areas of `mask` 1...N; pixels that touch at a corner are connected."""
    labels, _ = ndimage.label(mask, structure=EIGHT)
    return labels.astype(np.int32)


def renumber(labels: Int[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """Give the objects the numbers 1...N in the order of their old numbers; 0 stays, negative values become 0."""
    values, inverse = np.unique(np.maximum(labels, 0), return_inverse=True)
    start = 0 if values[0] == 0 else 1
    return (inverse.reshape(labels.shape) + start).astype(np.int32)


def remove_small(labels: Int[np.ndarray, "height width"], area: int) -> Int32[np.ndarray, "height width"]:
    """Drop objects of fewer than `area` pixels and renumber the rest."""
    sizes = np.bincount(np.maximum(labels, 0).ravel())
    small = sizes < area
    small[0] = True
    return renumber(np.where(small[np.maximum(labels, 0)], 0, labels))


def fill_holes(labels: Int[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """Fill background that lies wholly inside one object; other objects inside it stay."""
    filled = labels.astype(np.int32).copy()
    for index, window in enumerate(ndimage.find_objects(filled), start=1):
        if window is None:
            continue
        view = filled[window]
        hole = ndimage.binary_fill_holes(view == index) & (view == 0)
        view[hole] = index
    return filled


def overlap_table(
    truth: Int[np.ndarray, "height width"], predicted: Int[np.ndarray, "height width"]
) -> Int[np.ndarray, "truths predictions"]:
    """Count shared pixels: entry (i, j) belongs to truth object i and predicted object j; row and column 0 are
    background. Labels need not be consecutive, but the table has as many rows as the largest label."""
    rows, columns = int(truth.max(initial=0)) + 1, int(predicted.max(initial=0)) + 1
    flat = truth.ravel().astype(np.int64) * columns + predicted.ravel()
    return np.bincount(flat, minlength=rows * columns).reshape(rows, columns)


def touching_share(labels: Int[np.ndarray, "height width"], distance: int = 2) -> float:
    """Return the share of objects that have another object at most `distance` pixels away; 0 without objects.

    Distance is measured along rows, columns and diagonals (Chebyshev).
    """
    labels = renumber(labels)
    count = int(labels.max(initial=0))
    if count == 0:
        return 0.0
    size = 2 * distance + 1
    highest = ndimage.maximum_filter(labels, size)
    # a larger label within reach, or a smaller one: the latter is the maximum of the reversed numbering
    lowest = count + 1 - ndimage.maximum_filter(np.where(labels > 0, count + 1 - labels, 0), size)
    touched = (labels > 0) & ((highest != labels) | (lowest != labels))
    return len(np.unique(labels[touched])) / count


def measure(
    labels: Int[np.ndarray, "height width"], image: Num[np.ndarray, "channels height width"] | None = None
) -> list[ObjectRow]:
    """Measure every object, in the order of their numbers."""
    rows: list[ObjectRow] = []
    for region in regionprops(labels.astype(np.int32)):
        top, left, bottom, right = (int(v) for v in region.bbox)
        intensity = None
        if image is not None:
            intensity = float(image[:, top:bottom, left:right][:, region.image].mean())
        rows.append(
            ObjectRow(
                id=int(region.label),
                area=int(region.area),
                centroid_row=float(region.centroid[0]),
                centroid_column=float(region.centroid[1]),
                box=(top, left, bottom, right),
                perimeter=float(region.perimeter),
                mean_intensity=intensity,
            )
        )
    return rows
