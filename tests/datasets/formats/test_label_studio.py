"""Exports of Label Studio."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from annotated import labels_of
from drawn import SIZE, image, save
from pixelwise.datasets.formats import label_studio
from pixelwise.datasets.formats.run_lengths.brush_rle import decode_brush
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
SQUARE = {"points": [[10, 12.5], [25, 12.5], [25, 28.125], [10, 28.125]]}


def result(kind: str, value: dict[str, Any], name: str = "dog", **more: Any) -> dict[str, Any]:
    value = {**value, f"{kind}labels": [name]}
    size = {"original_height": SIZE[0], "original_width": SIZE[1], "image_rotation": 0}
    return {"id": f"{kind}{name}", "type": f"{kind}labels", "value": value, **size, **more}


def task(*results: dict[str, Any], name: str = "/data/upload/1/0a1b2c3d-a.png", **more: Any) -> dict[str, Any]:
    return {"id": 1, "annotations": [{"id": 1, "result": list(results)}], "data": {"image": name}, **more}


def folder(root: Path, *tasks: object, images: tuple[str, ...] = ("a.png",)) -> Path:
    for seed, name in enumerate(images):
        save(root / name, image(seed))
    (root / "export.json").write_text(json.dumps(list(tasks)), "utf-8")
    return root


def labels(root: Path) -> np.ndarray:
    return labels_of(label_studio.read(root, OPTIONS))["a"]


def encode_brush(alpha: np.ndarray, longest: int = 200) -> list[int]:
    """Encode alpha as the colour of every channel, in blocks of repeated values and of single ones."""
    values = np.repeat(alpha.astype(np.uint8) * 255, 4)
    bits = f"{values.size:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    at = 0
    while at < values.size:
        same = 1
        while at + same < min(values.size, at + longest) and values[at + same] == values[at]:
            same += 1
        if same > 4:
            bits += "1" + "10" + f"{same - 1:08b}" + f"{values[at]:08b}"
            at += same
        else:
            some = values[at : at + 3]
            bits += "0" + "00" + f"{some.size - 1:03b}" + "".join(f"{value:08b}" for value in some)
            at += some.size
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=8)), st.integers(1, 256))
def test_brush_strokes_are_decoded(mask: np.ndarray, longest: int) -> None:
    region = decode_brush(encode_brush(mask, longest), mask.shape, "", Path())
    drawn = np.zeros(mask.shape, bool)
    height, width = region.pixels.shape
    drawn[region.row : region.row + height, region.column : region.column + width] = region.pixels
    assert np.array_equal(drawn, mask)


@pytest.mark.parametrize("cut", [1, 5, 8, -1])
def test_damaged_strokes_are_refused(cut: int) -> None:
    with pytest.raises(BadDataset, match="task 3"):
        decode_brush(encode_brush(np.eye(5, dtype=bool))[:cut], (5, 5), "task 3", Path("a.json"))
    with pytest.raises(BadDataset, match="5 × 6"):
        decode_brush(encode_brush(np.eye(5, dtype=bool)), (5, 6), "task 3", Path("a.json"))
    with pytest.raises(BadDataset, match="task 3"):
        decode_brush(["x", 999], (5, 6), "task 3", Path("a.json"))


def test_every_kind_of_region(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, bool)
    mask[25:30, 2:9] = True
    root = folder(
        tmp_path,
        task(
            result("polygon", SQUARE),
            result("rectangle", {"x": 50, "y": 50, "width": 10, "height": 12.5, "rotation": 0}),
            result("rectangle", {"x": 90, "y": 0, "width": 10, "height": 12.5, "rotation": 90}, "cat"),
            result("ellipse", {"x": 80, "y": 75, "radiusX": 10, "radiusY": 12.5}),
            result("brush", {"format": "rle", "rle": encode_brush(mask)}),
            {"id": "q", "type": "choices", "value": {"choices": ["x"]}, "from_name": "c", "to_name": "i"},
        ),
    )
    assert label_studio.recognise(root)
    dataset = label_studio.read(root, OPTIONS)
    assert (dataset.classes, dataset.instances) == (("cat", "dog"), True)
    assert any("choices" in message for message in dataset.messages)
    drawn = labels(root) > 0
    assert drawn[4:9, 4:10].all()
    assert drawn[16:20, 20:24].all()
    assert drawn[0:4, 32:36].all(), "rotated about its corner"
    assert not drawn[0:4, 36:40].any()
    assert drawn[25:30, 2:9].all()
    assert abs(drawn[19:30, 27:37].sum() - np.pi * 16) < 4


def test_names_may_be_in_a_result_of_their_own(tmp_path: Path) -> None:
    region = {**result("polygon", SQUARE), "type": "polygon", "value": SQUARE, "id": "r"}
    named = {**result("", {}, "cat"), "type": "labels", "value": {**SQUARE, "labels": ["cat"]}, "id": "r"}
    dataset = label_studio.read(folder(tmp_path, task(region, named)), OPTIONS)
    assert dataset.classes == ("cat",)
    assert dataset.messages == ()


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("/data/upload/1/0a1b2c3d-a.png", "images/a.png"),
        ("/data/upload/0a1b2c3d-a.png", "0a1b2c3d-a.png"),
        ("/data/local-files/?d=set%20one/a.png", "set one/a.png"),
        ("https://host.org/x/a.png?token=1", "a.png"),
        ("s3://bucket/deep/a.png", "deep/a.png"),
    ],
)
def test_images_are_found_by_their_url(tmp_path: Path, name: str, stored: str) -> None:
    dataset = label_studio.read(folder(tmp_path, task(result("polygon", SQUARE), name=name), images=(stored,)), OPTIONS)
    assert [member.image for member in dataset.images] == [tmp_path / stored]


def test_tasks_without_and_with_several_annotations(tmp_path: Path) -> None:
    right = {"result": [result("polygon", SQUARE)], "ground_truth": True}
    cancelled = {"result": [], "was_cancelled": True}
    several = task(name="a.png", annotations=[cancelled, {"result": []}, right])
    tasks = [several, task(name="b.png", annotations=[cancelled]), task(name="c.png")]
    dataset = label_studio.read(folder(tmp_path, *tasks, images=("a.png", "b.png", "c.png")), OPTIONS)
    assert [member.annotation is None for member in dataset.images] == [False, True, False]
    assert labels_of(dataset)["a"].max() == 1
    assert labels_of(dataset)["c"].max() == 0
    assert len(dataset.messages) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (task(result("polygon", {"points": [[1, 2], [3]]})), "task 1, result 1"),
        (task(result("polygon", SQUARE, image_rotation=90)), "90 degrees"),
        (task(result("polygon", SQUARE, original_width=0)), "size"),
        (task(result("brush", {"rle": [1, 2]})), "task 1, result 1"),
        (task(result("polygon", SQUARE), data={}), "data"),
        (task(result("polygon", SQUARE), name="gone.png"), "gone.png"),
        ({"annotations": [], "data": 3, "result": 1}, "data"),
    ],
)
def test_malformed_tasks_are_refused_by_place(tmp_path: Path, change: object, words: str) -> None:
    with pytest.raises(BadDataset, match=words) as error:
        label_studio.read(folder(tmp_path, change), OPTIONS)
    assert "export.json" in str(error.value)
