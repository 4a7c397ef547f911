"""Continue a stopped run with its own plan, data and number of threads."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pixelwise.datasets.dataset import Dataset, detect_dataset
from pixelwise.datasets.splitting.folds import merge_train_val
from pixelwise.errors import BadOption, BadRun
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.config import PRESET, values_of, with_settings
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings


def refuse_other_plan(run: Run, options: Mapping[str, Any], settings: Settings) -> None:
    """Raise BadOption for options that differ from the plan of a continued run, which cannot change.

    Repeating the original command with --resume is accepted.

    Raises
    ------
    BadOption
        An option or setting differs; the message names it.
    """
    config = run.config
    known: dict[str, Any] = {
        "--budget": run.folds_record["seconds"] if run.folds else config.training.budget,
        "--folds": len(run.folds) or None,
        "--distil": run.distilled,
        "--steps": config.training.steps,
        "--time-limit": config.training.time_limit,
        "--seed": config.training.seed,
        "data options": config.data,
    }
    other = [name for name, value in options.items() if value is not None and value != known.get(name)]
    values = settings.without_preset.values  # the plan may have adjusted settings of a preset
    before, after = values_of(config), values_of(with_settings(config, values, {}))
    before, after = before | {PRESET: config.preset}, after | {PRESET: settings.preset or config.preset}
    other += [key for key in after if after[key] != before[key]]
    if other:
        name, value = other[0], options.get(other[0], after.get(other[0]))
        expected = f"--resume with the plan of the run, {pluralise(config.training.steps, 'step')}"
        hint = "Omit it, or start a new training with another --out."
        raise BadOption(expected, name if name == "data options" else f"{name} {value}", hint, run.folder)


def follow_plan(folder: Path) -> bool:
    """Return true when a run folder is complete: another process of the same training makes it.

    Raises
    ------
    BadRun
        It is not after an hour.
    """
    until = time.monotonic() + 3600
    while not Run(folder).config_path.is_file():
        if time.monotonic() > until:
            hint = "All processes need the same run folder, on a file system that they share."
            raise BadRun("a run folder made by the first process", "none", hint, folder)
        time.sleep(0.2)
    return True


def reopen(folder: Path, root: Path, progress: Progress) -> tuple[Run, Dataset]:
    """Open a run for continuation and check that the data and the split are unchanged.

    Raises
    ------
    BadRun
        It is not a run or it is a fold of one, or the data have changed.
    """
    run = Run.open(folder)
    if "fold" in run.splits:
        fold = run.splits["fold"]
        parent = Run(run.folder.parent if fold == "student" else run.folder.parent.parent)
        got = f"{'the student' if fold == 'student' else f'fold {fold}'} of {parent.folder}"
        raise BadRun("a complete run", got, f"Continue with: {parent.resume_command(root)}", folder)
    config = run.config
    dataset = detect_dataset(root, config.data, int(run.splits.get("seed", config.training.seed)), progress)
    if run.folds:
        dataset = merge_train_val(dataset)
    known = run.splits["cases"]
    for split in ("train", "val"):
        now = [case.name for case in dataset.splits[split]]
        if now != known[split]:
            changed = sorted(set(now) ^ set(known[split]))
            got = "another order of cases"
            if changed:
                got = f"{pluralise(len(changed), 'changed case')}, such as {changed[0]}"
            hint = "Restore the data, or start a new training."
            raise BadRun(f"the original {split} cases of the run", got, hint, root)
    threads = int(run.environment.get("threads", torch.get_num_threads()))
    torch.set_num_threads(threads)
    progress.message(f"Continuing {folder} with {pluralise(threads, 'thread')}.")
    return run, dataset
