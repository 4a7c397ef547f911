"""Find masks that do not lie on their images: shifted, flipped, turned, inverted or exchanged.

Every change that would undo such a fault is tried on the reduced mask; one that agrees with the image about as well as
other masks of the set do, while the mask itself does not, is reported. What counts as clear is taken from the set, and
from the mask: most of its shifts are wrong, and show what it reaches by chance. What the set does not decide, as its
masks mark different things, the image alone may (`discriminant`). In a set whose masks and images agree weakly nothing
is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pixelwise.datasets.checks.agreement import Agreement, correlation
from pixelwise.datasets.checks.discriminant import Discriminant, discriminant_of
from pixelwise.datasets.checks.exchanges import find_circles
from pixelwise.datasets.checks.shifts import ShiftScores, move, shift_scores
from pixelwise.geometry.symmetries import SYMMETRIES, Symmetry

Change = Literal["none", "shift", "symmetry", "invert", "exchange"]
_GAIN = 0.25  # least gain, as a fraction of the typical agreement
_SPREADS = 2.5  # and this many robust standard deviations above the usual gain of changes in this set
_LOW, _HIGH = 0.7, 0.35  # agreement before at most, after at least, as fractions of the typical one
_HIGH_SHIFT = 0.45  # after a shift: of many shifts one may fit by chance
WEAK = 0.15  # typical agreement of a set that is too weak to decide
_TRUSTED = 0.5  # agreement of masks that tell what is usual
_SAMPLE = 64  # trusted masks that are changed, to learn what is usual
_CHANCE = 2.2  # least score after a change, in multiples of what the mask reaches by chance
_CLEAR = 5.0  # a score that is clear in any set,
_BEFORE = 0.2  # if that before was at most this fraction of it
_OPPOSITE = 0.5  # largest negative agreement before, as a fraction of that after
_SHARE = 0.5  # of the needed gain: what each of two exchanged masks gains at least
_CONTRADICTED = 0.8  # a change after which the image explains less than this fraction of what it does as it is, is none
# in a set with a smaller typical agreement the image explains so much more of a changed mask, and so many times as much
STRONG_SET, _EXPLAINS_MORE, _TWICE = 0.35, 0.12, 2.0
_HERE = 0.5  # least fraction of what a flipped mask is explained at the best place, that it is where it is
# of a change that the image alone explains: least fraction of the variance explained; in multiples of that before, and
# of that of the best tenth of the shifts; least gain in agreement with the set
_EXPLAINED, _TIMES, _BETTER, _AGREEING = 0.18, 3.0, 2.5, 0.25
# the same if it explains so much more of the variance, which is weightier evidence than a multiple of little
_MUCH_MORE, _MUCH_TIMES, _MUCH_BETTER, _MUCH_AGREEING = 0.25, 2.0, 1.7, 0.15
# a shift is clear with less if set and image agree on it: what it reaches in each, as a fraction of the best shift
_TOGETHER = 0.7
_OF_FEW = 1.2  # so many times better a shift must agree than a symmetry to be more plausible
_SURE = 0.6  # gain at which a finding is certain


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
    chance : float
        What the mask reaches by chance, as a fraction of what is typical.
    confidence : float
        0 ... 1.
    offset : (int, int)
        For a shift: rows and columns to move the mask, in pixels of the image.
    symmetry : Symmetry or None
        For a symmetry: what to apply to the mask.
    other : int or None
        For an exchange: the case whose mask fits.
    outline : float
        How far its outline follows edges of the image after the change, in multiples of what it does by chance; 0 if
        that did not decide.
    """

    own: float
    change: Change = "none"
    best: float = 0.0
    chance: float = 0.0
    confidence: float = 0.0
    offset: tuple[int, int] = (0, 0)
    symmetry: Symmetry | None = None
    other: int | None = None
    outline: float = 0.0

    @property
    def gain(self) -> float:
        """How much better the mask agrees after the change."""
        return self.best - self.own


