"""The plan shared by all trainings of a learning curve, stored so that an interrupted forecast can be resumed."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pixelwise.active_learning.schedule import (
    MAX_SCORING_SHARE,
    RANKING_SHARE,
    SCORING_SHARE,
    SETUP_SECONDS,
    TRAINING_SHARE,
    WRITE_SECONDS,
    ForecastSchedule,
    check_share,
    choose_schedule,
)
from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import DataOptions, Dataset
from pixelwise.datasets.splitting.subsets import draw_order, spread_order
from pixelwise.errors import BadOption, BadRun, OutputFailed
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import detect_machine
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, save_config, with_settings
from pixelwise.workflow.fit.run_metadata import initial_records
from pixelwise.workflow.planning.choices import PlanRequest, TrainingBudget, propose_seconds
from pixelwise.workflow.presets import Choices
from pixelwise.workflow.settings import Settings, load_config, reasons_to_json, with_reasons
from pixelwise.workflow.tasks.choose import task_of
from pixelwise.workflow.weights.encoder_weights import apply_weights

BEGUN, PLAN = "begun.json", "plan.yaml"
STORED = ("requested", "ranking_seconds", "records", "speed_measured")  # fields of a plan that are plain values
MIN_SCORED_CASES = 5  # validation images to score, even beyond SCORING_SHARE, up to MAX_SCORING_SHARE
READ_SHARE = 0.1  # of the time to score an image: reading it


@dataclass(frozen=True, kw_only=True)
class ForecastPlan:
    """What is fixed before the first training.

    Attributes
    ----------
    config : Config
        The plan of every training, except for its seed.
    records : dict
        JSON records of every training's run.
    orders : tuple of tuple of str
        For each repeat, the names of the training cases in the order in which subsets include them.
    scored_cases : tuple of str
        Names of the validation cases that are scored.
    ranking_seconds : float or None
        Time for ranking unlabelled images; None without a budget.
    requested : dict
        The options of the command; resuming requires the same.
    speed_measured : bool
        The number of steps was checked against the first training (see `find_speed`).
    """

    config: Config
    records: dict[str, Any]
    schedule: ForecastSchedule
    orders: tuple[tuple[str, ...], ...]
    scored_cases: tuple[str, ...]
    ranking_seconds: float | None
    requested: dict[str, Any]
    speed_measured: bool = False


def check_output_folder(folder: Path, root: Path) -> None:
    """Check that the output folder is outside the data, and new, empty or that of a forecast.

    Raises
    ------
    OutputFailed
        It is not.
    """
    if folder.resolve().is_relative_to(root.resolve()):
        hint = "Choose another --out: nothing is ever written next to your images."
        raise OutputFailed("an output folder outside the data", "one inside the data folder", hint, folder)
    if folder.exists() and not (folder / BEGUN).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        got, hint = "one with other content", "Choose another --out."
        raise OutputFailed("a new or empty folder, or that of a forecast", got, hint, folder)


def create_plan(
    folder: Path,
    dataset: Dataset,
    options: DataOptions,
    limit: TrainingBudget,
    *,
    seed: int,
    device: str,
    settings: Settings,
    unlabelled: int,
    requested: dict[str, Any],
    started: float,
    progress: Progress,
) -> ForecastPlan:
    """Measure the data, plan the trainings, divide the time among them, and write the plan into the folder.

    Parameters
    ----------
    limit : TrainingBudget
        Seconds of the whole command, or steps of each training.
    settings : Settings
        Given by the user.
    unlabelled : int
        Number of candidates for labelling.
    started : float
        `time.monotonic()` at the start of the command.
    """
    machine = detect_machine(device)
    task = task_of(dataset)
    fingerprint = task.measure(dataset, progress)
    total, names = propose_seconds(limit), [case.name for case in dataset.splits["train"] if case.labelled]
    left = None if total is None else total - (time.monotonic() - started)
    schedule = choose_schedule(len(names), None if left is None else TRAINING_SHARE * left, dataset.root)
    share = None if left is None else TRAINING_SHARE * left / len(schedule.trainings)
    progress.message("Measuring the training speed.")
    budget = limit if share is None else TrainingBudget(seconds=share)
    request = PlanRequest(
        dataset=dataset,
        fingerprint=fingerprint,
        data=options,
        machine=machine,
        limit=budget,
        seed=seed,
        settings=settings,
        began=time.monotonic(),
    )
    config, _ = task.plan(request)
    config, weights = apply_weights(config, fingerprint, settings, progress)
    # the first measurement warms up
    measured = [task.seconds_to_score(config, dataset, fingerprint, machine.device) for _ in range(2)]
    each = min(measured) / fingerprint.cases
    scored = [case.name for case in spread_order([case for case in dataset.splits["val"] if case.labelled])]
    ranking: float | None = None
    if left is not None and total is not None and share is not None:
        left = total - (time.monotonic() - started)
        scored = scored[: _count_scored(left, each * len(schedule.trainings))]
        ranking = min(RANKING_SHARE * left, unlabelled * each * len(schedule.committee(schedule.trainings)))
        training = left - ranking - WRITE_SECONDS - _overhead_seconds(schedule, each, len(scored))
        check_share(training / len(schedule.trainings), schedule)
        config = _scale_steps(config, training / len(schedule.trainings), share)
    plan = ForecastPlan(
        config=_without_selection(config),
        records=initial_records(dataset, fingerprint, machine, seed) | weights,
        schedule=schedule,
        orders=tuple(draw_order(dataset, seed, repeat) for repeat in range(schedule.repeats)),
        scored_cases=tuple(scored),
        ranking_seconds=ranking,
        requested=requested,
    )
    write(folder, plan)
    return plan


def read_plan(folder: Path, dataset: Dataset, requested: Mapping[str, Any], progress: Progress) -> ForecastPlan:
    """Read the plan of an interrupted or finished forecast.

    Raises
    ------
    BadOption
        The forecast was started with other options.
    BadRun
        The data have changed, or the record is damaged.
    """
    path = folder / BEGUN
    try:
        record = json.loads(path.read_text("utf-8"))
        plan = ForecastPlan(
            config=with_reasons(load_config(folder / PLAN), record["reasons"]),
            schedule=ForecastSchedule(sizes=tuple(record["sizes"]), repeats=record["repeats"]),
            orders=tuple(tuple(names) for names in record["orders"]),
            scored_cases=tuple(record["scored_cases"]),
            **{name: record[name] for name in STORED},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRun("the record of a forecast", str(error), "Choose another --out.", path) from error
    changed = [name for name, value in requested.items() if plan.requested.get(name) != value]
    if changed:
        before = plan.requested.get(changed[0])
        expected = f"{changed[0]} as in the existing forecast ({'none' if before is None else before})"
        hint = "Use the same options, or choose another --out."
        raise BadOption(expected, f"{requested[changed[0]]}", hint, folder)
    labelled = {case.name for case in dataset.cases if case.labelled and case.split != "test"}
    planned = set(plan.orders[0]) | {str(name) for name in plan.records["splits"]["cases"]["val"]}
    if different := labelled ^ planned:
        got = f"{pluralise(len(different), 'different case')}, such as {min(different)}"
        hint = "Restore the data, or choose another --out."
        raise BadRun("the labelled images of the existing forecast", got, hint, dataset.root)
    torch.set_num_threads(int(plan.records["environment"].get("threads", torch.get_num_threads())))
    progress.message(f"Resuming the forecast in {folder}.")
    return plan


def _count_scored(seconds: float, each: float) -> int:
    """Return how many validation images can be scored, if one takes `each` seconds in all trainings together."""
    usual, largest = (max(1, int(share * seconds / each)) for share in (SCORING_SHARE, MAX_SCORING_SHARE))
    return max(usual, min(MIN_SCORED_CASES, largest))


def _overhead_seconds(schedule: ForecastSchedule, each: float, scored: int) -> float:
    """Return the seconds of all trainings outside their steps: setup, reading and scoring."""
    reading = sum(training.masks + scored for training in schedule.trainings) * each * READ_SHARE
    return len(schedule.trainings) * (SETUP_SECONDS + scored * each) + reading


def _scale_steps(config: Config, seconds: float, planned: float) -> Config:
    """Scale the steps of a plan for `planned` seconds to `seconds`, unless the user has set them."""
    if "training.steps" in config.user_set:
        return config
    steps = max(1, int(config.training.steps * seconds / planned))
    reason = f"{seconds:.0f} s for each training, at the measured speed."
    return with_settings(config, {"training.steps": steps}, {"training.steps": reason})


def _without_selection(config: Config) -> Config:
    """Fix the number of steps, and disable every selection on the validation images."""
    steps = config.training.steps
    purpose = "so that the validation images select nothing"
    choices: Choices = {
        "training.budget": (None, "The number of steps is the same for every training of the forecast."),
        "training.patience": (0, "No early stopping."),
        "training.keep": ("last", f"The weights of the last step are used, {purpose}."),
        "training.tune": (False, f"Thresholds stay as planned, {purpose}."),
        "training.validate_every": (steps, "One validation, after the last step."),
    }
    values, reasons = ({key: pair[index] for key, pair in choices.items()} for index in (0, 1))
    return with_settings(config, values, reasons)


def write(folder: Path, plan: ForecastPlan) -> None:
    """Write the config, then the record."""
    save_config(folder / PLAN, plan.config)
    record = {
        "reasons": reasons_to_json(plan.config),
        "sizes": plan.schedule.sizes,
        "repeats": plan.schedule.repeats,
        "orders": plan.orders,
        "scored_cases": plan.scored_cases,
        **{name: getattr(plan, name) for name in STORED},
    }
    atomic_write_json(folder / BEGUN, record)
