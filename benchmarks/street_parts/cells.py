"""The cells of the bench: each an ordinary command in a process of its own, beside a load, and what it came to."""

import csv
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from accuracy_parts.contenders import MODEL, OURS, Cell, Place, predict_ours, seen, steps_of, train_ours
from accuracy_parts.running import Children, Ended, score_masks
from machine import code_version, limited_to
from score import MEASURES, all_scores

from street_parts.load import Load, Watch, processor_seconds

ROOT = Path(__file__).resolve().parents[2]
DEMO_SECONDS, CLONE_SECONDS = {0: 120, 6: 360}, 600  # the bars on wall time; the demo's by load
AFTER = 40  # seconds, about: prediction and scores of one cell
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StreetCell:
    """One measurement.

    Attributes
    ----------
    kind : {"demo", "clone", "budget", "reference"}
        The demo; clone and `make demo`; a training with a budget; the same training with the same number of steps,
        without a budget and without load.
    set : str
        Name of the data set of a training.
    seconds : int
        The budget.
    load : int
        Competing processes; of a reference those of its training with a budget.
    """

    kind: Literal["demo", "clone", "budget", "reference"]
    set: str = ""
    seconds: int = 0
    load: int = 0

    @property
    def name(self) -> str:
        """Return a name for the folder of the cell."""
        what = f"{self.set}-{self.seconds}s-" if self.set else ""
        return f"{self.kind}-{what}load{self.load}"

    @property
    def expected(self) -> int:
        """Return about how many seconds the cell takes, if the bars are held."""
        if self.kind == "clone":
            return CLONE_SECONDS
        if self.kind == "demo":
            return DEMO_SECONDS[0] if self.load == 0 else DEMO_SECONDS[6]
        return self.seconds + AFTER

    @property
    def limit(self) -> int:
        """Return after how many seconds its command is ended."""
        return 600 + 4 * self.expected


@dataclass(frozen=True, kw_only=True)
class Street:
    """What all cells share.

    Attributes
    ----------
    place : Place
        Where the data and the results lie.
    words : sequence of str
        More words for `pixelwise demo`.
    """

    place: Place
    words: Sequence[str] = ()

    def folder(self, cell: StreetCell) -> Path:
        """Return where a cell works and leaves its log."""
        return self.place.out / "cells" / cell.name


def run_cell(cell: StreetCell, street: Street, children: Children) -> Record:
    """Measure one cell from the start; return its record.

    Raises
    ------
    RuntimeError
        A prediction failed, or a reference has no training with a budget to follow.
    """
    folder = street.folder(cell)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run = {"demo": _demo, "clone": _clone, "budget": _budget, "reference": _reference}[cell.kind]
    try:
        found = run(cell, street, children)
    finally:
        shutil.rmtree(folder / "cache", ignore_errors=True)
    return {**asdict(cell), **found, "limited_to": limited_to(), "code": code_version()}


def _demo(cell: StreetCell, street: Street, children: Children) -> Record:
    demo = street.folder(cell) / "demo"
    command = [sys.executable, "-m", "pixelwise", "demo", "--out", str(demo), *street.words]
    return _timed(cell, street, children, [command], cell.load) | facts_of_demo(demo)


def _clone(cell: StreetCell, street: Street, children: Children) -> Record:
    clone = street.folder(cell) / "clone"
    fetch = ["git", "clone", "--quiet", str(ROOT), str(clone)]
    make = ["make", "--directory", str(clone), f"PYTHON={sys.executable}", "demo"]
    try:
        return _timed(cell, street, children, [fetch, make], cell.load) | facts_of_demo(clone / "demo")
    finally:
        shutil.rmtree(clone / ".venv", ignore_errors=True)


def _budget(cell: StreetCell, street: Street, children: Children) -> Record:
    run, data = street.folder(cell) / "run", seen(street.place, cell.set)
    asked = Cell(set=cell.set, contender=OURS, seconds=cell.seconds, seed=0)
    found = _timed(cell, street, children, [train_ours(asked, data, run, "cpu")], cell.load)
    return found | facts_of_run(run) | _score(cell, street, children, run)


