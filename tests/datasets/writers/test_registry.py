"""Every annotation format: what is written is read again with the same labels, pixel for pixel."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import drawn
from pixelwise.datasets.annotations import AnnotatedSet
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.formats import coco, cvat, imagej_roi, label_studio, labelme, qupath, voc, yolo
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.datasets.shapes.vectorise import to_shapes
from pixelwise.datasets.writers.labelled_set import LabelledSet
from pixelwise.datasets.writers.registry import WRITERS
from pixelwise.io.read import write_image, write_labels

READERS: dict[str, Callable[[Path, DataOptions], AnnotatedSet]] = {
    "coco": coco.read,
    "cvat": cvat.read,
    "imagej": imagej_roi.read,
    "label-studio": label_studio.read,
    "labelme": labelme.read,
    "qupath": qupath.read,
    "voc": voc.read,
    "yolo": yolo.read,
}
KEEP_IGNORED = {"coco", "imagej", "labelme", "qupath", "voc"}
IGNORED = 255


def write(dataset: Dataset, name: str, folder: Path) -> tuple[AnnotatedSet, tuple[str, ...]]:
    """Write a data set and read it with the reader of the format."""
    out = folder / name / "result"
    out.mkdir(parents=True)
    losses = next(writer for writer in WRITERS if writer.name == name).write(LabelledSet(dataset=dataset), out)
    # VOC has a folder of classes and one of objects: the task decides which is read
    task = "instance" if name == "voc" and dataset.task == "instance" else "auto"
    return READERS[name](out, DataOptions(task=task)), losses


def labels_of(found: AnnotatedSet, name: str, size: tuple[int, ...]) -> np.ndarray:
    image = next(image for image in found.images if image.image.stem == name)
    task = "instance" if found.instances else "multiclass"
    return rasterise(to_shapes(image, found), (size[0], size[1]), found.classes, task)


def divides_alike(first: np.ndarray, second: np.ndarray) -> bool:
    pairs = set(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    return len(pairs) == len(np.unique(first)) == len(np.unique(second))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_objects_with_holes_and_parts_that_touch(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    folder, random = tmp_path_factory.mktemp("any"), np.random.default_rng(seed)
    for index in range(3):
        labels = np.kron(random.permuted(np.arange(42) % 5).reshape(6, 7), np.ones((2, 3), int))
        write_image(folder / f"in/images/{index}.png", drawn.image(index, labels.shape)[None])
        write_labels(folder / f"in/masks/{index}.tif", labels)
    dataset = load_dataset(folder / "in", task="instance")
    found, _ = write(dataset, name, folder)
    assert found.instances
    for case in dataset.cases:
        expected = np.asarray(dataset.read(case).labels)
        got = labels_of(found, case.name, expected.shape)
        assert divides_alike(expected, got)
        assert np.array_equal(expected == 0, got == 0)


@pytest.mark.parametrize("name", sorted(set(READERS) - {"yolo"}))
def test_classes_and_ignored_pixels(tmp_path: Path, name: str) -> None:
    folder = drawn.pairs(tmp_path / "in", draw=drawn.several(1, 2, IGNORED))
    (folder / "classes.txt").write_text("0 background 0,0,0\n1 fat 1,2,3\n2 stroma 9,8,7\n255 void 5,5,5\n", "utf-8")
    dataset = load_dataset(folder)
    found, losses = write(dataset, name, tmp_path / "out")
    assert (found.classes, bool(found.instances)) == (("fat", "stroma"), False)
    assert any("ignored" in text for text in losses) == (name not in KEEP_IGNORED)
    for case in dataset.cases:
        expected = np.asarray(dataset.read(case).labels)
        got = labels_of(found, case.name, expected.shape)
        if name not in KEEP_IGNORED:
            expected = np.where(expected == IGNORED, 0, expected)
        assert np.array_equal(got, expected)


def test_given_splits_are_kept(tmp_path: Path) -> None:
    for part, first in (("train", 0), ("val", 6), ("test", 9)):
        drawn.pairs(tmp_path / "in" / part, 3, drawn.objects, first=first)
    dataset = load_dataset(tmp_path / "in")
    for name in READERS:
        found, _ = write(dataset, name, tmp_path / "out")
        assert {image.image.stem: image.split for image in found.images} == {
            case.image.stem: case.split for case in dataset.cases
        }, name
