"""Examine a data set: every check in one pass."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixelwise.datasets.checks.alignment import WEAK
from pixelwise.datasets.checks.finding import KINDS, LEAVE_OUT, Finding
from pixelwise.datasets.checks.image_quality import judge_quality
from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.observing import CaseObserver
from pixelwise.errors import PixelwiseError
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.annotation_errors.result import AnnotationErrors
from pixelwise.workflow.diagnosis.cases import (
    ExaminedCase,
    Measures,
    mask_path,
    measure_cases,
    observe_case,
    relative,
    with_one_foreground,
)
from pixelwise.workflow.diagnosis.folder_findings import FolderFindings, folder_findings, wrong_endings
from pixelwise.workflow.diagnosis.mask_findings import (
    alignment_findings,
    class_findings,
    compare_masks,
    content_findings,
    two_masks,
)
from pixelwise.workflow.diagnosis.volumes import examine_volumes

SHOWN = 40  # findings that the text lists
# a spoilt image fits no mask, and any mask may seem to fit it better
_BY_COMPARISON = (
    "exchanged mask", "shifted mask", "flipped mask", "transposed mask", "inverted mask", "unfitting mask",
    "empty mask",
)  # fmt: skip
FINDINGS = 6  # exit code: hard faults remain


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What the checks found.

    Attributes
    ----------
    dataset : Dataset
        Without the files that cannot be used.
    findings : tuple of Finding
        Hard ones first.
    messages : tuple of str
        How the folder was read, and what could not be checked.
    pairs : tuple of Pair
        All pairs of image and annotation, also those that cannot be used.
    fixed : Path or None
        The corrected copy.
    page : Path or None
        The HTML page.
    annotation_errors : AnnotationErrors or None
        The ranking of likely annotation errors, with a run.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    messages: tuple[str, ...]
    pairs: tuple[Pair, ...] = ()
    fixed: Path | None = None
    page: Path | None = None
    annotation_errors: AnnotationErrors | None = None

    @property
    def hard(self) -> tuple[Finding, ...]:
        """The findings that make training or scores wrong."""
        return tuple(finding for finding in self.findings if finding.severity == "hard")

    @property
    def exit_code(self) -> int:
        """0 without hard faults or if all were fixed, else 6."""
        return FINDINGS if any(self.fixed is None or not finding.fixable for finding in self.hard) else 0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object."""
        kinds = Counter(finding.kind for finding in self.findings)
        return {
            "data": str(self.dataset.root),
            "task": self.dataset.task,
            "cases": {part: len(self.dataset.splits[part]) for part in ("train", "val", "test")},
            "counts": dict(kinds),
            "hard": len(self.hard),
            "findings": [finding.to_json() for finding in self.findings],
            "messages": list(self.messages),
            "fixed": str(self.fixed) if self.fixed else None,
            "page": str(self.page) if self.page else None,
            "annotation_errors": self.annotation_errors.to_json() if self.annotation_errors else None,
        }

    def to_text(self) -> str:
        """Return the summary that the command prints."""
        lines = [*self.messages, ""] if self.messages else []
        errors = ["", self.annotation_errors.to_text()] if self.annotation_errors else []
        if not self.findings:
            return "\n".join([*lines, "No faults were found.", *errors])
        soft = len(self.findings) - len(self.hard)
        lines.append(f"{pluralise(len(self.hard), 'hard fault')}, {pluralise(soft, 'warning')}:")
        for finding in self.findings[:SHOWN]:
            where = finding.files[0] if finding.files else "the whole set"
            fix = f" Fix: {finding.fix}." if finding.fix else ""
            lines.append(f"  {where}: {finding.kind} ({finding.confidence:.0%}), {finding.text}.{fix}")
        if len(self.findings) > SHOWN:
            lines.append(f"  ... and {len(self.findings) - SHOWN} more (--json or --html lists all).")
        if self.page:
            lines.append(f"Page: {self.page}")
        if self.fixed:
            lines.append(f"Corrected copy: {self.fixed} (every change is in {self.fixed / 'changes.json'}).")
        elif any(finding.fixable for finding in self.findings):
            lines.append("--fix OUT writes a corrected copy; the data folder is not changed.")
        return "\n".join([*lines, *errors])


