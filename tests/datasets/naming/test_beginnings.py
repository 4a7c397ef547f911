"""Names of which one continues the other pair only one to one, and only where a word or a number ends."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets.naming.beginnings import pair_by_beginning


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


@pytest.mark.parametrize("turned", [False, True])
def test_each_mask_goes_to_the_image_that_continues_its_name(turned: bool) -> None:
    long, short = paths("a_1_w1f3.tif", "a_10_w1b7.tif", "b-2-x9.tif"), paths("b-2.png", "a_10.png", "a_1.png")
    found = pair_by_beginning(short, long) if turned else pair_by_beginning(long, short)
    expected = {("a_1_w1f3", "a_1"), ("a_10_w1b7", "a_10"), ("b-2-x9", "b-2")}
    assert {(one.stem, other.stem)[:: -1 if turned else 1] for one, other in found} == expected


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (("train10.png", "train20.png"), ("train1.png", "train2.png")),  # a number goes on
        (("cellular.png", "b_1.png"), ("cell.png", "b.png")),  # a word goes on
        (("a_1.png", "a_2.png"), ("a.png", "b.png")),  # two images continue one mask
        (("a_1.png", "b_1.png"), ("a.png",)),
        ((), ()),
    ],
)
def test_nothing_pairs_in_part(images: tuple[str, ...], masks: tuple[str, ...]) -> None:
    assert pair_by_beginning(paths(*images), paths(*masks)) == []


@given(st.sets(st.from_regex(r"[a-z]{1,4}_[0-9]{1,3}", fullmatch=True), min_size=1, max_size=12))
def test_every_file_is_in_one_pair(names: set[str]) -> None:
    masks = [Path(f"{name}.png") for name in sorted(names)]
    images = [Path(f"{name}_w{len(name)}x{index}.tif") for index, name in enumerate(sorted(names, reverse=True))]
    found = pair_by_beginning(images, masks)
    assert len(found) == len(names)
    assert all(image.stem.startswith(f"{mask.stem}_w") for image, mask in found)
