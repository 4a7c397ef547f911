"""Functions and records that name arrays check them while tests run, and nothing else is wrapped."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from pixelwise.labels.region_properties import ObjectTable
from pixelwise.metrics.quantity_intervals import residuals
from pixelwise.metrics.semantic import confusion
from pixelwise.text import pluralise


def test_an_array_of_another_shape_or_type_is_refused() -> None:
    labels = np.zeros((4, 5), np.int32)
    assert confusion(labels, labels, 2)[0, 0] == 20
    for other in (labels[:3], labels.astype(np.float32)):
        with pytest.raises(TypeCheckError):
            confusion(labels, other, 2)


def test_a_type_with_a_name_of_its_own_is_checked() -> None:
    residuals(np.zeros((3, 2)))
    with pytest.raises(TypeCheckError):
        residuals(np.zeros((3, 3)))


def test_records_are_checked() -> None:
    numbers, values = np.ones(3, np.int64), np.ones(3)
    table = ObjectTable(
        ids=numbers,
        class_index=1,
        area=numbers,
        centroid=np.ones((3, 2)),
        box=np.ones((3, 4), np.int64),
        perimeter=values,
        mean_intensity=None,
    )
    with pytest.raises(TypeCheckError):
        replace(table, area=values)


def test_what_names_no_array_is_not_wrapped() -> None:
    assert hasattr(confusion, "__wrapped__")
    assert not hasattr(pluralise, "__wrapped__")
