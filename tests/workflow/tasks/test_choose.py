"""The task follows from a data set, a model card or scores, and a model is not used for data of another task."""

from pathlib import Path

import pytest

from exports import draw_photos
from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadDataset
from pixelwise.progress import Progress
from pixelwise.workflow.tasks.choose import CLASSIFICATION, SEGMENTATION, check_task, task_of
from pixelwise.workflow.tasks.task import Task
from tiny import make_photo_recipe, make_recipe


def read(folder: Path) -> Dataset:
    return scan_dataset(folder, DataOptions(), 0, Progress())


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    return read(draw_photos(tmp_path / "photos", each=2))


@pytest.fixture
def cells(tmp_path: Path) -> Dataset:
    write_demo(tmp_path / "cells", train=2, val=1, test=1, size=64)
    return read(tmp_path / "cells")


def test_the_task_of_data_models_and_scores(photos: Dataset, cells: Dataset) -> None:
    assert task_of(cells) is task_of(make_recipe("instance")) is task_of({"task": "binary"}) is SEGMENTATION
    assert task_of(photos) is task_of(make_photo_recipe()) is task_of({"task": "classification"}) is CLASSIFICATION


@pytest.mark.parametrize("task", [SEGMENTATION, CLASSIFICATION])
def test_every_task_has_the_whole_interface(task: Task) -> None:
    assert isinstance(task, Task)


def test_data_of_another_task_are_refused(photos: Dataset, cells: Dataset) -> None:
    with pytest.raises(BadDataset, match="images with masks, for the binary model; got a folder per class"):
        check_task(make_recipe(), photos)
    with pytest.raises(BadDataset, match="a folder per class, for the classification model; got images with masks"):
        check_task(make_photo_recipe(), cells)
    check_task(make_recipe(), cells)
    check_task(make_photo_recipe(), photos)


def test_only_an_open_question_is_answered_by_the_task() -> None:
    assert CLASSIFICATION.data_options(DataOptions()).task == "classification"
    assert CLASSIFICATION.data_options(DataOptions(task="binary")).task == "binary"
    assert SEGMENTATION.data_options(DataOptions()).task == "auto"
