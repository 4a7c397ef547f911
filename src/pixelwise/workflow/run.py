"""The run folder: its files, and how they are read and written.

All files are written by `pixelwise.atomic_write`, so that a training can be killed at any moment and continued.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import (
    PROBE,
    TEMPORARY,
    atomic_write_json,
    atomic_write_text,
    check_writable,
    remove_leftovers,
    write_error,
)
from pixelwise.errors import BadRun, OutputFailed
from pixelwise.exclusive_write import lock_file
from pixelwise.text import command
from pixelwise.workflow.config import Config, save_config
from pixelwise.workflow.outcome import Outcome, outcome_of
from pixelwise.workflow.settings import load_config, reasons_to_json, with_reasons

REASONS = "reasons.json"  # the reason of each setting, for display
LOCK = ".lock"
RECORDS = ("fingerprint", "understood", "splits", "environment", "weights", "folds")  # JSON files made with the run
CACHED = ("config", "fingerprint", "splits", "environment", "understood", "folds", "folds_record")


@dataclass(frozen=True)
class Run:
    """A run folder, created by `Run.create` or opened by `Run.open`.

    What does not change after its creation is read once: configuration, fingerprint, splits, folds and environment.
    """

    folder: Path

    @property
    def config_path(self) -> Path:
        """The configuration: values and their origins."""
        return self.folder / "config.yaml"

    @property
    def model_path(self) -> Path:
        """The model file: the best weights and the metadata for prediction."""
        return self.folder / "model.safetensors"

    @property
    def scores_path(self) -> Path:
        """The scores of the last `evaluate`."""
        return self.folder / "scores.json"

    @property
    def summary_path(self) -> Path:
        """The summary of the training; it exists once the training is complete."""
        return self.folder / "summary.json"

    @property
    def out_of_fold_path(self) -> Path:
        """Out-of-fold probabilities and Dice with the ground truth."""
        return self.folder / "out_of_fold.npz"

    @property
    def metrics_path(self) -> Path:
        """One row per validation."""
        return self.folder / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The latest checkpoints, for an exact continuation."""
        return self.folder / "checkpoints"

    @property
    def snapshots(self) -> Path:
        """Training snapshots: predictions of one validation patch."""
        return self.folder / "snapshots"

    @property
    def report_path(self) -> Path:
        """The HTML report."""
        return self.folder / "report" / "index.html"

    @cached_property
    def config(self) -> Config:
        """The configuration in the folder, with its reasons."""
        config = load_config(self.config_path)
        return with_reasons(config, self.read_json(REASONS)) if (self.folder / REASONS).is_file() else config

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Statistics of the training data."""
        return self.read_json("fingerprint.json")

    @cached_property
    def splits(self) -> dict[str, Any]:
        """Case names per split."""
        return self.read_json("splits.json")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, seed, device and thread count."""
        return self.read_json("environment.json")

    @cached_property
    def understood(self) -> dict[str, Any]:
        """The detected properties of the data, as sentences and numbers."""
        return self.read_json("understood.json")

    @property
    def outcome(self) -> Outcome | None:
        """Whether the training produced a useful model; None while it runs, and for a run with folds."""
        return outcome_of(self.read_json("summary.json")) if self.summary_path.is_file() else None

    @property
    def warnings(self) -> list[str]:
        """The explanations of trainings (of the run or its folds) that did not produce a useful model.

        Raises
        ------
        BadRun
            A summary is damaged.
        """
        runs = [("", self)]
        runs += [(f"Fold {number}: ", self.fold(number)) for number in range(1, len(self.folds) + 1)]
        outcomes = [(prefix, run.outcome) for prefix, run in runs]
        return [f"{prefix}{outcome.sentence}" for prefix, outcome in outcomes if outcome and outcome.kind != "useful"]

    @cached_property
    def folds(self) -> tuple[tuple[str, ...], ...]:
        """Names of the held-out cases of each fold; empty for a run without folds."""
        return tuple(tuple(str(name) for name in names) for names in self.folds_record.get("left_out", ()))

    @cached_property
    def folds_record(self) -> dict[str, Any]:
        """The record of the folds; empty for a run without folds."""
        return self.read_json("folds.json") if (self.folder / "folds.json").is_file() else {}

    def fold(self, number: int) -> "Run":
        """Return the run of a fold, counted from 1; it may not exist yet."""
        return Run(self.folder / "folds" / str(number))

    @property
    def distilled(self) -> bool:
        """Whether a student is distilled from the ensemble of the folds."""
        return bool(self.folds) and bool(self.folds_record.get("distil"))

    @property
    def student(self) -> "Run":
        """The run of the student of the ensemble; it may not exist yet."""
        return Run(self.folder / "student")

    @classmethod
    def open(cls, folder: Path | str) -> "Run":
        """Open a run folder.

        Raises
        ------
        BadRun
            The folder is missing or not a run.
        """
        run = cls(Path(folder))
        hint = "Give the folder that `pixelwise train` created (it contains config.yaml)."
        if not run.folder.exists():
            raise BadRun("a run folder", "nothing at this path", hint, folder)
        if not run.config_path.is_file():
            if run._is_abandoned():
                hint = "Give the same command without --resume: the training was stopped before its first step."
            raise BadRun(
                "a run folder", "a folder without config.yaml" if run.folder.is_dir() else "a file", hint, folder
            )
        return run

    @classmethod
    def create(cls, folder: Path, config: Config, records: Mapping[str, Any]) -> "Run":
        """Create a run folder with its config and JSON records; config.yaml is written last and makes it a run.

        Raises
        ------
        OutputFailed
            The folder is not empty or cannot be written.
        """
        run = cls(folder)
        run.check_free()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(folder, error) from error
        with run.only_one():
            for name in RECORDS:  # of a process that was stopped here
                (folder / f"{name}.json").unlink(missing_ok=True)
            run.begin(config, records)
        return run

    def begin(self, config: Config, records: Mapping[str, Any]) -> None:
        """Write the JSON records, then config.yaml; files of an earlier attempt are replaced."""
        for name, value in records.items():
            atomic_write_json(self.folder / f"{name}.json", value)
        atomic_write_json(self.folder / REASONS, reasons_to_json(config))
        save_config(self.config_path, config)
        for name in CACHED:  # of an earlier attempt
            self.__dict__.pop(name, None)

    def check_outside(self, data: Path) -> None:
        """Raise OutputFailed if the folder is inside the data folder."""
        if data.is_dir() and self.folder.resolve().is_relative_to(data.resolve()):
            hint = "Choose another --out: nothing is ever written next to your images."
            raise OutputFailed("a run folder outside the data", "one inside", hint, self.folder)

    def check_free(self) -> None:
        """Raise OutputFailed if the folder is not empty or cannot be written.

        What a process left that was stopped before it had written config.yaml is replaced.
        """
        taken = self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir()))
        if taken and not self._is_abandoned():
            hint = "Choose another --out."
            if self.config_path.is_file():
                hint = "Continue it with --resume, or choose another --out."
            raise OutputFailed("a new or empty folder for the run", "an existing one", hint, self.folder)
        new = not self.folder.exists()
        try:
            check_writable(self.folder)
            if new:
                self.folder.rmdir()  # leave nothing behind if the data is unusable
        except OSError as error:
            raise write_error(self.folder, error) from error

    def _is_abandoned(self) -> bool:
        """Return whether a training began the folder, and it holds nothing but what is written before config.yaml."""
        if not self.folder.is_dir():
            return False
        known = {LOCK, REASONS, *(f"{name}.json" for name in RECORDS)}
        names = {path.name for path in self.folder.iterdir()}
        return any(name == LOCK or name.startswith(PROBE) for name in names) and all(
            name in known or (name[0] == "." and name.endswith(TEMPORARY)) for name in names
        )

    def resume_command(self, data: Path | str) -> str:
        """Return the command that continues the training; `data` is the folder of the training data."""
        return command("train", data, "--out", self.folder, "--resume")

    def read_json(self, name: str) -> dict[str, Any]:
        """Read one of the folder's JSON records.

        Raises
        ------
        BadRun
            The record is missing or damaged.
        """
        path = self.folder / name
        try:
            value = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BadRun(f"{name} of a run", str(error), "Train again into a new folder.", path) from error
        if not isinstance(value, dict):
            raise BadRun(f"{name} of a run", type(value).__name__, "Train again into a new folder.", path)
        return value

    def write_metrics(self, rows: Sequence[Mapping[str, float | int | None]]) -> None:
        """Write metrics.csv: one row per validation, missing values empty."""
        if not rows:
            return
        names = list(rows[0])
        lines = [",".join(names)]
        lines += [",".join("" if row[n] is None else f"{row[n]:.6g}" for n in names) for row in rows]
        atomic_write_text(self.metrics_path, "\n".join(lines) + "\n")

    @contextmanager
    def only_one(self) -> Generator[None, None, None]:
        """Lock the folder against a second training; the lock ends with the process."""
        try:
            handle = (self.folder / LOCK).open("w")
        except OSError as error:
            raise write_error(self.folder, error) from error
        try:
            if not lock_file(handle):
                hint = "Wait until it ends, or choose another --out."
                raise OutputFailed("a run that is not being trained", "one that is being trained", hint, self.folder)
            for inner in (self.folder, *self.folder.glob("checkpoints/*")):
                remove_leftovers(inner)
            yield
        finally:
            handle.close()


def run_folder(data: Path, out: Path | None) -> Path:
    """Return the run folder of a training: `out`, or runs/ and the name of the data folder."""
    return out if out is not None else Path("runs") / (data.resolve().name or "run")
