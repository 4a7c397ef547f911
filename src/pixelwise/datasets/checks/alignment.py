"""Find masks that do not lie on their images: shifted, flipped, turned, inverted or exchanged.

Every change that would undo such a fault is tried on the reduced mask; one that agrees with the image about as well as
other masks of the set do, while the mask itself does not, is reported. What counts as clear is taken from the set: in a
set whose masks and images agree weakly nothing is reported.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import fft

from pixelwise.datasets.checks.agreement import Agreement, correlation
from pixelwise.geometry.symmetries import SYMMETRIES, Symmetry

Change = Literal["none", "shift", "symmetry", "invert", "exchange"]
_GAIN = 0.25  # least gain, as a fraction of the typical agreement
_SPREADS = 2.5  # and this many robust standard deviations above the usual gain of changes in this set
_LOW, _HIGH = 0.7, 0.35  # agreement before at most, after at least, as fractions of the typical one
_HIGH_SHIFT = 0.45  # after a shift: of many shifts one may fit by chance
WEAK = 0.15  # typical agreement of a set that is too weak to decide
_TRUSTED = 0.5  # agreement of masks that tell what is usual
_CHANCE = 2.0  # least score after a change, in root mean squares of the scores after other changes
_OPPOSITE = 0.5  # largest negative agreement before, as a fraction of that after
_SURE = 0.6  # gain at which a finding is certain
_REACH = 0.2  # largest shift, as a fraction of the side
_COARSE, _SHORTLIST = 3, 8  # exchanges that are compared exactly
_SHIFT_TARGETS = 4  # targets that the shift is searched with


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How well a mask lies on its image.

    Attributes
    ----------
    own : float
        Its agreement, as a fraction of what is typical of the set; NaN without a boundary.
    change : str
        The change of the mask that agrees clearly better; "none" if there is none.
    best : float
        The agreement after the change.
    confidence : float
        0 ... 1.
    offset : (int, int)
        For a shift: rows and columns to move the mask, in pixels of the image.
    symmetry : Symmetry or None
        For a symmetry: what to apply to the mask.
    other : int or None
        For an exchange: the case whose mask fits.
    """

    own: float
    change: Change = "none"
    best: float = 0.0
    confidence: float = 0.0
    offset: tuple[int, int] = (0, 0)
    symmetry: Symmetry | None = None
    other: int | None = None


def find_misaligned(agreement: Agreement, *, invertible: bool) -> list[Alignment]:
    """Return the alignment of each case.

    Parameters
    ----------
    agreement : Agreement
    invertible : bool
        Masks have two values, which may be exchanged.
    """
    count, typical = len(agreement.cases), agreement.typical
    if typical < WEAK:
        return [Alignment(own=float("nan")) for _ in range(count)]
    best = [_best_change(agreement, index, invertible=invertible) for index in range(count)]
    best = _with_exchanges(agreement, best)
    gains = np.array([(one.best - one.own) for one in best])
    usual = gains[[one.own >= _TRUSTED for one in best]]  # NaN is not
    middle = float(np.median(usual)) if len(usual) else 0.0
    spread = 1.4826 * float(np.median(np.abs(usual - middle))) if len(usual) else 0.0
    needed = max(_GAIN, middle + _SPREADS * spread)
    found = [
        replace(one, confidence=float(min(1.0, 0.5 + 0.5 * (gain - needed) / max(_SURE - _GAIN, 1e-9))))
        if gain >= needed and one.own <= _LOW and one.best >= (_HIGH_SHIFT if one.change == "shift" else _HIGH)
        else Alignment(own=one.own)
        for one, gain in zip(best, gains, strict=True)
    ]
    return _closed_exchanges(found)


