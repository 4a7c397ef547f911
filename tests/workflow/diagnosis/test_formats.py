"""Data sets in a format are diagnosed like folders of masks, and their corrected copy is a folder of masks."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from annotated import in_order
from drawn import save
from pixelwise.datasets.dataset import load_dataset
from pixelwise.progress import Progress
from pixelwise.workflow.doctor import doctor, undo
from spots import SIZE

QUIET = Progress()
COUNT = 16
WRONG = 3  # the case whose labels are upside down
Write = Callable[[Path, list[tuple[np.ndarray, np.ndarray]]], Path]


def bars(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image with three bright rectangles, and their numbers; no two overlap."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.int32)
    for number in range(3):
        height, width = random.integers(6, 14, 2)
        top, left = random.integers(1, SIZE[0] - height), 21 * number + random.integers(0, 20 - width)
        labels[top : top + height, left : left + width] = number + 1
    image = 70 + 90.0 * (labels > 0) + random.normal(0, 12, SIZE)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def write_coco(folder: Path, cases: list[tuple[np.ndarray, np.ndarray]]) -> Path:
    """images/ and annotations.json with a polygon per object, in two categories."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index, (image, labels) in enumerate(cases):
        save(folder / "images" / f"{index:02}.png", image)
        images.append({"id": index, "file_name": f"{index:02}.png", "height": SIZE[0], "width": SIZE[1]})
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels)):
            top, bottom, left, right = rows.start, rows.stop, columns.start, columns.stop
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": 1 + number % 2,
                    "iscrowd": 0,
                    "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                }
            )
    categories = [{"id": 1, "name": "cell"}, {"id": 2, "name": "rod"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content), "utf-8")
    return folder


def write_files_per_object(folder: Path, cases: list[tuple[np.ndarray, np.ndarray]]) -> Path:
    """A folder per image, with images/ and a mask file per object in masks/."""
    for index, (image, labels) in enumerate(cases):
        save(folder / f"{index:02}" / "images" / f"{index:02}.png", image)
        for number in range(1, labels.max() + 1):
            save(folder / f"{index:02}" / "masks" / f"{number}.png", (labels == number).astype(np.uint8) * 255)
    return folder


def labels_by_name(folder: Path, task: str) -> dict[str, np.ndarray]:
    dataset = load_dataset(folder)
    assert dataset.task == task
    found: dict[str, np.ndarray] = {}
    for case in dataset.cases:
        labels = dataset.read(case).labels
        assert isinstance(labels, np.ndarray)
        found[case.image.stem] = in_order(labels) if task == "instance" else labels
    return found


@pytest.mark.parametrize(
    ("write", "task"), [(write_coco, "multiclass"), (write_coco, "instance"), (write_files_per_object, "instance")]
)
def test_labels_in_a_format_are_diagnosed_fixed_and_restored(tmp_path: Path, write: Write, task: str) -> None:
    truth = [bars(seed) for seed in range(COUNT)]
    data = write(tmp_path / "data", truth)
    right = labels_by_name(data, load_dataset(data).task) if write is write_coco else labels_by_name(data, task)
    task = load_dataset(data).task
    image, labels = truth[WRONG]
    truth[WRONG] = image, labels[::-1].copy()
    data = write(tmp_path / "faulty", truth)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    found = doctor(data, fix=tmp_path / "out", html=tmp_path / "page.html", progress=QUIET)
    assert [(one.kind, Path(one.files[0]).stem) for one in found.hard] == [("flipped mask", f"{WRONG:02}")]
    assert (tmp_path / "page.html").read_text("utf-8").count("data:image/png") >= 3
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before

    fixed = labels_by_name(tmp_path / "out", task)
    assert set(fixed) == set(right)
    for name, expected in right.items():
        assert np.array_equal(fixed[name], expected), name
    assert load_dataset(tmp_path / "out").classes == load_dataset(data).classes

    wrong = labels_by_name(data, task)
    assert len(undo(tmp_path / "out")) == 1
    assert np.array_equal(labels_by_name(tmp_path / "out", task)[f"{WRONG:02}"], wrong[f"{WRONG:02}"])


def test_exchanged_annotations_of_a_format_are_put_right(tmp_path: Path) -> None:
    truth = [bars(seed) for seed in range(COUNT)]
    right = labels_by_name(write_coco(tmp_path / "data", truth), "multiclass")
    truth[1], truth[2] = (truth[1][0], truth[2][1]), (truth[2][0], truth[1][1])
    found = doctor(write_coco(tmp_path / "faulty", truth), fix=tmp_path / "out", progress=QUIET)
    assert [one.kind for one in found.hard] == ["exchanged mask", "exchanged mask"]
    fixed = labels_by_name(tmp_path / "out", "multiclass")
    assert all(np.array_equal(fixed[name], labels) for name, labels in right.items())


def test_damaged_files_of_a_format_are_left_out(tmp_path: Path) -> None:
    data = write_files_per_object(tmp_path / "data", [bars(seed) for seed in range(COUNT)])
    mask, image = data / "04" / "masks" / "2.png", data / "07" / "images" / "07.png"
    mask.write_bytes(mask.read_bytes()[:50])
    image.write_bytes(image.read_bytes()[:90])
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert [one.kind for one in found.hard] == ["unreadable file", "unreadable file"]
    assert set(labels_by_name(tmp_path / "out", "instance")) == {f"{i:02}" for i in range(COUNT)} - {"04", "07"}
