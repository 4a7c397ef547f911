"""Boundary scores V_rand and V_info of the ISBI 2012 challenge (Arganda-Carreras et al. 2015).

As in Fiji's Trainable Segmentation: computed over the foreground of the ground truth; cells are its 4-connected
components; predicted boundaries are thinned, so that their width does not count; a predicted boundary pixel inside a
true cell is an object of its own. The challenge reports the best of the thresholds 0.0, 0.1, ... 1.0; these functions
score one mask.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32
from skimage.segmentation import watershed

from pixelwise.labels.label_image import components, overlap_table


@dataclass(frozen=True)
class BoundaryScores:
    """Each in [0, 1], 1 is perfect.

    All are None without foreground in the ground truth. The information scores are None if they are 0 / 0: `info_split`
    when the ground truth is one cell, `info_merge` when the prediction is, `v_info` when both are.
    """

    v_rand: float | None
    rand_merge: float | None
    rand_split: float | None
    v_info: float | None
    info_merge: float | None
    info_split: float | None


UNDEFINED = BoundaryScores(None, None, None, None, None, None)


def rand_information(
    truth: Bool[np.ndarray, "height width"], predicted: Bool[np.ndarray, "height width"], *, thinned: bool = True
) -> BoundaryScores:
    """Compare two masks of cells (True) and boundaries (False).

    Parameters
    ----------
    truth, predicted : bool array (height, width)
    thinned : bool
        Thin the predicted boundaries first, as in the challenge's final ranking.
    """
    cells = components(truth, corners=False)
    total = int(np.count_nonzero(cells))
    if total == 0:
        return UNDEFINED
    regions = thin(predicted) if thinned else components(predicted, corners=False)
    table = overlap_table(cells, np.where(truth, regions, 0))
    a, b, joint = (counts / total for counts in (table.truth_areas, table.predicted_areas, table.pixels))
    lost = 1.0 - float(joint.sum())  # fraction of cell pixels on predicted boundaries, each an object of its own
    lost = max(0.0, lost) if table.pixels.sum() < total else 0.0
    squares_a, squares_b = float((a**2).sum()), float((b**2).sum()) + lost / total
    shared = float((joint**2).sum()) + lost / total
    singles = lost * float(np.log(total))
    entropy_a, entropy_b = _entropy(a), _entropy(b) + singles
    information = max(0.0, entropy_a + entropy_b - _entropy(joint) - singles)
    both = entropy_a + entropy_b
    return BoundaryScores(
        v_rand=2 * shared / (squares_a + squares_b),
        rand_merge=shared / squares_b,
        rand_split=shared / squares_a,
        v_info=2 * information / both if both else None,
        info_merge=information / entropy_a if entropy_a else None,
        info_split=information / entropy_b if entropy_b else None,
    )


def thin(cells: Bool[np.ndarray, "height width"]) -> Int32[np.ndarray, "height width"]:
    """Thin the boundaries to lines of one pixel, labelled 0, by a 4-connected watershed of the inverted mask.

    Regions are numbered 1...N. Without a cell all is 0.
    """
    seeds = components(cells, corners=False)
    return watershed((~cells).astype(np.uint8), seeds, connectivity=1, watershed_line=True).astype(np.int32)


def _entropy(shares: np.ndarray) -> float:
    """Return -sum p ln p, in nats, with 0 ln 0 = 0. The + 0.0 converts -0 to 0."""
    used = shares[shares > 0]
    return float(-(used * np.log(used)).sum()) + 0.0
