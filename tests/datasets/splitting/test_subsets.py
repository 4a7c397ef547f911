"""Nested subsets of the training cases: sizes, order and cases."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import mask, pairs, save
from pixelwise.datasets.dataset import detect_dataset
from pixelwise.datasets.splitting.subsets import draw_order, select_cases, subset_sizes


@pytest.mark.parametrize(
    ("cases", "sizes"),
    [(1, ()), (2, (2,)), (3, (2, 3)), (4, (2, 4)), (5, (2, 3, 5)), (14, (2, 4, 7, 14)), (18, (3, 5, 9, 18)),
     (452, (57, 113, 226, 452))],
)  # fmt: skip
def test_sizes_are_an_eighth_a_quarter_a_half_and_all(cases: int, sizes: tuple[int, ...]) -> None:
    assert subset_sizes(cases) == sizes


@given(st.integers(2, 5000))
def test_sizes_increase_up_to_all_cases(cases: int) -> None:
    sizes = subset_sizes(cases)
    assert list(sizes) == sorted(set(sizes))
    assert sizes[0] >= 2
    assert sizes[-1] == cases
    assert len(sizes) == 4 or cases < 16


def test_orders_differ_between_repeats_and_are_a_function_of_the_seed(tmp_path: Path) -> None:
    dataset = detect_dataset(pairs(tmp_path, 12))
    names = [case.name for case in dataset.splits["train"]]
    orders = [draw_order(dataset, 0, repeat) for repeat in range(3)]
    assert all(sorted(order) == sorted(names) for order in orders)
    assert len(set(orders)) == 3
    assert orders[1] == draw_order(dataset, 0, 1)
    assert orders[1] != draw_order(dataset, 1, 1)


def test_the_smallest_subset_contains_foreground(tmp_path: Path) -> None:
    pairs(tmp_path / "train", 12)
    for seed in range(12):
        if seed != 3:
            save(tmp_path / f"train/masks/case_{seed}.png", mask(seed) * 0)
    pairs(tmp_path / "val", 1, first=20)
    dataset = detect_dataset(tmp_path)
    firsts = {draw_order(dataset, seed, 0)[0] for seed in range(8)}
    assert firsts == {"train/case_3"}, "the only case with foreground"


def test_a_subset_keeps_its_training_and_validation_cases(tmp_path: Path) -> None:
    dataset = detect_dataset(pairs(tmp_path, 12))
    order = draw_order(dataset, 0, 0)
    validation_names = [case.name for case in dataset.splits["val"]][:1]
    part = select_cases(dataset, order[:3], validation_names)
    assert {case.name for case in part.splits["train"]} == set(order[:3])
    assert [case.name for case in part.splits["val"]] == validation_names
    assert part.splits["test"] == ()
    smaller = select_cases(dataset, order[:2], validation_names)
    assert set(smaller.splits["train"]) < set(part.splits["train"]), "nested"
