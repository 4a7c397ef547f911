"""The trainings of a forecast: an ordinary run on each part of the data, all scored on the same images.

FOLDER/trainings/9-1 is the run on 9 images, the first time. A training is done when what was counted on the validation
images stands there; what was stopped goes on in the training where it was stopped.
"""

import json
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.active_learning.plan import ForecastPlan, seed_of
from pixelwise.active_learning.primary_score import primary_metric_of
from pixelwise.active_learning.schedule import SubsetTraining
from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.subsets import learn_from
from pixelwise.errors import BadRun
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.metrics.learning_curve import SubsetScores
from pixelwise.progress import Advance, Progress
from pixelwise.text import pluralise
from pixelwise.workflow.evaluation.masks import count_masks
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.signals import describe_where
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import words

COUNTED = "counted.json"


class BarsAlone(Progress):
    """Shows the bars of one training among many, and leaves its sentences out."""

    def __init__(self, progress: Progress, which: str) -> None:
        self._progress, self._which = progress, which

    @contextmanager
    def bar(self, label: str, total: int) -> Generator[Advance, None, None]:
        """Show a bar that says of which training it is."""
        title = self._which if label == "training" else f"{label}, {self._which}"
        with self._progress.bar(title, total) as advance:
            yield advance


@dataclass(frozen=True)
class PartTrainings:
    """All trainings of a forecast, from their start or from where they were stopped.

    After `deadline` (of `time.monotonic()`) none begins that the curve can do without; None is no deadline.
    """

    folder: Path
    beginning: ForecastPlan
    dataset: Dataset
    device: str
    progress: Progress
    deadline: float | None

    def go(self) -> tuple[SubsetScores, list[SubsetTraining]]:
        """Train and score what is left, and return what was counted in all trainings, and which these are.

        Raises
        ------
        Interrupted
            Stopped by the user; the state is saved.
        Diverged
            A loss stayed non-finite.
        BadRun
            The record of a finished training is damaged.
        """
        trials, headline = self.beginning.schedule.trials, primary_metric_of(self.dataset.labelling)
        rows: list[np.ndarray] = []
        made: list[SubsetTraining] = []
        seconds: list[float] = []
        for number, trial in enumerate(trials, 1):
            path = self.run_of(trial).folder / COUNTED
            done = path.is_file()
            if not done and self._too_late(made, seconds):
                continue
            if not done:
                began = time.monotonic()
                self.make(trial)
                seconds.append(time.monotonic() - began)
            made.append(trial)
            rows.append(self._read(path))
            score = headline.score(rows[-1].sum(0))
            messages = "none" if score is None else f"{score:.3f}"
            images = pluralise(trial.masks, "image")
            which = f"Training {number} of {len(trials)}, on {images}{', is done' * done}"
            self.progress.message(f"{which}: {words(headline.name)} {messages}.")
        if left := len(trials) - len(made):
            why = "a step takes more time here than was measured beforehand"
            out = pluralise(left, "training is", "trainings are")
            self.progress.message(f"{out} left out: {why}. The same command goes on with what is left.")
        masks = np.array([trial.masks for trial in made], np.int64)
        return SubsetScores(masks=masks, rows=np.stack(rows), statistic=headline.score), made

    def _too_late(self, made: Sequence[SubsetTraining], seconds: Sequence[float]) -> bool:
        """Tell whether another training would miss the deadline; each size once, and one twice, are made anyway."""
        if self.deadline is None or not seconds or len(made) <= len(self.beginning.schedule.sizes):
            return False
        return time.monotonic() + sum(seconds) / len(seconds) > self.deadline

    def run_of(self, trial: SubsetTraining) -> Run:
        """Return the run of a training; it may not have begun."""
        return Run(self.folder / "trainings" / trial.name)

    def make(self, trial: SubsetTraining) -> None:
        """Train on a part, or go on with it; then count on the validation images, and write what was counted.

        Raises
        ------
        Interrupted, Diverged
            As `go` does.
        """
        trials = self.beginning.schedule.trials
        number = trials.index(trial) + 1
        which = f"training {number} of {len(trials)}"
        with describe_where("all trainings", which, "the same command", self.folder):
            self._train(trial, number, BarsAlone(self.progress, which))

    def _train(self, trial: SubsetTraining, number: int, quiet: Progress) -> None:
        run, started, beginning = self.run_of(trial), time.monotonic(), self.beginning
        part = learn_from(self.dataset, beginning.orders[trial.repeat - 1][: trial.masks], beginning.looked_at)
        if not run.summary_path.is_file():
            if not run.config_path.is_file():
                run.begin(seed_of(beginning.config, number), self._records(part))
            Training(run, part, self.device, quiet, started).go()
        model = load_model_for_prediction(run.folder, device=self.device)
        pages = beginning.config.data.pages
        results = count_masks(model, self.dataset, part.part("val"), pages=pages, progress=quiet)
        headline = primary_metric_of(self.dataset.labelling)
        found = {"images": [result.name for result in results], "rows": [headline.row(result) for result in results]}
        atomic_write_json(run.folder / COUNTED, found)

    def _records(self, part: Dataset) -> dict[str, Any]:
        """Return the JSON records of the run of a training."""
        names = {name: [case.name for case in part.part(name)] for name in ("train", "val", "test")}
        records = self.beginning.records
        counts = {name: len(found) for name, found in names.items()}
        return records | {
            "understood": records["understood"] | {"cases": counts},
            "splits": records["splits"] | {"parts": names},
        }

    def _read(self, path: Path) -> np.ndarray:
        """Return what was counted in a finished training (images, numbers)."""
        try:
            found = json.loads(path.read_text("utf-8"))
            rows = np.array(found["rows"], np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            hint = "Remove the folder of this training: it is then trained again."
            raise BadRun("what was counted in a training", str(error), hint, path) from error
        if rows.ndim != 2 or sorted(found.get("images", ())) != sorted(self.beginning.looked_at):
            hint = "Remove the folder of this training: it is then trained again."
            raise BadRun("what was counted on the validation images", "other images", hint, path)
        return rows
