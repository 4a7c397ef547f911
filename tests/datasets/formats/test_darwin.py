"""V7 Darwin: polygons with holes, ellipses, raster layers; boxes are ignored, damaged files refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotated import labels_of
from drawn import SIZE, image, save
from pixelwise.datasets.formats import darwin
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset
from public_sets.annotated import as_json

OPTIONS = DataOptions()


def project(folder: Path, *annotations: dict[str, Any], kind: str = "image") -> Path:
    save(folder / "a.png", image(1, SIZE))
    slot = {"type": kind, "slot_name": "0", "width": SIZE[1], "height": SIZE[0]}
    document = {"version": "2.0", "item": {"name": "a.png", "path": "/", "slots": [slot]}}
    as_json(folder / "a.json", {**document, "annotations": list(annotations)})
    return folder


def square(left: int, top: int, side: int) -> list[dict[str, int]]:
    corners = ((left, top), (left + side, top), (left + side, top + side), (left, top + side))
    return [{"x": x, "y": y} for x, y in corners]


def raster(runs: list[int]) -> list[dict[str, Any]]:
    layer = {"dense_rle": runs, "mask_annotation_ids_mapping": {"u1": 1, "u2": 2}, "total_pixels": 1280}
    masks = [{"id": f"u{n}", "name": name, "mask": {}} for n, name in ((1, "cell"), (2, "wall"))]
    return [*masks, {"id": "u3", "name": "__raster_layer__", "raster_layer": layer}]


def test_holes_parts_and_ellipses_are_drawn(tmp_path: Path) -> None:
    ring = {"name": "ring", "polygon": {"paths": [square(2, 2, 8), square(4, 4, 2)]}}
    old = {"name": "ring", "complex_polygon": {"path": [square(14, 2, 2)], "additional_paths": [square(18, 2, 2)]}}
    disc = {"name": "disc", "ellipse": {"center": {"x": 8, "y": 15}, "radius": {"x": 5, "y": 3}, "angle": 0}}
    found = darwin.read(project(tmp_path, ring, old, disc), OPTIONS)
    drawn = labels_of(found)["a"]
    expected = np.zeros(SIZE, bool)
    expected[2:10, 2:10] = True
    expected[4:6, 4:6] = False
    expected[2:4, 14:16] = expected[2:4, 18:20] = True
    assert found.classes == ("disc", "ring")
    assert np.array_equal(drawn[:11] > 0, expected[:11])
    assert abs(int((drawn[11:] > 0).sum()) - round(np.pi * 15)) < 5


def test_a_raster_layer_holds_the_pixels_of_masks_along_the_rows(tmp_path: Path) -> None:
    found = darwin.read(project(tmp_path, *raster([0, 40, 1, 3, 2, 5, 0, 1232])), OPTIONS)
    drawn = labels_of(found)["a"]
    assert found.classes == ("cell", "wall")
    assert (drawn[1, :3] == drawn[1, 0]).all()
    assert (drawn[1, 3:8] == drawn[1, 3]).all()
    assert drawn[1, 0] != drawn[1, 3]
    assert int((drawn > 0).sum()) == 8


@pytest.mark.parametrize("runs", [[0, 40, 1], [0, 40, 1, 3], [0, 1300, 1, -20], ["a", 1280]])
def test_damaged_raster_layers_are_refused(tmp_path: Path, runs: list[Any]) -> None:
    with pytest.raises(BadDataset, match="raster_layer"):
        darwin.read(project(tmp_path, *raster(runs)), OPTIONS)


def test_boxes_are_ignored_and_boxes_alone_refused(tmp_path: Path) -> None:
    box = {"name": "cell", "bounding_box": {"x": 2, "y": 2, "w": 6, "h": 4}}
    with pytest.raises(BadDataset, match="boxes alone"):
        darwin.read(project(tmp_path, box), OPTIONS)
    found = darwin.read(project(tmp_path, box, {"name": "cell", "polygon": {"path": square(12, 10, 4)}}), OPTIONS)
    assert any("1 box" in message for message in found.messages)


def test_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="frames"):
        darwin.read(project(tmp_path, kind="video"), OPTIONS)


def test_a_missing_image_is_refused_or_left_out(tmp_path: Path) -> None:
    root = project(tmp_path, {"name": "cell", "polygon": {"path": square(2, 2, 4)}})
    content = (root / "a.json").read_text("utf-8")
    (root / "gone.json").write_text(content.replace("a.png", "gone.png"), encoding="utf-8")
    with pytest.raises(BadDataset, match="--allow-missing"):
        darwin.read(root, OPTIONS)
    assert len(darwin.read(root, DataOptions(allow_missing=True)).images) == 1
    (root / "gone.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadDataset, match=r"one file for a\.png"):
        darwin.read(root, OPTIONS)
