"""Masks that do not lie on their images, in a drawn set; and sets in which nothing can be said."""

import numpy as np
import pytest

from pixelwise.datasets.checks import alignment
from pixelwise.datasets.checks.agreement import Agreement, measure_agreement
from pixelwise.datasets.checks.alignment import Alignment, find_misaligned
from pixelwise.datasets.checks.pixel_features import pixel_features
from pixelwise.datasets.checks.reduced import ReducedCase, boundaries, common_side, reduce_case
from pixelwise.datasets.checks.shifts import ShiftScores, move, shift_scores
from pixelwise.geometry.symmetries import SYMMETRIES, Symmetry
from spots import SIZE, spots


def reduced(image: np.ndarray, mask: np.ndarray, side: int = 64) -> ReducedCase:
    return reduce_case(image[None], mask.astype(np.int32), 2, np.zeros(mask.shape, bool), side)


def agreement(changed: dict[int, np.ndarray], count: int = 14, size: tuple[int, int] = SIZE) -> Agreement:
    """The agreement of a drawn set in which some masks are replaced."""
    cases = []
    for seed in range(count):
        image, mask = spots(seed, size)
        cases.append(reduced(image, changed.get(seed, mask)))
    return measure_agreement(cases, [True] * count)


def test_a_good_set_agrees_and_nothing_is_found() -> None:
    measured = agreement({})
    assert measured.typical > 0.6
    found = find_misaligned(measured, invertible=True)
    assert {one.change for one in found} == {"none"}
    assert min(one.own for one in found) > 0.5


def test_the_agreement_of_a_mask_is_the_score_of_its_targets() -> None:
    measured = agreement({2: spots(9)[1], 4: np.zeros(SIZE, int)})
    for index, case in enumerate(measured.cases):
        if case.targets[-1].any():
            assert measured.own[index] == pytest.approx(measured.score(index, case.targets), abs=1e-4)
    assert np.isnan(measured.own[4])


@pytest.mark.parametrize("offset", [(7, 0), (0, -9), (-5, 8)])
def test_a_shift_is_found_and_measured(offset: tuple[int, int]) -> None:
    found = find_misaligned(agreement({3: move(spots(3)[1], *offset)}), invertible=True)
    assert [one.change for one in found].count("none") == 13
    assert found[3].change == "shift"
    assert np.abs(np.add(found[3].offset, offset)).max() <= 1
    assert found[3].confidence > 0.5


@pytest.mark.parametrize("symmetry", SYMMETRIES[1:])
def test_each_symmetry_is_found_on_square_images(symmetry: Symmetry) -> None:
    size = (56, 56)
    wrong = symmetry.apply(spots(5, size)[1])
    (found,) = [
        one for one in find_misaligned(agreement({5: wrong}, size=size), invertible=True) if one.change != "none"
    ]
    assert found.change == "symmetry"
    assert found.symmetry is not None
    assert np.array_equal(found.symmetry.apply(wrong), spots(5, size)[1])


def test_a_flip_is_more_plausible_than_a_shift_that_fits_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.indices((56, 56))
    cases = [reduced(*spots(seed, (56, 56))) for seed in range(14)]
    disc = (rows - 27.5) ** 2 + (columns - 24) ** 2 < 49
    noise = np.random.default_rng(0).normal(0, 4, disc.shape)
    cases[3] = reduced(np.where(disc, 170.0, 60.0) + noise, disc[:, ::-1])  # 7 columns beside where it is
    measured = measure_agreement(cases, [True] * len(cases))
    assert find_misaligned(measured, invertible=False)[3].change == "symmetry"
    monkeypatch.setattr(alignment, "_OF_FEW", 0.8)
    assert find_misaligned(measured, invertible=False)[3].change == "shift", "control"


def test_in_a_weak_set_the_image_must_show_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Symmetry(2, mirrored=False)
    measured = agreement({5: turn.apply(spots(5)[1])})
    turned, kept = Alignment(own=0.0, change="symmetry", symmetry=turn), Alignment(own=0.0, change="shift")
    monkeypatch.setattr(alignment, "STRONG_SET", 2.0)
    assert not alignment._is_contradicted(measured, 5, turned)
    assert alignment._is_contradicted(measured, 4, turned), "its mask is right"
    assert alignment._is_contradicted(measured, 4, kept), "it is explained no better"
    monkeypatch.setattr(alignment, "STRONG_SET", 0.0)
    assert not alignment._is_contradicted(measured, 4, kept), "control"


