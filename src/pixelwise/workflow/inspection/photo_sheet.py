"""A contact sheet of class folders: a row of images per class."""

from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.datasets.dataset import Case, Dataset, read_pixels
from pixelwise.sampling.resize_crop import fit, middle
from pixelwise.text import pluralise

PER_CLASS = 8
MOST_CLASSES = 40  # more rows than that are no longer looked at
SIDE = 128  # pixels of each picture


def draw_class_sheet(path: Path, dataset: Dataset) -> None:
    """Draw some training images of each class, evenly spaced, the middle of each, into a PNG with a row per class."""
    buffer = BytesIO()
    with rc_context({"text.parse_math": False}):  # a $ in a class name is a $
        _draw(dataset).savefig(buffer, format="png", dpi=110)
    atomic_write_bytes(path, buffer.getvalue())


def _draw(dataset: Dataset) -> Figure:
    train, names = dataset.part("train"), dataset.labelling.classes[:MOST_CLASSES]
    counts = Counter(case.class_index for case in train)
    figure = Figure(figsize=(1.15 * PER_CLASS + 1.6, 1.15 * len(names) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(names), PER_CLASS, squeeze=False)
    for index, (name, row) in enumerate(zip(names, axes, strict=True)):
        own = [case for case in train if case.class_index == index]
        shown = [own[i * len(own) // PER_CLASS] for i in range(PER_CLASS)] if len(own) > PER_CLASS else own
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        for axis, case in zip(row, shown, strict=False):
            axis.imshow(_view(case, dataset))
        label = f"{name[:20]}\n{counts[index]}"
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
    rest = len(dataset.labelling.classes) - len(names)
    parts = ", ".join(f"{len(dataset.part(p))} {p}" for p in ("train", "val", "test"))
    title = f"{dataset.root.resolve().name}: {pluralise(len(dataset.labelling.classes), 'class')}, {parts}"
    more = f"; {pluralise(rest, 'more class is', 'more classes are')} not drawn" if rest else ""
    figure.suptitle(title + more, fontsize=10)
    return figure


def _view(case: Case, dataset: Dataset) -> np.ndarray:
    """Return the middle of an image as (SIDE, SIDE, 3) in [0, 1]; one without natural white is stretched."""
    stored = read_pixels(case.image, dataset.channels).pixels
    pixels = middle(fit(stored, SIDE), SIDE, SIDE).astype(np.float32)
    low, high = (0.0, 255.0) if stored.dtype == np.uint8 else np.percentile(pixels, (0.5, 99.5))
    scaled = np.clip((pixels - low) / max(float(high - low), 1e-6), 0, 1)
    return np.moveaxis(scaled[:3] if len(scaled) >= 3 else np.repeat(scaled[:1], 3, 0), 0, -1)