def _reference(cell: StreetCell, street: Street, children: Children) -> Record:
    messages = street.folder(StreetCell(kind="budget", set=cell.set, seconds=cell.seconds, load=cell.load)) / "run"
    steps = facts_of_run(messages)["steps"]
    if not steps:
        raise RuntimeError(f"no training with a budget to follow in {messages}")
    run, data = street.folder(cell) / "run", seen(street.place, cell.set)
    command = [sys.executable, "-m", "pixelwise", "train", str(data), "--out", str(run), "--device", "cpu"]
    command += ["--config", str(messages / "config.yaml"), "training.budget=null", f"training.steps={steps}"]
    found = _timed(cell, street, children, [command], 0)
    return found | facts_of_run(run) | _score(cell, street, children, run)


def _timed(
    cell: StreetCell, street: Street, children: Children, commands: Sequence[Sequence[str]], load: int
) -> Record:
    """Run commands in turn beside a load, until one fails; return times, exit code and the load that was."""
    env = environment(cell, street)
    ended, wall = Ended(0, 0.0), 0.0
    with Load(load), Watch() as watch:
        used = processor_seconds()
        for command in commands:
            ended = children.run(command, street.folder(cell) / "log.txt", cell.limit, env)
            wall += ended.seconds
            if ended.code != 0:
                break
        used = processor_seconds() - used
    return {
        "wall_s": round(wall, 1),
        "processor_s": round(used, 1),
        "exit": ended.code,
        "runnable": None if watch.mean is None else round(watch.mean, 1),
    }


def environment(cell: StreetCell, street: Street) -> dict[str, str]:
    """Return what a command finds in its environment beside that of this process."""
    env = {"CUDA_VISIBLE_DEVICES": ""}
    if not street.place.warm_cache:
        env["PIXELWISE_CACHE"] = str(street.folder(cell) / "cache")
    if cell.kind == "clone":
        env["PYTHONPATH"] = ""  # what is installed there counts
    return env


def _score(cell: StreetCell, street: Street, children: Children, run: Path) -> Record:
    """Predict the scored part without load; a training that left no model has no score."""
    masks = street.folder(cell) / "masks"
    if not (run / MODEL).exists():
        return {"score": None, "headline": MEASURES[cell.set].headline}
    command = predict_ours(run, street.place.images(cell.set), masks, "cpu")
    children.call(command, street.folder(cell) / "log.txt", 3600, environment(cell, street))
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    headline = MEASURES[cell.set].headline
    return {"score": all_scores(MEASURES[cell.set], score_masks(street.place, cell.set, masks))[headline]} | {
        "headline": headline
    }


def facts_of_demo(folder: Path) -> Record:
    """Return the facts of the last run in a folder of the demo, and the mean AP of its test part."""
    runs = sorted(folder.glob("run-*"), key=lambda run: run.stat().st_mtime)
    if not runs:
        return {"steps": None, "score": None}
    scores = _json(runs[-1] / "scores.json").get("scores", {}).get("objects", {})
    found = scores.get("mean_ap")
    return facts_of_run(runs[-1]) | {"score": found.get("value") if isinstance(found, Mapping) else found}


def facts_of_run(run: Path) -> Record:
    """Return what a run says of its training; None for what it does not say.

    Returns
    -------
    dict
        steps; measuring_s, seconds in which speed was measured; validation, the score of the kept weights; cpu_share,
        processor time against wall time; outcome, the kind of end.
    """
    summary = _json(run / "summary.json")
    steps = summary.get("steps")
    if steps is None and (run / "metrics.csv").exists():
        steps = steps_of(run)
    outcome = summary.get("outcome")
    return {
        "steps": steps,
        "measuring_s": summary.get("measuring_seconds"),
        "validation": summary.get("best", _best(run)),
        "cpu_share": summary.get("cpu_share"),
        "outcome": outcome.get("kind") if isinstance(outcome, Mapping) else None,
    }


def _best(run: Path) -> float | None:
    """Return the best validation score that was noted."""
    if not (run / "metrics.csv").exists():
        return None
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return max((float(row["val_score"]) for row in csv.DictReader(file) if row["val_score"]), default=None)


def _json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where it is missing."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}
