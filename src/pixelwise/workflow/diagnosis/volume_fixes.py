"""What puts the mask of a volume right: found from the grids of files, or in planes, and confirmed by comparing again.

A change that is found in the planes across one axis is made in three dimensions, and the planes of the changed mask
are compared with those of the set again. Only a mask that then agrees as the others do is fixed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pixelwise.datasets.checks.agreement import Agreement
from pixelwise.datasets.checks.alignment import WEAK, Alignment
from pixelwise.datasets.checks.finding import Finding, Step
from pixelwise.datasets.checks.reduced import ReducedCase
from pixelwise.datasets.checks.volume_steps import (
    refine_volume_shift,
    resample_step,
    step_in_planes,
    steps_to_stored_order,
)
from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.folder_layout import Pair
from pixelwise.errors import PixelwiseError
from pixelwise.geometry.grid import Grid
from pixelwise.io.read import probe, volume_format
from pixelwise.io.volumes.read import read_volume_header
from pixelwise.io.volumes.volume import VolumeHeader
from pixelwise.workflow.diagnosis.cases import ExaminedCase, labels_file, mask_path, pair_case, read_case, relative
from pixelwise.workflow.diagnosis.mask_findings import compare_masks

AXES = ("depth", "height", "width")
FITS = 0.7  # mean agreement over the axes above which a mask is not suspicious, as a fraction of what is usual
FITS_RESAMPLED = 0.4  # of one that was on a coarser grid, whose outlines are rough, and whose header says where it lies
_ROUNDS = 3  # a shift along three axes is seen in the planes of two of them at a time
_LEAST_SIDE = 16  # voxels of a plane: in fewer, any mask fits by chance

Planes = Sequence[ReducedCase]
"""The planes of one volume across depth, height and width."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaneComparison:
    """The agreement in the planes across one axis, and the alignment of each case."""

    axis: int
    agreement: Agreement
    alignments: Sequence[Alignment]


@dataclass(frozen=True, kw_only=True)
class Repair:
    """A pair that was left out for its grid, with steps after which the mask may fit; `kind` is that of the fault."""

    examined: ExaminedCase
    kind: str
    text: str


class _Files(NamedTuple):
    """Image and mask of a pair: sizes and grids as they are read, and the headers of formats that have a place."""

    pair: Pair
    sizes: tuple[tuple[int, ...], tuple[int, ...]]
    grids: tuple[Grid, Grid]
    headers: tuple[VolumeHeader | None, VolumeHeader | None]

    def fits(self, image: "_Files") -> bool:
        """Return whether the mask lies on the grid of an image."""
        size, grid = image.sizes[0], image.grids[0]
        return self.sizes[1] == size and not grid.difference(self.grids[1], size)


def compare_planes(
    dataset: Dataset, cases: Sequence[ExaminedCase], planes: Sequence[Planes], spoilt: Sequence[str] = ()
) -> list[PlaneComparison]:
    """Return the comparison across each axis; none across axes whose planes are too small, or for too few cases."""
    found: list[PlaneComparison] = []
    for axis in range(len(AXES)):
        some = [one[axis] for one in planes]
        if not some or np.median([min(plane.known.shape) * plane.factor for plane in some]) < _LEAST_SIDE:
            continue
        agreement, alignments = compare_masks(dataset, cases, some, spoilt)
        if agreement is not None:
            found.append(PlaneComparison(axis=axis, agreement=agreement, alignments=alignments))
    return found


def mean_agreement(comparisons: Sequence[PlaneComparison], index: int) -> float | None:
    """Return the mean agreement of a mask over the axes that decide, in parts of what is usual; None if unknown."""
    values = [one.alignments[index].own for one in comparisons if one.agreement.typical >= WEAK]
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def best_change(comparisons: Sequence[PlaneComparison], index: int) -> tuple[Alignment, int] | None:
    """Return the clearest change of a mask in planes, and the axis that these are across; None if there is none."""
    usable = [one for one in comparisons if one.agreement.typical >= WEAK]
    changes = [(one.alignments[index], one.axis) for one in usable if one.alignments[index].change != "none"]
    return max(changes, key=lambda pair: (pair[0].confidence, pair[0].gain), default=None)


def step_of(
    dataset: Dataset, cases: Sequence[ExaminedCase], planes: Sequence[Planes], index: int, change: Alignment, axis: int
) -> tuple[Step, ...]:
    """Return the steps that make a change of planes in the volume; none if the other mask has another size."""
    if change.change == "exchange" and change.other is not None:
        sizes = [tuple((*plane.known.shape, plane.factor) for plane in planes[one]) for one in (index, change.other)]
        usable = sizes[0] == sizes[1] and not cases[change.other].steps
        return (Step(action="use mask of", other=labels_file(dataset.root, cases[change.other].case)),) * usable
    if change.change == "symmetry":
        return (step_in_planes("symmetry", axis, symmetry=change.symmetry),)
    if change.change == "invert":
        first, second = dataset.labelling.values[:2]
        return (Step(action="replace values", values=((first, second), (second, first))),)
    return (step_in_planes("shift", axis, offset=change.offset),) if change.change == "shift" else ()


