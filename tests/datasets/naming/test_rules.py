"""Rules for names: found from the whole set, one to one, and never by order or by common beginnings."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets.naming.rules import NameRule, align, find_rule, nearest_rule

KEYS = [f"{number:03}" for number in range(1, 13)]


def files(pattern: str, keys: list[str] = KEYS) -> list[Path]:
    return [Path(pattern.format(key)) for key in keys]


def pairs_of(images: list[Path], masks: list[Path]) -> list[tuple[str, str]] | None:
    rule = find_rule(images, masks)
    return None if rule is None else [(image.name, mask.name) for image, mask in align(rule, images, masks)]


@pytest.mark.parametrize(
    ("images", "masks", "flags"),
    [
        ("{}.png", "{}.png", ""),
        ("img_{}.jpg", "mask_{}.png", "--image-prefix img_ --mask-prefix mask_"),
        ("{}_sat.jpg", "{}_map.png", "--image-suffix _sat --mask-suffix _map"),
        ("{}.jpg", "{}_cls.png", "--mask-suffix _cls"),
        ("frame-{}.png", "frame-{}-ref.png", "--mask-suffix=-ref"),
        ("case_{}_0000.png", "case_{}.png", "--image-suffix _0000"),
        ("a{}x.png", "b{}y.png", "--image-prefix a --image-suffix x --mask-prefix b --mask-suffix y"),
        ("IMG_{}.JPG", "IMG_{}.reference.png", "--mask-suffix .reference"),
        ("{}.jpg", "area {} drawn.png", "--mask-prefix 'area ' --mask-suffix ' drawn'"),
    ],
)
def test_constant_prefixes_and_suffixes_are_found(images: str, masks: str, flags: str) -> None:
    rule = find_rule(files(images), files(masks)[::-1])
    assert rule is not None
    assert rule.flags == flags
    assert [(image.name, mask.name) for image, mask in align(rule, files(images), files(masks)[::-1])] == [
        (image.name, mask.name) for image, mask in zip(files(images), files(masks), strict=True)
    ]


def test_the_extension_of_the_image_may_be_in_the_mask_name() -> None:
    images = [Path("a.jpg"), Path("b.JPG"), Path("c.png")]
    masks = [Path("a.jpg.png"), Path("b.jpg.png"), Path("c.png.png")]
    assert pairs_of(images, masks) == [("a.jpg", "a.jpg.png"), ("b.JPG", "b.jpg.png"), ("c.png", "c.png.png")]
    tagged = [path.with_name(f"{path.stem}_drawn.png") for path in masks]
    assert pairs_of(images, tagged) == [(i.name, m.name) for i, m in zip(images, tagged, strict=True)]


def test_numbers_pair_without_leading_zeros_if_that_is_unambiguous() -> None:
    images, masks = files("{}.png", ["1", "2", "10"]), files("seg-{}.png", ["010", "002", "001"])
    assert pairs_of(images, masks) == [("1.png", "seg-001.png"), ("2.png", "seg-002.png"), ("10.png", "seg-010.png")]
    assert find_rule(files("{}.png", ["1", "01"]), files("m{}.png", ["1", "001"])) is None
    assert find_rule(files("{}.png", ["1", "2", "10"]), files("seg-{}.png", ["1", "2", "100"])) is None


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["train1", "train2"], ["train10", "train20"]),  # one begins like the other
        (["a1", "a2"], ["a11", "a12"]),
        (["cat", "car"], ["dot", "dor"]),  # no words or numbers
        (["1", "2", "3"], ["4", "5", "6"]),  # equally many, other numbers
        (["video1_0", "video1_1"], ["video2_0", "video2_1"]),  # two numbers: other videos
        (["train_1", "train_2"], ["val_1", "val_2"]),  # two splits
        (["photo"], ["result"]),
        (["1", "2"], ["1_map"]),
    ],
)
def test_nothing_else_pairs(images: list[str], masks: list[str]) -> None:
    assert find_rule(files("{}.png", images), files("{}.png", masks)) is None


def test_one_image_pairs_with_a_name_that_contains_its_own() -> None:
    assert pairs_of([Path("cell.png")], [Path("cell_drawn.png")]) == [("cell.png", "cell_drawn.png")]
    assert pairs_of([Path("cell.png")], [Path("cells.png")]) is None


def test_the_nearest_rule_counts_its_pairs() -> None:
    images, masks = files("case_{}_0000.png"), files("case_{}.png", [*KEYS[:9], "900"])
    assert find_rule(images, masks) is None
    rule, count = nearest_rule(images, masks) or (NameRule(), 0)
    assert (rule.flags, count) == ("--image-suffix _0000", 9)
    assert nearest_rule(files("x{}.png", ["1", "2"]), files("y{}.png", ["3", "4"])) is None


AFFIXES = st.sampled_from(["", "img_", "x-", "gt.", "scan ", "a_b_"])
ENDS = st.sampled_from(["", "_map", "-ref", ".lbl", " drawn", "_0000"])


@given(
    st.lists(st.integers(0, 5000), min_size=2, max_size=20, unique=True),
    st.tuples(AFFIXES, ENDS, AFFIXES, ENDS),
    st.randoms(use_true_random=False),
)
def test_a_rule_pairs_what_belongs_together(numbers: list[int], affixes: tuple[str, ...], random: Random) -> None:
    before, after, mask_before, mask_after = affixes
    images = [Path(f"{before}{number:04}{after}.png") for number in numbers]
    masks = [Path(f"{mask_before}{number:04}{mask_after}.png") for number in numbers]
    truth = dict(zip(images, masks, strict=True))
    random.shuffle(masks)
    rule = find_rule(images, masks)
    assert rule is not None
    assert dict(align(rule, images, masks)) == truth
