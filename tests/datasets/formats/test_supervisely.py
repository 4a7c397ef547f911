"""Projects of Supervisely: corners, holes, bitmaps, and damaged files."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotated import labels_of
from drawn import SIZE, image, save
from pixelwise.datasets.formats import supervisely
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()


def project(folder: Path, *objects: dict[str, Any], meta: bool = True) -> Path:
    save(folder / "ds/img/im_0.png", image(0))
    size = {"height": SIZE[0], "width": SIZE[1]}
    document = {"description": "", "tags": [], "size": size, "objects": list(objects)}
    (folder / "ds/ann").mkdir(parents=True, exist_ok=True)
    (folder / "ds/ann/im_0.png.json").write_text(json.dumps(document), "utf-8")
    if meta:
        classes = [{"title": name, "shape": "any"} for name in ("leaf", "fruit")]
        (folder / "meta.json").write_text(json.dumps({"classes": classes, "tags": []}), "utf-8")
    return folder


def polygon(name: str, exterior: object, *interior: object, kind: str = "polygon") -> dict[str, Any]:
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": name, "geometryType": kind, "points": points, "tags": []}


def test_corners_are_pixels_of_the_shape_and_holes_are_left_out(tmp_path: Path) -> None:
    hole = [[6, 6], [8, 6], [8, 7], [6, 7]]
    root = project(
        tmp_path,
        polygon("fruit", [[4, 4], [11, 4], [11, 9], [4, 9]], hole),
        polygon("fruit", [[30, 20], [24, 15]], kind="rectangle"),
        polygon("leaf", [[1, 1]]),
        polygon("leaf", [[1, 1], [5, 5]], kind="line"),
    )
    assert supervisely.recognise(root)
    found = supervisely.read(root, OPTIONS)
    assert (found.classes, found.instances) == (("leaf", "fruit"), True)
    assert len(found.messages) == 2
    drawn = labels_of(found)["ds/im_0"] > 0
    expected = np.zeros(SIZE, bool)
    expected[4:10, 4:12] = True
    expected[6:8, 6:9] = False
    expected[15:21, 24:31] = True
    assert np.array_equal(drawn[:14], expected[:14])
    assert abs(int(drawn[14:].sum()) - int(expected[14:].sum())) <= 13, "a rectangle, with or without its last pixels"


@pytest.mark.parametrize("data", ["!", base64.b64encode(b"x").decode(), base64.b64encode(zlib.compress(b"x")).decode()])
def test_damaged_bitmaps_are_refused(tmp_path: Path, data: str) -> None:
    bitmap = {"classTitle": "leaf", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [2, 3]}, "tags": []}
    with pytest.raises(BadDataset, match=r"objects\[0\]"):
        supervisely.read(project(tmp_path, bitmap, meta=False), OPTIONS)


def test_a_missing_image_is_refused_or_left_out(tmp_path: Path) -> None:
    root = project(tmp_path, polygon("leaf", [[4, 4], [11, 4], [11, 9]]))
    content = (root / "ds/ann/im_0.png.json").read_text("utf-8")
    (root / "ds/ann/gone.png.json").write_text(content, "utf-8")
    with pytest.raises(BadDataset, match="--allow-missing"):
        supervisely.read(root, OPTIONS)
    assert len(supervisely.read(root, DataOptions(allow_missing=True)).images) == 1
