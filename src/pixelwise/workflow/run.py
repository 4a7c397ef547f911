"""Run: the run folder and its only keeper.

Everything in the folder is written through `pixelwise.atomic_write`, so it can be killed at any moment and continued.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import atomic_write_json, atomic_write_text, write_error
from pixelwise.errors import BadRun, OutputFailed
from pixelwise.text import command
from pixelwise.workflow.config import Config, save_config
from pixelwise.workflow.outcome import Outcome, outcome_of
from pixelwise.workflow.settings import load_config, reasons_to_json, with_reasons

REASONS = "reasons.json"  # why each setting has its value: for people


@dataclass(frozen=True)
class Run:
    """A run folder, made by `Run.create` or opened by `Run.open`."""

    folder: Path

    @property
    def config_path(self) -> Path:
        """The plan: values, and where they come from."""
        return self.folder / "config.yaml"

    @property
    def model_path(self) -> Path:
        """The best weights with everything that prediction needs."""
        return self.folder / "model.safetensors"

    @property
    def scores_path(self) -> Path:
        """What `evaluate` found last."""
        return self.folder / "scores.json"

    @property
    def summary_path(self) -> Path:
        """How the training went; it stands there once the training has come to its end."""
        return self.folder / "summary.json"

    @property
    def out_of_fold_path(self) -> Path:
        """Probabilities and Dice beside the truth, each from the network that did not see the image."""
        return self.folder / "out_of_fold.npz"

    @property
    def metrics_path(self) -> Path:
        """One row per validation."""
        return self.folder / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """The last states for an exact continuation."""
        return self.folder / "checkpoints"

    @property
    def film(self) -> Path:
        """One validation patch as it was predicted along the training."""
        return self.folder / "film"

    @property
    def report_path(self) -> Path:
        """The page that `report` writes."""
        return self.folder / "report" / "index.html"

    @property
    def config(self) -> Config:
        """The config as it stands in the folder, with the reasons that stand beside it."""
        config = load_config(self.config_path)
        return with_reasons(config, self.read_json(REASONS)) if (self.folder / REASONS).is_file() else config

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What the training data looked like."""
        return self.read_json("fingerprint.json")

    @property
    def splits(self) -> dict[str, Any]:
        """Case names per part."""
        return self.read_json("splits.json")

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, seed, device and thread count."""
        return self.read_json("environment.json")

    @property
    def understood(self) -> dict[str, Any]:
        """What was understood of the data, in sentences and numbers."""
        return self.read_json("understood.json")

    @property
    def outcome(self) -> Outcome | None:
        """Whether the training came far enough to be useful; None while it runs, and for a run with folds."""
        return outcome_of(self.read_json("summary.json")) if self.summary_path.is_file() else None

    @property
    def warnings(self) -> list[str]:
        """The sentences of trainings (the run's, or its folds') that did not become useful.

        Raises
        ------
        BadRun
            A summary is damaged.
        """
        found = [("", self)]
        found += [(f"Fold {number}: ", self.fold(number)) for number in range(1, len(self.folds) + 1)]
        ended = [(prefix, run.outcome) for prefix, run in found]
        return [f"{prefix}{outcome.sentence}" for prefix, outcome in ended if outcome and outcome.kind != "useful"]

    @property
    def folds(self) -> tuple[tuple[str, ...], ...]:
        """Names of the cases that each fold leaves out; empty for a run without folds."""
        if not (self.folder / "folds.json").is_file():
            return ()
        return tuple(tuple(str(name) for name in names) for names in self.read_json("folds.json")["left_out"])

    def fold(self, number: int) -> "Run":
        """Return the run of a fold, counted from 1; it may not have begun."""
        return Run(self.folder / "folds" / str(number))

    @property
    def distilled(self) -> bool:
        """Whether a student is to learn from the ensemble of the folds."""
        return bool(self.folds) and bool(self.read_json("folds.json").get("distil"))

    @property
    def student(self) -> "Run":
        """The run of the network that learns from the ensemble; it may not have begun."""
        return Run(self.folder / "student")

    @classmethod
    def open(cls, folder: Path | str) -> "Run":
        """Open a run folder.

        Raises
        ------
        BadRun
            The folder is missing or is no run.
        """
        run = cls(Path(folder))
        hint = "Give the folder that `pixelwise train` made (it holds config.yaml)."
        if not run.folder.exists():
            raise BadRun("a run folder", "nothing at this path", hint, folder)
        if not run.config_path.is_file():
            raise BadRun(
                "a run folder",
                "a folder without config.yaml" if run.folder.is_dir() else "a file",
                hint,
                folder,
            )
        return run

    @classmethod
    def create(cls, folder: Path, config: Config, records: Mapping[str, Any]) -> "Run":
        """Make a new run folder with its config and JSON records; config.yaml comes last and makes it a run.

        Raises
        ------
        OutputFailed
            The folder is taken or cannot be written.
        """
        run = cls(folder)
        run.check_free()
        run.begin(config, records)
        return run

    def begin(self, config: Config, records: Mapping[str, Any]) -> None:
        """Write the JSON records, then config.yaml, into a folder that may hold what was left of an earlier attempt."""
        for name, value in records.items():
            atomic_write_json(self.folder / f"{name}.json", value)
        atomic_write_json(self.folder / REASONS, reasons_to_json(config))
        save_config(self.config_path, config)

    def check_free(self) -> None:
        """Refuse a folder that holds anything, and one that cannot be written, before any work is done."""
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            hint = "Continue it with --resume, or choose another --out."
            raise OutputFailed("a new or empty folder for the run", "one that is already there", hint, self.folder)
        new = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".writable"
            probe.touch()
            probe.unlink()
            if new:
                self.folder.rmdir()  # if the data is refused next, nothing is left behind
        except OSError as error:
            raise write_error(self.folder, error) from error

    def how_to_go_on(self, data: Path | str) -> str:
        """Return the command that continues the training; `data` is the folder it learns from."""
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
        """Keep a second training out of the folder while this one runs; the lock dies with its process."""
        handle = (self.folder / ".lock").open("w")
        try:
            _lock(handle, self.folder)
            yield
        finally:
            handle.close()


def _lock(handle: Any, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks of this kind; two trainings at once are the user's care
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        hint = "Wait for it, or choose another --out."
        raise OutputFailed("a run that nobody is training", "one that is being trained now", hint, folder) from error
