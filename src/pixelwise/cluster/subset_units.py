"""The trainings of a learning curve as units: each has a folder of its own, and the first to end counts."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pixelwise.active_learning.plan import BEGUN, PLAN, read_plan
from pixelwise.active_learning.subset_trainings import COUNTED, SubsetTrainings
from pixelwise.cluster.driver import watch_local, workers_at
from pixelwise.cluster.folds import take_over_checkpoints
from pixelwise.cluster.job import Job, check_same, create_job, digest, find_job
from pixelwise.cluster.launch_commands import launch_commands
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.places import Place, check_cluster
from pixelwise.cluster.work import UnitResult
from pixelwise.datasets.dataset import detect_dataset
from pixelwise.errors import Interrupted, OutputFailed
from pixelwise.parallel import usable_threads
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import choose_device
from pixelwise.workflow.settings import load_config


def train_with_workers(place: Place | None) -> Callable[[SubsetTrainings], None]:
    """Return what runs the trainings of a forecast with workers.

    Parameters
    ----------
    place : Place or None
        None: the job is made, and the commands are shown that start workers.

    Raises
    ------
    BadOption
        There is no Ray cluster at the place, or an unprotected one.
    """
    if place is not None and place.ray:
        check_cluster(place.ray)

    def train(trainings: SubsetTrainings) -> None:
        folder, schedule = trainings.folder, trainings.plan.schedule
        identity = digest({name: (folder / name).read_text("utf-8") for name in (BEGUN, PLAN)})
        job = find_job(folder)
        if job is None:
            _check_none_stopped(trainings)
            units = (({"training": number}, 1) for number in range(len(schedule.trainings)))
            settings = {
                "data": str(trainings.dataset.root.resolve()),
                "device": trainings.device,
                "folder": str(Path.cwd()),
            }
            job = create_job(folder, "subsets", identity, units, settings)
        check_same(job, identity)
        if job.sealed:
            return
        if place is None:
            done = int(Ledger(job).scan().sum())
            trainings.progress.message(launch_commands(job, min(len(schedule.trainings), 16)).to_text())
            hint = "Start workers with these commands, then run the same command again."
            raise Interrupted(f"all {job.units} trainings", f"{done} that are complete", hint, folder)
        watch_local(workers_at(place, job), trainings.progress, "training on subsets")

    return train


class SubsetWork:
    """The trainings of a forecast in one worker; see `work.Work`."""

    shares_units = False

    def __init__(self, job: Job, trainings: SubsetTrainings) -> None:
        self._job, self._trainings = job, trainings

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Train on a subset and score it, unless an earlier process of another kind did."""
        training = self._trainings.plan.schedule.trainings[int(unit["training"])]
        if not (self._trainings.run_of(training).folder / COUNTED).is_file():
            here = replace(self._trainings, folder=outputs)
            take_over_checkpoints(self._job, number, outputs, here.run_of(training).folder)
            here.train(training)
        return UnitResult()

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Nothing: the command that made the job fits the curve."""

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Return the name of the training."""
        return [f"training {self._trainings.plan.schedule.trainings[int(unit['training'])].name}"]


def open_subset_work(job: Job, progress: Progress) -> SubsetWork:
    """Open the forecast of a job and its data; see `work.OpenWork`."""
    requested = json.loads((job.out / BEGUN).read_text("utf-8"))["requested"]
    options, seed = load_config(job.out / PLAN).data, int(requested["--seed"])
    dataset = detect_dataset(Path(job.settings["data"]), options, seed, progress)
    plan = read_plan(job.out, dataset, {}, progress)
    torch.set_num_threads(min(torch.get_num_threads(), usable_threads()))
    device = choose_device(job.settings["device"])
    return SubsetWork(job, SubsetTrainings(job.out, plan, dataset, device, progress, None))


def _check_none_stopped(trainings: SubsetTrainings) -> None:
    """Raise OutputFailed if a training was stopped halfway without workers: its files would be in their way."""
    for training in trainings.plan.schedule.trainings:
        folder = trainings.run_of(training).folder
        if folder.exists() and not (folder / COUNTED).is_file():
            hint = "Continue without --on, or choose another --out."
            raise OutputFailed("trainings that are complete or have not begun", "one that was stopped", hint, folder)
