"""Boundary scores V_rand and V_info, compared with scikit-learn."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from pixelwise.metrics.boundaries import UNDEFINED, rand_information, thin


def drawn(*rows: str) -> np.ndarray:
    """Cells are #, boundaries are dots."""
    return np.array([[c == "#" for c in row] for row in rows])


TRUTH = drawn("####.####", "####.####", "####.####")


def reference(truth: np.ndarray, regions: np.ndarray):
    """Clustering scores over the true foreground, with each boundary pixel as its own cluster."""
    cells = np.asarray(label(truth, connectivity=1))[truth]
    found = regions[truth].astype(int)
    found[found == 0] = 1000 + np.arange((found == 0).sum())
    table = contingency_matrix(cells, found) / len(cells)
    squares = [(table.sum(1) ** 2).sum(), (table.sum(0) ** 2).sum(), (table**2).sum()]
    entropy = mutual_info_score(cells, cells) + mutual_info_score(found, found)
    return 2 * squares[2] / (squares[0] + squares[1]), 2 * mutual_info_score(cells, found) / entropy


def test_perfect_is_one():
    scores = rand_information(TRUTH, TRUTH)
    assert scores.v_rand == pytest.approx(1)
    assert scores.v_info == pytest.approx(1)


def test_wide_boundaries_cost_nothing_when_thinned():
    wide = drawn("###...###", "###...###", "###...###")
    assert rand_information(TRUTH, wide).v_rand == pytest.approx(1)
    unthinned = rand_information(TRUTH, wide, thinned=False)  # control
    assert unthinned.v_rand is not None
    assert unthinned.v_rand < 0.9


def test_a_gap_in_the_boundary_merges_the_cells():
    gap = drawn("####.####", "#########", "####.####")
    scores = rand_information(TRUTH, gap)
    # one region: A = 2 (1/2)^2, B = 1, AB = 1/2
    assert scores.rand_merge == pytest.approx(0.5)
    assert scores.rand_split == pytest.approx(1)
    assert scores.v_rand == pytest.approx(2 * 0.5 / 1.5)
    assert scores.v_info == pytest.approx(0)


def test_a_false_boundary_splits_a_cell():
    split = drawn("##.#.####", "##.#.####", "##.#.####")
    scores = rand_information(TRUTH, split)
    n = 24
    a, b = 2 * 0.5**2, (6**2 + 3**2 + 12**2) / n**2 + 3 / n**2
    assert scores.rand_split == pytest.approx(b / a)  # every piece lies in one cell, so AB = B
    assert scores.rand_merge == pytest.approx(1)
    assert scores.v_rand == pytest.approx(2 * b / (a + b))
    assert scores.info_merge == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("thinned", [True, False])
def test_scores_equal_sklearn(seed: int, thinned: bool):
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.standard_normal((40, 50)), 2) > 0.3
    predicted = truth ^ (rng.random((40, 50)) < 0.05)
    regions = thin(predicted) if thinned else label(predicted, connectivity=1)
    v_rand, v_info = reference(truth, regions)
    scores = rand_information(truth, predicted, thinned=thinned)
    assert scores.v_rand == pytest.approx(v_rand)
    assert scores.v_info == pytest.approx(v_info)


def test_corners_do_not_connect():
    checks = drawn("##..", "##..", "..##", "..##")
    assert rand_information(checks, checks).v_info == pytest.approx(1)  # two cells, or it would be 0 / 0
    assert thin(checks).max() == 2


def test_thinning_leaves_lines_of_one_pixel():
    labels = thin(drawn("##....##", "##....##", "##....##"))
    assert set(np.unique(labels)) == {0, 1, 2}
    assert ((labels == 0).sum(1) == 1).all()


def test_empty_images():
    empty, full = np.zeros((4, 5), bool), np.ones((4, 5), bool)
    assert rand_information(empty, TRUTH[:, :5][:1].repeat(4, 0)) == UNDEFINED
    nothing_found = rand_information(full, empty)
    assert nothing_found.v_rand == pytest.approx(2 * (1 / 20) / (1 + 1 / 20))
    assert nothing_found.v_info == 0
    one_cell = rand_information(full, full)
    assert (one_cell.v_rand, one_cell.v_info, one_cell.info_merge) == (pytest.approx(1), None, None)