def find_misaligned(
    agreement: Agreement, *, invertible: bool, comparable: Sequence[bool] | None = None
) -> list[Alignment]:
    """Return the alignment of each case.

    Parameters
    ----------
    invertible : bool
        Masks have two values, which may be exchanged.
    comparable : sequence of bool, optional
        Cases whose images show something; those of others fit no mask.
    """
    typical = agreement.typical
    if typical < WEAK:
        return [Alignment(own=float("nan")) for _ in agreement.cases]
    own = agreement.own / typical
    shown = np.ones(len(own), bool) if comparable is None else np.array(comparable, bool)
    suspects = [int(index) for index in np.argsort(own) if own[index] <= _LOW and shown[index]]
    changes = {index: _best_change(agreement, index, invertible=invertible) for index in suspects}
    needed = _needed_gain(agreement, np.flatnonzero(own >= _TRUSTED), changes, invertible=invertible)
    found = [_judge(changes.get(index, Alignment(own=value)), needed) for index, value in enumerate(own.tolist())]
    for index in suspects:
        if found[index].change in ("shift", "symmetry") and _is_contradicted(agreement, index, found[index]):
            found[index] = Alignment(own=found[index].own)
        if found[index].change == "none":
            found[index] = _explained_change(agreement, index)
    # of two masks that fit each other: what the shifts of one gain by chance, in some sets more than 1, says little
    needed = min(needed, _SURE)
    for circle in find_circles(agreement, suspects, _SHARE * needed * typical):
        exchanges = {
            index: Alignment(own=float(own[index]), change="exchange", best=score / typical, other=other)
            for index, (other, score) in circle.items()
        }
        together = _mean(list(exchanges.values()))
        judged = _judge(together, needed)
        if judged.change != "none" and together.best > _mean([changes[index] for index in circle]).best:
            for index, one in exchanges.items():
                found[index] = replace(one, confidence=judged.confidence)
    return found


def _explained_change(agreement: Agreement, index: int) -> Alignment:
    """Return the change of a mask after which its image explains it far better; "none" if it is not clear."""
    typical, case = agreement.typical, agreement.cases[index]
    own = Alignment(own=float(agreement.own[index]) / typical)
    image = discriminant_of(case)
    explained = image.shares_of_shifts()
    before, usual = image.share(image.mask), float(np.quantile(explained.scores, 0.9))
    square = case.targets.shape[1] == case.targets.shape[2]
    tried = [own]
    for symmetry in SYMMETRIES[1:]:
        changed = _changed(symmetry, image.mask)
        gain = _least_gain(image.share(changed), before, usual) if square or symmetry.quarters % 2 == 0 else None
        if gain is not None and _belongs_here(image, changed):
            best = agreement.score(index, _changed(symmetry, case.targets)) / typical
            if best >= own.own + gain:
                tried.append(replace(own, change="symmetry", symmetry=symmetry, best=best, confidence=0.5))
    shifts = shift_scores(agreement, index)
    together = explained._replace(scores=np.maximum(shifts.scores, 0) * explained.scores)
    for place in dict.fromkeys((explained.best(), together.best())):
        reached, best = explained.at(place), shifts.at(place) / typical
        gain = _least_gain(reached, before, usual)
        if gain is None and _is_agreed(shifts, explained, place, before, usual) and best >= _HIGH_SHIFT:
            gain = _AGREEING
        if place != (0, 0) and gain is not None and best >= own.own + gain:
            offset = place[0] * case.factor, place[1] * case.factor
            tried.append(replace(own, change="shift", offset=offset, best=best, confidence=0.5))
    return max(tried[1:], key=_plausibility, default=own)


def _is_agreed(
    shifts: ShiftScores, explained: ShiftScores, place: tuple[int, int], before: float, usual: float
) -> bool:
    """Return whether a shift is nearly the best one both for the set and for the image, and better than by chance.

    The two maps have their highest values near one another by chance only where both are flat.
    """
    reached, score = explained.at(place), shifts.at(place)
    best = reached >= _TOGETHER * explained.scores.max() and score >= _TOGETHER * shifts.scores.max()
    clear = reached >= max(_MUCH_TIMES * before, _MUCH_BETTER * usual) and score >= _CHANCE * shifts.by_chance
    return bool(best and clear)


def _plausibility(one: Alignment) -> float:
    """Return by what changes are compared: the best of thousands of shifts fits better by chance than one of a few."""
    return one.best if one.change == "shift" else _OF_FEW * one.best


def _least_gain(explained: float, before: float, usual: float) -> float | None:
    """Return the gain in agreement with the set that a change needs; None if its image does not explain it clearly.

    `explained` is the fraction of the variance of the changed mask, `before` that of the mask as it is, and `usual`
    that of the best tenth of its shifts.
    """
    if explained >= max(before + _MUCH_MORE, _MUCH_TIMES * before, _MUCH_BETTER * usual):
        return _MUCH_AGREEING
    return _AGREEING if explained >= max(_EXPLAINED, _TIMES * before, _BETTER * usual) else None


