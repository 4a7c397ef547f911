"""Values become the labels that a table gives them, however they are looked up."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.datasets.masks.mapping import labels_of
from pixelwise.datasets.records import Labelling
from pixelwise.errors import BadImage
from pixelwise.io.read import MaskImage
from pixelwise.labels.targets import IGNORE

VALUES = st.lists(st.integers(0, 300), min_size=2, max_size=12, unique=True)


def labelling_of(values: list[int], ignore: int | None) -> Labelling:
    names = tuple(str(value) for value in values)
    colours = tuple((0, 0, 0) for _ in values)
    return Labelling(task="multiclass", classes=names, values=tuple(values), colours=colours, ignore_value=ignore)


@given(VALUES, st.booleans(), st.sampled_from([np.uint8, np.uint16, np.int32]), st.integers(0, 2**32))
def test_each_value_becomes_its_class(values: list[int], ignored: bool, kind: type, seed: int) -> None:
    values = [value % 256 for value in values] if kind is np.uint8 else values
    values = list(dict.fromkeys(values))
    *classes, ignore = (*values, 777) if not ignored or len(values) < 3 else values
    mask = np.random.default_rng(seed).choice(values if ignore != 777 else classes, (5, 7)).astype(kind)
    expected = [[IGNORE if value == ignore else classes.index(value) for value in row] for row in mask.tolist()]
    labels = labels_of(MaskImage(mask, None, False), labelling_of(classes, None if ignore == 777 else ignore), None)
    assert labels.dtype == np.int32
    assert labels.tolist() == expected


def test_the_index_of_a_class_may_be_above_255() -> None:
    values = [*range(10, 400), 3]
    labels = labels_of(MaskImage(np.array([[3, 3]], np.uint8), None, False), labelling_of(values, None), None)
    assert labels.tolist() == [[390, 390]]


@pytest.mark.parametrize("values", [[0, 1], [0, 1, 2, 3], [0, 255], list(range(0, 90, 10))], ids=str)
def test_a_value_of_no_class_is_refused(values: list[int]) -> None:
    mask = np.array([[values[0], values[-1]]], np.uint8)
    mask[0, 0] = 7
    with pytest.raises(BadImage) as caught:
        labels_of(MaskImage(mask, None, False), labelling_of(values, None), Path("a.png"))
    assert caught.value.got == "7"
