"""The task of a data set, a model or its scores."""

from collections.abc import Mapping
from typing import Any

from pixelwise.datasets.dataset import Dataset
from pixelwise.errors import BadDataset
from pixelwise.model_file.model_card import ModelCard
from pixelwise.workflow.tasks.classification import Classification
from pixelwise.workflow.tasks.segmentation import Segmentation
from pixelwise.workflow.tasks.task import Task

SEGMENTATION, CLASSIFICATION = Segmentation(), Classification()


def task_of(source: Dataset | ModelCard | Mapping[str, Any] | str) -> Task:
    """Return the task of a data set, a model card, a record with the entry "task", or the name of a task.

    >>> task_of("binary") is task_of({"task": "instance"})
    True
    >>> task_of("classification").data
    'a folder per class'
    """
    if isinstance(source, Dataset):
        name = source.labelling.task
    elif isinstance(source, ModelCard):
        name = source.task
    else:
        name = source if isinstance(source, str) else str(source.get("task"))
    return CLASSIFICATION if name == "classification" else SEGMENTATION


def check_task(model_card: ModelCard, dataset: Dataset) -> None:
    """Raise BadDataset if a data set is for another task than a model."""
    expected, got = task_of(model_card), task_of(dataset)
    if got is not expected:
        hint = "Use a matching data folder or another run."
        raise BadDataset(f"{expected.data}, for the {model_card.task} model", got.data, hint, dataset.root)


def describe_scores(scores: dict[str, Any]) -> str:
    """Return the scores of `evaluate` as text; warnings about the training come first."""
    return task_of(scores).describe_scores(scores)