def _is_contradicted(agreement: Agreement, index: int, one: Alignment) -> bool:
    """Return whether the image explains a mask better as it is than after its change.

    In a set that agrees weakly the image must explain it far better after the change, and a flipped one about there.
    """
    case, weak = agreement.cases[index], agreement.typical < STRONG_SET
    image = discriminant_of(case)
    before = image.share(image.mask)
    least = max(before + _EXPLAINS_MORE, _TWICE * before) if weak else _CONTRADICTED * before
    if one.symmetry is not None:
        changed = _changed(one.symmetry, image.mask)
        return image.share(changed) < least or (weak and not _belongs_here(image, changed))
    return image.share(move(image.mask, one.offset[0] // case.factor, one.offset[1] // case.factor)) < least


def _belongs_here(image: Discriminant, mask: np.ndarray) -> bool:
    """Return whether a mask is explained where it is, and not far better at another place."""
    return image.share(mask) >= _HERE * float(replace(image, mask=mask).shares_of_shifts().scores.max())


def _changed(symmetry: Symmetry, planes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(symmetry.apply(planes))


def _mean(members: Sequence[Alignment]) -> Alignment:
    """Return what is judged of masks that were exchanged: their fits are evidence of one fault."""
    own, best = np.mean([(one.own, one.best) for one in members], axis=0).tolist()
    return Alignment(own=own, change="exchange", best=best)


def _needed_gain(agreement: Agreement, trusted: np.ndarray, known: dict[int, Alignment], *, invertible: bool) -> float:
    """Return the gain that is unusual for a mask that fits, from some of them."""
    some = trusted[:: max(1, len(trusted) // _SAMPLE)].tolist()
    changed = [known.get(index) or _best_change(agreement, index, invertible=invertible) for index in some]
    gains = np.array([one.gain for one in changed if one.change != "none"])
    if not len(gains):
        return _GAIN
    middle = float(np.median(gains))
    return max(_GAIN, middle + _SPREADS * 1.4826 * float(np.median(np.abs(gains - middle))))


def _judge(one: Alignment, needed: float) -> Alignment:
    """Return an alignment with the confidence of its change, without the change if it is not clear enough."""
    least = _HIGH_SHIFT if one.change == "shift" else _HIGH
    clear = 0 < _CLEAR * one.chance <= one.best and one.own <= _BEFORE * one.best
    if one.change == "none" or one.own > _LOW or one.best < least or (one.gain < needed and not clear):
        return Alignment(own=one.own)
    sure = (one.gain - (_GAIN if clear else needed)) / (_SURE - _GAIN)
    return replace(one, confidence=float(min(1.0, 0.5 + 0.5 * max(0.0, sure))))


def _best_change(agreement: Agreement, index: int, *, invertible: bool) -> Alignment:
    """Return the best change within one mask; "none" if it may agree by chance. Scores are fractions of the typical."""
    typical, case = agreement.typical, agreement.cases[index]
    own, targets, predicted = float(agreement.own[index]) / typical, case.targets, agreement.prediction(index)

    def score(changed: np.ndarray) -> float:
        return correlation(predicted, agreement.target(np.ascontiguousarray(changed), index)) / typical

    square = targets.shape[1] == targets.shape[2]
    shifts = shift_scores(agreement, index)
    chance = shifts.by_chance / typical
    tried = [
        Alignment(own=own, change="symmetry", best=score(symmetry.apply(targets)), symmetry=symmetry)
        for symmetry in SYMMETRIES[1:]
        if square or symmetry.quarters % 2 == 0
    ]
    rows, columns = shifts.best()
    if (rows, columns) != (0, 0):
        best = float(shifts.scores.max()) / typical
        offset = (rows * case.factor, columns * case.factor)
        tried.append(Alignment(own=own, change="shift", best=best, offset=offset))
    if invertible and len(targets) == 2:
        tried.append(Alignment(own=own, change="invert", best=score(np.stack([255 - targets[0], targets[1]]))))
    chosen = max(tried, key=_plausibility)
    # of a large and smooth mask any correlation may be large, also a negative one
    by_chance = chosen.best < _CHANCE * chance or own < -_OPPOSITE * chosen.best
    if chosen.change != "invert" and by_chance:
        return Alignment(own=own, best=own)
    return replace(chosen, chance=chance)
