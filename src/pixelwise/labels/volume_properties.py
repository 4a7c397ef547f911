"""Region properties of volumes in voxels: number, centroid, box and intensity of objects; number of each class."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer, Num, UInt8

from pixelwise.labels.region_properties import PixelRows, centroids, intensity_sums
from pixelwise.labels.run_lengths import LabelRows, extents, row_strips


@dataclass(frozen=True, kw_only=True)
class VolumeRow:
    """A row of the object table of a volume.

    `centroid` and `box` (z, y, x of the first and of the last corner) are in voxels from the first corner of the array.
    `mean_intensity` is the mean over channels and voxels, None without an image.
    """

    id: int
    class_index: int
    voxels: int
    centroid: tuple[float, ...]
    box: tuple[float, ...]
    mean_intensity: float | None


@dataclass(frozen=True, kw_only=True)
class VolumeTable:
    """The region properties of all objects of a volume, one column each; iteration yields `VolumeRow`s.

    Attributes
    ----------
    voxels : int64 array (objects,)
    centroid : float64 array (objects, 3)
        In voxels.
    box : int64 array (objects, 6)
        In voxels: first plane, row and column, and those behind the last ones.
    """

    ids: Int64[np.ndarray, " objects"]
    voxels: Int64[np.ndarray, " objects"]
    centroid: Float64[np.ndarray, "objects axes"]
    box: Int64[np.ndarray, "objects _"]
    mean_intensity: Float64[np.ndarray, " objects"] | None

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.ids)

    def __iter__(self) -> Iterator[VolumeRow]:
        """Yield a row per object, in the order of the labels."""
        for place, number in enumerate(self.ids.tolist()):
            yield VolumeRow(
                id=number,
                class_index=1,
                voxels=int(self.voxels[place]),
                centroid=tuple((self.centroid[place] + 0.5).tolist()),
                box=tuple(self.box[place].astype(np.float64).tolist()),
                mean_intensity=None if self.mean_intensity is None else float(self.mean_intensity[place]),
            )


def measure_volumes(
    labels: Integer[np.ndarray, "depth height width"] | LabelRows,
    image: Num[np.ndarray, "channels depth height width"] | PixelRows | None = None,
) -> VolumeTable:
    """Measure every object, in the order of the labels, which may have gaps; all belong to class 1.

    Both arrays are read a few planes at a time and may be on disk.

    Parameters
    ----------
    labels : (depth, height, width) integer array
    image : (channels, depth, height, width) array, optional

    Examples
    --------
    >>> labels = np.zeros((4, 6, 6), int)
    >>> labels[1:3, 2:4, 2:5] = 1
    >>> (row,) = measure_volumes(labels)
    >>> row.voxels, row.centroid, row.box
    (12, (2.0, 3.0, 3.5), (1.0, 2.0, 2.0, 3.0, 4.0, 5.0))
    """
    boxes = extents(labels)
    present = np.flatnonzero(boxes.area)
    intensity = None
    if image is not None:
        intensity = intensity_sums(labels, image, len(boxes.area))[present] / (boxes.area[present] * len(image))
    return VolumeTable(
        ids=present,
        voxels=boxes.area[present],
        centroid=centroids(labels, boxes)[present],
        box=boxes.box[present],
        mean_intensity=intensity,
    )


def class_voxels(mask: UInt8[np.ndarray, "*size"] | LabelRows, classes: int) -> Int64[np.ndarray, " classes"]:
    """Return the number of voxels of each class; other values do not count.

    Examples
    --------
    >>> class_voxels(np.array([[[0, 1, 1, 255]]], np.uint8), 2).tolist()
    [1, 2]
    """
    voxels = np.zeros(256, np.int64)
    for planes in row_strips(mask.shape):
        voxels += np.bincount(mask[planes].ravel(), minlength=256)
    return voxels[:classes]
