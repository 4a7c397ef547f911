"""Draw the pictures of the documents with the project's own code.

They show drawn cells (the demo set's), not data. Run it anywhere: python docs/make_pictures.py
"""

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.datasets.synthetic import draw_cells
from pixelwise.labels.label_image import renumber
from pixelwise.labels.targets import TargetOptions, border_weights, encode, target_objects
from pixelwise.training.losses import inverse_frequencies

PICTURES = Path(__file__).parent / "pictures"
SEED, SIZE = 1, 256
WINDOW = (slice(48, 176), slice(50, 178))  # where cells touch, and where some are apart
NIGHT, PAPER, SEAM = "#14142b", "#ece9e1", "#e4572e"
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2")  # Okabe and Ito
PANEL, GAP, TOP, BAR = 3.0, 0.12, 0.42, 0.14  # inches


def weight_map() -> None:
    """Draw cells, their target with the separation border, and the weight map of the recipe of 2015."""
    image, labels = draw_cells(SEED, SIZE)
    options = TargetOptions(kind="components", separate=1)
    target = encode(labels, options)
    border = border_weights(target_objects(labels, target, options), w0=10.0, sigma=5.0)
    balance = inverse_frequencies(np.bincount(target.ravel(), minlength=2).tolist())
    weights = np.array(balance)[target] + border
    image, labels, target, weights = image[0][WINDOW], renumber(labels[WINDOW]), target[WINDOW], weights[WINDOW]

    mpl.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10.5, "mathtext.fontset": "dejavusans"})
    width, height = 4 * PANEL + 4 * GAP + BAR + 0.42, PANEL + TOP + GAP
    figure = Figure(figsize=(width, height), dpi=130)
    panels = [_axes(figure, GAP / 2 + place * (PANEL + GAP), PANEL) for place in range(4)]
    how: dict[str, Any] = {"interpolation": "nearest"}
    panels[0].imshow(image, cmap="gray", **how)
    panels[1].imshow(_tones(labels), cmap=ListedColormap([NIGHT, *COLOURS]), vmin=0, vmax=len(COLOURS), **how)
    panels[2].imshow(
        np.where((labels > 0) & (target == 0), 2, target), cmap=ListedColormap([NIGHT, PAPER, SEAM]), **how
    )
    shown = panels[3].imshow(weights, cmap="inferno", vmin=0, **how)
    bar = figure.colorbar(shown, cax=_axes(figure, 4 * (PANEL + GAP), BAR, visible=True))
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    titles = (
        "image",
        "cells that touch",
        "target, with the border cut",
        r"weight $w_c+w_0\,e^{-(d_1+d_2)^2/\,2\sigma^2}$",
    )
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, fontsize=11.5, pad=7)
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    atomic_write_bytes(PICTURES / "weight-map.png", content.getvalue())


def _axes(figure: Figure, left: float, width: float, *, visible: bool = False) -> Any:
    """Place axes by inches, so that all panels are of one height."""
    whole = figure.get_size_inches()
    axes = figure.add_axes((left / whole[0], GAP / 2 / whole[1], width / whole[0], PANEL / whole[1]))
    if not visible:
        axes.set_axis_off()
    return axes


def _tones(labels: np.ndarray) -> np.ndarray:
    """Give each cell the first colour that none of its neighbours has."""
    tones = np.zeros(labels.max() + 1, int)
    for number in range(1, len(tones)):
        rows, columns = np.nonzero(labels == number)
        near = labels[max(0, rows.min() - 6) : rows.max() + 7, max(0, columns.min() - 6) : columns.max() + 7]
        taken = {int(tones[other]) for other in np.unique(near)}
        tones[number] = min(set(range(1, len(COLOURS) + 1)) - taken, default=1)
    return tones[labels]


if __name__ == "__main__":
    weight_map()
