"""Imitations of sets from drawing programs: masks in the alpha channel of images, of masks, or of both."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from drawn import save
from public_sets.drawing import Draw, Truth, areas, picture

COLOURS = np.array([(0, 0, 0, 0), (200, 30, 30, 255), (30, 200, 30, 255), (30, 30, 200, 255)])


def layers(
    alpha: Callable[[np.ndarray], np.ndarray] | None = None,
    mask: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    kinds: int = 1,
    **truth: object,
) -> Draw:
    """A set whose images have an alpha channel, and whose masks are drawn from the labels and the image."""

    def draw(folder: Path) -> Truth:
        labels = {}
        for index in range(1, 6):
            drawn = areas(index, kinds)
            shown = picture(drawn, index)
            if alpha is not None:
                shown = np.dstack([shown, alpha(drawn).astype(np.uint8)])
            save(folder / f"images/{index}.png", shown)
            if mask is not None:
                save(folder / f"masks/{index}.png", mask(drawn, shown).astype(np.uint8))
            labels[f"images/{index}.png"] = drawn
        return Truth(labels=labels, **{"task": "binary" if kinds == 1 else "multiclass", **truth})

    return draw


SETS: dict[str, Draw] = {
    "alpha is the mask": layers(lambda drawn: 255 * drawn, lambda drawn, _: 255 * drawn),
    "alpha has the classes": layers(lambda drawn: drawn, lambda drawn, _: drawn, kinds=3),
    "alpha is the foreground": layers(lambda drawn: 255 * (drawn > 0), lambda drawn, _: drawn, kinds=3),
    "alpha with halves": layers(lambda drawn: 20 + 200 * drawn, lambda drawn, _: 255 * drawn),
    "alpha, and RGBA masks": layers(lambda drawn: 255 * drawn, lambda drawn, _: np.dstack([255 * drawn] * 4)),
    "alpha alone": layers(lambda drawn: 255 * drawn, options={"mask_values": "alpha"}),
    "alpha alone, classes": layers(lambda drawn: 80 * drawn, kinds=3, options={"mask_values": "alpha"}),
    "gray and alpha": layers(None, lambda drawn, _: np.dstack([drawn, 255 * (drawn > 0)]), kinds=3),
    "RGBA numbers": layers(None, lambda drawn, _: np.dstack([drawn] * 4), kinds=3),
    "RGBA colours": layers(None, lambda drawn, _: COLOURS[drawn], kinds=3),
    "white and transparent": layers(None, lambda drawn, _: np.array([(255, 255, 255, 0), (0, 0, 0, 255)])[drawn]),
    "black strokes": layers(None, lambda drawn, _: np.array([(0, 0, 0, 0), (0, 0, 0, 255)])[drawn]),
    "cut-outs": layers(None, lambda drawn, shown: np.dstack([shown, 255 * drawn])),
    "cut-outs of classes": layers(None, lambda drawn, shown: np.dstack([shown, 60 * drawn]), kinds=3),
    "cut-outs twice": layers(lambda drawn: 255 * drawn, lambda _, shown: shown),
}
