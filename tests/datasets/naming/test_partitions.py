"""Files of one folder divided into two kinds."""

from pathlib import Path

import pytest

from pixelwise.datasets.naming.partitions import partitions


@pytest.mark.parametrize(
    ("first", "second"),
    [("{}_rgb.png", "{}_cls.png"), ("a-{}.png", "b-{}.png"), ("{}.jpg", "{}.jpg.png"), ("{}.png", "{}-ref.png")],
)
def test_two_kinds(first: str, second: str) -> None:
    files = sorted(Path(pattern.format(number)) for pattern in (first, second) for number in range(5))
    truth = {frozenset((first.format(number), second.format(number))) for number in range(5)}
    assert truth in [{frozenset((one.name, two.name)) for one, two in pairs} for pairs in partitions(files)]


@pytest.mark.parametrize("files", [["1.png", "2.png"], [f"{i}.png" for i in range(6)], ["a_1", "a_2", "b_1"]])
def test_one_kind_is_not_divided(files: list[str]) -> None:
    assert list(partitions([Path(name) for name in files])) == []
