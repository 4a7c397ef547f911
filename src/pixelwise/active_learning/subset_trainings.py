"""Trainings of a learning curve: an ordinary run on each subset, all scored on the same validation images.

FOLDER/trainings/9-1 is the run on 9 images, repeat 1. A training is complete once its counts on the validation images
are written; an interrupted forecast resumes in the training where it was stopped.
"""

import json
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.active_learning.plan import ForecastPlan
from pixelwise.active_learning.primary_score import primary_metric_of
from pixelwise.active_learning.schedule import SubsetTraining
from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.splitting.subsets import select_cases
from pixelwise.errors import BadRun
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.metrics.learning_curve import SubsetScores
from pixelwise.progress import Advance, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.masks import count_masks
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.run_metadata import subset_records, with_own_seed
from pixelwise.workflow.fit.signals import describe_interruption
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import words
from pixelwise.workflow.tasks.choose import task_of

COUNTED = "counted.json"


class BarsOnly(Progress):
    """Progress of one training among many: its bars, without its messages."""

    def __init__(self, progress: Progress, training: str) -> None:
        self._progress, self._training = progress, training

    @contextmanager
    def bar(self, label: str, total: int) -> Generator[Advance, None, None]:
        """Show a bar labelled with the training."""
        title = self._training if label == "training" else f"{label}, {self._training}"
        with self._progress.bar(title, total) as advance:
            yield advance


@dataclass(frozen=True)
class SubsetTrainings:
    """All trainings of a forecast; interrupted ones are resumed.

    No training that the curve can do without starts if it would end after `deadline` (of `time.monotonic()`).
    """

    folder: Path
    plan: ForecastPlan
    dataset: Dataset
    device: str
    progress: Progress
    deadline: float | None

    def run(self) -> tuple[SubsetScores, list[SubsetTraining]]:
        """Train and score the remaining subsets; return the scores and the finished trainings.

        Raises
        ------
        Interrupted
            Stopped by the user; the state is saved.
        Diverged
            A loss stayed non-finite.
        BadRun
            The record of a finished training is damaged.
        """
        trainings, metric = self.plan.schedule.trainings, primary_metric_of(self.dataset.labelling)
        rows: list[np.ndarray] = []
        finished: list[SubsetTraining] = []
        seconds: list[float] = []
        for number, training in enumerate(trainings, 1):
            path = self.run_of(training).folder / COUNTED
            done = path.is_file()
            if not done and self._exceeds_deadline(finished, seconds):
                continue
            if not done:
                started = time.monotonic()
                self.train(training)
                seconds.append(time.monotonic() - started)
            finished.append(training)
            rows.append(self._read(path))
            score = metric.score(rows[-1].sum(0))
            value = "none" if score is None else f"{score:.3f}"
            images = pluralise(training.masks, "image")
            label = f"Training {number} of {len(trainings)}, on {images}{' (already finished)' * done}"
            self.progress.message(f"{label}: {words(metric.name)} {value}.")
        if skipped := len(trainings) - len(finished):
            count = pluralise(skipped, "training is", "trainings are")
            self.progress.message(
                f"{count} skipped: a step takes longer than measured before. The same command runs what is missing."
            )
        masks = np.array([training.masks for training in finished], np.int64)
        return SubsetScores(masks=masks, rows=np.stack(rows), statistic=metric.score), finished

    def _exceeds_deadline(self, finished: Sequence[SubsetTraining], seconds: Sequence[float]) -> bool:
        """Return whether another training would miss the deadline; each size once, and one repeat, are always run."""
        if self.deadline is None or not seconds or len(finished) <= len(self.plan.schedule.sizes):
            return False
        return time.monotonic() + sum(seconds) / len(seconds) > self.deadline

    def run_of(self, training: SubsetTraining) -> Run:
        """Return the run of a training, which may not exist yet."""
        return Run(self.folder / "trainings" / training.name)

    def train(self, training: SubsetTraining) -> None:
        """Train on a subset, or resume; then score the validation images and write the counts.

        Raises
        ------
        Interrupted, Diverged
            As `run` does.
        """
        trainings = self.plan.schedule.trainings
        number = trainings.index(training) + 1
        label = f"training {number} of {len(trainings)}"
        with describe_interruption("all trainings", label, "the same command", self.folder):
            self._train(training, number, BarsOnly(self.progress, label))

    def _train(self, training: SubsetTraining, number: int, progress: Progress) -> None:
        run, started, plan = self.run_of(training), time.monotonic(), self.plan
        subset = select_cases(self.dataset, plan.orders[training.repeat - 1][: training.masks], plan.scored_cases)
        if not run.summary_path.is_file():
            if not run.config_path.is_file():
                changed = subset_records(plan.records["understood"], plan.records["splits"], subset)
                run.begin(with_own_seed(plan.config, number, "forecast"), plan.records | changed)
            Training(run, subset, task_of(subset).open_training, self.device, progress, started).go()
        model = load_model_for_prediction(run.folder, device=self.device)
        results = count_masks(model, self.dataset, subset.splits["val"], progress=progress)
        metric = primary_metric_of(self.dataset.labelling)
        record = {"images": [result.name for result in results], "rows": [metric.row(result) for result in results]}
        atomic_write_json(run.folder / COUNTED, record)

    def _read(self, path: Path) -> np.ndarray:
        """Return the counts of a finished training (images, numbers)."""
        hint = "Remove the folder of this training to train it again."
        try:
            record = json.loads(path.read_text("utf-8"))
            rows = np.array(record["rows"], np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadRun("the counts of a training", str(error), hint, path) from error
        if rows.ndim != 2 or sorted(record.get("images", ())) != sorted(self.plan.scored_cases):
            raise BadRun("counts of the validation images", "other images", hint, path)
        return rows
