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
Drawn = tuple[np.ndarray, np.ndarray]
Write = Callable[[Path, list[Drawn]], Path]


def bars(seed: int) -> Drawn:
    """A noisy image with three bright rectangles, and their numbers; no two overlap."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SIZE, np.int32)
    for number in range(3):
        height, width = random.integers(6, 14, 2)
        top, left = random.integers(1, SIZE[0] - height), 21 * number + random.integers(0, 20 - width)
        labels[top : top + height, left : left + width] = number + 1
    image = 70 + 90.0 * (labels > 0) + random.normal(0, 12, SIZE)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def write_coco(folder: Path, cases: list[Drawn]) -> Path:
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


def write_files_per_object(folder: Path, cases: list[Drawn]) -> Path:
    """A folder per image, with images/ and a mask file per object in masks/."""
    for index, (image, labels) in enumerate(cases):
        save(folder / f"{index:02}" / "images" / f"{index:02}.png", image)
        for number in range(1, labels.max() + 1):
            save(folder / f"{index:02}" / "masks" / f"{number}.png", (labels == number).astype(np.uint8) * 255)
    return folder


def write_nnunet(folder: Path, cases: list[Drawn]) -> Path:
    """imagesTr with two files per image, one for each channel, and labelsTr with two classes."""
    for index, (image, labels) in enumerate(cases):
        save(folder / "imagesTr" / f"{index:02}_0000.png", image)
        save(folder / "imagesTr" / f"{index:02}_0001.png", 255 - image)
        save(folder / "labelsTr" / f"{index:02}.png", np.minimum(labels, 2).astype(np.uint8))
    content = {
        "channel_names": {"0": "first", "1": "second"},
        "labels": {"background": 0, "left": 1, "right": 2},
        "numTraining": len(cases),
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(content), "utf-8")
    return folder


def read_all(folder: Path) -> dict[str, Drawn]:
    """Images and labels by name, as a training reads them; objects are numbered in their order."""
    dataset = load_dataset(folder)
    found: dict[str, Drawn] = {}
    for case in dataset.cases:
        image, labels = dataset.read_labelled(case)
        found[Path(case.name).name] = image, in_order(labels) if dataset.task == "instance" else labels
    return found


def assert_equal(found: dict[str, Drawn], expected: dict[str, Drawn]) -> None:
    assert set(found) == set(expected)
    for name, (image, labels) in expected.items():
        assert np.array_equal(found[name][0], image), name
        assert np.array_equal(found[name][1], labels), name


@pytest.mark.parametrize("write", [write_coco, write_files_per_object, write_nnunet])
def test_labels_in_a_format_are_diagnosed_fixed_and_restored(tmp_path: Path, write: Write) -> None:
    truth = [bars(seed) for seed in range(COUNT)]
    data = write(tmp_path / "data", truth)
    right = read_all(data)
    image, labels = truth[WRONG]
    truth[WRONG] = image, labels[::-1].copy()
    faulty = write(tmp_path / "faulty", truth)
    before = {path: path.read_bytes() for path in faulty.rglob("*") if path.is_file()}
    found = doctor(faulty, fix=tmp_path / "out", html=tmp_path / "page.html", progress=QUIET)
    assert [(one.kind, Path(one.files[0]).stem) for one in found.hard] == [("flipped mask", f"{WRONG:02}")]
    assert (tmp_path / "page.html").read_text("utf-8").count("data:image/png") >= 3
    assert {path: path.read_bytes() for path in faulty.rglob("*") if path.is_file()} == before

    assert_equal(read_all(tmp_path / "out"), right)
    copy, original = load_dataset(tmp_path / "out"), load_dataset(data)
    assert (copy.task, copy.classes, copy.channels) == (original.task, original.classes, original.channels)
    assert copy.format == ""

    assert len(undo(tmp_path / "out")) == 1
    assert_equal(read_all(tmp_path / "out"), read_all(faulty))


@pytest.mark.parametrize("write", [write_coco, write_files_per_object, write_nnunet])
def test_a_clean_set_in_a_format_has_no_hard_fault(tmp_path: Path, write: Write) -> None:
    found = doctor(write(tmp_path / "data", [bars(seed) for seed in range(COUNT)]), progress=QUIET)
    assert found.hard == ()
    assert found.dataset.format


def test_exchanged_annotations_of_a_format_are_put_right(tmp_path: Path) -> None:
    truth = [bars(seed) for seed in range(COUNT)]
    right = read_all(write_coco(tmp_path / "data", truth))
    truth[1], truth[2] = (truth[1][0], truth[2][1]), (truth[2][0], truth[1][1])
    found = doctor(write_coco(tmp_path / "faulty", truth), fix=tmp_path / "out", progress=QUIET)
    assert [one.kind for one in found.hard] == ["exchanged mask", "exchanged mask"]
    assert_equal(read_all(tmp_path / "out"), right)


def test_damaged_files_of_a_format_are_left_out(tmp_path: Path) -> None:
    data = write_files_per_object(tmp_path / "data", [bars(seed) for seed in range(COUNT)])
    mask, image = data / "04" / "masks" / "2.png", data / "07" / "images" / "07.png"
    mask.write_bytes(mask.read_bytes()[:50])
    image.write_bytes(image.read_bytes()[:90])
    found = doctor(data, fix=tmp_path / "out", progress=QUIET)
    assert [one.kind for one in found.hard] == ["unreadable file", "unreadable file"]
    assert set(read_all(tmp_path / "out")) == {f"{index:02}" for index in range(COUNT)} - {"04", "07"}
