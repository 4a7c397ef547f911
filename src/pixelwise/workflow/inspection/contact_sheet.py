"""Contact sheet of a segmentation data set: images next to their masks, with a legend of the classes."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.images.missing_pixels import filled
from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.workflow.inspection.sheet import drawable, figure_png
from pixelwise.workflow.painting import colour, stretch
from pixelwise.workflow.planes import choose_planes

ROWS, PAIRS = 3, 3
COLUMNS = 8  # of the legend
SHOWN = 300  # pixels of the longer side of a panel: it shows no more, and drawing takes as long as there are pixels


def draw_contact_sheet(path: Path, dataset: Dataset) -> None:
    """Write a PNG of up to nine evenly spaced training cases, image and mask side by side."""
    atomic_write_bytes(path, figure_png(_draw(dataset)))


def _draw(dataset: Dataset) -> Figure:
    cases = [case for case in dataset.splits["train"] if case.annotation is not None]
    chosen = evenly_spaced(cases, ROWS * PAIRS)
    rows, handles = -(-len(chosen) // PAIRS), _legend(dataset)
    under = 0.1 + 0.2 * -(-len(handles) // COLUMNS)  # inches
    height = 2.35 * rows + 0.5 + under
    figure = Figure(figsize=(12.5, height))
    # fixed places: a layout that is fitted to the texts takes several times as long
    places = {"left": 0.005, "right": 0.995, "top": 1 - 0.5 / height, "bottom": under / height}
    axes = figure.subplots(rows, 2 * PAIRS, squeeze=False, gridspec_kw={**places, "wspace": 0.03, "hspace": 0.12})
    for axis in axes.flat:
        axis.set_axis_off()
    for index, case in enumerate(chosen):
        row, column = divmod(index, PAIRS)
        view, mask, size = picture_pair(case, dataset)
        axes[row][2 * column].imshow(view)
        axes[row][2 * column].set_title(drawable(case.name.split("/")[-1][:24]), fontsize=7, loc="left", pad=2)
        axes[row][2 * column + 1].imshow(mask, interpolation="nearest")
        axes[row][2 * column + 1].set_title(size, fontsize=7, loc="right", color="0.4", pad=2)
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=COLUMNS, fontsize=8, frameon=False, borderpad=0)
    labelling = dataset.labelling
    title = "one colour per object" if labelling.task == "instance" else ""
    counts = ", ".join(f"{len(dataset.splits[p])} {p}" for p in ("train", "val", "test"))
    figure.suptitle(drawable(f"{dataset.root.resolve().name}: {labelling.task}, {counts}  {title}"), fontsize=11)
    return figure


def _legend(dataset: Dataset) -> list[Patch]:
    """Return a patch per class; none for objects."""
    labelling = dataset.labelling
    if labelling.task == "instance":
        return []
    handles = [
        Patch(facecolor="#{:02x}{:02x}{:02x}".format(*colour), edgecolor="0.5", label=drawable(name))
        for name, colour in zip(labelling.classes, labelling.colours, strict=False)
    ]
    ignored = labelling.ignore_value is not None
    return [*handles, *([Patch(facecolor="0.5", label="ignored")] if ignored else [])]


def picture_pair(case: Case, dataset: Dataset) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the image and its mask as 8-bit RGB (height, width, 3), and its size in words.

    A volume is shown by three planes and a maximum projection.
    """
    image = dataset.read_image(case)
    pixels = image.pixels
    size = " x ".join(str(side) for side in (pixels.shape[:0:-1] if image.grid is None else pixels.shape[1:]))
    labels = None if case.annotation is None else dataset.read_labels(case)
    if image.grid is not None:
        views = choose_planes(np.zeros(pixels.shape[1:], np.int32) if labels is None else labels, image.grid)
        pixels = views.draw(filled(pixels))
        labels = None if labels is None else views.draw(labels)
    step = max(1, max(pixels.shape[1:]) // SHOWN)
    view = stretch(pixels[:, ::step, ::step])
    if labels is None:
        return view, np.zeros_like(view), size
    labelling = dataset.labelling
    return view, colour(labels[::step, ::step], labelling.colours, objects=labelling.task == "instance"), size
