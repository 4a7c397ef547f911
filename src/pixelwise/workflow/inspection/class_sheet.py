"""Contact sheet of a classification data set: a row of images per class."""

from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.sampling.resize_crop import centre_crop, resize_shorter_side
from pixelwise.text import pluralise
from pixelwise.workflow.inspection.sheet import drawable, figure_png
from pixelwise.workflow.painting import stretch, to_rgb

PER_CLASS = 8
MAX_CLASSES = 40  # rows
SIDE = 128  # pixels of each picture


def draw_class_sheet(path: Path, dataset: Dataset) -> None:
    """Write a PNG with a row of evenly spaced training images per class, centre-cropped."""
    atomic_write_bytes(path, figure_png(_draw(dataset)))


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
            axis.imshow(_view(case, dataset))
        label = f"{name[:20]}\n{counts[index]}"
        row[0].set_ylabel(drawable(label), rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    rest = len(dataset.labelling.classes) - len(names)
    splits = ", ".join(f"{len(dataset.splits[split])} {split}" for split in ("train", "val", "test"))
    title = f"{dataset.root.resolve().name}: {pluralise(len(dataset.labelling.classes), 'class')}, {splits}"
    more = f"; {pluralise(rest, 'more class is', 'more classes are')} not shown" if rest else ""
    figure.suptitle(drawable(title + more), fontsize=10)
    return figure


def _view(case: Case, dataset: Dataset) -> np.ndarray:
    """Return the centre of an image as (SIDE, SIDE, 3) uint8; the contrast is stretched unless 8-bit."""
    stored = dataset.read_image(case).pixels
    pixels = centre_crop(resize_shorter_side(stored, SIDE), SIDE, SIDE)
    return to_rgb(pixels, (0, 255)) if stored.dtype == np.uint8 else stretch(pixels)