def _best_change(agreement: Agreement, index: int, *, invertible: bool) -> Alignment:
    """Return the best change within one mask, whether it helps or not; scores are fractions of the typical one."""
    own, targets = float(agreement.own[index]) / agreement.typical, agreement.cases[index].targets
    if np.isnan(own):
        return Alignment(own=own, best=float("nan"))
    square = targets.shape[1] == targets.shape[2]
    tried: list[Alignment] = []
    for symmetry in SYMMETRIES[1:]:
        if square or symmetry.quarters % 2 == 0:
            score = agreement.score(index, np.ascontiguousarray(symmetry.apply(targets)))
            tried.append(Alignment(own=own, change="symmetry", best=score, symmetry=symmetry))
    if invertible and len(targets) == 2:
        score = agreement.score(index, np.stack([255 - targets[0], targets[1]]))
        tried.append(Alignment(own=own, change="invert", best=score))
    rows, columns = _best_shift(agreement, index)
    if (rows, columns) != (0, 0):
        factor = agreement.cases[index].factor
        score = agreement.score(index, move(targets, rows, columns))
        tried.append(Alignment(own=own, change="shift", best=score, offset=(rows * factor, columns * factor)))
    chosen = max(tried, key=lambda one: one.best)
    others = [one.best for one in tried if one is not chosen]
    chance = float(np.sqrt(np.mean(np.square(others)))) if others else 0.0
    best = chosen.best / agreement.typical
    # of a large and smooth mask any correlation may be large, also a negative one
    by_chance = chosen.best < _CHANCE * chance or own < -_OPPOSITE * best
    return replace(chosen, best=min(best, own) if chosen.change != "invert" and by_chance else best)


def move(values: np.ndarray, rows: int, columns: int, fill: int = 0) -> np.ndarray:
    """Move the last two axes by whole pixels; what comes from outside is `fill`.

    Examples
    --------
    >>> move(np.array([[1, 2], [3, 4]]), 1, 0).tolist()
    [[0, 0], [1, 2]]
    """
    moved = np.full_like(values, fill)
    height, width = values.shape[-2:]
    if abs(rows) < height and abs(columns) < width:
        moved[..., max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = values[
            ..., max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
        ]
    return moved


def _best_shift(agreement: Agreement, index: int) -> tuple[int, int]:
    """Return the shift of the mask with the largest cross-correlation, in blocks."""
    chosen = np.argsort(-agreement.scale * agreement.prediction_scale)[:_SHIFT_TARGETS]
    predicted = agreement.prediction(index)[chosen]
    target = agreement.target(agreement.cases[index].targets, index)[chosen]
    height, width = predicted.shape[1:]
    reach = max(1, round(_REACH * max(height, width)))
    size = [fft.next_fast_len(side + reach, real=True) for side in (height, width)]
    spectrum = (np.asarray(fft.rfft2(predicted, size)) * np.conj(np.asarray(fft.rfft2(target, size)))).sum(0)
    steps = [np.arange(-min(reach, side - 1), min(reach, side - 1) + 1) for side in (height, width)]
    values = np.asarray(fft.irfft2(spectrum, size))[np.ix_(*steps)]
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    return int(steps[0][row]), int(steps[1][column])


def _with_exchanges(agreement: Agreement, best: Sequence[Alignment]) -> list[Alignment]:
    """Try the masks of other suspicious cases of the same size."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, one in enumerate(best):
        if one.own <= _LOW:
            groups[agreement.cases[index].targets.shape].append(index)
    result = list(best)
    for suspects in groups.values():
        for index, others in zip(suspects, _similar(agreement, suspects), strict=True):
            predicted = agreement.prediction(index)
            for other in others:
                target = agreement.target(agreement.cases[other].targets, index)
                score = correlation(predicted, target) / agreement.typical
                if score > result[index].best:
                    result[index] = Alignment(own=best[index].own, change="exchange", best=score, other=other)
    return result


def _similar(agreement: Agreement, suspects: Sequence[int]) -> list[list[int]]:
    """Return for each suspect the other suspects whose masks may fit its image, on every third row and column."""
    predicted, target = (
        np.stack([values[:, ::_COARSE, ::_COARSE].ravel() for values in planes])
        for planes in (
            [agreement.prediction(index) for index in suspects],
            [agreement.target(agreement.cases[index].targets, index) for index in suspects],
        )
    )
    scores = predicted @ (target / (np.linalg.norm(target, axis=1, keepdims=True) + 1e-9)).T
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1)[:, : min(_SHORTLIST, len(suspects) - 1)]
    return [[suspects[position] for position in row] for row in order.tolist()]


def _closed_exchanges(found: Sequence[Alignment]) -> list[Alignment]:
    """Keep exchanges whose masks pass from case to case in a circle: nobody gets two masks, and nobody none."""
    result = list(found)
    while True:
        takers = [one.other for one in result if one.change == "exchange"]
        givers = {index for index, one in enumerate(result) if one.change == "exchange"}
        for index, one in enumerate(result):
            if one.change == "exchange" and (one.other not in givers or index not in takers or _shared(takers, one)):
                result[index] = Alignment(own=one.own)
                break
        else:
            return result


def _shared(takers: Sequence[int | None], one: Alignment) -> bool:
    return takers.count(one.other) > 1
