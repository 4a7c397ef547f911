"""Contact sheet of a segmentation data set: images next to their masks, with a legend of the classes."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pixelwise.atomic_write import atomic_write
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.workflow.painting import IGNORED, colour, stretch

ROWS, PAIRS = 3, 3


def draw_contact_sheet(path: Path, dataset: Dataset) -> None:
    """Write a PNG of up to nine evenly spaced training cases, image and mask side by side."""
    cases = [case for case in dataset.splits["train"] if case.annotation is not None]
    chosen = evenly_spaced(cases, ROWS * PAIRS)
    rows = -(-len(chosen) // PAIRS)
    figure = Figure(figsize=(12.5, 2.35 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, 2 * PAIRS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    labelling = dataset.labelling
    for index, case in enumerate(chosen):
        row, column = divmod(index, PAIRS)
        view = stretch(dataset.read_image(case).pixels)
        mask = colour(dataset.read_labels(case), labelling.colours, objects=labelling.task == "instance")
        axes[row][2 * column].imshow(view)
        axes[row][2 * column].set_title(case.name.split("/")[-1][:24], fontsize=7, loc="left")
        axes[row][2 * column + 1].imshow(mask, interpolation="nearest")
        axes[row][2 * column + 1].set_title(f"{view.shape[1]} x {view.shape[0]}", fontsize=7, loc="right", color="0.4")
    if labelling.task == "instance":
        title = "one colour per object"
    else:
        title = ""
        handles = [
            Patch(facecolor="#{:02x}{:02x}{:02x}".format(*rgb), edgecolor="0.5", label=name)
            for name, rgb in zip(labelling.classes, labelling.colours, strict=False)
        ]
        if labelling.ignore_value is not None:
            handles.append(Patch(facecolor="#{:02x}{:02x}{:02x}".format(*IGNORED), label="ignored"))
        figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    counts = ", ".join(f"{len(dataset.splits[p])} {p}" for p in ("train", "val", "test"))
    figure.suptitle(f"{dataset.root.resolve().name}: {labelling.task}, {counts}  {title}", fontsize=11)
    atomic_write(path, lambda file: figure.savefig(file, format="png", dpi=110))
