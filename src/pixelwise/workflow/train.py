"""Train: from a folder of images with masks, or of images in class folders, to a run folder with a model file."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from pixelwise.engine.allocator import keep_large_blocks
from pixelwise.engine.machine import Machine, choose_device, look_at_machine
from pixelwise.errors import BadOption, BadRun, DiskFull
from pixelwise.images.cases import DataOptions, Dataset, understand
from pixelwise.progress import Console, Progress
from pixelwise.wording import counted
from pixelwise.workflow.config import (
    Config,
    file_as_words,
    left_out,
    load_config,
    override,
    parse_assignments,
    settings,
)
from pixelwise.workflow.environment import describe_environment, parse_duration
from pixelwise.workflow.planning.choices import Limit, propose_seconds
from pixelwise.workflow.planning.preparation import preparation_of
from pixelwise.workflow.run import Run
from pixelwise.workflow.training.loop import Training
from pixelwise.workflow.weights.encoder_weights import follow, look_early


def train(
    data: Path | str,
    *,
    out: Path | str | None = None,
    budget: float | str | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    resume: bool = False,
    config: Path | str | None = None,
    device: str = "auto",
    data_options: DataOptions | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Run:
    """Train a model on a folder: of masks for images and masks, of whole-image classes for a folder per class.

    Parameters
    ----------
    data : path
        The folder; `pixelwise inspect` shows how it is understood.
    out : path, optional
        The run folder; by default runs/<name of the data folder>.
    budget : float or str, optional
        Wall-clock time of the whole call: seconds, or text such as "90s", "10m", "2h".
    steps, epochs : int, optional
        Instead of a budget. A pass over as many pixels as the training images have is an epoch.
    seed : int
        Every random draw is a function of it.
    resume : bool
        Continue the run in `out` where its last checkpoint stands.
    config : path, optional
        A plan to follow instead of making one; what it leaves out is planned around it.
    device : {"auto", "cpu", "cuda", "mps"}
    data_options : DataOptions, optional
        Answers to what would otherwise be guessed from the folder.
    overrides : sequence of str
        "section.setting=value" words, such as "network.depth=5".
    progress : Progress, optional
        Who is told; by default sentences and bars on standard error.

    Returns
    -------
    Run
        The run folder with `model.safetensors`.

    Raises
    ------
    BadDataset, BadOption, BadRun, OutputFailed
        What was given cannot be used.
    Interrupted
        Ctrl-C or SIGTERM; the state is saved and `resume` continues it.
    Diverged
        The loss stayed non-finite.
    """
    started = time.monotonic()
    progress = progress or Console()
    keep_large_blocks()
    parse_assignments(overrides)  # a mistyped setting is refused before any work
    root = Path(data)
    folder = Path(out) if out is not None else Path("runs") / (root.resolve().name or "run")
    if resume:
        _refuse_other_plan(
            Run.open(folder),
            {
                "--budget": parse_duration(budget),
                "--steps": steps,
                "--epochs": epochs,
                "--seed": seed or None,
                "--config": config,
                "answers about the data": data_options,
            },
            overrides,
        )
        run, dataset = _reopen(folder, root, progress)
    else:
        limit = Limit(seconds=parse_duration(budget), steps=steps, epochs=epochs)
        given = load_config(Path(config)) if config is not None else None
        planned = config is None or left_out(Path(config))
        words = [*file_as_words(Path(config)), *overrides] if config is not None else overrides
        run = Run(folder)
        run.check_free()
        look_early(parse_assignments(words), progress)
        options = data_options or (given.data if given else DataOptions())
        dataset = understand(root, options, seed, progress)
        progress.tell(*dataset.told)
        machine = look_at_machine(device)
        preparation = preparation_of(dataset.labelling.task)
        fingerprint = preparation.measure(dataset, options, progress)
        if given is None or planned:
            left = _time_left(propose_seconds(limit), started)
            progress.tell(
                f"Measuring how fast this machine learns, to fill the {left:.0f} s that are left."
                if left
                else "Measuring how fast this machine learns."
            )
            settled = preparation.plan(dataset, fingerprint, options, machine, limit, seed, words, started)
        else:
            settled = override(replace(given, data=options), overrides)
        own = parse_assignments(overrides)
        named = own if "transfer.encoder_weights" in own else parse_assignments(words)
        settled, weights = follow(settled, fingerprint, named, progress)
        run = Run.create(folder, settled, _records(dataset, fingerprint, machine, settled) | weights)
        progress.tell(*_announce(preparation.describe(settled), settled, machine, run))
    with run.only_one():
        try:
            Training(run, dataset, choose_device(device), progress, started).go()
        except DiskFull as error:
            mend = f"Free some space, then go on with: {run.how_to_go_on(root)}"
            raise DiskFull(error.expected, error.came, mend, error.path) from error
    return run


def _time_left(seconds: float | None, started: float) -> float | None:
    if seconds is None:
        return None
    left = seconds - (time.monotonic() - started)
    if left < 10:
        mend = f"Reading the data took {seconds - left:.0f} s: give more time, or --steps."
        raise BadOption("a budget that leaves 10 s to learn", f"{seconds:.0f} s", mend)
    return left


def _records(dataset: Dataset, fingerprint: Any, machine: Machine, config: Config) -> dict[str, Any]:
    """Return the JSON records of a new run folder."""
    parts = {part: [case.name for case in dataset.part(part)] for part in ("train", "val", "test")}
    groups = {case.name: case.group for case in dataset.cases if case.group}
    return {
        "fingerprint": asdict(fingerprint),
        "splits": {"parts": parts, "groups": groups, "seed": config.training.seed},
        "environment": describe_environment(machine, config.training.seed),
        "understood": {
            "data": dataset.root.name,
            "folder": str(dataset.root.resolve()),  # where an export looks for images to prove itself on
            "told": list(dataset.told),
            "problems": [asdict(problem) for problem in dataset.problems],
            "cases": {part: len(names) for part, names in parts.items()},
            "task": dataset.labelling.task,
            "classes": list(dataset.labelling.classes),
            "channels": dataset.channels,
            "ignore_index": dataset.labelling.ignore_value,
            "coded_by_colour": dataset.labelling.coded_by_colour,
        },
    }


def _announce(what: str, config: Config, machine: Machine, run: Run) -> list[str]:
    """Say what will happen."""
    training = config.training
    time_ = (
        f"about {training.budget / 60:.0f} min"
        if training.budget and training.budget >= 120
        else (f"about {training.budget:.0f} s" if training.budget else "until the last step")
    )
    return [
        f"Plan: {what}, {training.precision} on {machine.device} with {counted(machine.threads, 'thread')}, {time_}.",
        f"Every choice and its reason stands in {run.config_path}.",
    ]


def _refuse_other_plan(run: Run, asked: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse what would be passed over: a run that is continued keeps the plan it began with.

    A command that is repeated with --resume behind it asks for nothing else, and is taken.

    Raises
    ------
    BadOption
        Something else is asked for; the message names it.
    """
    own = run.config
    known: dict[str, Any] = {
        "--budget": own.training.budget,
        "--steps": own.training.steps,
        "--seed": own.training.seed,
        "answers about the data": own.data,
    }
    other = [name for name, value in asked.items() if value is not None and value != known.get(name)]
    before, after = settings(own), settings(override(own, overrides))
    other += [key for key in after if after[key] != before[key]]
    if other:
        value = asked.get(other[0], after.get(other[0]))
        expected = f"--resume with the plan of the run, {counted(own.training.steps, 'step')}"
        mend = "Leave it out, or train anew with another --out."
        raise BadOption(expected, f"{other[0]}" if "about" in other[0] else f"{other[0]} {value}", mend, run.folder)


def _reopen(folder: Path, root: Path, progress: Progress) -> tuple[Run, Dataset]:
    """Open a run to continue it with the data, the split and the threads it began with."""
    run = Run.open(folder)
    config = run.config
    dataset = understand(root, config.data, int(run.splits.get("seed", config.training.seed)), progress)
    known = run.splits["parts"]
    for part in ("train", "val"):
        now = [case.name for case in dataset.part(part)]
        if now != known[part]:
            changed = sorted(set(now) ^ set(known[part]))
            came = "another order of cases"
            if changed:
                came = f"{counted(len(changed), 'other case')}, such as {changed[0]}"
            raise BadRun(f"the {part} cases that the run began with", came, "Restore the data, or train anew.", root)
    threads = int(run.environment.get("threads", torch.get_num_threads()))
    torch.set_num_threads(threads)
    progress.tell(f"Continuing {folder} with {counted(threads, 'thread')}, as it began.")
    return run, dataset
