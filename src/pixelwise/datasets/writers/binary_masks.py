"""Write binary masks: a file per object (Data Science Bowl 2018), or a folder per class."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from pixelwise.atomic_write import atomic_write_text
from pixelwise.datasets.writers.image_files import save_image, write_file
from pixelwise.datasets.writers.labelled_set import FORBIDDEN, LabelledImage, LabelledSet
from pixelwise.datasets.writers.objects import IGNORED_LOST, background_loss, class_losses, classes_of, objects_of
from pixelwise.io.read import png_bytes
from pixelwise.labels.targets import IGNORE


def write_file_per_object(data: LabelledSet, out: Path) -> tuple[str, ...]:
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


def write_folder_per_class(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]images/NAME.EXT`` and a binary mask for each class, ``[split/]masks/CLASS/NAME.png``.

    Ignored pixels have a folder like a class; ``classes.txt`` has the order of the classes. Masks of a single class are
    directly in ``masks``.
    """
    folders = {
        index: data.classes[index].translate(FORBIDDEN).replace("/", "_").strip(". ") or f"class_{index}"
        for index in range(data.first_class, len(data.classes))
    }
    only = (f"One class, {data.classes[-1]}: its masks are directly in the folder masks.",) * (len(folders) == 1)

    void = next(name for name in ("ignore", "void", "unlabelled") if name not in map(str.casefold, folders.values()))
    written = folders if only else folders | {IGNORE: void}

    def write(image: LabelledImage) -> tuple[str, ...]:
        labels, losses = classes_of(data, image)
        base, ignored = out / (image.split or ""), bool((labels == IGNORE).any())
        save_image(image, base / "images" / image.flat_name)
        for index, name in written.items():
            folder = base / "masks" / ("" if only else name)
            if index != IGNORE or ignored:
                write_file(folder / f"{image.flat_name}.png", _png(labels == index))
        return losses + (IGNORED_LOST,) * (ignored and bool(only))

    losses = data.describe_losses(data.map(write))
    if not only:
        atomic_write_text(out / "classes.txt", "".join(f"{name}\n" for name in folders.values()))
    return (*only, *background_loss(data), *losses)


def _png(mask: Bool[np.ndarray, "height width"]) -> bytes:
    """Return a mask as the bytes of a PNG of 0 and 255."""
    return png_bytes(mask[None].astype(np.uint8) * 255)
