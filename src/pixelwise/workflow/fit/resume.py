"""Going on with a run that was stopped: with its own plan, its own data, and the threads it began with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pixelwise.datasets.dataset import Dataset, understand
from pixelwise.datasets.folds import merge_train_val
from pixelwise.errors import BadOption, BadRun
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.config import PRESET, values_of, with_settings
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings


def refuse_other_plan(run: Run, asked: Mapping[str, Any], settings: Settings) -> None:
    """Refuse what would be passed over: a run that is continued keeps the plan it began with.

    A command that is repeated with --resume behind it asks for nothing else, and is taken.

    Raises
    ------
    BadOption
        Something else is asked for; the message names it.
    """
    own = run.config
    known: dict[str, Any] = {
        "--budget": run.read_json("folds.json")["seconds"] if run.folds else own.training.budget,
        "--folds": len(run.folds) or None,
        "--distil": run.distilled,
        "--steps": own.training.steps,
        "--time-limit": own.training.time_limit,
        "--seed": own.training.seed,
        "answers about the data": own.data,
    }
    other = [name for name, value in asked.items() if value is not None and value != known.get(name)]
    words = settings.without_preset.values  # what a recipe brings may have been planned otherwise
    before, after = values_of(own), values_of(with_settings(own, words, {}))
    before, after = before | {PRESET: own.preset}, after | {PRESET: settings.preset or own.preset}
    other += [key for key in after if after[key] != before[key]]
    if other:
        value = asked.get(other[0], after.get(other[0]))
        expected = f"--resume with the plan of the run, {pluralise(own.training.steps, 'step')}"
        hint = "Leave it out, or train anew with another --out."
        raise BadOption(expected, f"{other[0]}" if "about" in other[0] else f"{other[0]} {value}", hint, run.folder)


def reopen(folder: Path, root: Path, progress: Progress) -> tuple[Run, Dataset]:
    """Open a run to continue it with the data, the split and the threads it began with.

    Raises
    ------
    BadRun
        It is no run or a fold of one, or the data have changed.
    """
    run = Run.open(folder)
    if "fold" in run.splits:
        fold = run.splits["fold"]
        whole = Run(run.folder.parent if fold == "student" else run.folder.parent.parent)
        got = f"{'the student' if fold == 'student' else f'fold {fold}'} of {whole.folder}"
        raise BadRun("a whole run", got, f"Go on with: {whole.how_to_go_on(root)}", folder)
    config = run.config
    dataset = understand(root, config.data, int(run.splits.get("seed", config.training.seed)), progress)
    if run.folds:
        dataset = merge_train_val(dataset)
    known = run.splits["parts"]
    for part in ("train", "val"):
        now = [case.name for case in dataset.part(part)]
        if now != known[part]:
            changed = sorted(set(now) ^ set(known[part]))
            got = "another order of cases"
            if changed:
                got = f"{pluralise(len(changed), 'other case')}, such as {changed[0]}"
            raise BadRun(f"the {part} cases that the run began with", got, "Restore the data, or train anew.", root)
    threads = int(run.environment.get("threads", torch.get_num_threads()))
    torch.set_num_threads(threads)
    progress.message(f"Continuing {folder} with {pluralise(threads, 'thread')}, as it began.")
    return run, dataset
