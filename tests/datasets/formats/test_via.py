"""Files of the VGG Image Annotator."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotated import labels_of
from drawn import SIZE, image, save
from pixelwise.datasets.formats import via
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
SQUARE = {"name": "polygon", "all_points_x": [4, 10, 10, 4], "all_points_y": [4, 4, 9, 9]}


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def folder(root: Path, regions: object, project: bool = False, name: str = "a.png") -> Path:
    save(root / "images/a.png", image(0))
    records: dict[str, Any] = {
        f"{name}1234": {"filename": name, "size": 1234, "regions": regions, "file_attributes": {}}
    }
    content = {"_via_settings": {}, "_via_img_metadata": records} if project else records
    (root / "via.json").write_text(json.dumps(content), "utf-8")
    return root


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
def test_regions_of_every_kind(tmp_path: Path, project: bool, numbered: bool) -> None:
    regions = [
        region(SQUARE, label="dog", note="x"),
        region({"name": "rect", "x": 20, "y": 20, "width": 4, "height": 3}, label="cat"),
        region({"name": "circle", "cx": 30, "cy": 10, "r": 4}, label={"dog": True, "cat": False}),
        region({"name": "ellipse", "cx": 10, "cy": 24, "rx": 4, "ry": 4, "theta": 0.5}, label="dog"),
        region({"name": "point", "cx": 1, "cy": 1}, label="dog"),
    ]
    root = folder(tmp_path, {str(i): r for i, r in enumerate(regions)} if numbered else regions, project)
    assert via.recognise(root)
    dataset = via.read(root, OPTIONS)
    assert (dataset.classes, dataset.instances) == (("cat", "dog"), True)
    assert any("point" in message for message in dataset.messages)
    (drawn,) = labels_of(dataset).values()
    assert drawn.shape == SIZE
    assert (drawn[4:9, 4:10] == drawn[4, 4]).all()
    assert (drawn[20:23, 20:24] == drawn[20, 20]).all()
    assert abs((drawn == drawn[10, 30]).sum() - np.pi * 16) < 4
    assert abs((drawn == drawn[24, 10]).sum() - np.pi * 16) < 4


@pytest.mark.parametrize(
    ("regions", "words"),
    [
        ([region({**SQUARE, "all_points_x": [1, 2]})], "image 1, region 1"),
        ([region({**SQUARE, "all_points_x": ["x"] * 4})], "image 1, region 1"),
        ([region({"name": "circle", "cx": 1, "cy": 2, "r": None})], "`r`"),
        ([{"region_attributes": {}, "x": "shape_attributes"}], "shape_attributes"),
        (["shape_attributes"], "region 1"),
    ],
)
def test_malformed_regions_are_refused_by_place(tmp_path: Path, regions: object, words: str) -> None:
    root = folder(tmp_path, regions)
    with pytest.raises(BadDataset, match=words) as error:
        via.read(root, OPTIONS)
    assert "via.json" in str(error.value)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match=r"gone\.png"):
        via.read(folder(tmp_path, [region(SQUARE)], name="gone.png"), OPTIONS)
