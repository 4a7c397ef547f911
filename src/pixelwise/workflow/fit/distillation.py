"""Distillation of the ensemble of all folds into one network, the student.

Weights of independently trained networks cannot be averaged, because their channels are permuted. The student starts
from the weights of the first fold and is trained on all images, on the labels and on the predictions of the ensemble
(`training.distillation_loss`). Its EMA weights are saved.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.splitting.folds import merge_train_val
from pixelwise.model_file.model_file import load_model, load_network
from pixelwise.progress import Progress
from pixelwise.text import command, pluralise
from pixelwise.training.distillation_loss import DistillationSetup, Teacher
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.training_task import OpenTrainingTask
from pixelwise.workflow.run import Run

FORWARD = 1 / 3  # time of the forward pass of one member, as a fraction of a training step


def train_student(
    run: Run, dataset: Dataset, open_task: OpenTrainingTask, device: str, progress: Progress, records: Mapping[str, Any]
) -> None:
    """Train the student of a run with a saved ensemble, or continue its training.

    Parameters
    ----------
    run : Run
        A run with folds.
    open_task : callable
        As of `Training`.
    records : mapping
        JSON records of the student's run.
    """
    student, started = run.student, time.monotonic()
    if student.summary_path.is_file():
        return
    members = len(run.folds)
    images = pluralise(len(merge_train_val(dataset).splits["train"]), "image")
    progress.message(f"Student: distilling the ensemble of {members} networks into one, on all {images}.")
    teacher, model_card = load_model(run.model_path)
    if not student.config_path.is_file():
        student.begin(replace(_plan(run.config, members), target=model_card.target), records)
    start, _ = load_network(run.fold(1).model_path)
    setup = DistillationSetup(
        start.state_dict(),
        Teacher(teacher, model_card.softmax_channels),
        {"distilled_from": f"{members} networks", "validation_images": "seen in training"},
    )
    data = with_training_images_as_val(dataset, members)
    Training(student, data, open_task, device, progress, started, setup).go()
    progress.message(
        f"Student: {student.model_path}. It predicts as fast as one network. It was trained on every image, so its "
        f"validation score above does not measure performance on new images{_describe_evaluation(student, dataset)}"
    )


def with_training_images_as_val(dataset: Dataset, members: int) -> Dataset:
    """Return the data set with all images in the training split, some of them also in the validation split."""
    merged = merge_train_val(dataset)
    val = [replace(case, split="val") for case in merged.splits["train"][::members]]
    return replace(merged, cases=(*merged.splits["train"], *val, *merged.splits["test"]))


def _plan(config: Config, members: int) -> Config:
    """Return the plan of the student: that of a fold, with fewer steps because of the forward passes of the members."""
    steps = config.training.steps
    values: dict[str, Any] = {
        "training.seed": config.training.seed + members,
        "training.keep": "last",
        "training.tune": False,
        "training.patience": 0,
    }
    if config.training.budget is not None:
        values["training.steps"] = max(1, int(steps / (1 + members * FORWARD)))
    why = f"The student of {members} networks has no held-out images for selection."
    return with_settings(config, values, dict.fromkeys(values, why))


def _describe_evaluation(student: Run, dataset: Dataset) -> str:
    if dataset.splits["test"]:
        return f"; for that run: {command('evaluate', student.folder, dataset.root)}"
    return "; for that, evaluate it on other labelled images."
