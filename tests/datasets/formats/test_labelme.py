"""Labelme files, read and written."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotated import annotated_set, class_masks, labels_of, random_objects
from drawn import SIZE, image, save
from pixelwise.datasets.formats import labelme
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
SQUARE = [[4, 4], [10, 4], [10, 9], [4, 9]]


def shape(label: str, points: object, kind: str | None = "polygon", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def document(*shapes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    image_fields = {"imagePath": "a.png", "imageData": None, "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    return {"version": "5.4.1", "flags": {}, "shapes": list(shapes), **image_fields, **changes}


def folder(root: Path, content: object, name: str = "a.json", image_name: str = "a.png", seed: int = 0) -> Path:
    save(root / image_name, image(seed))
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return root


def png(mask: np.ndarray, mode: str = "L") -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).convert(mode).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def labels(root: Path) -> np.ndarray:
    return labels_of(labelme.read(root, OPTIONS))["a"]


def test_polygons_rectangles_circles_and_masks(tmp_path: Path) -> None:
    mask = np.array([[1, 1, 0], [0, 1, 1]], bool)
    root = folder(
        tmp_path,
        document(
            shape("dog", SQUARE),
            shape("dog", [[26, 24], [20, 20]], "rectangle"),
            shape("dog", [[30, 8], [30, 12]], "circle"),
            shape("dog", [[12, 28], [14, 29]], "mask", mask=png(mask, "1")),
            shape("dog", SQUARE, None, group_id=3),
            shape("dog", [[34, 26], [38, 26], [38, 30]], None, group_id=3),
        ),
    )
    assert labelme.recognise(root)
    drawn = labels(root)
    first = drawn[4, 4]
    assert drawn[27, 37] == first, "both parts of group 3"
    assert (drawn[20:24, 20:26] > 0).all()
    assert (drawn[20:24, 20:26] == drawn[20, 20]).all()
    assert abs((drawn == drawn[8, 30]).sum() - np.pi * 16) < 4
    assert np.array_equal(drawn[28:30, 12:15] > 0, mask)
    assert len(np.unique(drawn)) == 5


def test_what_has_no_area_is_left_out_and_reported(tmp_path: Path) -> None:
    line = shape("dog", [[1, 1], [2, 2], [3, 1]], "linestrip")
    root = folder(tmp_path, document(shape("dog", SQUARE), line, shape("dog", [[3, 3]], "point")))
    dataset = labelme.read(root, OPTIONS)
    assert labels_of(dataset)["a"].max() == 1
    assert {"linestrip", "point"} <= set(" ".join(dataset.messages).split())


def test_labels_of_the_whole_folder_become_classes(tmp_path: Path) -> None:
    shapes = [shape("b", SQUARE), shape("__ignore__", [[0, 0], [2, 0], [2, 2], [0, 2]]), shape("_background_", SQUARE)]
    root = folder(tmp_path, document(*shapes))
    folder(root, document(shape("a", SQUARE), imagePath="sub\\c.png"), "c.json", "c.png", seed=1)
    dataset = labelme.read(root, OPTIONS)
    assert dataset.classes == ("a", "b")
    drawn = labels_of(dataset)["a"]
    assert drawn[0, 0] in (-1, 255)
    assert drawn[5, 5] == 0
    (root / "labels.txt").write_text("__ignore__\n_background_\nb\nz\na\n", encoding="utf-8")
    assert labelme.read(root, OPTIONS).classes == ("b", "z", "a")


@pytest.mark.parametrize("path", ["..\\images\\a.png", "C:\\Users\\bob\\a.png", "a.png", "other.jpg", "", None])
@pytest.mark.parametrize("place", ["annotations/a.json", "images/a.json"])
def test_the_image_is_found_by_its_path_or_the_name_of_the_file(tmp_path: Path, path: object, place: str) -> None:
    content = document(shape("dog", SQUARE), imagePath=path, imageHeight=None)
    root = folder(tmp_path, content, place, "images/a.png")
    save(root / "images/b.png", image(1))
    dataset = labelme.read(root, OPTIONS)
    assert [(member.name, member.annotation is None) for member in dataset.images] == [("a", False), ("b", True)]
    assert any("not annotated" in message for message in dataset.messages)


def test_splits_come_from_folders(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "val")):
        folder(tmp_path, document(shape("dog", SQUARE)), f"{split}/a.json", f"{split}/a.png", seed)
    dataset = labelme.read(tmp_path, OPTIONS)
    assert [(member.name, member.split) for member in dataset.images] == [("train/a", "train"), ("val/a", "val")]


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path, document(shape("dog", SQUARE)))
    folder(root, document(shape("dog", SQUARE), imagePath="gone.jpg"), "gone.json", "b.png")
    with pytest.raises(BadDataset, match="--allow-missing"):
        labelme.read(root, OPTIONS)
    assert any("gone" in message for message in labelme.read(root, DataOptions(allow_missing=True)).messages)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (document(shape("dog", "x")), r"shapes\[0\]"),
        (document(shape("dog", [[1, 2], [3]])), r"shapes\[0\]"),
        (document(shape("dog", [[1, 1], [2, 2]], "mask", mask="@@@")), "PNG"),
        (document(shape("dog", [[1, 1], [2, 2]], "mask", mask=base64.b64encode(b"hello").decode())), "PNG"),
        (document(shape("dog", [[1, 1], [2, 2]], "mask")), "mask"),
        (document({"points": SQUARE}), "label"),
        (document(shapes={}), "shapes"),
        ('{"shapes": [], "imagePath": "a.png", ', "line 1"),
    ],
)
def test_malformed_files_are_refused_by_place(tmp_path: Path, change: object, words: str) -> None:
    with pytest.raises(BadDataset, match=words) as error:
        labelme.read(folder(tmp_path, change), OPTIONS)
    assert "a.json" in str(error.value)
    assert "\n" not in str(error.value)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_objects_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    root = tmp_path_factory.mktemp("set")
    dataset = annotated_set(root / "in", random_objects(seed), random_objects(seed + 1))
    assert labelme.write(dataset, root / "out") == ()
    again = labelme.read(root / "out", OPTIONS)
    written, found = labels_of(dataset), labels_of(again)
    assert again.instances
    assert list(found) == list(written)
    assert all(np.array_equal(found[name], written[name]) for name in written)


def test_class_masks_come_back_with_their_splits(tmp_path: Path) -> None:
    dataset = class_masks(tmp_path / "in")
    assert labelme.write(dataset, tmp_path / "out") == ()
    again = labelme.read(tmp_path / "out", OPTIONS)
    assert (again.instances, again.classes) == (False, dataset.classes)
    written, found = labels_of(dataset), labels_of(again)
    assert found.keys() == written.keys()
    assert all(np.array_equal(found[name], written[name]) for name in written)
