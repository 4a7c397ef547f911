"""The student: one network taught by the ensemble of all folds, at the cost of one.

The weights of networks that learned apart have no meaning average: their channels stand in other orders. What the
members know is therefore brought together by teaching. The student begins with the weights of the first fold and learns
from all images, from the labels and from what the ensemble says of each batch (`training.distillation_loss`); what is
kept is the running average of its own weights along that one way.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.folds import merge_train_val
from pixelwise.labels.targets import class_channels
from pixelwise.model_file.model_file import load_model, load_network
from pixelwise.progress import Progress
from pixelwise.text import command, pluralise
from pixelwise.training.distillation_loss import DistillationSetup, Teacher
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.run import Run

FORWARD = 1 / 3  # of the time of a training step: one member's look at the batch


def train_student(run: Run, dataset: Dataset, device: str, progress: Progress, records: Mapping[str, Any]) -> None:
    """Train the student of a run whose ensemble is written, or go on with it.

    Parameters
    ----------
    run : Run
        With folds.
    dataset : Dataset
    device : str
    progress : Progress
    records : mapping
        Of the student's run.
    """
    student, started = run.student, time.monotonic()
    if student.summary_path.is_file():
        return
    members = len(run.folds)
    images = pluralise(len(merge_train_val(dataset).part("train")), "image")
    progress.message(f"Student: one network, taught by the ensemble of {members} and by the labels, on all {images}.")
    teacher, model_card = load_model(run.model_path)
    if not student.config_path.is_file():
        student.begin(replace(_plan(run.config, members), target=model_card.target), records)
    start, _ = load_network(run.fold(1).model_path)
    lessons = DistillationSetup(
        start.state_dict(),
        Teacher(teacher, class_channels(model_card.target, model_card.network.classes)),
        {"distilled_from": f"{members} networks", "validation_images": "seen in training"},
    )
    Training(student, looked_at(dataset, members), device, progress, started, lessons).go()
    progress.message(
        f"Student: {student.model_path}. It takes the time of one network. It has seen every image, so its validation "
        f"score above says how well it fits, not how good it is{_describe_known(student, dataset)}"
    )


def looked_at(dataset: Dataset, members: int) -> Dataset:
    """Return the data set with all images in training, some of which are looked at on the way too."""
    whole = merge_train_val(dataset)
    some = [replace(case, part="val") for case in whole.part("train")[::members]]
    return replace(whole, cases=(*whole.part("train"), *some, *whole.part("test")))


def _plan(config: Config, members: int) -> Config:
    """Return the plan of the student: that of a fold, with the time that the members' looks take."""
    steps = config.training.steps
    values: dict[str, Any] = {
        "training.seed": config.training.seed + members,
        "training.keep": "last",
        "training.tune": False,
        "training.patience": 0,
    }
    if config.training.budget is not None:
        values["training.steps"] = max(1, int(steps / (1 + members * FORWARD)))
    why = f"The student of {members} networks: no image is left to choose by."
    return with_settings(config, values, dict.fromkeys(values, why))


def _describe_known(student: Run, dataset: Dataset) -> str:
    if dataset.part("test"):
        return f"; that tells: {command('evaluate', student.folder, dataset.root)}"
    return "; labelled images that it has not seen would tell."
