"""COCO panoptic: segments that are missing in the PNG or in the JSON, and PNGs that are not there, are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from pixelwise.datasets.formats import panoptic
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset
from public_sets.programs import panoptic as draw

OPTIONS = DataOptions()


def change(folder: Path, edit: Any) -> Path:
    draw(things=True)(folder)
    path = folder / "annotations/panoptic_train2017.json"
    document = json.loads(path.read_text("utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return folder


def segment(document: Any) -> Any:
    return document["annotations"][0]["segments_info"][0]


def test_segments_have_one_class_each(tmp_path: Path) -> None:
    root = change(tmp_path, lambda document: None)
    assert panoptic.recognise(root)
    found = panoptic.read(root, OPTIONS)
    assert (found.classes, found.instances, len(found.images)) == (("cell",), True, 6)


@pytest.mark.parametrize(
    ("key", "value", "words"), [("id", 5, "segment 5"), ("category_id", 9, "categories"), ("id", "x", "whole number")]
)
def test_segments_that_do_not_fit_are_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    with pytest.raises(BadDataset, match=words):
        panoptic.read(change(tmp_path, lambda document: segment(document).update({key: value})), OPTIONS)


def test_a_png_that_is_missing_is_named(tmp_path: Path) -> None:
    root = change(tmp_path, lambda document: None)
    (root / "annotations/panoptic_train2017/000000000003.png").unlink()
    with pytest.raises(BadDataset, match=r"000000000003\.png"):
        panoptic.read(root, OPTIONS)