@pytest.mark.parametrize("change", ["shift", "symmetry"])
def test_the_image_alone_decides_where_the_set_does_not(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    right, measured = spots(3)[1], agreement({3: move(spots(3)[1], 0, -9), 5: spots(5)[1][::-1, ::-1]})
    index = 3 if change == "shift" else 5
    own = (measured.own / measured.typical).tolist()
    monkeypatch.setattr(alignment, "_best_change", lambda _, i, invertible: Alignment(own=own[i], best=own[i]))
    found = find_misaligned(measured, invertible=False)
    assert {i: one.change for i, one in enumerate(found) if one.change != "none"} == {3: "shift", 5: "symmetry"}
    assert found[index].confidence == 0.5
    if change == "shift":
        restored = move(move(right, 0, -9), *found[3].offset)
        assert (restored != right).mean() < 0.1
    monkeypatch.setattr(alignment, "_TIMES", 100.0)
    found = find_misaligned(measured, invertible=False)
    assert found[index].change == change, "its image explains more than a quarter more of its variance"
    monkeypatch.setattr(alignment, "_MUCH_MORE", 1.0)
    found = find_misaligned(measured, invertible=False)
    assert {i: one.change for i, one in enumerate(found) if one.change != "none"} == {3: "shift"}, "both have one best"
    monkeypatch.setattr(alignment, "_TOGETHER", 1.1)
    assert {one.change for one in find_misaligned(measured, invertible=False)} == {"none"}, "control"


def test_what_is_contradicted_may_be_another_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = agreement({3: move(spots(3)[1], 0, -9)})
    own = (measured.own / measured.typical).tolist()
    wrong = Alignment(own=own[3], change="shift", best=1.0, chance=0.01, offset=(-5, -5))
    monkeypatch.setattr(
        alignment, "_best_change", lambda _, i, invertible: wrong if i == 3 else Alignment(own=own[i], best=own[i])
    )
    found = find_misaligned(measured, invertible=False)[3]
    assert (found.change, found.offset) == ("shift", (0, 9 * measured.cases[3].factor))


@pytest.mark.parametrize(
    ("explained", "before", "usual", "gain"),
    [
        (0.30, 0.09, 0.10, 0.25),  # a multiple of what was
        (0.30, 0.11, 0.10, None),
        (0.30, 0.09, 0.13, None),  # of many shifts one explains as much by chance
        (0.15, 0.01, 0.01, None),  # a multiple of next to nothing
        (0.60, 0.29, 0.20, 0.15),  # far more
        (0.60, 0.31, 0.20, None),
        (0.60, 0.29, 0.36, None),
    ],
)
def test_how_clearly_an_image_explains_a_change(
    explained: float, before: float, usual: float, gain: float | None
) -> None:
    assert alignment._least_gain(explained, before, usual) == gain


def test_a_change_that_the_image_contradicts_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = agreement({})
    measured.own[3] = 0.0  # of a mask that is right
    wrong = Alignment(own=0.0, change="shift", best=1.0, chance=0.01, offset=(9, 0))
    right = Alignment(own=1.0, best=1.0)
    monkeypatch.setattr(alignment, "_best_change", lambda _, i, invertible: wrong if i == 3 else right)
    assert {one.change for one in find_misaligned(measured, invertible=False)} == {"none"}
    monkeypatch.setattr(alignment, "_CONTRADICTED", 0.0)
    assert find_misaligned(measured, invertible=False)[3].change == "shift", "control"


def test_exchanged_masks_are_found_in_pairs_and_in_a_circle() -> None:
    masks = {seed: spots(seed)[1] for seed in (1, 4, 8, 9, 11)}
    found = find_misaligned(
        agreement({1: masks[4], 4: masks[1], 8: masks[9], 9: masks[11], 11: masks[8]}), invertible=True
    )
    assert {index: one.other for index, one in enumerate(found) if one.change == "exchange"} == {
        1: 4, 4: 1, 8: 11, 9: 8, 11: 9,
    }  # fmt: skip


def test_what_shifts_gain_by_chance_does_not_hide_an_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = agreement({1: spots(4)[1], 4: spots(1)[1]})
    monkeypatch.setattr(alignment, "_needed_gain", lambda *some, invertible: 1.4)
    found = find_misaligned(measured, invertible=True)
    assert [(found[index].change, found[index].other) for index in (1, 4)] == [("exchange", 4), ("exchange", 1)]
    monkeypatch.setattr(alignment, "_SURE", 1.4)
    assert "exchange" not in {one.change for one in find_misaligned(measured, invertible=True)}, "control"


def test_an_image_that_shows_nothing_takes_no_mask() -> None:
    masks = {seed: spots(seed)[1] for seed in (1, 4)}
    measured = agreement({1: masks[4], 4: masks[1], 7: masks[4]})
    comparable = [index != 7 for index in range(14)]
    found = find_misaligned(measured, invertible=True, comparable=comparable)
    assert {index: one.other for index, one in enumerate(found) if one.change != "none"} == {1: 4, 4: 1}


def brute_force(measured: Agreement, index: int, rows: int, columns: int) -> float:
    """The correlation on the overlap after a shift, pixel by pixel."""
    case = measured.cases[index]
    scale = measured.scale[:, None, None]
    predicted = measured.prediction(index)
    mask = case.targets.astype(float) / 255 * scale
    mean = measured.mean_targets[case.targets.shape] * scale
    mask -= (mask - mean).mean((1, 2), keepdims=True)
    product = power = square = 0.0
    for row in range(mask.shape[1]):
        for column in range(mask.shape[2]):
            here = row - rows, column - columns
            if 0 <= here[0] < mask.shape[1] and 0 <= here[1] < mask.shape[2]:
                moved = mask[:, here[0], here[1]] - mean[:, row, column]
                product += float(predicted[:, row, column] @ moved)
                power += float((predicted[:, row, column] ** 2).sum())
                square += float((moved**2).sum())
    return product / (power * square) ** 0.5


def test_shifts_are_scored_on_the_overlap() -> None:
    measured = agreement({3: move(spots(3)[1], 6, -4)})
    shifts = shift_scores(measured, 3)
    for rows, columns in ((0, 0), (-6, 4), (3, -5), (5, 5)):
        row, column = shifts.rows.tolist().index(rows), shifts.columns.tolist().index(columns)
        assert shifts.scores[row, column] == pytest.approx(brute_force(measured, 3, rows, columns), abs=1e-3)
    assert shifts.best() == (-6, 4)
    assert 0 < shifts.by_chance < shifts.scores.max() / 3


def test_a_best_shift_at_the_limit_is_none() -> None:
    scores = np.arange(25.0).reshape(5, 5)
    steps = np.arange(-2, 3)
    assert ShiftScores(steps, steps, scores).best() == (0, 0)
    assert ShiftScores(steps, steps, np.roll(scores, -1, (0, 1))).best() == (1, 1)


def test_an_inverted_mask_is_found_only_where_masks_can_be_inverted() -> None:
    measured = agreement({2: 1 - spots(2)[1]})
    assert find_misaligned(measured, invertible=True)[2].change == "invert"
    assert find_misaligned(measured, invertible=False)[2].change != "invert"


def test_nothing_is_found_where_masks_have_nothing_to_do_with_images(rng: np.random.Generator) -> None:
    noise = [rng.integers(0, 256, SIZE, dtype=np.uint8) for _ in range(14)]
    cases = [reduced(image, spots(seed)[1]) for seed, image in enumerate(noise)]
    found = find_misaligned(measure_agreement(cases, [True] * 14), invertible=True)
    assert {one.change for one in found} == {"none"}


def test_many_faults_do_not_hide_one_another() -> None:
    changed = {seed: move(spots(seed)[1], 7, 7) for seed in range(5)}
    found = find_misaligned(agreement(changed), invertible=True)
    assert {index for index, one in enumerate(found) if one.change == "shift"} == set(range(5))


def test_an_untrusted_case_is_compared_but_not_learned_from() -> None:
    image, _ = spots(0)
    cases = [reduced(image, spots(0)[1]), *(reduced(*spots(seed)) for seed in range(1, 8))]
    other = [reduced(image, spots(50)[1]), *cases[1:]]
    trusted = [False] + [True] * 7
    first, second = measure_agreement(cases, trusted), measure_agreement(other, trusted)
    assert all(np.array_equal(a, b) for a, b in zip(first.predictions, second.predictions, strict=True))
    assert first.own[0] > 0.5 > second.own[0]


def test_features_do_not_depend_on_brightness_and_contrast() -> None:
    image = spots(0)[0][None]
    darker = (image // 2 + 20).astype(np.uint8)
    assert np.abs(pixel_features(image[None]) - pixel_features(darker[None])).mean() < 0.05


def test_features_of_some_pixels_are_those_of_all() -> None:
    images = np.stack([spots(seed)[0][None] for seed in (1, 2)])
    np.testing.assert_allclose(pixel_features(images, 3), pixel_features(images)[:, :, ::3], rtol=1e-5, atol=1e-5)


def test_reduction_keeps_fractions_and_leaves_incomplete_blocks_out() -> None:
    mask = np.zeros((70, 100), np.int32)
    mask[:35] = 1
    case = reduce_case(np.zeros((1, 70, 100)), mask, 2, mask < 0, 50)
    assert case.factor == 2
    assert case.targets.shape == (2, 35, 50)
    assert case.targets[0, 17, 0] == 128  # one of two rows
    assert common_side(10**6, 3, 12) < common_side(10, 3, 2)


def test_boundaries_are_where_the_next_pixel_differs() -> None:
    assert boundaries(np.array([[1, 1, 2], [1, 1, 2]])).tolist() == [[False, True, False], [False, True, False]]
