"""Statistics of training images in the model card: kept exactly, checked, absent in older files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import BadModel
from pixelwise.model_file.appearance_record import AppearanceRecord, record_appearance
from pixelwise.model_file.model_card import read_model_card_text, write_model_card_text
from tiny import make_recipe

PATH = Path("model.safetensors")


def record(images: int = 30) -> AppearanceRecord:
    rng = np.random.default_rng(0)
    found = record_appearance(
        [{"intensity": rng.normal(size=4), "texture": 3 + rng.normal(size=2)} for _ in range(images)]
    )
    assert found is not None
    return found


def test_a_model_card_keeps_the_record_and_older_ones_have_none() -> None:
    card = replace(make_recipe(), appearance=record())
    text = write_model_card_text(card)
    assert read_model_card_text(text, PATH) == card
    older = json.loads(text)
    del older["appearance"]
    assert read_model_card_text(json.dumps(older), PATH).appearance is None


def test_distances_are_in_units_of_the_usual_one() -> None:
    scores = np.array(record().scores)
    assert len(scores) == 30
    assert (np.diff(scores) >= 0).all()
    assert np.mean(scores > 1) <= 0.07
    far = {"intensity": np.zeros(4), "texture": np.full(2, 30.0)}
    distances = record().distances(far)
    assert distances["texture"] > 3 > 1 > distances["intensity"]
    assert record().score(far) > scores.max()


def test_two_images_have_no_statistics() -> None:
    assert record_appearance([{"texture": np.zeros(2)}] * 2) is None


@pytest.mark.parametrize("key", ["mean", "precision", "unit", "scores", "groups"])
def test_a_record_that_cannot_be_is_refused(key: str) -> None:
    values = json.loads(write_model_card_text(replace(make_recipe(), appearance=record())))
    group = values["appearance"]["groups"][0]
    spoilt = {"mean": [0.0], "precision": [[1.0]], "unit": -1.0}
    if key in spoilt:
        group[key] = spoilt[key]
    else:
        values["appearance"][key] = [1e400] if key == "scores" else []
    with pytest.raises(BadModel, match="appearance"):
        read_model_card_text(json.dumps(values), PATH)
