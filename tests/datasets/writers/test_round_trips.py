"""Any two formats of images in a row: a set that is converted twice has the images and labels that it had at first."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import drawn
from pixelwise.datasets.dataset import Dataset, load_dataset
from pixelwise.io.read import write_image, write_labels
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert

pytest.importorskip("h5py")
pytest.importorskip("roifile")
pytest.importorskip("zarr")

# what both keep bit for bit; YOLO, CVAT and Label Studio lose ignored pixels, of which these sets have none
BOTH = (
    "folders", "qupath", "imagej", "coco", "yolo", "labelme", "cvat", "label-studio", "npy", "hdf5", "ome-zarr"
)  # fmt: skip
OBJECTS = (*BOTH, "cellpose", "stardist", "file-per-object")
CLASSES = (*BOTH, "nnunet", "folder-per-class", "voc")
NAMES = ("sky", "road", "car")
STEP = 5  # of 14 second formats 3 are tried after each first one, so that each is the second of 3 or more


def draw(folder: Path, seed: int, *, task: str) -> Path:
    """Write a set whose labels touch one another, in two given splits."""
    random = np.random.default_rng(seed)
    channels = int(random.choice([1, 3]))
    for index in range(3):
        values = np.arange(1, 21) if task == "instance" else np.arange(20) % 3
        labels = np.kron(random.permuted(values * (random.random(20) < 0.8)).reshape(4, 5), np.ones((3, 4), np.int64))
        part = folder / ("test" if index == 2 else "train")
        pixels = drawn.image(seed % 1000 + index, (channels, *labels.shape))
        write_image(part / f"images/cell {index}.png", pixels)
        write_labels(part / f"masks/cell {index}.tif", labels)
    if task != "instance":
        (folder / "classes.txt").write_text("".join(f"{index} {name}\n" for index, name in enumerate(NAMES)), "utf-8")
    return folder


def contents(dataset: Dataset) -> dict[bytes, tuple[str, bytes]]:
    """Return split and labels by the pixels of the image: names and colour order differ between formats.

    Objects are numbered in the order of their first pixels.
    """
    found = dict[bytes, tuple[str, bytes]]()
    for case in dataset.cases:
        image, labels = dataset.read(case)
        values = np.asarray(labels)
        if dataset.task == "instance":
            numbers, first, inverse = np.unique(values, return_index=True, return_inverse=True)
            places = np.where(numbers == 0, -1, first)
            values = np.argsort(np.argsort(places))[inverse].reshape(values.shape)
        split = "test" if case.split == "test" else "train"
        found[image.tobytes()] = split, values.astype(np.int64).tobytes()
    return found


def firsts(step: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return a task, a first format, and every `step`-th second one, beginning with another for each first one."""
    return [
        (task, first, tuple(np.roll(formats, -position)[::step].tolist()))
        for task, formats in (("instance", OBJECTS), ("multiclass", CLASSES))
        for position, first in enumerate(formats)
    ]


def convert_twice(folder: Path, seed: int, task: str, first: str, seconds: Sequence[str]) -> None:
    """Convert a drawn set, and the result again; both are read without a flag."""
    draw(folder / "in", seed, task=task)
    before = contents(load_dataset(folder / "in", task=task))
    convert(folder / "in", to=first, out=folder / "first", task=task, progress=Progress())
    for second in seconds:
        convert(folder / "first", to=second, out=folder / second, progress=Progress())
        after = load_dataset(folder / second)
        assert (after.task, contents(after)) == (task, before), (first, second)


@pytest.mark.parametrize(("task", "first", "seconds"), firsts(STEP))
def test_what_two_conversions_keep(tmp_path: Path, task: str, first: str, seconds: tuple[str, ...]) -> None:
    convert_twice(tmp_path, len(first), task, first, seconds)


def test_every_format_is_the_second_of_some() -> None:
    for task, formats in (("instance", OBJECTS), ("multiclass", CLASSES)):
        counts = Counter(second for one, _, seconds in firsts(STEP) if one == task for second in seconds)
        assert set(counts) == set(formats)
        assert min(counts.values()) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(("task", "first", "seconds"), firsts(1))
@settings(
    max_examples=2,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_what_any_two_conversions_keep(
    tmp_path_factory: pytest.TempPathFactory, task: str, first: str, seconds: tuple[str, ...], seed: int
) -> None:
    convert_twice(tmp_path_factory.mktemp("any"), seed, task, first, seconds)
