"""Write the objects of an image as ImageJ regions of interest (ROI), along pixel edges.

Source: ImageJ, ij/io/RoiEncoder.java: traced and composite regions in pixels from the top left corner.
"""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.formats.imagej_roi import CLASS, roi_library
from pixelwise.datasets.formats.qupath import IGNORE_CLASS
from pixelwise.datasets.writers.image_files import save_image, with_suffix, write_file
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.objects import background_loss, objects_of, regions_of
from pixelwise.datasets.writers.outlines import Outline, find_outlines

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # java.awt.geom.PathIterator
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # equal regions give equal files


def write_imagej(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]NAME.EXT`` with ``NAME_rois.zip`` beside it, which the ROI manager of ImageJ opens.

    A region is an object, or all of a class, or all ignored pixels, of the class ``Ignore*`` as in QuPath.
    """
    roi_library()

    def save(image: LabelledImage) -> tuple[str, ...]:
        save_image(image, out / image.path())
        objects = objects_of(data, image) if data.task == "instance" else regions_of(data, image)
        labels, groups = objects.labels, objects.class_index.tolist()
        names = [data.classes[index] for index in groups]
        if (ignored := image.labels == data.ignored).any():
            labels = np.where(ignored, len(groups), labels).astype(np.int32)
            groups, names = [*groups, 255], [*names, IGNORE_CLASS]
        write_file(out / with_suffix(image.path(), "_rois.zip"), roi_zip_bytes(labels, names, groups))
        return ()

    return (*background_loss(data), *data.describe_losses(data.map(save)))


def roi_zip_bytes(
    labels: Int32[np.ndarray, "height width"], class_names: Sequence[str], groups: Sequence[int]
) -> bytes:
    """Return the objects of a label image as the bytes of a ROI set.

    Parameters
    ----------
    labels : (height, width) int32 array
        Object numbers, 0 for background.
    class_names, groups : sequences
        Class of each object number, as a property of the region and as its group; the first one belongs to 0.

    Raises
    ------
    BadOption
        `roifile` is not installed.
    """
    library = roi_library()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for outline in find_outlines(labels):
            roi = _region(library, outline)
            roi.name = f"{outline.number:05}"
            roi.group = min(groups[outline.number], 255)
            roi.properties = {CLASS: class_names[outline.number]}
            entry = zipfile.ZipInfo(f"{roi.name}.roi", _FIXED_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, roi.tobytes())
    return buffer.getvalue()


def _region(library: ModuleType, outline: Outline) -> Any:
    """Return a traced region, or a composite one if there are several rings."""
    rings = outline.rings
    if len(rings) == 1:
        roi = library.ImagejRoi.frompoints(rings[0].astype(np.int32))
        roi.roitype = library.ROI_TYPE.TRACED
        return roi
    points = np.concatenate(rings)
    roi = library.ImagejRoi()
    roi.roitype = library.ROI_TYPE.RECT
    roi.left, roi.top = points.min(0).astype(int).tolist()
    roi.right, roi.bottom = points.max(0).astype(int).tolist()
    path: list[float] = []
    for ring in rings:
        operations = np.full((len(ring), 1), _LINE)
        operations[0] = _MOVE
        path += [*np.hstack([operations, ring]).ravel().tolist(), _CLOSE]
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi
