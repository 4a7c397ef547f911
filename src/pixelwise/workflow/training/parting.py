"""Parting: where lines part the foreground into many areas, the threshold is chosen by how well they are parted.

Cells that fill an image are told apart by the membranes between them, and a gap of one pixel makes one cell of two. The
most probable class says nothing of that: it is right for most pixels, and leaves gaps. So the probability from which a
pixel is foreground is chosen on validation images by V_rand (`scoring.boundaries`), as far as the Dice allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Integer

from pixelwise.engine.modelfile import load_network, save_model
from pixelwise.images.cases import Dataset
from pixelwise.labels.objects import components
from pixelwise.labels.targets import IGNORE, TargetOptions
from pixelwise.progress import Progress
from pixelwise.scoring.boundaries import rand_information
from pixelwise.wording import counted
from pixelwise.workflow.training.looking import Looked, look_at_validation

USUAL = TargetOptions().foreground_threshold
CHANCES = (USUAL, 0.6, 0.7, 0.8, 0.9, 0.95)  # lines become thicker: gaps are what is to be closed
LEAST_AREAS = 50  # fewer decide by chance
LEAST_SHARE = 0.5  # of the pixels: what fills less is parted by ground, not by lines
LEAST_GAIN = 0.005  # of V_rand: smaller gains are noise, and the most probable class is the better guess
LOSS = 0.01  # of the Dice of the foreground, at most: what is parted better has to stay the same areas


@dataclass(frozen=True, kw_only=True)
class Parted:
    """What was chosen: mean V_rand over `images` validation images, and Dice over their pixels, before and after."""

    threshold: float
    before: float
    after: float
    dice_before: float
    dice_after: float
    images: int

    def to_text(self) -> str:
        """Say what was chosen, and what it is worth."""
        where = f"{counted(self.images, 'validation image')} whose areas are parted by lines"
        if self.threshold == USUAL:
            return f"No other threshold parts the areas better on {where}: V_rand {self.before:.4f}."
        change = f"V_rand {self.after:.4f}, before {self.before:.4f}"
        price = f"Dice {self.dice_after:.4f}, before {self.dice_before:.4f}"
        return f"Foreground from a probability of {self.threshold} on, chosen on {where}: {change}; {price}."


def compare_thresholds(look: Looked) -> Float64[np.ndarray, "thresholds 4"]:
    """Return of each of `CHANCES` V_rand, and for the Dice: pixels in both masks, in the found one, in the true one.

    Pixels whose truth is 255 part nothing, and count nowhere.
    """
    known = look.truth != IGNORE
    truth = look.truth == 1
    rows: list[tuple[float, ...]] = []
    for chance in CHANCES:
        found = (look.chances[1] > chance) & known
        parted = rand_information(truth, found).v_rand
        rows.append((np.nan if parted is None else parted, (found & truth).sum(), found.sum(), truth.sum()))
    return np.array(rows, np.float64)


def choose_threshold(tables: Sequence[Float64[np.ndarray, "thresholds 4"]]) -> Parted | None:
    """Choose the threshold with the highest mean V_rand among those that cost no more than `LOSS` of the Dice.

    Parameters
    ----------
    tables : sequence of arrays
        `compare_thresholds` of each image.

    Returns
    -------
    Parted or None
        None where no image shows any foreground.
    """
    showing = [table for table in tables if not np.isnan(table[0, 0])]
    if not showing:
        return None
    scores = np.mean([table[:, 0] for table in showing], axis=0)
    both, found, true = np.sum([table[:, 1:] for table in tables], axis=0).T
    dice = 2 * both / (found + true)
    best = int(np.where(dice >= dice[0] - LOSS, scores, -np.inf).argmax())
    if scores[best] < scores[0] + LEAST_GAIN:
        best = 0
    return Parted(
        threshold=CHANCES[best],
        before=float(scores[0]),
        after=float(scores[best]),
        dice_before=float(dice[0]),
        dice_after=float(dice[best]),
        images=len(showing),
    )


def choose_threshold_of_model(
    path: Path, dataset: Dataset, pages: int | None, *, device: str, seconds: float | None, progress: Progress
) -> str:
    """Choose the threshold of a model of masks, and write it into its file; return what is told.

    Parameters are those of `calibrating.calibrate_model`.
    """
    network, recipe = load_network(path)
    looks = look_at_validation(
        network, recipe, dataset, pages, device=device, seconds=seconds, progress=progress, why="choosing threshold"
    )
    chosen = choose_threshold([compare_thresholds(look) for look in looks])
    if chosen is None:
        return "The threshold stays as planned: the validation images that were looked at show no foreground."
    told = chosen.to_text()
    target = replace(recipe.target, foreground_threshold=chosen.threshold)
    save_model(path, network, replace(recipe, target=target, trained=recipe.trained | {"threshold": told}))
    return told


def parted_by_lines(
    targets: Sequence[Integer[np.ndarray, "height width"]], target: TargetOptions, classes: int
) -> bool:
    """Tell whether class maps of two classes show a foreground that fills most of them, in many areas."""
    if target.kind != "classes" or classes != 2:
        return False
    known = sum(int(np.count_nonzero(one != IGNORE)) for one in targets)
    share = sum(int(np.count_nonzero(one == 1)) for one in targets) / max(1, known)
    if not filled_by_areas(share, LEAST_AREAS):
        return False
    areas = sum(int(components(one == 1, corners=False).max(initial=0)) for one in targets)
    return filled_by_areas(share, areas)


def filled_by_areas(share: float, areas: int) -> bool:
    """Tell whether a foreground with this share of the pixels, in so many areas, is one that lines part."""
    return share > LEAST_SHARE and areas >= LEAST_AREAS
