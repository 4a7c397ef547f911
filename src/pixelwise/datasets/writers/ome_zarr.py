"""Write images as OME-Zarr (NGFF 0.5) with their labels in the same store; volumes are written by `volumes`."""

from pathlib import Path

import numpy as np

from pixelwise.datasets.writers.image_files import with_suffix
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet, stored_header
from pixelwise.datasets.writers.mask_folders import numbers_of, write_description
from pixelwise.io.zarr_write import PixelMetadata, write_labelled_image


def write_ome_zarr(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]NAME.ome.zarr`` with the label image ``classes`` or ``objects``, and a class table.

    The table is that of `write_folders`; the label image of classes states their names and colours too. Sizes of pixels
    are kept.
    """
    classes = data.task != "instance"
    palette, names = (data.colours, data.classes) if classes else ((), ())

    def write(image: LabelledImage) -> tuple[int, tuple[str, ...]]:
        labels, ignored = numbers_of(data, image)
        labels = labels.astype(np.min_scalar_type(int(labels.max(initial=0))))
        metadata = PixelMetadata(spacing=image.spacing, palette=palette, names=names)
        path = with_suffix(out / image.path(), ".ome.zarr")
        write_labelled_image(path, image.pixels, labels, "classes" if classes else "objects", metadata)
        return ignored, _losses(image)

    written = list(data.map(write))
    write_description(data, out, max((ignored for ignored, _ in written), default=0))
    return data.describe_losses(losses for _, losses in written)


def _losses(image: LabelledImage) -> tuple[str, ...]:
    header = stored_header(image.source)
    placed = header is not None and header.georeference is not None
    return ("the place on a map is not written",) if placed else ()
