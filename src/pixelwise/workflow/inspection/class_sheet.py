"""Contact sheet of a classification data set: a row of images per class."""

from collections import Counter
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from pixelwise.atomic_write import atomic_write
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.sampling.resize_crop import centre_crop, resize_shorter_side
from pixelwise.text import pluralise
from pixelwise.workflow.painting import as_stored

PER_CLASS = 8
MAX_CLASSES = 40  # rows
SIDE = 128  # pixels of each picture


def draw_class_sheet(path: Path, dataset: Dataset) -> None:
    """Write a PNG with a row of evenly spaced training images per class, centre-cropped."""
    with rc_context({"text.parse_math": False}):  # class names may contain $
        figure = _draw(dataset)
        atomic_write(path, lambda file: figure.savefig(file, format="png", dpi=110))


def _draw(dataset: Dataset) -> Figure:
    train, names = dataset.splits["train"], dataset.labelling.classes[:MAX_CLASSES]
    counts = Counter(case.class_index for case in train)
    figure = Figure(figsize=(1.15 * PER_CLASS + 1.6, 1.15 * len(names) + 0.6), layout="constrained")
    axes = figure.subplots(len(names), PER_CLASS, squeeze=False)
    for index, (name, row) in enumerate(zip(names, axes, strict=True)):
        cases = [case for case in train if case.class_index == index]
        shown = evenly_spaced(cases, PER_CLASS)
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        for axis, case in zip(row, shown, strict=False):
            pixels = resize_shorter_side(dataset.read_image(case).pixels, SIDE)
            axis.imshow(as_stored(centre_crop(pixels, SIDE, SIDE)))
        label = f"{name[:20]}\n{counts[index]}"
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    rest = len(dataset.labelling.classes) - len(names)
    splits = ", ".join(f"{len(dataset.splits[split])} {split}" for split in ("train", "val", "test"))
    title = f"{dataset.root.resolve().name}: {pluralise(len(dataset.labelling.classes), 'class')}, {splits}"
    more = f"; {pluralise(rest, 'more class is', 'more classes are')} not shown" if rest else ""
    figure.suptitle(title + more, fontsize=10)
    return figure