def diagnose(
    root: Path, options: DataOptions, progress: Progress, observer: CaseObserver[Measures] | None = None
) -> Diagnosis:
    """Examine a data set.

    Parameters
    ----------
    root : Path
        The folder; it is never written to.
    options : DataOptions
        As for a training; `skip_bad` is implied.
    observer : CaseObserver, optional
        Who reads the files, and measures them with `observe_case`.

    Raises
    ------
    BadDataset
        No readable pair of image and mask, and no class folders.
    """
    observer = observer or CaseObserver(observe_case, with_one_foreground)
    dataset = with_one_foreground(scan_dataset(root, replace(options, skip_bad=True), 0, progress, observer))
    pairs = observer.pairs
    if dataset.spatial_dims == 3:
        return _diagnosis(dataset, pairs, *examine_volumes(dataset, pairs, progress))
    folder = folder_findings(dataset, pairs)
    cases = [ExaminedCase(case=case) for case in dataset.cases if case.labelled]
    usable = len(cases)
    cases += folder.repairable
    results = measure_cases(dataset, cases, progress, observer)
    readable = [(case, result) for case, result in zip(cases, results, strict=True) if isinstance(result, Measures)]
    examined, measures = [case for case, _ in readable], [measured for _, measured in readable]
    findings, messages = _unreadable(dataset, cases[:usable], results), list[str]()
    images = _image_findings(dataset, examined, measures)
    if dataset.task != "classification":
        spoilt = {one.case for one in images if one.kind in ("blank image", "saturated image")}
        found, messages = _mask_findings(dataset, examined, measures, spoilt)
        findings += [one for one in found if one.case not in spoilt or one.kind not in _BY_COMPARISON]
    findings += [*_without_repeats(folder, findings), *images]
    findings += wrong_endings(root, _files(examined, pairs))
    return _diagnosis(dataset, pairs, findings, messages)


def _diagnosis(
    dataset: Dataset, pairs: tuple[Pair, ...], findings: Sequence[Finding], messages: Sequence[str]
) -> Diagnosis:
    """Return a diagnosis with its findings in order."""
    order = {kind: position for position, kind in enumerate(KINDS)}
    ordered = sorted(findings, key=lambda one: (one.severity != "hard", order[one.kind], one.files))
    return Diagnosis(dataset=dataset, findings=tuple(ordered), messages=(*dataset.messages, *messages), pairs=pairs)


def _unreadable(
    dataset: Dataset, cases: Sequence[ExaminedCase], results: Sequence[Measures | PixelwiseError]
) -> list[Finding]:
    """Return a finding for each usable case that could not be measured."""
    return [
        Finding(
            kind="unreadable file",
            files=(relative(dataset.root, examined.case.image),),
            text=str(result),
            case=examined.case.name,
            steps=LEAVE_OUT,
        )
        for examined, result in zip(cases, results, strict=False)
        if isinstance(result, PixelwiseError)
    ]


def _mask_findings(
    dataset: Dataset, cases: Sequence[ExaminedCase], measures: Sequence[Measures], spoilt: Collection[str]
) -> tuple[list[Finding], list[str]]:
    """Return the findings on masks, one per case: what a mask contains comes before where it lies."""
    contents = [one.content for one in measures if one.content is not None]
    reduced = [one.reduced for one in measures if one.reduced is not None]
    agreement, alignments = compare_masks(dataset, cases, reduced, spoilt)
    by_case = content_findings(dataset, cases, contents, agreement)
    messages: list[str] = []
    if agreement is None:
        messages.append("Too few masks to compare them with their images.")
    else:
        misaligned = alignment_findings(dataset, cases, reduced, alignments)
        by_case = _merge(misaligned, by_case)
        weak = " Too weak to find shifted, flipped or exchanged masks." if agreement.typical < WEAK else ""
        messages.append(f"Typical agreement of masks and images: {agreement.typical:.2f} (0: none, 1: perfect).{weak}")
    return [*by_case.values(), *two_masks(dataset, cases, contents), *class_findings(dataset, contents)], messages


def _merge(misaligned: dict[int, Finding], contents: dict[int, Finding]) -> dict[int, Finding]:
    """Return one finding per case: of two, the hard one, else that on the contents."""
    merged = dict(misaligned)
    for index, finding in contents.items():
        other = merged.get(index)
        if other is None or other.severity == "soft" or finding.severity == "hard":
            merged[index] = finding
    return merged


def _without_repeats(folder: FolderFindings, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings of the folder; that of a mask of another size gives way to a more exact one."""
    exact = {finding.case for finding in found if finding.severity == "hard" and finding.steps}
    repairable = {examined.case.name for examined in folder.repairable}
    return [one for one in folder.findings if not (one.case and one.case in exact & repairable)]


def _image_findings(dataset: Dataset, cases: Sequence[ExaminedCase], measures: Sequence[Measures]) -> list[Finding]:
    return [
        Finding(
            kind=kind,
            files=(relative(dataset.root, cases[index].case.image),),
            text=text,
            confidence=confidence,
            case=cases[index].case.name,
        )
        for index, kind, text, confidence in judge_quality([one.quality for one in measures])
    ]


def _files(cases: Sequence[ExaminedCase], pairs: Sequence[Pair]) -> list[Path]:
    """Return the image and mask files, each once."""
    images = [*(examined.case.image for examined in cases), *(pair.image for pair in pairs)]
    masks = [mask_path(item) for item in (*(examined.case for examined in cases), *pairs)]
    return list(dict.fromkeys([*images, *(path for path in masks if path is not None)]))
