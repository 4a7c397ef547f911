"""V_rand and V_info: how well boundaries part the cells (Arganda-Carreras et al. 2015, ISBI 2012 challenge).

As in Fiji's Trainable Segmentation: computed over the truth's foreground; cells are its 4-connected areas; the
prediction is thinned, so that the width of its boundaries does not count; a predicted boundary pixel inside a true
cell is an object of its own. The challenge tries thresholds 0.0, 0.1, ... 1.0 and keeps the best; these functions score
the one decision they are given.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32
from skimage.segmentation import watershed

from pixelwise.labels.label_image import components, overlap_table


@dataclass(frozen=True)
class BoundaryScores:
    """Each in [0, 1], 1 is perfect.

    All are None without foreground in the truth. The information scores are None where they are 0 / 0: `info_split`
    when the truth is one cell, `info_merge` when the prediction is, `v_info` when both are.
    """

    v_rand: float | None
    rand_merge: float | None
    rand_split: float | None
    v_info: float | None
    info_merge: float | None
    info_split: float | None


NOTHING = BoundaryScores(None, None, None, None, None, None)


def rand_information(
    truth: Bool[np.ndarray, "height width"],
    predicted: Bool[np.ndarray, "height width"],
    *,
    thinned: bool = True,
) -> BoundaryScores:
    """Compare how two masks of cells (True) and boundaries (False) part one image.

    Parameters
    ----------
    truth, predicted : bool array (height, width)
    thinned : bool
        Thin the predicted boundaries first, as the challenge's final board does.
    """
    cells = components(truth, corners=False)
    total = int(np.count_nonzero(cells))
    if total == 0:
        return NOTHING
    regions = thin(predicted) if thinned else components(predicted, corners=False)
    table = overlap_table(cells, np.where(truth, regions, 0))
    a, b, joint = (counts / total for counts in (table.truth_areas, table.predicted_areas, table.pixels))
    lost = 1.0 - float(joint.sum())  # share of cell pixels on predicted boundaries, each an object of its own
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
    """Grow the cells into the boundaries until lines of one pixel, labelled 0, part them.

    A 4-connected watershed of the inverted mask; regions are numbered 1...N. Without a cell all is 0.
    """
    seeds = components(cells, corners=False)
    return watershed((~cells).astype(np.uint8), seeds, connectivity=1, watershed_line=True).astype(np.int32)


def _entropy(shares: np.ndarray) -> float:
    """Return -sum p ln p, in nats; shares of 0 count nothing. The + 0.0 turns -0 into 0."""
    used = shares[shares > 0]
    return float(-(used * np.log(used)).sum()) + 0.0
