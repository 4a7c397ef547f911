"""Examine volumes: what their masks contain, on which grids they lie, and whether they lie on their images.

Along each axis the plane with most foreground is taken of every volume. The planes of one axis are compared like the
images of a set (`datasets.checks.agreement`); a mask is misplaced if that is clear in the planes of one axis and it
agrees badly over all three. What puts it right is in `volume_fixes`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pixelwise.datasets.checks.alignment import WEAK, Alignment
from pixelwise.datasets.checks.finding import LEAVE_OUT, Finding, Step
from pixelwise.datasets.checks.image_quality import ImageQuality, judge_quality, measure_quality
from pixelwise.datasets.checks.mask_contents import MaskContent
from pixelwise.datasets.checks.reduced import ReducedCase, common_side, reduce_case
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.scan import digest
from pixelwise.errors import BadImage, PixelwiseError
from pixelwise.geometry.grid import Grid, describe_spacing
from pixelwise.geometry.symmetries import Symmetry
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.workflow.diagnosis.cases import ExaminedCase, class_count, mask_path, read_case, relative
from pixelwise.workflow.diagnosis.folder_findings import folder_findings, wrong_endings
from pixelwise.workflow.diagnosis.mask_findings import class_findings, content_findings, two_masks
from pixelwise.workflow.diagnosis.volume_fixes import (
    AXES,
    FITS,
    FITS_RESAMPLED,
    PlaneComparison,
    Planes,
    Repair,
    best_change,
    compare_planes,
    confirmed_steps,
    find_repairs,
    mean_agreement,
    step_of,
)
from pixelwise.workflow.planes import choose_planes

_UNFITTING = 0.25  # mean agreement over the axes, as a fraction of what is usual
_STRONG = 0.5  # in a set where nine of ten masks agree at least so well
_SPACING = 1.5  # ratio to the usual size of a voxel, along any axis
_SPOILT = ("blank image", "saturated image")
_REPAIRED = ("geometry mismatch", "unusable file")  # without a fix; a mask on another grid may have one


@dataclass(frozen=True, kw_only=True, eq=False)
class VolumeMeasures:
    """What is measured of one volume; `planes` are those across depth, height and width."""

    quality: ImageQuality
    content: MaskContent
    planes: tuple[ReducedCase, ...]
    grid: Grid | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Measured:
    """The volumes that can be compared; after the first `own` come those whose masks lie on other grids."""

    cases: Sequence[ExaminedCase]
    measures: Sequence[VolumeMeasures]
    own: int

    @property
    def planes(self) -> list[Planes]:
        """The planes of each volume."""
        return [one.planes for one in self.measures]


def examine_volumes(dataset: Dataset, pairs: Sequence[Pair], progress: Progress) -> tuple[list[Finding], list[str]]:
    """Return the findings on a data set of volumes with their fixes, and messages.

    Parameters
    ----------
    dataset : Dataset
        Read with `skip_bad`.
    pairs : sequence of Pair
        All pairs of the folder, also those that were left out.
    """
    labelled = [ExaminedCase(case=case) for case in dataset.cases if case.labelled]
    repairs, exchanged = find_repairs(dataset, pairs)
    cases = [*labelled, *(one.examined for one in repairs)]

    def measure(examined: ExaminedCase) -> VolumeMeasures | PixelwiseError:
        try:
            return _measure(dataset, examined, len(labelled))
        except PixelwiseError as error:
            return error

    results = list(progress.track(parallel_map(measure, cases), "Comparing volumes and masks", len(cases)))
    pairs_of_results = list(zip(cases, results, strict=True))
    readable = [(case, result) for case, result in pairs_of_results if isinstance(result, VolumeMeasures)]
    measured = _Measured(
        cases=[case for case, _ in readable],
        measures=[result for _, result in readable],
        own=sum(not case.steps for case, _ in readable),
    )
    examined, measures = measured.cases[: measured.own], measured.measures[: measured.own]
    findings = [
        replace(_finding(dataset, case, "unreadable file", str(result), 1.0), steps=LEAVE_OUT)
        for case, result in pairs_of_results[: len(labelled)]
        if isinstance(result, PixelwiseError)
    ]
    images = [
        _finding(dataset, examined[index], kind, text, confidence)
        for index, kind, text, confidence in judge_quality([one.quality for one in measures])
    ]
    spoilt = [one.case for one in images if one.kind in _SPOILT]
    comparisons = compare_planes(dataset, measured.cases, measured.planes, spoilt)
    masks, messages = _mask_findings(dataset, measured, comparisons, spoilt, measure)
    repaired = [*exchanged, *_repaired(dataset, repairs, measured, comparisons)]
    fixed = {name for one in repaired for name in one.files}
    findings += [
        one
        for one in folder_findings(dataset, pairs).findings
        if one.kind not in _REPAIRED or not fixed.intersection(one.files)
    ]
    findings += [*repaired, *masks, *images, *_spacing_findings(dataset, examined, [one.grid for one in measures])]
    return findings + wrong_endings(dataset.root, _files(examined)), messages


def _measure(dataset: Dataset, examined: ExaminedCase, total: int) -> VolumeMeasures:
    image, labels, ignored = read_case(dataset, examined)
    if labels.shape != image.shape[1:]:
        raise BadImage("labels of the size of their volume", "another size", "Export them again.", examined.case.image)
    classes, at = class_count(dataset), choose_planes(labels, None).at
    foreground = np.minimum(labels, 1) if dataset.task == "instance" else labels
    known = foreground[~ignored] if ignored.any() else foreground.ravel()
    side = common_side(len(AXES) * total, dataset.channels, classes)
    planes = [
        (image.take(index, axis + 1), labels.take(index, axis), ignored.take(index, axis))
        for axis, index in enumerate(at)
    ]
    return VolumeMeasures(
        quality=measure_quality(planes[0][0]),
        content=MaskContent(
            digest=digest(labels),
            image_digest=digest(image),
            counts=tuple(np.bincount(known, minlength=classes).tolist()),
            values=examined.case.label_set,
        ),
        planes=tuple(reduce_case(pixels, mask, classes, unknown, side) for pixels, mask, unknown in planes),
        grid=dataset.read_grid(examined.case),
    )


def _mask_findings(
    dataset: Dataset,
    measured: _Measured,
    comparisons: Sequence[PlaneComparison],
    spoilt: Sequence[str],
    measure: Callable[[ExaminedCase], VolumeMeasures | PixelwiseError],
) -> tuple[list[Finding], list[str]]:
    """Return the findings on masks, one per case: what a mask contains comes before where it lies."""
    cases, contents = measured.cases[: measured.own], [one.content for one in measured.measures[: measured.own]]
    best = max(comparisons, key=lambda one: one.agreement.typical, default=None)
    found = content_findings(dataset, cases, contents, None if best is None else best.agreement)
    found = {index: one for index, one in found.items() if one.kind != "empty mask" or one.case not in spoilt}
    misplaced = {
        index: one for index, one in _misplaced(dataset, measured, comparisons, spoilt).items() if index not in found
    }

    def planes_of(examined: ExaminedCase) -> Planes | None:
        result = measure(examined)
        return result.planes if isinstance(result, VolumeMeasures) else None

    proposals = {index: one.steps for index, one in misplaced.items() if one.steps}
    confirmed = confirmed_steps(dataset, measured.cases, measured.planes, proposals, planes_of, spoilt)
    misplaced = {index: replace(one, steps=confirmed.get(index, ())) for index, one in misplaced.items()}
    others = [*two_masks(dataset, cases, contents), *class_findings(dataset, contents)]
    masks = [*misplaced.values(), *found.values(), *others]
    if not comparisons:
        return masks, ["Too few masks, or too small volumes, to compare masks with their images."]
    shown = ", ".join(f"{one.agreement.typical:.2f} across {AXES[one.axis]}" for one in comparisons)
    weak = "" if any(one.agreement.typical >= WEAK for one in comparisons) else " Too weak to find misplaced masks."
    return masks, [f"Typical agreement of masks and volumes in planes: {shown} (1: perfect).{weak}"]


def _misplaced(
    dataset: Dataset, measured: _Measured, comparisons: Sequence[PlaneComparison], spoilt: Sequence[str]
) -> dict[int, Finding]:
    """Return the finding of each case whose mask does not lie on its volume, with steps that may put it right."""
    found: dict[int, Finding] = {}
    own = [mean_agreement(comparisons, index) for index in range(measured.own)]
    known = [value for value in own if value is not None]
    strong = bool(known) and float(np.quantile(known, 0.1)) >= _STRONG
    for index, agreed in enumerate(own):
        examined = measured.cases[index]
        if agreed is None or agreed > FITS or examined.case.name in spoilt:
            continue
        best = best_change(comparisons, index)
        text = f"it agrees with its volume at {agreed:.0%} of what is usual"
        if best is not None:
            change, axis = best
            kind, how = _describe(change, axis, measured.cases)
            text += f", and in planes across {AXES[axis]} at {change.best:.0%} after {how}"
            steps = step_of(dataset, measured.cases, measured.planes, index, change, axis)
            found[index] = _finding(dataset, examined, kind, text, change.confidence, steps)
        elif strong and agreed < _UNFITTING:
            found[index] = _finding(dataset, examined, "unfitting mask", text, 0.5)
    return found


def _repaired(
    dataset: Dataset, repairs: Sequence[Repair], measured: _Measured, comparisons: Sequence[PlaneComparison]
) -> list[Finding]:
    """Return a finding for each mask on another grid that agrees with its volume after a step: the best one."""
    best: dict[str, tuple[float, Repair]] = {}
    for one in repairs:
        index = next((i for i, case in enumerate(measured.cases) if case is one.examined), None)
        agreed = None if index is None else mean_agreement(comparisons, index)
        least = FITS_RESAMPLED if one.examined.steps[0].action == "resample" else FITS
        if agreed is not None and agreed > max(least, best.get(one.examined.case.name, (0.0, one))[0]):
            best[one.examined.case.name] = agreed, one
    return [
        _finding(
            dataset,
            one.examined,
            one.kind,
            f"{one.text}; after the change it agrees with its volume at {agreed:.0%} of what is usual",
            0.9,
            one.examined.steps,
        )
        for agreed, one in best.values()
    ]


def _describe(change: Alignment, axis: int, cases: Sequence[ExaminedCase]) -> tuple[str, str]:
    """Return the kind of a finding, and what was done to the plane of the mask."""
    rows, columns = (name for name in AXES if name != AXES[axis])
    if change.change == "exchange" and change.other is not None:
        return "exchanged mask", f"taking the mask of {cases[change.other].case.name}"
    if change.change == "symmetry" and change.symmetry is not None:
        return _describe_symmetry(change.symmetry, rows, columns)
    if change.change == "invert":
        return "inverted mask", "exchanging background and foreground"
    return "shifted mask", f"moving it by {change.offset[0]} voxels along {rows} and {change.offset[1]} along {columns}"


def _describe_symmetry(symmetry: Symmetry, rows: str, columns: str) -> tuple[str, str]:
    if symmetry.quarters % 2:
        return "transposed mask", f"exchanging {rows} and {columns}"
    flipped = {(0, True): columns, (2, True): rows}.get((symmetry.quarters, symmetry.mirrored), f"{rows} and {columns}")
    return "flipped mask", f"flipping it along {flipped}"


def _spacing_findings(dataset: Dataset, cases: Sequence[ExaminedCase], grids: Sequence[Grid | None]) -> list[Finding]:
    """Return the volumes whose voxels have another size than is usual, or none among those that state it."""
    sizes = [None if grid is None else grid.millimetres for grid in grids]
    known = np.array([size for size in sizes if size is not None])
    if not len(known):
        return []
    usual = np.median(known, axis=0)
    found: list[Finding] = []
    for examined, size in zip(cases, sizes, strict=True):
        ratio = np.ones(1) if size is None else np.array(size) / usual
        if size is not None and max(ratio.max(), 1 / ratio.min()) <= _SPACING:
            continue
        stated = "no size of a voxel" if size is None else f"voxels of {describe_spacing(size)} mm"
        text = f"{stated}, usually {describe_spacing(usual.tolist())} mm"
        found.append(_finding(dataset, examined, "mixed spacing", text, 0.9))
    return found


def _finding(
    dataset: Dataset, examined: ExaminedCase, kind: str, text: str, confidence: float, steps: tuple[Step, ...] = ()
) -> Finding:
    mask = mask_path(examined.case)
    with_mask = mask is not None and (steps or kind.endswith("mask"))
    paths = (mask, examined.case.image) if mask is not None and with_mask else (examined.case.image,)
    files = tuple(relative(dataset.root, path) for path in paths)
    return Finding(kind=kind, files=files, text=text, confidence=confidence, case=examined.case.name, steps=steps)


def _files(cases: Sequence[ExaminedCase]) -> list[Path]:
    """Return the files of images and masks, each once; folders have no ending that says what they are."""
    paths = [path for examined in cases for path in (examined.case.image, mask_path(examined.case))]
    return [path for path in dict.fromkeys(paths) if path is not None and path.is_file()]
