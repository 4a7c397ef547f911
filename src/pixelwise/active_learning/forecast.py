"""The command `forecast`: a learning curve from short trainings on subsets, and the images to label next."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pixelwise.active_learning.candidates import find_candidates, rank
from pixelwise.active_learning.measured_speed import find_speed
from pixelwise.active_learning.messages import describe_plan
from pixelwise.active_learning.output_files import write_forecast
from pixelwise.active_learning.plan import BEGUN, check_output_folder, create_plan, read_plan
from pixelwise.active_learning.primary_score import primary_metric_of
from pixelwise.active_learning.results import Forecast
from pixelwise.active_learning.schedule import WRITE_SECONDS
from pixelwise.active_learning.subset_trainings import SubsetTrainings
from pixelwise.datasets.dataset import DataOptions, Dataset, detect_dataset
from pixelwise.errors import BadDataset, BadOption
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.metrics.learning_curve import project_learning_curve
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.machine import choose_device
from pixelwise.runtimes.malloc import large_blocks
from pixelwise.text import pluralise
from pixelwise.workflow.environment import parse_duration
from pixelwise.workflow.planning.choices import TrainingBudget, propose_seconds
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings, refuse_unread
from pixelwise.workflow.tasks.choose import task_of
from pixelwise.workflow.weights.encoder_weights import check_weights_early

MORE = (10, 50)
DEADLINE_FACTOR = 1.05  # times the budget: a dispensable training that would end later is skipped


@large_blocks()
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
    options: DataOptions | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    train_first: Callable[[SubsetTrainings], None] | None = None,
) -> Forecast:
    """Forecast the gain from more masks with a learning curve, and rank unlabelled images for labelling.

    Parameters
    ----------
    data : path
        A folder of images and masks; images without a mask are allowed, and are candidates for labelling.
    budget : float or str, optional
        Wall-clock time of the whole call: seconds, or text such as "90s", "10m", "2h". By default ten minutes.
    steps : int, optional
        Steps of each training, instead of a budget.
    unlabelled : path, optional
        A folder of more images without masks.
    more : sequence of int
        Numbers of additional masks to forecast.
    out : path, optional
        Output folder; by default forecasts/<name of the data folder>. The same call resumes an interrupted forecast,
        and handles other values of `more` and `unlabelled` without training again.
    seed : int
        Seed of all random draws.
    device : {"auto", "cpu", "cuda", "mps"}
    options : DataOptions, optional
        Overrides what would otherwise be detected in the folder.
    overrides : sequence of str
        Settings of the trainings as "section.setting=value", such as "network.depth=5".
    progress : Progress, optional
        By default messages and bars on standard error.
    train_first : callable, optional
        Runs trainings in other processes, such as `cluster.subset_units.train_with_workers`; those that it leaves are
        run here.

    Returns
    -------
    Forecast
        The fitted curve, its intervals and the images to label next, also written to `out`.

    Raises
    ------
    BadDataset, BadOption, BadRun, OutputFailed
        Invalid input.
    Interrupted
        Ctrl-C or SIGTERM; the state is saved, and the same call resumes.
    Diverged
        The loss of a training stayed non-finite.
    """
    started = time.monotonic()
    progress = progress or Console()
    settings, more = Settings().with_data(options).merged(Settings.parse(overrides)), _check_more(more)
    refuse_unread(settings)
    root = Path(data)
    folder = Path(out) if out is not None else Path("forecasts") / (root.resolve().name or "data")
    limit = TrainingBudget(seconds=parse_duration(budget), steps=steps)
    if budget is None and steps is None and "training.steps" in settings.values:
        limit = TrainingBudget(steps=settings.values["training.steps"])
    check_output_folder(folder, root)
    check_weights_early(settings, progress)
    options = replace(settings.data, allow_missing=True, missing_empty=False)
    dataset = _read_dataset(root, options, seed, progress)
    paths = find_candidates(dataset, options, Path(unlabelled) if unlabelled is not None else None)
    if paths:
        progress.message(f"{pluralise(len(paths), 'unlabelled image')} found as candidates for labelling.")
    total = propose_seconds(limit)
    requested: dict[str, Any] = {
        "--budget": total,
        "--steps": limit.steps,
        "--seed": seed,
        "settings": sorted(overrides),
        "answers about the data": repr(options),
    }
    if (folder / BEGUN).is_file():
        plan = read_plan(folder, dataset, requested, progress)
    else:
        plan = create_plan(
            folder, dataset, options, limit, seed=seed, device=device, settings=settings, unlabelled=len(paths),
            requested=requested, started=started, progress=progress,
        )  # fmt: skip
        progress.message(*describe_plan(plan, dataset, total))
    deadline = None
    if total is not None:
        deadline = started + DEADLINE_FACTOR * total - WRITE_SECONDS - (plan.ranking_seconds or 0.0)
    trainings = SubsetTrainings(folder, plan, dataset, choose_device(device), progress, deadline)
    with Run(folder).only_one():
        trainings = find_speed(trainings)
        plan = trainings.plan
        if train_first is not None:
            train_first(trainings)
        scores, finished = trainings.run()
        committee = [
            load_model_for_prediction(trainings.run_of(training).folder, device=device)
            for training in plan.schedule.committee(finished)
        ]
        seconds = plan.ranking_seconds
        ranking = rank(committee, paths, dataset, seconds=seconds, seed=seed, progress=progress)
        result = Forecast(
            folder=folder,
            data=root.resolve().name,
            score=primary_metric_of(dataset.labelling).name,
            steps=plan.config.training.steps,
            trials=scores,
            projection=project_learning_curve(scores, seed=seed),
            more=more,
            ranking=ranking,
        )
        write_forecast(result, committee, dataset.pages)
    progress.message(f"Learning curve, pictures and full ranking: {folder / 'report.html'}")
    return result


def _check_more(more: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of additional masks, unique and ascending."""
    if not more or min(more) < 1:
        got = ", ".join(map(str, more)) or "none"
        raise BadOption("positive numbers of masks for --more", got, "Example: --more 10,50.")
    return tuple(sorted(set(more)))


def _read_dataset(root: Path, options: DataOptions, seed: int, progress: Progress) -> Dataset:
    """Read a folder of images and masks.

    Raises
    ------
    BadDataset
        It is invalid, or has a folder per class.
    """
    dataset = detect_dataset(root, options, seed, progress)
    task = task_of(dataset)
    if not task.can_forecast:
        hint = f"With {task.data}, train on subsets yourself and compare their scores."
        raise BadDataset("images with semantic or instance masks", task.data, hint, root)
    progress.message(*dataset.messages)
    return dataset
