"""Model cards: defaults for fields missing in older files, and rejection of invalid values."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pixelwise.errors import BadModel
from pixelwise.model_file.model_card import read_model_card_text, write_model_card_text
from tiny import as_json, make_photo_recipe, make_recipe

FILE = Path("model.onnx")


def test_a_model_card_survives_a_round_trip() -> None:
    for model_card in (make_recipe(), make_photo_recipe(), replace(make_recipe(), spacing=(0.5, 0.25))):
        assert read_model_card_text(write_model_card_text(model_card), FILE) == model_card


def test_files_without_spacing_can_be_read() -> None:
    older = as_json(make_recipe())
    del older["spacing"]
    assert read_model_card_text(json.dumps(older), FILE) == make_recipe()
    assert make_recipe().spacing is None


def test_files_without_split_options_can_be_read() -> None:
    older = as_json(make_recipe())
    del older["target"]["split_threshold"], older["target"]["split_depth"]
    assert read_model_card_text(json.dumps(older), FILE) == make_recipe()
    assert make_recipe().target.split_depth == 0


@pytest.mark.parametrize("spacing", [[0.5], [0.5, -1.0], [0.0, 0.5], "0.5"])
def test_an_invalid_spacing_is_rejected(spacing: object) -> None:
    with pytest.raises(BadModel, match=r"model\.onnx.*a model card with an invalid (or contradictory )?spacing"):
        read_model_card_text(json.dumps(as_json(make_recipe()) | {"spacing": spacing}), FILE)


def test_volumes_have_a_spacing_and_sizes_along_each_axis() -> None:
    flat = {"strides": ((1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3)), "dimensions": 3}
    card = replace(make_recipe(**flat), spacing=(3.0, 1.0, 1.0), intensity_peaks=(10.0, 9000.0))
    assert read_model_card_text(write_model_card_text(card), FILE) == card
    assert [card.geometry.along(axis).total_stride for axis in range(3)] == [2, 4, 4]
    with pytest.raises(BadModel, match="spacing"):
        read_model_card_text(write_model_card_text(replace(card, spacing=(1.0, 1.0))), FILE)
