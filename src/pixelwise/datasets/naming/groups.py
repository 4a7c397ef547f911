"""Recognise the patient, video, scene or tiled picture of each image from folders and file names.

Images of one group look alike: a random split must not divide it. A group is recognised only if most images are in one,
and there are several groups of several images.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from statistics import median

MIN_GROUPS = 3  # groups of at least two images
MIN_GROUPED = 0.8  # fraction of the images that are in such a group
MAX_SHARE = 0.5  # of the images in the largest group
_DENSE = 0.5  # fraction of the numbers between the first and the last of a group that occur

_PEOPLE = "patients?|pat|subjects?|subj|sub|persons?|people|donors?|animals?|mouse|mice|rats?|specimens?|cases?"
_SERIES = (
    "videos?|vid|clips?|sequences?|seq|movies?|scenes?|scans?|series|volumes?|vol|stacks?|slides?|wsi|plates?|wells?|"
    "sites?|fields?|fov|recordings?|sessions?|flights?|plots?|rolls?"
)
_PICTURE = "img|image|im|pic|picture|photo|tile|patch|crop|frame|slice|dsc"  # followed by a number: no group
_INDEX = "slices?|sl|frames?|frm|fr|f|images?|img|im|z|t|planes?|pages?|parts?"
_TILE = "tiles?|patch|patches|crops?|rows?|r|x|y|cols?|columns?|c"
_STORAGE = "class|label|grade|stage|level|type|fold|batch|part|split|set|version|v|size|scale|mag|x"  # no groups


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """The group of each image, or "" if it has none.

    Attributes
    ----------
    kind : str
        What a group is, in one word.
    expression : str
        A value of `--group-by` that gives the same groups; empty if there is no short one.
    """

    groups: tuple[str, ...]
    kind: str
    expression: str


@dataclass(frozen=True)
class _Pattern:
    kind: str
    expression: str
    numbered: bool = False  # the second group is a number that must count through the images of a group
    sides: bool = False  # the second group is left or right, and both must occur
    variants: bool = False  # the second group, if there is one, must differ among the images of a group


# what augmentation adds to the name of an image: _flip, _rot90, _aug_3, and the identifier of Roboflow
_AUGMENTED = (
    "aug(?:mented|mentation)?|[hv]?flip(?:ped)?|mirror(?:ed)?|rot(?:at(?:e|ed|ion))?|shift(?:ed)?|scaled?|zoom(?:ed)?|"
    "blur(?:red)?|nois[ey]|bright(?:ness)?|dark(?:er)?|contrast|gamma|elastic|sharp(?:en)?|hue|shear"
)


# tried as --group-by, for the message
_SHORT = (
    r"([^/]+)/",
    r"([^/]+)/[^/]+$",
    r"^(.+)[_-]\w*\d+$",
    r"^(.+?)[_-][a-z]*\d+[_-][a-z]*\d+$",
    r"^(.+\d)[_-]?[a-zA-Z]+$",
)
_WORD = r"(?:^|[/_. -])"  # where a word begins
_PATTERNS = (
    _Pattern("patient", rf"(?i){_WORD}((?:{_PEOPLE})(?:[_ -]?\w*\d|[_ -]\w+))[^/]*/"),
    _Pattern("series", rf"(?i){_WORD}((?:{_SERIES})(?:[_ -]?\w*\d|[_ -]\w+))[^/]*/"),
    _Pattern("folder", rf"(?i)(?:^|/)((?!(?:{_STORAGE})[_ -]?\d)[^/]*\d[^/]*)/"),
    _Pattern("patient", rf"(?i){_WORD}((?:{_PEOPLE})[_-]?\d+)(?!\d)[^/]+$"),
    _Pattern("series", rf"(?i){_WORD}((?:{_SERIES})[_-]?\d+)(?!\d)[^/]+$"),
    _Pattern("scene", r"(?i)(?:^|/)([^/]+?) ?\[[^\]]*x=\d+,y=\d+[^/]*\]$"),
    _Pattern("scene", rf"(?i)(?:^|/)([^/]*[a-z][^/]*?)[_-](?:{_TILE})?[_-]?\d+[_-](?:{_TILE})?[_-]?\d+$"),
    _Pattern("series", rf"(?i)(?:^|/)([^/]*\w)[_-](?:{_INDEX})[_-]?\d+$"),
    _Pattern("eyes", r"(?i)(?:^|/)([^/]*\d)[_ -]?(l|r|left|right|od|os)$", sides=True),
    _Pattern(
        "source",
        rf"(?i)^(.+?)((?:[_-](?:{_AUGMENTED})\d*(?:[_-]\d+)*)+|(?:_[a-z]+)?\.rf\.[0-9a-f]+)?$",
        variants=True,
    ),
    _Pattern("name", rf"(?i)(?:^|/)(?!(?:{_PICTURE})[_-]?\d)(?=[^/]*[a-z])([^/]*\d[^/]*)[_-]f?(\d+)$", numbered=True),
)


def find_groups(paths: Sequence[str]) -> Grouping | None:
    """Return the groups that the paths of images show; None if there are none for sure.

    Parameters
    ----------
    paths : sequence of str
        Relative to the data set, with ``/``, without extension, and without folders for split, role and class.

    Examples
    --------
    >>> find_groups([f"patient{i // 4}/{i % 4}" for i in range(16)]).groups[:5]
    ('patient0', 'patient0', 'patient0', 'patient0', 'patient1')
    >>> find_groups([f"IMG_{i:04}" for i in range(16)]) is None
    True
    """
    for pattern in _PATTERNS:
        matches = [re.search(pattern.expression, path) for path in paths]
        groups = tuple(match[1] if match else "" for match in matches)
        if not _is_grouping(groups):
            continue
        seconds = [(match[1], match[2]) for match in matches if match and match.lastindex == 2]
        if pattern.numbered and not _counts(seconds):
            continue
        if pattern.variants and len({match.groups() for match in matches if match}) < len(paths):
            continue
        if pattern.sides and not _has_both_sides(seconds):
            continue
        return Grouping(groups=groups, kind=pattern.kind, expression=_short_expression(groups, paths))
    return None


def find_folders(paths: Sequence[str]) -> list[str]:
    """Return the names of folders that may be groups: several, of several images each, with most of the images.

    The outermost folders, else those that hold the images, as in ``480p/bear/00000``.
    """
    for folders in ([path.partition("/")[0] if "/" in path else "" for path in paths], list(map(_parent, paths))):
        if _is_grouping(folders):
            return sorted(set(folders) - {""})
    return []


def _parent(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[2]


def search_groups(expression: str, paths: Sequence[str]) -> list[str | None]:
    r"""Return what the group of a regular expression matches: in the file names or, if it is in none, in the paths.

    Examples
    --------
    >>> search_groups(r"(p\d)", ["p1/a", "p2/b"]), search_groups(r"^(.)", ["p1/a", "p2/b"])
    (['p1', 'p2'], ['a', 'b'])
    """
    names = [path.rpartition("/")[2] for path in paths]
    matches = [re.search(expression, name) for name in names]
    if not any(matches):
        matches = [re.search(expression, path) for path in paths]
    return [None if match is None else match[1] or "" for match in matches]


def _short_expression(groups: Sequence[str], paths: Sequence[str]) -> str:
    """Return a regular expression that finds the same groups; empty if no short one does."""
    shapes = {re.sub(r"\d+", r"\\d+", re.escape(group).replace(r"\-", "-")) for group in groups if group}
    candidates = [f"({shapes.pop()})"] if len(shapes) == 1 else []
    candidates += _SHORT
    wanted = [group or None for group in groups]
    return next((text for text in candidates if search_groups(text, paths) == wanted), "")


def _is_grouping(groups: Sequence[str]) -> bool:
    """Return whether there are several groups of several images, with most of the images, and none has too many."""
    sizes = Counter(group for group in groups if group)
    several = [size for size in sizes.values() if size > 1]
    if len(several) < MIN_GROUPS:
        return False
    return sum(several) >= MIN_GROUPED * len(groups) and max(several) <= MAX_SHARE * len(groups)


def _counts(numbers: Sequence[tuple[str, str]]) -> bool:
    """Return whether the numbers count through the images of each group, such as slices, and are not dates or times."""
    by_group: dict[str, set[int]] = defaultdict(set)
    for group, number in numbers:
        by_group[group].add(int(number))
    several = [sorted(found) for found in by_group.values() if len(found) > 1]
    if not several:
        return False
    step = gcd(*(after - before for found in several for before, after in pairwise(found)))
    densities = [len(found) / ((found[-1] - found[0]) // step + 1) for found in several]
    return median(densities) >= _DENSE


def _has_both_sides(sides: Sequence[tuple[str, str]]) -> bool:
    """Return whether most groups have a left and a right image."""
    by_group: dict[str, set[str]] = defaultdict(set)
    for group, side in sides:
        by_group[group].add(side.casefold())
    return sum(len(found) > 1 for found in by_group.values()) > len(by_group) / 2
