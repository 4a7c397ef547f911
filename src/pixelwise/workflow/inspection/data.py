"""Inspection of a data folder: detected task and classes, splits, problems, contact sheet."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset
from pixelwise.datasets.problem_report import problem_hints
from pixelwise.datasets.problems import Problem
from pixelwise.errors import OutputFailed
from pixelwise.progress import Progress
from pixelwise.sampling.fingerprint import Fingerprint, measure_fingerprint
from pixelwise.sampling.image_fingerprint import ClassificationFingerprint, measure_classification
from pixelwise.text import pluralise
from pixelwise.workflow.inspection.classes import count_by_class, describe_classes
from pixelwise.workflow.inspection.contact_sheet import draw_contact_sheet
from pixelwise.workflow.inspection.photo_sheet import draw_class_sheet

PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class InspectedData:
    """A data folder as `train` reads it."""

    dataset: Dataset
    fingerprint: Fingerprint | ClassificationFingerprint | None
    sheet: Path | None

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
            "cases": {part: len(self.dataset.part(part)) for part in ("train", "val", "test")},
            "messages": list(self.dataset.messages),
            "problems": [
                {"file": p.file, "kind": p.kind, "text": p.text, "fatal": p.fatal, "left_out": p.left_out}
                for p in self.dataset.problems
            ],
            "fingerprint": asdict(self.fingerprint) if self.fingerprint else None,
            "contact_sheet": str(self.sheet) if self.sheet else None,
        } | ({"class_cases": count_by_class(self.dataset)} if labelling.task == "classification" else {})

    def to_text(self) -> str:
        """Return the summary that the command prints."""
        labelling, lines = self.dataset.labelling, list(self.dataset.messages)
        counts = ", ".join(f"{len(self.dataset.part(p))} {p}" for p in ("train", "val", "test"))
        lines += ["", f"Cases: {counts}. Task: {labelling.task}. Channels: {self.dataset.channels}."]
        if isinstance(self.fingerprint, Fingerprint):
            shares = zip(labelling.classes, self.fingerprint.class_shares, strict=False)
            lines += [f"  {share:7.2%}  {name}" for name, share in shares]
        if labelling.task == "classification":
            lines += describe_classes(self.dataset, self.fingerprint)
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


def inspect_data(root: Path, options: DataOptions, out: Path | str | None, progress: Progress) -> InspectedData:
    """Check a data folder, measure its fingerprint and draw its contact sheet; see `inspect`."""
    sheet = _sheet_path(root, out)
    dataset = scan_dataset(root, options, 0, progress)
    train = dataset.part("train")
    if any(problem.fatal for problem in dataset.problems) or not train:
        return InspectedData(dataset, None, None)
    classification = dataset.labelling.task == "classification"
    fingerprint = (
        measure_classification(dataset, progress) if classification else measure_fingerprint(dataset, progress)
    )
    if sheet is not None:
        (draw_class_sheet if classification else draw_contact_sheet)(sheet, dataset)
    return InspectedData(dataset, fingerprint, sheet)


def _sheet_path(root: Path, out: Path | str | None) -> Path | None:
    """Return the path of the contact sheet; None if it would be inside the data folder by default."""
    sheet = Path(out) if out is not None else Path(f"inspect-{root.resolve().name}.png")
    if not sheet.resolve().is_relative_to(root.resolve()):
        return sheet
    if out is None:
        return None
    raise OutputFailed("a path outside the data folder", "one inside it", "Choose another --out.", sheet)
