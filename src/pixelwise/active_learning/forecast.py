"""Forecast: what more masks would bring, from short trainings on parts of the data, and which images to label next."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelwise.active_learning.candidates import find_candidates, rank
from pixelwise.active_learning.measured_speed import find_speed
from pixelwise.active_learning.messages import describe_plan
from pixelwise.active_learning.output_files import write_forecast
from pixelwise.active_learning.plan import BEGUN, begin, check_place, reopen
from pixelwise.active_learning.primary_score import primary_metric_of
from pixelwise.active_learning.results import Forecast
from pixelwise.active_learning.schedule import WRITING
from pixelwise.active_learning.subset_trainings import PartTrainings
from pixelwise.datasets.dataset import DataOptions, Dataset, understand
from pixelwise.errors import BadDataset, BadOption
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.metrics.learning_curve import look_ahead
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.machine import choose_device
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.text import pluralise
from pixelwise.workflow.environment import parse_duration
from pixelwise.workflow.planning.choices import TrainingBudget, propose_seconds
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings, refuse_unread
from pixelwise.workflow.weights.encoder_weights import look_early

MORE = (10, 50)
LATE = 1.05  # times the budget: a training that would end later is left out, where the curve can do without it


def forecast(
    data: Path | str,
    *,
    budget: float | str | None = None,
    steps: int | None = None,
    unlabelled: Path | str | None = None,
    more: Sequence[int] = MORE,
    out: Path | str | None = None,
    seed: int = 0,
    device: str = "auto",
    data_options: DataOptions | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Forecast:
    """Say what more masks would bring, and which unlabelled images to label next.

    Parameters
    ----------
    data : path
        A folder of images and masks; images without a mask are not in the way, and may be chosen for labelling.
    budget : float or str, optional
        Wall-clock time of the whole call: seconds, or text such as "90s", "10m", "2h". By default ten minutes.
    steps : int, optional
        Of each training, instead of a budget.
    unlabelled : path, optional
        A folder of more images without masks.
    more : sequence of int
        How many more masks are asked about.
    out : path, optional
        The folder of the results; by default forecasts/<name of the data folder>. The same call goes on with what was
        stopped there, and answers for other `more` and `unlabelled` without training again.
    seed : int
        Every random draw is a function of it.
    device : {"auto", "cpu", "cuda", "mps"}
    data_options : DataOptions, optional
        Answers to what would otherwise be guessed from the folder.
    overrides : sequence of str
        "section.setting=value" words for the plan of the trainings, such as "network.depth=5".
    progress : Progress, optional
        Who is told; by default sentences and bars on standard error.

    Returns
    -------
    Forecast
        With the fitted curve, its intervals and the images to label next; all of it stands in `out` too.

    Raises
    ------
    BadDataset, BadOption, BadRun, OutputFailed
        What was given cannot be used.
    Interrupted
        Ctrl-C or SIGTERM; the state is saved, and the same call goes on.
    Diverged
        The loss of a training stayed non-finite.
    """
    started = time.monotonic()
    progress = progress or Console()
    keep_large_blocks()
    settings, numbers = Settings().with_data(data_options).merged(Settings.parse(overrides)), _check_more(more)
    refuse_unread(settings)
    root = Path(data)
    folder = Path(out) if out is not None else Path("forecasts") / (root.resolve().name or "data")
    limit = TrainingBudget(seconds=parse_duration(budget), steps=steps)
    if budget is None and steps is None and "training.steps" in settings.values:
        limit = TrainingBudget(steps=settings.values["training.steps"])
    check_place(folder, root)
    look_early(settings, progress)
    options = replace(settings.data, allow_missing=True)
    dataset = _understand(root, options, seed, progress)
    paths = find_candidates(dataset, options, Path(unlabelled) if unlabelled is not None else None)
    if paths:
        progress.message(f"{pluralise(len(paths), 'image has', 'images have')} no mask, to choose from for labelling.")
    total = propose_seconds(limit)
    asked: dict[str, Any] = {
        "--budget": total,
        "--steps": limit.steps,
        "--seed": seed,
        "settings": sorted(overrides),
        "answers about the data": repr(options),
    }
    if (folder / BEGUN).is_file():
        beginning = reopen(folder, dataset, asked, progress)
    else:
        beginning = begin(
            folder, dataset, options, limit, seed=seed, device=device, settings=settings, unlabelled=len(paths),
            asked=asked, started=started, progress=progress,
        )  # fmt: skip
        progress.message(*describe_plan(beginning, dataset, total))
    deadline = None if total is None else started + LATE * total - WRITING - (beginning.poll_seconds or 0.0)
    trainings = PartTrainings(folder, beginning, dataset, choose_device(device), progress, deadline)
    with Run(folder).only_one():
        trainings = find_speed(trainings)
        beginning = trainings.beginning
        trials, made = trainings.go()
        committee = [
            load_model_for_prediction(trainings.run_of(trial).folder, device=device)
            for trial in beginning.schedule.committee(made)
        ]
        known = [case for case in dataset.cases if case.labelled and case.part != "test"]
        seconds, pages = beginning.poll_seconds, options.pages
        ranking = rank(committee, paths, known, pages, seconds=seconds, seed=seed, progress=progress)
        found = Forecast(
            folder=folder,
            data=root.resolve().name,
            score=primary_metric_of(dataset.labelling).name,
            steps=beginning.config.training.steps,
            trials=trials,
            outlook=look_ahead(trials, seed=seed),
            more=numbers,
            ranking=ranking,
        )
        write_forecast(found, committee, pages)
    progress.message(f"The curve, the pictures and the whole list: {folder / 'report.html'}")
    return found


def _check_more(more: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of masks that are asked about, each once, rising."""
    if not more or min(more) < 1:
        got = ", ".join(map(str, more)) or "none"
        raise BadOption("numbers of masks above 0 for --more", got, "Write for example --more 10,50.")
    return tuple(sorted(set(more)))


def _understand(root: Path, options: DataOptions, seed: int, progress: Progress) -> Dataset:
    """Understand a folder of images and masks.

    Raises
    ------
    BadDataset
        It cannot be understood, or holds a folder per class.
    """
    dataset = understand(root, options, seed, progress)
    if dataset.labelling.task == "classification":
        hint = "For a folder per class, train on parts of it by hand and compare their scores."
        raise BadDataset("images with masks, of classes or of objects", "a folder per class", hint, root)
    progress.message(*dataset.messages)
    return dataset
