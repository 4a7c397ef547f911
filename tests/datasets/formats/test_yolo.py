"""YOLO polygons, read and written."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from annotated import annotated_set, box, class_masks, labels_of, random_objects
from drawn import SIZE, image, save
from pixelwise.datasets.annotations import Shape, Shapes
from pixelwise.datasets.formats import yolo, yolo_config
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset

OPTIONS = DataOptions()
SQUARE = "0.1 0.125 0.25 0.125 0.25 0.28125 0.1 0.28125"  # columns 4 to 9, rows 4 to 8 of 40 x 32
OTHER = "0.5 0.5 0.75 0.5 0.75 0.75 0.5 0.75"


def write(root: Path, rows: dict[str, str | None], config: object = None) -> Path:
    """Write images, label files with the given rows (None: no file) and data.yaml."""
    for seed, (name, text) in enumerate(rows.items()):
        path = save(root / name, image(seed))
        labels = Path(*("labels" if part == "images" else part for part in path.parts)).with_suffix(".txt")
        if text is not None:
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text(text, "utf-8")
    if config is not None:
        (root / "data.yaml").write_text(config if isinstance(config, str) else yaml.safe_dump(config), "utf-8")
    return root


def expected(value: int) -> np.ndarray:
    drawn = np.zeros(SIZE, int)
    drawn[4:9, 4:10] = value
    return drawn


@pytest.mark.parametrize("names", [["dog", "cat"], {0: "dog", 1: "cat"}], ids=["list", "map"])
@pytest.mark.parametrize("prefix", ["", "../", "/home/bob/set/", "D:\\data\\", "./"])
def test_folders_of_data_yaml(tmp_path: Path, names: object, prefix: str) -> None:
    config = {"train": f"{prefix}train/images", "val": f"{prefix}valid/images", "nc": 2, "names": names}
    rows = {"train/images/a.png": f"1 {SQUARE}\n0 {OTHER}\n", "valid/images/a.png": f"0 {SQUARE}\n0 {OTHER}"}
    root = write(tmp_path, rows, config)
    assert yolo.recognise(root)
    dataset = yolo.read(root, OPTIONS)
    assert [(member.name, member.split) for member in dataset.images] == [("train/a", "train"), ("val/a", "val")]
    assert (dataset.classes, dataset.instances) == (("dog", "cat"), True)
    for name, labels in labels_of(dataset).items():
        assert np.array_equal(labels == 1, expected(1) == 1), name


def test_names_of_classes_are_one_line_without_codes_of_a_terminal(tmp_path: Path) -> None:
    names = ["a\nb", "\x1b[31mred", "\u202elived", "mitose \u00e9t\u00e9"]
    rows = {"images/a.png": "\n".join(f"{number} {SQUARE}" for number in range(4))}
    found = yolo.read(write(tmp_path, rows, {"train": "images", "val": "images", "names": names}), OPTIONS)
    annotation = found.images[0].annotation
    assert isinstance(annotation, Shapes)
    assert tuple(shape.class_name for shape in annotation.shapes) == found.classes
    assert found.classes == ("a b", "[31mred", "lived", "mitose \u00e9t\u00e9")


def test_splits_as_lists_of_images(tmp_path: Path) -> None:
    rows = {"images/a.png": f"0 {SQUARE}", "images/b.png": f"0 {SQUARE}", "images/c.png": f"0 {SQUARE}"}
    config = {"path": "/foreign", "train": ["train.txt"], "val": "val.txt", "names": ["dog"]}
    root = write(tmp_path, rows, config)
    (root / "train.txt").write_text("/foreign/images/a.png\n./images/c.png\n", encoding="utf-8")
    (root / "val.txt").write_text("./images/b.png\n", encoding="utf-8")
    assert {member.name: member.split for member in yolo.read(root, OPTIONS).images} == {
        "train/a": "train", "train/c": "train", "val/b": "val",
    }  # fmt: skip


def test_without_data_yaml_and_with_labels_beside_images(tmp_path: Path) -> None:
    root = write(tmp_path / "plain", {"images/a.png": f"3 {SQUARE}", "images/b.png": ""})
    assert yolo.recognise(root)
    dataset = yolo.read(root, OPTIONS)
    assert dataset.classes == ("class 3",)
    assert any("--classes" in message for message in dataset.messages)
    assert labels_of(dataset)["b"].max() == 0
    (root / "classes.txt").write_text("a\nb\nc\nd\n", encoding="utf-8")
    assert yolo.read(root, OPTIONS).classes == ("a", "b", "c", "d")
    beside = write(tmp_path / "beside", {"a.png": f"0 {SQUARE}"}, {"names": ["dog"], "train": ".", "val": "."})
    assert np.array_equal(labels_of(yolo.read(beside, OPTIONS))["a"], expected(1))


def test_a_missing_label_file_is_background_or_left_out(tmp_path: Path) -> None:
    root = write(tmp_path, {"images/a.png": f"0 {SQUARE}", "images/b.png": None}, {"names": ["dog"], "train": "images"})
    dataset = yolo.read(root, OPTIONS)
    assert [member.name for member in dataset.images] == ["a", "b"]
    assert any("--allow-missing" in message for message in dataset.messages)
    assert [member.name for member in yolo.read(root, DataOptions(allow_missing=True)).images] == ["a"]


def test_boxes_are_ignored_beside_outlines_and_refused_alone(tmp_path: Path) -> None:
    root = write(tmp_path, {"images/a.png": f"0 {SQUARE}\n0 0.625 0.625 0.25 0.25\n"}, {"names": ["dog"], "train": "."})
    dataset = yolo.read(root, OPTIONS)
    labels = labels_of(dataset)["a"]
    assert (labels == 1).sum() == 30
    assert labels[20, 24] in (-1, 255)
    assert any("a.txt:2" in message for message in dataset.messages)
    write(tmp_path, {"images/a.png": "0 0.625 0.625 0.25 0.25\n"})
    with pytest.raises(BadDataset, match="boxes alone"):
        yolo.read(root, OPTIONS)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (f"2 {SQUARE}", "0 to 1 in line 2"),
        (f"-1 {SQUARE}", "class number"),
        (f"0.5 {SQUARE}", "class number"),
        (f"0 {SQUARE} 0.9", "9 numbers"),
        ("0 0.1 0.2", "2 numbers"),
        (f"dog {SQUARE}", "dog"),
        ("0 10 20 30 20 30 40", "between 0 and 1"),
        ("0 nan 0.1 0.2 0.2 0.3 0.3", "between 0 and 1"),
        ("inf 0.1 0.1 0.2 0.2 0.3 0.3", "in line 2"),
    ],
)
def test_malformed_rows_are_refused_by_file_and_line(tmp_path: Path, row: str, words: str) -> None:
    root = write(tmp_path, {"images/a.png": f"0 {SQUARE}\n{row}\n"}, {"names": ["dog", "cat"], "train": "images"})
    with pytest.raises(BadDataset, match=words) as error:
        yolo.read(root, OPTIONS)
    assert "a.txt" in str(error.value)
    assert "line 2" in str(error.value)


@pytest.mark.parametrize(
    "text", ["names: [a\ntrain: x\n", "names: {a: b}\ntrain: x", "names: !!python/name:os.system\ntrain: x"]
)
def test_malformed_data_yaml_is_refused(tmp_path: Path, text: str) -> None:
    root = write(tmp_path, {"images/a.png": f"0 {SQUARE}"}, text)
    with pytest.raises(BadDataset, match=r"data\.yaml"):
        yolo.read(root, OPTIONS)


def test_a_long_data_yaml_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path, {"images/a.png": f"0 {SQUARE}"}, "train: images\nval: images\nnames: [dog]\n" + "#" * 300)
    assert yolo.read(root, OPTIONS).classes == ("dog",)
    monkeypatch.setattr(yolo_config, "MAX_BYTES", 300)
    with pytest.raises(BadDataset, match="at most 300"):
        yolo.read(root, OPTIONS)


def test_four_points_everywhere_may_be_rotated_boxes(tmp_path: Path) -> None:
    root = write(tmp_path, {"images/a.png": f"0 {SQUARE}"}, {"names": ["dog"], "train": "."})
    assert any("rotated boxes" in message for message in yolo.read(root, OPTIONS).messages)


def test_paths_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    save(tmp_path / "secret/images/a.png", image(0))
    root = write(
        tmp_path / "set", {"images/a.png": f"0 {SQUARE}"}, {"names": ["x"], "train": "../secret/images", "val": "."}
    )
    assert all(member.image.is_relative_to(root) for member in yolo.read(root, OPTIONS).images)


def test_text_that_is_no_label_is_not_taken_for_yolo(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/readme.txt").write_text("0 is the background\n", encoding="utf-8")
    assert not yolo.recognise(tmp_path)


def test_rows_beside_images_are_labels_if_they_are_fractions(tmp_path: Path) -> None:
    save(tmp_path / "a.png", image(1))
    (tmp_path / "a.txt").write_text("0 12 40 13 41 15 44\n", encoding="utf-8")  # landmarks in pixels
    assert not yolo.recognise(tmp_path)
    (tmp_path / "a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.6\n", encoding="utf-8")
    assert yolo.recognise(tmp_path)
    (tmp_path / "a.png").unlink()  # control: without the image
    assert not yolo.recognise(tmp_path)


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_objects_come_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    root = tmp_path_factory.mktemp("set")
    dataset = annotated_set(root / "in", random_objects(seed), random_objects(seed + 1))
    messages = yolo.write(dataset, root / "out")
    assert all("no width" in message for message in messages)
    again = yolo.read(root / "out", OPTIONS)
    written, found = labels_of(dataset), labels_of(again)
    assert again.instances
    assert list(found) == list(written)
    assert all(np.array_equal(found[name], written[name]) for name in written)


def test_class_masks_come_back_without_ignored_areas(tmp_path: Path) -> None:
    dataset = class_masks(tmp_path / "in")
    messages = yolo.write(dataset, tmp_path / "out")
    assert any("ignored" in message for message in messages)
    again = yolo.read(tmp_path / "out", OPTIONS)
    assert (again.instances, again.classes) == (False, dataset.classes)
    written, found = labels_of(dataset), labels_of(again)
    assert [member.split for member in again.images] == ["train", "train", "val"]
    assert all(np.array_equal(found[name], np.where(written[name] == 255, 0, written[name])) for name in written)


def test_a_hole_is_joined_by_a_line_and_reported(tmp_path: Path) -> None:
    ring = Shape(class_name="cell", rings=(box(2, 2, 20, 20), box(5, 5, 9, 9)))
    dataset = annotated_set(tmp_path / "in", Shapes(shapes=(ring,), source=Path("a")))
    assert any("1 object has a hole" in message for message in yolo.write(dataset, tmp_path / "out"))
    assert labels_of(yolo.read(tmp_path / "out", OPTIONS))["im_0"].sum() == 18 * 18 - 16
