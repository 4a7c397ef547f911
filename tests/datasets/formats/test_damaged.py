"""Annotation files with any value replaced: read, or refused in one line."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn import SIZE, image, save
from pixelwise.datasets.annotations import Shapes
from pixelwise.datasets.formats import coco, label_studio, labelme, via
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.errors import PixelwiseError

HEIGHT, WIDTH = SIZE
SQUARE = [[4, 4], [10, 4], [10, 9]]
COCO = {
    "info": {"year": 2024},
    "images": [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
    "categories": [{"id": 1, "name": "dog", "supercategory": "pets"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[4, 4, 10, 4, 10, 9]], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [], "bbox": [1, 1, 2, 2]},
        {
            "id": 3,
            "image_id": 1,
            "category_id": 1,
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": [5, 10, HEIGHT * WIDTH - 15]},
            "iscrowd": 1,
        },
    ],
}
LABELME = {
    "version": "5",
    "flags": {},
    "shapes": [
        {"label": "dog", "points": SQUARE, "shape_type": "polygon", "group_id": 1},
        {"label": "dog", "points": [[1, 1], [1, 2]], "shape_type": "circle", "group_id": None},
        {"label": "dog", "points": [[1, 1], [1, 2]], "shape_type": "mask", "mask": "iVBORw0KGgo="},
    ],
    "imagePath": "a.png",
    "imageHeight": HEIGHT,
    "imageWidth": WIDTH,
}
_POLYGON = {"points": SQUARE, "polygonlabels": ["dog"]}
_RESULT = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
LABEL_STUDIO = [
    {
        "data": {"image": "/data/upload/a.png"},
        "annotations": [
            {
                "result": [
                    {"id": "a", "type": "polygonlabels", "value": _POLYGON, **_RESULT},
                    {"id": "b", "type": "brushlabels", "value": {"rle": [0, 0, 20], "brushlabels": ["dog"]}, **_RESULT},
                    {
                        "id": "c",
                        "type": "ellipselabels",
                        "value": {"x": 1, "y": 2, "radiusX": 3, "radiusY": 4, "rotation": 5, "ellipselabels": ["dog"]},
                        **_RESULT,
                    },
                ]
            }
        ],
    }
]
VIA = {
    "a.png1234": {
        "filename": "a.png",
        "regions": [
            {
                "shape_attributes": {"name": "polygon", "all_points_x": [4, 10, 10], "all_points_y": [4, 4, 9]},
                "region_attributes": {"label": {"dog": True}},
            },
            {
                "shape_attributes": {"name": "ellipse", "cx": 10, "cy": 24, "rx": 4, "ry": 4, "theta": 0.5},
                "region_attributes": {"label": "cat"},
            },
        ],
    }
}
VALUES: list[Any] = [
    None, True, 0, -1, 3, 1.5, 1e308, float("nan"), 2**70, "", "x", "\udc00", [], [1], [[1, 2]], {}, {"a": 1}, "a.png",
]  # fmt: skip


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from places(node[key])


@pytest.mark.parametrize(
    ("format_", "content"),
    [(coco, COCO), (labelme, LABELME), (label_studio, LABEL_STUDIO), (via, VIA)],
    ids=["coco", "labelme", "label_studio", "via"],
)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_value_may_be_wrong(
    tmp_path_factory: pytest.TempPathFactory, format_: ModuleType, content: Any, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("set")
    save(root / "a.png", image(0))
    changed = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 2))):
        found = list(places(changed))
        if not found:
            break
        container, key = data.draw(st.sampled_from(found))
        if data.draw(st.booleans()):
            container[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
        elif isinstance(container, dict):
            del container[key]
    (root / "a.json").write_text(json.dumps(changed), encoding="utf-8")
    assert "\n" not in read_all(format_, root)


def read_all(format_: ModuleType, root: Path) -> str:
    """Read and draw a set; return the error, if any."""
    try:
        dataset = format_.read(root, DataOptions())
        for member in dataset.images:
            if isinstance(member.annotation, Shapes):
                rasterise(member.annotation, SIZE, dataset.classes, "multiclass")
    except PixelwiseError as error:
        return str(error)
    return ""
