"""Write a data set of street scenes as Cityscapes: ``leftImg8bit`` and ``gtFine``, with the ids of its classes."""

from pathlib import Path

import numpy as np

from pixelwise.datasets.layouts.cityscapes import IGNORED_TRAIN_ID, LABELS, SCORED
from pixelwise.datasets.records import BACKGROUND_NAMES
from pixelwise.datasets.writers.image_files import save_image, with_suffix
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.errors import BadDataset
from pixelwise.io.read import write_mask
from pixelwise.labels.targets import IGNORE

_CITY = "city"  # the folder of all images of a split
_GRAY = tuple((value, value, value) for value in range(256))  # other programs read indices and colours alike


def write_cityscapes(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``leftImg8bit/SPLIT/city/NAME_leftImg8bit.png`` and ``gtFine/SPLIT/city/NAME_gtFine_*.png``.

    If Cityscapes scores all classes, these are ``labelTrainIds``, in which ignored pixels are 255; else ``labelIds``.

    Raises
    ------
    BadDataset
        Objects, or a class that Cityscapes does not have.
    """
    ids = _ids(data)
    trained = all(number in SCORED for number in ids)
    values = np.full(256, IGNORED_TRAIN_ID if trained else 0, np.uint8)
    for index, number in enumerate(ids):
        values[index] = SCORED.index(number) if trained else number
    ending = "labelTrainIds" if trained else "labelIds"

    def write(image: LabelledImage) -> bool:
        place = Path(image.split or "train") / _CITY
        save_image(image, out / "leftImg8bit" / place / f"{image.flat_name}_leftImg8bit", (".png",))
        target = out / "gtFine" / place / f"{image.flat_name}_gtFine_{ending}"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_mask(with_suffix(target, ".png"), values[image.labels], _GRAY)
        return bool((image.labels == IGNORE).any())

    ignored = sum(data.map(write))
    if ignored and not trained:
        return (f"Ignored pixels of {ignored} images became `{LABELS[0][0]}`.",)
    return ()


def _ids(data: LabelledSet) -> list[int]:
    """Return the id of each class."""
    known = {name: number for number, (name, _) in LABELS.items()} | dict.fromkeys(BACKGROUND_NAMES, 0)
    unknown = [name for name in data.classes if name.casefold() not in known]
    if data.task == "instance" or unknown:
        got = "objects" if data.task == "instance" else ", ".join(unknown[:8])
        hint = "Rename the classes with --classes, or use another format, such as --to folders."
        raise BadDataset("classes of Cityscapes, such as road and car", got, hint, data.dataset.root)
    return [known[name.casefold()] for name in data.classes]
