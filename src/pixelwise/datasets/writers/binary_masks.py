"""Write binary masks: a file per object (Data Science Bowl 2018), or a folder per class."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from pixelwise.datasets.writers.image_files import save_image, with_suffix, write_file
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.objects import IGNORED_LOST, class_losses, classes_of, objects_of
from pixelwise.io.read import png_bytes
from pixelwise.labels.targets import IGNORE


def write_dsb2018(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]NAME/images/NAME.EXT`` and a binary mask for each object, ``[split/]NAME/masks/NUMBER.png``."""

    def write(image: LabelledImage) -> tuple[str, ...]:
        objects = objects_of(data, image)
        folder = out / (image.split or "") / image.flat_name
        save_image(image, folder / "images" / image.flat_name)
        (folder / "masks").mkdir(parents=True, exist_ok=True)
        for index, box in enumerate(ndimage.find_objects(objects.labels), 1):
            if box is not None:
                mask = np.zeros(objects.labels.shape, bool)
                mask[box] = objects.labels[box] == index
                write_file(folder / "masks" / f"{index:05}.png", _png(mask))
        return objects.losses

    return class_losses(data) + data.describe_losses(data.map(write))


def write_class_folders(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]images/NAME.EXT`` and a binary mask for each class, ``[split/]masks/CLASS/NAME.png``."""
    numbered = [name.replace("/", "_").strip(". ") or f"class_{n}" for n, name in enumerate(data.classes)]

    def write(image: LabelledImage) -> tuple[str, ...]:
        labels, losses = classes_of(data, image)
        save_image(image, out / image.path("images"))
        for index in range(data.first_class, len(data.classes)):
            write_file(out / with_suffix(image.path("masks", numbered[index]), ".png"), _png(labels == index))
        return losses + (IGNORED_LOST,) * bool((labels == IGNORE).any())

    return data.describe_losses(data.map(write))


def _png(mask: Bool[np.ndarray, "height width"]) -> bytes:
    """Return a mask as the bytes of a PNG of 0 and 255."""
    return png_bytes(mask[None].astype(np.uint8) * 255)
