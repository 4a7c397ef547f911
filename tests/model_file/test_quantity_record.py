"""The record of counts and sizes in the model card: exact, compact, checked, and absent in older files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.errors import BadModel
from pixelwise.model_file.model_card import read_model_card_text, write_model_card_text
from pixelwise.model_file.quantity_record import MAX_IMAGES, QuantityRecord, record_of
from tiny import make_recipe

PATH = Path("model.safetensors")


def draw(images: int, classes: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, (images, classes, 2, 2)).astype(float)


@pytest.mark.parametrize(("images", "classes"), [(0, 1), (1, 1), (12, 3)])
def test_a_record_holds_the_pairs(images: int, classes: int) -> None:
    pairs = draw(images, classes)
    assert np.array_equal(record_of(pairs).pairs, pairs)


def test_of_many_images_evenly_spaced_ones_are_kept() -> None:
    pairs = np.repeat(np.arange(1000.0), 4).reshape(1000, 1, 2, 2)
    kept = record_of(pairs).pairs[:, 0, 0, 0]
    assert (len(kept), kept[0], kept[-1]) == (MAX_IMAGES, 0, 999)
    assert np.diff(kept).max() <= 4


def test_a_model_card_keeps_its_record_and_older_ones_have_none() -> None:
    card = replace(make_recipe("multiclass"), quantities=record_of(draw(5, 3)))
    text = write_model_card_text(card)
    assert read_model_card_text(text, PATH) == card
    older = json.loads(text)
    del older["quantities"]
    assert read_model_card_text(json.dumps(older), PATH).quantities is None


def spoilt(**changes: Any) -> QuantityRecord:
    return replace(record_of(draw(5, 1)), **changes)


@pytest.mark.parametrize(
    "record",
    [
        record_of(draw(5, 2)),  # of two classes
        spoilt(objects=(((1.0, -1.0),) * 5,)),
        spoilt(objects=(((1.0, 1e300),) * 5,)),
        spoilt(objects=(((1.0, 1.0),) * 4,)),
        spoilt(objects=(((1.0, 1.0),) * (MAX_IMAGES + 1),), sizes=(((1.0, 1.0),) * (MAX_IMAGES + 1),)),
    ],
)
def test_a_record_that_cannot_be_is_refused(record: QuantityRecord) -> None:
    text = write_model_card_text(replace(make_recipe(), quantities=record))
    with pytest.raises(BadModel, match="quantities"):
        read_model_card_text(text, PATH)


def test_unknown_keys_and_numbers_that_are_none_are_refused() -> None:
    values = json.loads(write_model_card_text(replace(make_recipe(), quantities=record_of(draw(4, 1)))))
    values["quantities"]["objects"][0][0] = [None, 1]
    with pytest.raises(BadModel, match="quantities"):
        read_model_card_text(json.dumps(values), PATH)
    values["quantities"]["objects"][0][0] = [1, 1]
    values["quantities"]["more"] = 1
    with pytest.raises(BadModel, match="quantities"):
        read_model_card_text(json.dumps(values), PATH)
