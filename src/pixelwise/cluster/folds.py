"""The folds of a cross-validation as units: each is a training in a folder of its own, and the first to end counts.

A worker that is lost leaves its checkpoints; the next attempt copies the newest one and continues from it.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from pixelwise.cluster.driver import watch_local, workers_at
from pixelwise.cluster.job import Job, LeaseTimes, check_same, create_job, digest, find_job
from pixelwise.cluster.launch_commands import launch_commands
from pixelwise.cluster.ledger import OUTPUTS, Ledger
from pixelwise.cluster.places import Place, check_cluster
from pixelwise.cluster.work import UnitResult
from pixelwise.datasets.dataset import Dataset
from pixelwise.errors import BadRun
from pixelwise.parallel import usable_threads
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import choose_device
from pixelwise.training.checkpoint import newest_checkpoint
from pixelwise.workflow.fit.cross_validation import CrossValidation, FoldTask
from pixelwise.workflow.fit.resume import reopen
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import task_of

FOLDS = "folds"  # the folder in the run


def validate_with_workers(
    place: Place | None, times: LeaseTimes | None = None
) -> Callable[[Run, Dataset, FoldTask, str, Progress], None]:
    """Return what trains the folds of a run with workers.

    Parameters
    ----------
    place : Place or None
        None: the job is made, and the commands are shown that start workers.
    times : LeaseTimes, optional
        When a worker counts as dead.

    Raises
    ------
    BadOption
        There is no Ray cluster at the place, or an unprotected one.
    """
    if place is not None and place.ray:
        check_cluster(place.ray)

    def validate(run: Run, dataset: Dataset, task: FoldTask, device: str, progress: Progress) -> None:
        identity = digest({"config": run.config_path.read_text("utf-8"), "folds": run.folds})
        job = find_job(run.folder)
        if job is None:
            units = (({"fold": number}, 1) for number in range(1, len(run.folds) + 1))
            settings = {"data": str(dataset.root.resolve()), "device": device, "folder": str(Path.cwd())}
            job = create_job(run.folder, "folds", identity, units, settings, times=times)
        check_same(job, identity)
        if job.sealed:
            progress.message(f"All {len(run.folds)} folds are complete; the ensemble is {run.model_path}.")
        elif place is None:
            progress.message(launch_commands(job, len(run.folds)).to_text())
        else:
            how = f"Continue with: {run.resume_command(dataset.root)} --on {place}"
            watch_local(workers_at(place, job), progress, "training folds", how)

    return validate


class FoldWork:
    """The training of folds in one worker; see `work.Work`."""

    shares_units = False

    def __init__(self, job: Job, validation: CrossValidation, run: Run) -> None:
        self._job, self._validation, self._run = job, validation, run

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Train a fold, unless an earlier process of another kind did."""
        fold = int(unit["fold"])
        if not self._run.fold(fold).summary_path.is_file():
            place = outputs / FOLDS / str(fold)
            take_over_checkpoints(self._job, number, outputs, place)
            self._validation.train_fold(fold, Run(place))
        return UnitResult()

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Score all folds, and save their ensemble."""
        failed = [outcome.unit + 1 for outcome in ledger.failures() if outcome.set_aside]
        if failed:
            hint = f"The errors are in {ledger.job.folder / 'failed'}. Choose other settings, and another --out."
            raise BadRun("a model of each fold", f"none of fold {failed[0]}", hint, self._run.folder)
        self._validation.go()

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Return the name of the fold."""
        return [f"fold {unit['fold']}"]


def open_fold_work(job: Job, progress: Progress) -> FoldWork:
    """Open the run of a job and its data; see `work.OpenWork`."""
    run, dataset = reopen(job.out, Path(job.settings["data"]), progress)
    torch.set_num_threads(min(torch.get_num_threads(), usable_threads()))
    device = choose_device(job.settings["device"])
    return FoldWork(job, CrossValidation(run, dataset, task_of(dataset), device, progress), run)


def take_over_checkpoints(job: Job, unit: int, outputs: Path, place: Path) -> None:
    """Copy the checkpoints of the attempt at a training that came furthest.

    Parameters
    ----------
    unit : int
        Its number.
    outputs : Path
        The folder for the outputs of this attempt.
    place : Path
        The run folder of the training in it.
    """
    steps: dict[Path, int] = {}
    for other in (job.folder / "work").glob(f"*/{unit:06d}.*/{OUTPUTS}/{place.relative_to(outputs)}"):
        if other.resolve() != place.resolve():
            checkpoint, _ = newest_checkpoint(other / "checkpoints")
            steps[other] = -1 if checkpoint is None else checkpoint.step
    furthest = max(steps, key=lambda path: steps[path], default=None)
    if furthest is None or steps[furthest] < 0:
        return
    with suppress(OSError, shutil.Error):  # its worker may be alive, and remove its oldest checkpoint meanwhile
        shutil.copytree(furthest, place, dirs_exist_ok=True)
