"""Findings from the comparison of masks with their images and with one another."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np

from pixelwise.datasets.checks.agreement import Agreement, measure_agreement
from pixelwise.datasets.checks.alignment import STRONG_SET, WEAK, Alignment, find_misaligned
from pixelwise.datasets.checks.finding import LEAVE_OUT, Finding, Severity, Step
from pixelwise.datasets.checks.mask_contents import (
    MaskContent,
    find_constant,
    find_copied,
    find_empty,
    find_other_values,
    rare_classes,
)
from pixelwise.datasets.checks.outlines import change_by_outline, compare_outline
from pixelwise.datasets.checks.reduced import ReducedCase
from pixelwise.datasets.checks.steps import refine_shift
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.records import has_background
from pixelwise.parallel import one_blas_thread, parallel_map
from pixelwise.workflow.diagnosis.cases import ExaminedCase, labels_file, mask_path, read_case, relative, with_steps

_MIN_CASES = 4  # masks that a comparison needs
_UNFITTING = 0.25  # agreement of a mask that does not fit, as a fraction of the typical one
_KINDS_BY_SIZE = {"symmetry": "transposed mask", "resize": "rescaled mask"}
_BY_OUTLINE = ("none", "shift", "symmetry")  # changes that the outline of a mask decides in a weak set
_USUAL = 1.5  # agreement above which the outline of a mask is not looked at, as a fraction of the typical one
_STRONG = 0.5  # in a set where nine of ten masks agree at least so well


def compare_masks(
    dataset: Dataset, cases: Sequence[ExaminedCase], reduced: Sequence[ReducedCase], spoilt: Collection[str] = ()
) -> tuple[Agreement | None, list[Alignment]]:
    """Return the agreement of a set and the alignment of each mask; nothing for too few cases.

    `spoilt` are the names of cases whose images show next to nothing.
    """
    comparable = [examined.case.name not in spoilt for examined in cases]
    trusted = [fits and not examined.steps for fits, examined in zip(comparable, cases, strict=True)]
    if sum(trusted) < _MIN_CASES or not any(case.targets[-1].any() for case in reduced):
        return None, []
    with one_blas_thread():
        agreement = measure_agreement(reduced, trusted)
        alignments = find_misaligned(agreement, invertible=dataset.task == "binary", comparable=comparable)
    if WEAK <= agreement.typical < STRONG_SET and has_background(dataset.task, dataset.classes):
        looked_at = [
            index
            for index, (one, examined) in enumerate(zip(alignments, cases, strict=True))
            if comparable[index] and not examined.steps and one.change in _BY_OUTLINE and one.own <= _USUAL
        ]
        changed = parallel_map(lambda index: _compare_outline(dataset, cases[index], alignments[index]), looked_at)
        for index, one in zip(looked_at, changed, strict=True):
            alignments[index] = one
    return agreement, alignments


def _compare_outline(dataset: Dataset, examined: ExaminedCase, one: Alignment) -> Alignment:
    image, labels, _ = read_case(dataset, examined)
    return change_by_outline(one, compare_outline(image, labels))


def alignment_findings(
    dataset: Dataset, cases: Sequence[ExaminedCase], reduced: Sequence[ReducedCase], alignments: Sequence[Alignment]
) -> dict[int, Finding]:
    """Return the finding of each case whose mask does not lie on its image."""
    found: dict[int, Finding] = {}
    own = np.array([one.own for one in alignments])
    known = own[~np.isnan(own)]
    strong = len(known) > 0 and float(np.quantile(known, 0.1)) >= _STRONG
    for index, (examined, one) in enumerate(zip(cases, alignments, strict=True)):
        if one.change != "none":
            kind, steps = _change(dataset, cases, reduced, index, one)
            if examined.steps and kind not in ("flipped mask", "transposed mask"):
                continue  # its size says what is wrong, which leaves only its orientation open
            kind = _KINDS_BY_SIZE[examined.steps[0].action] if examined.steps else kind
            text = f"it agrees with its image at {one.own:.0%} of what is usual, and then at {one.best:.0%}"
            if one.outline:
                text = f"after that its outline follows edges of the image {one.outline:.1f} times as far as by chance"
            found[index] = _finding(dataset, examined, kind, text, one.confidence, with_steps(examined, *steps))
        elif strong and one.own < _UNFITTING:
            text = f"it agrees with its image at {one.own:.0%} of what is usual"
            found[index] = _finding(dataset, examined, "unfitting mask", text, 0.5, ())
    return found


def _change(
    dataset: Dataset, cases: Sequence[ExaminedCase], reduced: Sequence[ReducedCase], index: int, one: Alignment
) -> tuple[str, tuple[Step, ...]]:
    """Return the kind of a finding, and the steps that undo it."""
    if one.change == "exchange" and one.other is not None:
        return "exchanged mask", (Step(action="use mask of", other=labels_file(dataset.root, cases[one.other].case)),)
    if one.change == "symmetry" and one.symmetry is not None:
        kind = "transposed mask" if one.symmetry.quarters % 2 else "flipped mask"
        return kind, (Step(action="symmetry", symmetry=one.symmetry),)
    if one.change == "invert":
        background, foreground = dataset.labelling.values[:2]
        return "inverted mask", (
            Step(action="replace values", values=((background, foreground), (foreground, background))),
        )
    offset = one.offset
    if reduced[index].factor > 1:
        image, labels, _ = read_case(dataset, cases[index])
        offset = refine_shift(image, labels, offset, reduced[index].factor)
    return "shifted mask", (Step(action="shift", offset=offset),)


def content_findings(
    dataset: Dataset, cases: Sequence[ExaminedCase], contents: Sequence[MaskContent], agreement: Agreement | None
) -> dict[int, Finding]:
    """Return the finding of each case whose mask is empty, constant, copied or has other values."""
    found: dict[int, Finding] = {}
    usual = [index for index, examined in enumerate(cases) if not examined.steps]
    others = find_other_values([contents[index].values for index in usual])
    for position, value in (others[1] if others is not None else {}).items():
        index, text = usual[position], f"its foreground is {value}, in other masks {others[0] if others else 0}"
        steps = (Step(action="replace values", values=((value, others[0] if others else 0),)),)
        found[index] = _finding(dataset, cases[index], "other mask values", text, 0.95, steps)
    own = agreement.own if agreement is not None and agreement.typical > 0 else None
    for index, members in find_copied(contents, own):
        text = f"the same mask as that of {', '.join(cases[i].case.name for i in members if i != index)}"
        fits = own is None or agreement is None or own[index] > agreement.typical / 2
        level: Severity = "soft" if fits else "hard"
        found[index] = _finding(dataset, cases[index], "copied mask", text, 0.9, LEAVE_OUT, level)
    background = has_background(dataset.task, dataset.classes)
    for index in find_constant(contents, background=background):
        only = contents[index].only
        text = "every pixel is ignored" if only is None else f"every pixel is {dataset.classes[only]}"
        found[index] = _finding(dataset, cases[index], "constant mask", text, 0.9, LEAVE_OUT)
    if background:
        for index, certain, amount in find_empty(contents, agreement):
            kind = "empty mask" if certain else "small mask"
            text = f"the image shows {amount:.0%} of the usual contrast between classes"
            found[index] = _finding(dataset, cases[index], kind, text, 0.9, LEAVE_OUT if certain else ())
    return found


def two_masks(dataset: Dataset, cases: Sequence[ExaminedCase], contents: Sequence[MaskContent]) -> list[Finding]:
    """Return equal images with different masks, with the agreement of the two observers as Dice of the foreground."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(contents):
        same[content.image_digest].append(index)
    found: list[Finding] = []
    for one, other in (pair for members in same.values() for pair in combinations(members[:5], 2)):
        if contents[one].digest == contents[other].digest:
            continue
        first, second = (read_case(dataset, cases[index])[1] for index in (one, other))
        both = float(((first == second) & (first > 0)).sum())
        if dataset.task == "instance":
            both = float(((first > 0) & (second > 0)).sum())
        total = float((first > 0).sum() + (second > 0).sum())
        text = f"the same image as {cases[other].case.name}; Dice of the two masks {2 * both / max(total, 1):.3f}"
        files = tuple(relative(dataset.root, cases[index].case.image) for index in (one, other))
        found.append(Finding(kind="two masks", files=files, text=text, case=cases[one].case.name))
    return found


def class_findings(dataset: Dataset, contents: Sequence[MaskContent]) -> list[Finding]:
    """Return classes with very few pixels."""
    rare = rare_classes(contents, dataset.classes) if contents and dataset.task != "instance" else []
    return [
        Finding(kind="class imbalance", files=(), text=f"class {name} has {share:.2%} of the pixels")
        for name, share in rare
    ]


def _finding(
    dataset: Dataset,
    examined: ExaminedCase,
    kind: str,
    text: str,
    confidence: float,
    steps: tuple[Step, ...],
    level: Severity | None = None,
) -> Finding:
    mask = mask_path(examined.case)
    paths = (examined.case.image,) if mask is None else (mask, examined.case.image)
    return Finding(
        kind=kind,
        files=tuple(relative(dataset.root, path) for path in paths),
        text=text,
        confidence=confidence,
        steps=steps,
        case=examined.case.name,
        level=level,
    )
