"""Find masks that are empty, constant, copied, or use another value for the same class."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from pixelwise.datasets.checks.agreement import Agreement

_RARE = 0.1  # largest fraction of the masks that can be faulty in the same way; more are meant so
_SHOWN = 0.5  # an empty mask is wrong if at least this fraction of the usual foreground is predicted
_CODES = (1, 128, 255)  # usual values of the foreground of two-valued masks


@dataclass(frozen=True, kw_only=True)
class MaskContent:
    """What is in one mask.

    Attributes
    ----------
    digest : str
        Of the labels.
    image_digest : str
        Of the pixels of the image.
    counts : tuple of int
        Pixels per class; for objects of background and foreground.
    values : frozenset
        File values, without the ignored one.
    """

    digest: str
    image_digest: str
    counts: tuple[int, ...]
    values: frozenset[Hashable] = frozenset()

    @property
    def only(self) -> int | None:
        """The class of all pixels; None if there are several, or none."""
        shown = [index for index, count in enumerate(self.counts) if count]
        return shown[0] if len(shown) == 1 else None


def find_empty(contents: Sequence[MaskContent], agreement: Agreement | None) -> list[tuple[int, bool, float]]:
    """Return (index, certain, predicted) of masks that are empty although few are.

    Parameters
    ----------
    contents : sequence of MaskContent
        Class 0 is the background.
    agreement : Agreement or None
        Its predictions tell whether the image shows foreground.

    Returns
    -------
    list of (int, bool, float)
        `predicted` is the foreground predicted for the image, as a fraction of the usual one.
    """
    empty = [index for index, content in enumerate(contents) if content.only == 0]
    filled = [index for index, content in enumerate(contents) if content.only != 0]
    if not empty or len(empty) > max(1.0, _RARE * len(contents)) or len(filled) < 3:
        return []
    if agreement is None or agreement.typical <= 0:
        return [(index, False, 0.0) for index in empty]
    amount = [_contrast(agreement, index) for index in range(len(contents))]
    usual = float(np.median([amount[index] for index in filled]))
    return [(index, amount[index] >= _SHOWN * usual > 0, amount[index] / max(usual, 1e-9)) for index in empty]


def _contrast(agreement: Agreement, index: int) -> float:
    """Return how much the prediction for an image varies: in an image without foreground it hardly does."""
    return float(np.sqrt((agreement.prediction(index) ** 2).mean()))


def find_constant(contents: Sequence[MaskContent], *, background: bool = True) -> list[int]:
    """Return the masks with one class other than the background, or none at all, if few are like this.

    Parameters
    ----------
    background : bool
        Class 0 is a background: a mask without anything else is empty rather than constant.

    Examples
    --------
    >>> masks = [MaskContent(digest="", image_digest="", counts=counts) for counts in [(5, 1)] * 9 + [(0, 6)]]
    >>> find_constant(masks)
    [9]
    """
    constant = [
        index
        for index, content in enumerate(contents)
        if not any(content.counts) or (content.only is not None and (content.only > 0 or not background))
    ]
    return constant if len(constant) <= max(1.0, _RARE * len(contents)) else []


def find_copied(contents: Sequence[MaskContent], own: np.ndarray | None) -> list[tuple[int, tuple[int, ...]]]:
    """Return each mask that equals the mask of another image, with the images that share it.

    Parameters
    ----------
    own : (cases,) array or None
        The agreement of each mask with its image: the mask belongs to the image that it fits best. Without it all
        are returned.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(contents):
        if content.only is None and any(content.counts):
            same[content.digest].append(index)
    found: list[tuple[int, tuple[int, ...]]] = []
    for members in same.values():
        if len({contents[index].image_digest for index in members}) < 2:
            continue
        owner = -1 if own is None else max(members, key=lambda index: np.nan_to_num(own[index], nan=-1))
        image = contents[owner].image_digest if owner >= 0 else ""
        found += [
            (index, tuple(members)) for index in members if index != owner and contents[index].image_digest != image
        ]
    return found


def find_other_values(sets: Sequence[frozenset[Hashable]]) -> tuple[int, dict[int, int]] | None:
    """Find masks that use another value for the foreground than most masks of a two-valued set.

    Parameters
    ----------
    sets : sequence of frozenset
        The file values in each mask, without the ignored one.

    Returns
    -------
    (int, dict) or None
        The usual value, and for each of the other masks the value that it uses.

    Examples
    --------
    >>> find_other_values([frozenset({0, 255})] * 9 + [frozenset({0, 1})])
    (255, {9: 1})
    """
    foreground = [sorted(v for v in values if isinstance(v, int) and v) for values in sets]
    counts = Counter(value for values in foreground for value in values)
    if len(counts) < 2 or any(len(values) > 1 for values in foreground):
        return None
    usual, _ = counts.most_common(1)[0]
    other = {index: values[0] for index, values in enumerate(foreground) if values and values[0] != usual}
    if usual not in _CODES or not set(other.values()) <= set(_CODES) or len(other) > max(1.0, _RARE * len(sets)):
        return None
    return usual, other


def rare_classes(contents: Sequence[MaskContent], names: Sequence[str]) -> list[tuple[str, float]]:
    """Return the classes with less than two thousandths of all pixels, with their fraction."""
    total = np.array([content.counts for content in contents], np.float64).sum(0)
    shares = total / max(float(total.sum()), 1.0)
    return [(name, float(share)) for name, share in zip(names, shares.tolist(), strict=False) if 0 < share < 0.002]