def confirmed_steps(
    dataset: Dataset,
    cases: Sequence[ExaminedCase],
    planes: Sequence[Planes],
    proposals: Mapping[int, tuple[Step, ...]],
    measure: Callable[[ExaminedCase], Planes | None],
    spoilt: Sequence[str] = (),
) -> dict[int, tuple[Step, ...]]:
    """Return the steps after which a mask agrees with its volume as the others do; masks without any are missing.

    Parameters
    ----------
    planes : sequence of Planes
        Of each case.
    proposals : mapping
        Index of a case -> steps to try. Where they help in part, what is then found is done too.
    measure : callable
        Returns the planes of a case after its steps; None if it cannot be measured.
    spoilt : sequence of str
        Cases whose volumes show next to nothing.
    """
    confirmed: dict[int, tuple[Step, ...]] = {}
    for index, steps in proposals.items():
        if steps[:1] and steps[0].action == "use mask of":
            confirmed[index] = steps  # both masks were compared with both volumes already
    rest = {index: steps for index, steps in proposals.items() if steps and index not in confirmed}
    for _ in range(_ROUNDS):
        changed = {index: replace(cases[index], steps=steps) for index, steps in rest.items()}
        measured = {index: measure(examined) for index, examined in changed.items()}
        usable = {index: found for index, found in measured.items() if found is not None}
        if not usable:
            break
        now = [changed[index] if index in usable else examined for index, examined in enumerate(cases)]
        seen = [usable.get(index, own) for index, own in enumerate(planes)]
        comparisons = compare_planes(dataset, now, seen, spoilt)
        further: dict[int, tuple[Step, ...]] = {}
        for index in usable:
            agreed, change = mean_agreement(comparisons, index), best_change(comparisons, index)
            if agreed is not None and agreed > FITS:
                confirmed[index] = _refined(dataset, cases[index], rest[index], usable[index])
            elif change is not None and change[0].change in ("shift", "symmetry"):
                further[index] = (*rest[index], *step_of(dataset, now, seen, index, *change))
        rest = further
    return confirmed


def find_repairs(dataset: Dataset, pairs: Sequence[Pair]) -> tuple[list[Repair], list[Finding]]:
    """Return what may put masks on the grids of their volumes, and the masks that were exchanged for certain.

    Parameters
    ----------
    dataset : Dataset
        Read with `skip_bad`.
    pairs : sequence of Pair
        All pairs of the folder, also those that were left out.
    """
    by_image = {relative(dataset.root, pair.image): pair for pair in pairs}
    wrong = [one for one in dataset.problems if one.kind in ("size mismatch", "geometry mismatch")]
    looked = [(one, _look(dataset, by_image.get(one.file))) for one in wrong]
    known = [(problem, files) for problem, files in looked if files is not None]
    repairs: list[Repair] = []
    exchanged: list[Finding] = []
    for problem, files in known:
        others = [other for _, other in known if other is not files and files.fits(other) and other.fits(files)]
        text = problem.text.partition(";")[0]
        if len(others) == 1:
            other = others[0].pair
            where = relative(dataset.root, other.image)
            steps = (Step(action="use mask of", other=labels_file(dataset.root, other)),)
            exchanged.append(
                Finding(
                    kind="exchanged mask",
                    files=(labels_file(dataset.root, files.pair), relative(dataset.root, files.pair.image)),
                    text=f"{text}; it lies on the grid of {where}, whose mask lies on this one",
                    case=files.pair.name,
                    confidence=0.9,
                    steps=steps,
                )
            )
            continue
        repairs += [
            Repair(examined=ExaminedCase(case=pair_case(files.pair), steps=(step,)), kind=kind, text=text)
            for kind, step in _candidates(files)
        ]
    return repairs, exchanged


def _look(dataset: Dataset, pair: Pair | None) -> _Files | None:
    """Return the sizes and grids of a pair; None if they cannot be read, or its labels are no file of their own."""
    mask = None if pair is None else mask_path(pair)
    if pair is None or mask is None:
        return None
    try:
        infos = [probe(path, volumes=dataset.reading.volumes) for path in (pair.image, mask)]
        kinds = [volume_format(path) for path in (pair.image, mask)]
        headers = [
            None if kind is None else read_volume_header(path, kind)
            for path, kind in zip((pair.image, mask), kinds, strict=True)
        ]
    except PixelwiseError:
        return None
    image, other = dataset.reading.placed(infos[0].grid), infos[1].grid
    if image is None or other is None:
        return None
    return _Files(pair, (infos[0].size, infos[1].size), (image, other), (headers[0], headers[1]))


def _candidates(files: _Files) -> list[tuple[str, Step]]:
    """Return the steps after which a mask may fit, each with the kind of the fault that it undoes."""
    (size, other), (grid, grid_of_mask), (image, mask) = files.sizes, files.grids, files.headers
    stored, sizes = (grid, grid_of_mask), (size, other)
    if image is not None and mask is not None:
        stored, sizes = (image.grid, mask.grid), (image.shape[1:], mask.shape[1:])
    found: list[tuple[str, Step]] = [
        ("transposed mask" if exchanged else "geometry mismatch", step)
        for step, exchanged in steps_to_stored_order(stored[0], sizes[0], stored[1], sizes[1])
    ]
    if grid.unit is not None and grid_of_mask.unit is not None:
        kind = "geometry mismatch" if size == other else "rescaled mask"
        found.append((kind, resample_step(grid, size, grid_of_mask)))
    return found


def _refined(dataset: Dataset, examined: ExaminedCase, steps: tuple[Step, ...], planes: Planes) -> tuple[Step, ...]:
    """Return steps whose last shift is exact: it was found on planes that may be reduced."""
    factor = max(plane.factor for plane in planes)
    if factor == 1 or steps[-1].action != "shift":
        return steps
    before = replace(examined, steps=steps[:-1])
    image, labels, _ = read_case(dataset, before)
    return (*steps[:-1], replace(steps[-1], offset=refine_volume_shift(image, labels, steps[-1].offset, factor)))
