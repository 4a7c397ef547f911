"""The beginning of a forecast: one plan for all its trainings, written down so that a stopped one goes on."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pixelwise.active_learning.schedule import (
    MOST_SCORING_SHARE,
    POLL_SHARE,
    SCORING_SHARE,
    SETTING_UP,
    TRAINING_SHARE,
    WRITING,
    ForecastSchedule,
    check_share,
    choose_schedule,
)
from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import DataOptions, Dataset
from pixelwise.datasets.subsets import draw_order, spread
from pixelwise.errors import BadOption, BadRun, OutputFailed
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import look_at_machine
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, save_config, with_settings
from pixelwise.workflow.fit.run_metadata import first_records
from pixelwise.workflow.planning.choices import TrainingBudget, propose_seconds
from pixelwise.workflow.planning.fold_time import seconds_to_score
from pixelwise.workflow.planning.preparation import task_planner_of
from pixelwise.workflow.presets import Choices
from pixelwise.workflow.settings import Settings, load_config, reasons_to_json, with_reasons
from pixelwise.workflow.weights.encoder_weights import follow

BEGUN, PLAN = "begun.json", "plan.yaml"
FEWEST_LOOKED_AT = 5  # validation images that are scored, though it take more than its share, up to the most of it
READING = 0.1  # of the time to score an image: what reading it for a training takes


@dataclass(frozen=True, kw_only=True)
class ForecastPlan:
    """What is fixed before the first training.

    Attributes
    ----------
    config : Config
        The plan of every training, but for its seed.
    records : dict
        The JSON records of every training's run.
    schedule : Schedule
    orders : tuple of tuple of str
        For each repeat, the names of the training cases in the order in which parts take them.
    looked_at : tuple of str
        Names of the validation cases that score.
    poll_seconds : float or None
        For looking at unlabelled images; None without a budget.
    asked : dict
        What the user asked for, which a stopped forecast must be asked again.
    paced : bool
        A first training has shown how fast this machine really learns (see `pace`).
    """

    config: Config
    records: dict[str, Any]
    schedule: ForecastSchedule
    orders: tuple[tuple[str, ...], ...]
    looked_at: tuple[str, ...]
    poll_seconds: float | None
    asked: dict[str, Any]
    paced: bool = False


def check_place(folder: Path, root: Path) -> None:
    """Refuse a place among the user's images, and one that holds something else than a forecast.

    Raises
    ------
    OutputFailed
        It is such a place.
    """
    if folder.resolve().is_relative_to(root.resolve()):
        hint = "Choose another --out: nothing is ever written beside your images."
        raise OutputFailed("a folder of its own for the forecast", "one among the images", hint, folder)
    if folder.exists() and not (folder / BEGUN).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        got, hint = "one that is already there", "Choose another --out."
        raise OutputFailed("a new or empty folder, or that of a forecast", got, hint, folder)


def begin(
    folder: Path,
    dataset: Dataset,
    options: DataOptions,
    limit: TrainingBudget,
    *,
    seed: int,
    device: str,
    settings: Settings,
    unlabelled: int,
    asked: dict[str, Any],
    started: float,
    progress: Progress,
) -> ForecastPlan:
    """Measure the data, make the plan, share out the time, and write all of it into the folder.

    Parameters
    ----------
    folder : Path
    dataset : Dataset
    options : DataOptions
    limit : Limit
        Seconds of the whole command, or steps of each training.
    seed : int
    device : str
    settings : Settings
        The user's own.
    unlabelled : int
        Images that there are to choose from for labelling.
    asked : dict
    started : float
        `time.monotonic()` when the command began.
    progress : Progress
    """
    machine = look_at_machine(device)
    preparation = task_planner_of(dataset.labelling.task)
    fingerprint = preparation.measure(dataset, options, progress)
    total, names = propose_seconds(limit), [case.name for case in dataset.part("train") if case.labelled]
    left = None if total is None else total - (time.monotonic() - started)
    schedule = choose_schedule(len(names), None if left is None else TRAINING_SHARE * left, dataset.root)
    share = None if left is None else TRAINING_SHARE * left / len(schedule.trials)
    progress.message("Measuring how fast this machine learns.")
    mine = limit if share is None else TrainingBudget(seconds=share)
    config, _ = preparation.plan(dataset, fingerprint, options, machine, mine, seed, settings, time.monotonic())
    config, weights = follow(config, fingerprint, settings, progress)
    # the first look warms up
    each = min(seconds_to_score(config, dataset, fingerprint, machine.device) for _ in range(2)) / fingerprint.cases
    looked_at = [case.name for case in spread([case for case in dataset.part("val") if case.labelled])]
    poll: float | None = None
    if left is not None and total is not None and share is not None:
        left = total - (time.monotonic() - started)
        looked_at = looked_at[: _how_many(left, each * len(schedule.trials))]
        poll = min(POLL_SHARE * left, unlabelled * each * len(schedule.committee(schedule.trials)))
        learning = left - poll - WRITING - _seconds_beside(schedule, each, len(looked_at))
        check_share(learning / len(schedule.trials), schedule)
        config = _fit(config, learning / len(schedule.trials), share)
    config = _equal(config)
    orders = tuple(draw_order(dataset, seed, repeat) for repeat in range(schedule.repeats))
    beginning = ForecastPlan(
        config=config,
        records=first_records(dataset, fingerprint, machine, seed) | weights,
        schedule=schedule,
        orders=orders,
        looked_at=tuple(looked_at),
        poll_seconds=poll,
        asked=asked,
    )
    write(folder, beginning)
    return beginning


def reopen(folder: Path, dataset: Dataset, asked: Mapping[str, Any], progress: Progress) -> ForecastPlan:
    """Read what a forecast in the folder began with.

    Raises
    ------
    BadOption
        It was asked for something else.
    BadRun
        The data have changed, or the record is damaged.
    """
    path = folder / BEGUN
    try:
        found = json.loads(path.read_text("utf-8"))
        beginning = ForecastPlan(
            config=with_reasons(load_config(folder / PLAN), found["reasons"]),
            records=found["records"],
            schedule=ForecastSchedule(sizes=tuple(found["sizes"]), repeats=found["repeats"]),
            orders=tuple(tuple(names) for names in found["orders"]),
            looked_at=tuple(found["looked_at"]),
            poll_seconds=found["poll_seconds"],
            asked=found["asked"],
            paced=found["paced"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRun("the record of a forecast", str(error), "Choose another --out.", path) from error
    other = [name for name, value in asked.items() if beginning.asked.get(name) != value]
    if other:
        was = beginning.asked.get(other[0])
        expected = f"{other[0]} as this forecast began with" + (f" ({was})" if was is not None else " (none)")
        raise BadOption(expected, f"{asked[other[0]]}", "Ask the same, or choose another --out.", folder)
    known = {case.name for case in dataset.cases if case.labelled and case.part != "test"}
    before = set(beginning.orders[0]) | {str(name) for name in beginning.records["splits"]["parts"]["val"]}
    if known != before:
        got = f"{pluralise(len(known ^ before), 'other case')}, such as {min(known ^ before)}"
        hint = "Restore the data, or choose another --out."
        raise BadRun("the labelled images that the forecast began with", got, hint, dataset.root)
    torch.set_num_threads(int(beginning.records["environment"].get("threads", torch.get_num_threads())))
    progress.message(f"Going on with the forecast in {folder}.")
    return beginning


def _how_many(left: float, each: float) -> int:
    """Return how many validation images can be scored, where one takes `each` seconds of all trainings together."""
    usual, most = (max(1, int(share * left / each)) for share in (SCORING_SHARE, MOST_SCORING_SHARE))
    return max(usual, min(FEWEST_LOOKED_AT, most))


def _seconds_beside(schedule: ForecastSchedule, each: float, looked_at: int) -> float:
    """Return the seconds of all trainings that are not steps: setting up, reading and scoring."""
    read = sum(trial.masks + looked_at for trial in schedule.trials) * each * READING
    return len(schedule.trials) * (SETTING_UP + looked_at * each) + read


def _fit(config: Config, seconds: float, planned: float) -> Config:
    """Let a plan that fills `planned` seconds fill others, where the user has not set its steps."""
    if "training.steps" in config.user_set:
        return config
    steps = max(1, int(config.training.steps * seconds / planned))
    why = f"{seconds:.0f} s for each training, at the measured speed."
    return with_settings(config, {"training.steps": steps}, {"training.steps": why})


def _equal(config: Config) -> Config:
    """Let every training take the same steps, and choose nothing on the images that it is scored on."""
    steps = config.training.steps
    fair = "so that the images that score have chosen nothing"
    choices: Choices = {
        "training.budget": (None, "The number of steps decides: the same for every training of the forecast."),
        "training.patience": (0, "Every training goes to its end."),
        "training.keep": ("last", f"The weights of the last step count, {fair}."),
        "training.tune": (False, f"Thresholds stay as planned, {fair}."),
        "training.validate_every": (steps, "One look at the end: nothing is chosen on the way."),
    }
    values, reasons = ({key: pair[at] for key, pair in choices.items()} for at in (0, 1))
    return with_settings(config, values, reasons)


def write(folder: Path, beginning: ForecastPlan) -> None:
    """Write down what is fixed, the plan first."""
    save_config(folder / PLAN, beginning.config)
    found = {
        "asked": beginning.asked,
        "reasons": reasons_to_json(beginning.config),
        "sizes": beginning.schedule.sizes,
        "repeats": beginning.schedule.repeats,
        "orders": beginning.orders,
        "looked_at": beginning.looked_at,
        "poll_seconds": beginning.poll_seconds,
        "records": beginning.records,
        "paced": beginning.paced,
    }
    atomic_write_json(folder / BEGUN, found)


def seed_of(config: Config, number: int) -> Config:
    """Return the plan of a training, counted from 1: that of all, with a seed of its own."""
    seed = config.training.seed + number - 1
    why = f"That of the forecast is {config.training.seed}; each training draws for itself."
    return with_settings(config, {"training.seed": seed}, {"training.seed": why})
