"""Cross-validation: one training per fold, out-of-fold scores, and the ensemble of all folds.

RUN/folds/1 ... K are ordinary runs. A fold is complete when its summary exists; a stopped cross-validation continues in
the fold where it was stopped. Nothing is selected on the held-out images (`training.keep: last`, no early stopping), so
that their scores are unbiased.
"""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.splitting.folds import fold_split, merge_train_val
from pixelwise.geometry.sizes import Geometry
from pixelwise.model_file.model_file import read_model_card, save_ensemble
from pixelwise.progress import Progress
from pixelwise.text import command, pluralise
from pixelwise.workflow.evaluation.out_of_fold import (
    FoldScores,
    OutOfFold,
    common_target,
    common_temperatures,
    evaluate_out_of_fold,
)
from pixelwise.workflow.evaluation.quantity_scores import record_of_scores
from pixelwise.workflow.fit.distillation import train_student
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.run_metadata import subset_records, with_own_seed
from pixelwise.workflow.fit.select.tta import TtaGain, describe_tta
from pixelwise.workflow.fit.signals import describe_interruption
from pixelwise.workflow.fit.training_task import TrainingTask
from pixelwise.workflow.run import Run


@runtime_checkable
class FoldTask(Protocol):
    """What a cross-validation needs of a task; see `tasks.task.Task`."""

    def open_training(
        self, run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress
    ) -> TrainingTask:
        """Read the data of a run into memory and return its training task."""
        ...

    def score_folds(self, request: OutOfFold) -> FoldScores:
        """Return the out-of-fold scores of all cases together, and the headline of each fold."""
        ...

    def describe_scores(self, scores: dict[str, Any]) -> str:
        """Return the scores as text."""
        ...


class CrossValidation:
    """The cross-validation of a run, new or continued.

    Parameters
    ----------
    run : Run
        A run with folds.
    """

    def __init__(self, run: Run, dataset: Dataset, task: FoldTask, device: str, progress: Progress) -> None:
        self._task = task
        self._run, self._dataset, self._device, self._progress = run, dataset, device, progress
        self._count = len(run.folds)

    def go(self) -> None:
        """Train the remaining folds, score and save the ensemble, then train the student if requested.

        Raises
        ------
        Interrupted
            Stopped by the user; the state is saved.
        Diverged
            The loss of a fold stayed non-finite.
        """
        if self._run.summary_path.is_file():
            self._progress.message(f"All {self._count} folds are complete; the ensemble is {self._run.model_path}.")
        else:
            self._validate()
        if self._run.distilled:
            with self._stopped("the student"):
                records = self._records(merge_train_val(self._dataset), "student")
                train_student(self._run, self._dataset, self._task.open_training, self._device, self._progress, records)

    def _validate(self) -> None:
        """Train the remaining folds, score all images out of fold, and save the ensemble."""
        for number in range(1, self._count + 1):
            self.train_fold(number, self._run.fold(number))
        with self._stopped("all folds are trained, the scores are missing"):
            scores = evaluate_out_of_fold(
                self._run, self._dataset, self._task.score_folds, device=self._device, progress=self._progress
            )
        self._progress.message(self._task.describe_scores(scores))
        self._save_ensemble(scores)

    def train_fold(self, number: int, run: Run) -> None:
        """Train a fold into a run of its own, unless it is complete.

        Raises
        ------
        Interrupted
            Stopped by the user; the state is saved.
        Diverged
            The loss stayed non-finite.
        """
        left_out, started = self._run.folds[number - 1], time.monotonic()
        if run.summary_path.is_file():
            self._progress.message(f"Fold {number} of {self._count} is complete.")
            return
        dataset = fold_split(self._dataset, left_out)
        train, val = (pluralise(len(dataset.splits[split]), "image") for split in ("train", "val"))
        self._progress.message(f"Fold {number} of {self._count}: {train} for training, {val} held out.")
        if not run.config_path.is_file():
            run.begin(with_own_seed(self._run.config, number, "run"), self._records(dataset, number))
        with self._stopped(f"fold {number} of {self._count}"):
            Training(run, dataset, self._task.open_training, self._device, self._progress, started).go()

    def _records(self, dataset: Dataset, fold: int | str) -> dict[str, Any]:
        """Return the JSON records of the run of a fold, or of the student."""
        run, names = self._run, ("fingerprint", "environment", "weights")
        known = {name: run.read_json(f"{name}.json") for name in names if (run.folder / f"{name}.json").is_file()}
        return known | subset_records(run.understood, run.splits | {"fold": fold}, dataset)

    def _stopped(self, where: str) -> AbstractContextManager[None]:
        """Add to an interruption how the cross-validation continues."""
        return describe_interruption("all folds", where, self._run.resume_command(self._dataset.root), self._run.folder)

    def _save_ensemble(self, scores: dict[str, Any]) -> None:
        """Save the ensemble and the summary, and report them."""
        run, head = self._run, scores["headline"]
        members = [run.fold(number).model_path for number in range(1, self._count + 1)]
        trained = {
            "pixelwise": version("pixelwise"),
            "data": self._dataset.root.name,
            "folds": str(self._count),
            f"out_of_fold_{head['name']}": f"{head['value']:.4f}" if head["value"] is not None else "none",
        }
        cards = [read_model_card(member) for member in members]
        save_ensemble(
            run.model_path,
            members,
            common_target([card.target for card in cards]),
            trained,
            temperatures=common_temperatures(cards),
            conformal_margin=scores["confidence"].get("bound", {}).get("margin"),
            quantities=record_of_scores(scores),
        )
        summaries = [run.fold(number).read_json("summary.json") for number in range(1, self._count + 1)]
        gains = _mean_gains([summary["averages"] for summary in summaries])
        self._progress.message(
            *describe_tta(gains, summaries[0]["score"]),
            f"Ensemble: {run.model_path}. It averages the probabilities of {self._count} networks, so prediction takes "
            f"{self._count} times as long as with one of them, such as {run.fold(1).model_path}.",
            self._describe_evaluation(),
        )
        names = ("steps", "seconds", "score", "best", "best_step")
        folds = [{name: summary[name] for name in names} for summary in summaries]
        atomic_write_json(run.summary_path, {"folds": folds, "averages": [vars(gain) for gain in gains]})

    def _describe_evaluation(self) -> str:
        """Return how to evaluate the ensemble, which was trained on all images except a test split."""
        if self._dataset.splits["test"]:
            evaluate = command("evaluate", self._run.folder, self._dataset.root)
            return f"The scores above are those of its members. To score the ensemble on the test split: {evaluate}"
        return "The scores above are those of its members; no images are left to score the ensemble itself."


def _mean_gains(folds: Sequence[Sequence[dict[str, Any]]]) -> list[TtaGain]:
    """Return the mean gain of test-time augmentation over the folds in which it was measured."""
    means: list[TtaGain] = []
    for rows in zip(*filter(None, folds), strict=True):
        mean = {name: sum(row[name] for row in rows) / len(rows) for name in ("score", "times", "gain")}
        means.append(
            TtaGain(
                inputs=rows[0]["inputs"],
                flag=rows[0]["flag"],
                interval=None,
                images=sum(row["images"] for row in rows),
                **mean,
            )
        )
    return means
