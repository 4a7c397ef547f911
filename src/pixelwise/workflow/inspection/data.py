"""Inspection of a data folder: detected task and classes, splits, problems, contact sheet."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset
from pixelwise.datasets.observing import CaseObserver, ObservedCase, Observer
from pixelwise.datasets.problem_report import problem_hints
from pixelwise.datasets.problems import Problem
from pixelwise.errors import OutputFailed
from pixelwise.progress import Progress
from pixelwise.sampling.fingerprint import CaseStatistics, Fingerprint, observe_case
from pixelwise.sampling.image_fingerprint import ClassificationFingerprint, observe_image
from pixelwise.sampling.image_statistics import ImageStatistics, row_step
from pixelwise.text import pluralise

PROBLEMS_SHOWN = 20


@runtime_checkable
class InspectionTask(Protocol):
    """What an inspection needs of a task; see `tasks.task.Task`."""

    def measure(
        self, dataset: Dataset, progress: Progress, seconds: float | None = None, observer: Observer | None = None
    ) -> Any:
        """Return the fingerprint of the training cases."""
        ...

    def describe_data(self, dataset: Dataset, fingerprint: Any) -> list[str]:
        """Return lines about the classes of a data folder."""
        ...

    def count_data(self, dataset: Dataset) -> dict[str, Any]:
        """Return more entries for the JSON object of an inspected data folder."""
        ...

    def draw_sheet(self, path: Path, dataset: Dataset) -> None:
        """Write the contact sheet of a data folder as PNG."""
        ...


@dataclass(frozen=True)
class InspectedData:
    """A data folder as `train` reads it; `classes` are lines about them, `counts` more entries for `to_json`."""

    dataset: Dataset
    fingerprint: Fingerprint | ClassificationFingerprint | None
    sheet: Path | None
    classes: tuple[str, ...]
    counts: dict[str, Any]

    @property
    def usable(self) -> bool:
        """Whether the folder has no fatal problem."""
        return not any(problem.fatal for problem in self.dataset.problems)

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        labelling = self.dataset.labelling
        return {
            "kind": "data",
            "task": labelling.task,
            "classes": list(labelling.classes),
            "values": list(labelling.values),
            "ignore_index": labelling.ignore_value,
            "channels": self.dataset.channels,
            "dimensions": self.dataset.spatial_dims,
            "cases": {part: len(self.dataset.splits[part]) for part in ("train", "val", "test")},
            "messages": list(self.dataset.messages),
            "problems": [
                {"file": p.file, "kind": p.kind, "text": p.text, "fatal": p.fatal, "left_out": p.left_out}
                for p in self.dataset.problems
            ],
            "fingerprint": asdict(self.fingerprint) if self.fingerprint else None,
            "contact_sheet": str(self.sheet) if self.sheet else None,
        } | self.counts

    def to_text(self) -> str:
        """Return the summary that the command prints."""
        labelling, lines = self.dataset.labelling, list(self.dataset.messages)
        counts = ", ".join(f"{len(self.dataset.splits[p])} {p}" for p in ("train", "val", "test"))
        lines += ["", f"Cases: {counts}. Task: {labelling.task}. Channels: {self.dataset.channels}."]
        lines += self.classes
        problems = self.dataset.problems
        stops = "problem that stops a training", "problems that stop a training"
        left_out = "problem whose files are skipped", "problems whose files are skipped"
        lines += _list_problems(*stops, [p for p in problems if p.fatal])
        lines += [f"  {line}" for line in problem_hints(self.dataset)]
        lines += _list_problems(*left_out, [p for p in problems if p.left_out])
        lines += _list_problems("warning", "warnings", [p for p in problems if not p.fatal and not p.left_out])
        if self.sheet:
            lines += ["", f"Contact sheet: {self.sheet}"]
        return "\n".join(lines)


def _list_problems(singular: str, plural: str, problems: Sequence[Problem]) -> list[str]:
    """Return a line with the number of problems, and a line for each of the first ones."""
    if not problems:
        return []
    lines = ["", f"{pluralise(len(problems), singular, plural)}:"]
    lines += [f"  {p.file}{': ' if p.file else ''}{p.kind}, {p.text}" for p in problems[:PROBLEMS_SHOWN]]
    if len(problems) > PROBLEMS_SHOWN:
        lines.append(f"  ... and {len(problems) - PROBLEMS_SHOWN} more (--json lists all).")
    return lines


def inspect_data(
    root: Path,
    options: DataOptions,
    out: Path | str | None,
    task_of: Callable[[Dataset], InspectionTask],
    progress: Progress,
) -> InspectedData:
    """Check a data folder, measure its fingerprint and draw its contact sheet; see `inspect`."""
    sheet = _sheet_path(root, out)
    observer = CaseObserver(_observe)
    dataset = scan_dataset(root, options, 0, progress, observer)
    train = dataset.splits["train"]
    task = task_of(dataset)
    usable = bool(train) and not any(problem.fatal for problem in dataset.problems)
    fingerprint = None
    if usable:
        with ThreadPoolExecutor(1) as pool:  # drawing and measuring use different cores
            drawn = pool.submit(task.draw_sheet, sheet, dataset) if sheet is not None else None
            fingerprint = task.measure(dataset, progress, observer=observer)
            if drawn is not None:
                drawn.result()
    step = row_step(observer.total)
    if isinstance(fingerprint, Fingerprint) and dataset.spatial_dims == 2 and step > 1:
        text = f"Means and standard deviations of intensities are those of one row in {step}, as there are many images."
        dataset = replace(dataset, messages=(*dataset.messages, text))
    classes = tuple(task.describe_data(dataset, fingerprint))
    return InspectedData(dataset, fingerprint, sheet if usable else None, classes, task.count_data(dataset))


def _observe(case: ObservedCase) -> CaseStatistics | ImageStatistics:
    """Measure a case while it is decoded."""
    return observe_case(case) if case.labelled else observe_image(case.image)


def _sheet_path(root: Path, out: Path | str | None) -> Path | None:
    """Return the path of the contact sheet; None if it would be inside the data folder by default."""
    sheet = Path(out) if out is not None else Path(f"inspect-{root.resolve().name}.png")
    if not sheet.resolve().is_relative_to(root.resolve()):
        return sheet
    if out is None:
        return None
    raise OutputFailed("a path outside the data folder", "one inside it", "Choose another --out.", sheet)
