"""Find the constant prefixes and suffixes that distinguish the names of masks from those of their images.

A rule is found from the whole set of names: it must pair all of them, one to one. File order and common beginnings
(``train1``, ``train10``) never pair anything.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from pixelwise.datasets.naming.folder_names import SPLIT_WORDS, normalised, pairing_name

MIN_SHARED = 0.6  # fraction of the names that must have an affix for it to be tried in an incomplete set
_MAX_TRIED = 6  # affixes of a side of a name, the shortest ones
_MAX_AFFIXES = 4  # tried per side of a name


@dataclass(frozen=True, kw_only=True)
class NameRule:
    """How the names of an image and of its mask become equal; names are compared case-insensitively.

    Attributes
    ----------
    image_prefix, image_suffix, mask_prefix, mask_suffix : str
        Removed from file names without extension.
    full_names : bool
        The mask is named after the whole file name of its image: ``7.jpg`` and ``7.jpg.png``.
    by_value : bool
        Numbers are compared without leading zeros: ``7`` and ``007``.

    Examples
    --------
    >>> rule = NameRule(image_suffix="_sat", mask_suffix="_map")
    >>> rule.image_key(Path("sat/3_sat.jpg")), rule.mask_key(Path("map/3_map.png")), rule.mask_key(Path("map/3.png"))
    ('3', '3', None)
    >>> rule.flags
    '--image-suffix _sat --mask-suffix _map'
    """

    image_prefix: str = ""
    image_suffix: str = ""
    mask_prefix: str = ""
    mask_suffix: str = ""
    full_names: bool = False
    by_value: bool = False

    def image_key(self, path: Path) -> str | None:
        """Return the name that an image shares with its mask; None if it has not the prefix and suffix."""
        name = normalised(path.name) if self.full_names else pairing_name(path)
        return self._key(name, self.image_prefix, self.image_suffix)

    def mask_key(self, path: Path) -> str | None:
        """Return the name that a mask shares with its image; None if it has not the prefix and suffix."""
        return self._key(pairing_name(path), self.mask_prefix, self.mask_suffix)

    def _key(self, name: str, prefix: str, suffix: str) -> str | None:
        prefix, suffix = prefix.casefold(), suffix.casefold()
        if self.by_value:
            name, prefix, suffix = _by_value(name), _by_value(prefix), _by_value(suffix)
        if len(name) <= len(prefix) + len(suffix) or not (name.startswith(prefix) and name.endswith(suffix)):
            return None
        return name[len(prefix) : len(name) - len(suffix)]

    @property
    def flags(self) -> str:
        """The flags that set this rule."""
        affixes = (
            ("--image-prefix", self.image_prefix),
            ("--image-suffix", self.image_suffix),
            ("--mask-prefix", self.mask_prefix),
            ("--mask-suffix", self.mask_suffix),
        )
        return " ".join(_flag(flag, affix) for flag, affix in affixes if affix)

    @property
    def description(self) -> str:
        """What is ignored in names, in words."""
        parts = [
            f"{' and '.join(f'`{affix}`' for affix in affixes if affix)} in the names of {files}"
            for files, affixes in (
                ("images", (self.image_prefix, self.image_suffix)),
                ("masks", (self.mask_prefix, self.mask_suffix)),
            )
            if any(affixes)
        ]
        parts += ["the extension of the image in the names of masks"] * self.full_names
        parts += ["leading zeros"] * self.by_value
        return " and ".join(parts)


def find_rule(images: Sequence[Path], masks: Sequence[Path]) -> NameRule | None:
    """Return the rule that pairs all images and masks one to one; None if there is none.

    Parameters
    ----------
    images, masks : sequence of Path
        Only their names are used.

    Examples
    --------
    >>> images = [Path(f"img_{i:03}.png") for i in range(12)]
    >>> find_rule(images, [Path(f"gt-{i:03}.png") for i in range(12)]).flags
    '--image-prefix img_ --mask-prefix gt-'
    >>> find_rule(images, [Path(f"gt-{i:03}.png") for i in range(1, 13)]) is None
    True
    """
    if not images or len(images) != len(masks):
        return None
    stems, full = [pairing_name(path) for path in images], [normalised(path.name) for path in images]
    mask_stems = [pairing_name(path) for path in masks]
    if set(full) == set(mask_stems) and len(set(full)) == len(full):
        return NameRule(full_names=True)
    for image_names, full_names in ((stems, False), (full, True)):
        if (rule := _constant_affixes(image_names, mask_stems)) is not None:
            return replace(rule, full_names=full_names)
    by_value = [[_by_value(name) for name in names] for names in (stems, mask_stems)]
    rule = _constant_affixes(*by_value)
    return None if rule is None else replace(rule, by_value=True)


def align(rule: NameRule, images: Sequence[Path], masks: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Return the images and masks that a rule pairs, in the order of the images."""
    by_key = {rule.mask_key(mask): mask for mask in masks}
    keys = [rule.image_key(image) for image in images]
    return [(image, by_key[key]) for image, key in zip(images, keys, strict=True) if key in by_key and key is not None]


def nearest_rule(images: Sequence[Path], masks: Sequence[Path]) -> tuple[NameRule, int] | None:
    """Return the rule of prefixes and suffixes that pairs most, with the number of pairs; None if none pairs any.

    Only affixes that most names of a side have are tried, so that single orphans do not hide a rule.

    Examples
    --------
    >>> images = [Path(f"case_{i}_0000.png") for i in range(9)]
    >>> rule, count = nearest_rule(images, [Path(f"case_{i}.png") for i in range(7)])
    >>> rule.flags, count
    ('--image-suffix _0000', 7)
    """
    image_names, mask_names = [[pairing_name(path) for path in paths] for paths in (images, masks)]
    best: tuple[int, int, NameRule] | None = None
    fewer = min(len(images), len(masks))  # an image may have several files, such as one per channel
    mask_sides = [
        (prefix, suffix, _keys(mask_names, prefix, suffix))
        for prefix, suffix in product(_affixes(mask_names, fewer), _affixes(mask_names, fewer, end=True))
    ]
    for ip, is_ in product(_affixes(image_names, fewer), _affixes(image_names, fewer, end=True)):
        image_keys = _keys(image_names, ip, is_)
        for mp, ms, mask_keys in mask_sides:
            rule = NameRule(image_prefix=ip, image_suffix=is_, mask_prefix=mp, mask_suffix=ms)
            count = len(image_keys & mask_keys)
            score = count, -len(ip + is_ + mp + ms)
            if count and _is_plausible(rule) and (best is None or score > best[:2]):
                best = *score, rule
    return None if best is None else (best[2], best[0])


def _constant_affixes(images: Sequence[str], masks: Sequence[str]) -> NameRule | None:
    """Return the prefixes and suffixes without which the two sets of names are equal.

    What all names of one side share at the beginning and the end is removed: the rest is the same on both sides if, and
    only if, constant affixes pair the names. What both sides share next to the rest belongs to the names, not to them.
    """
    if len(images) == 1:
        return _single(images[0], masks[0])
    parts = [_split_constant(names) for names in (images, masks)]
    heads, tails = [head for head, _, _ in parts], [tail for _, tail, _ in parts]
    cores = [core for _, _, core in parts]
    if set(cores[0]) != set(cores[1]) or any(len(set(core)) < len(core) for core in cores):
        return None
    prefixes = _distinct(heads)
    suffixes = [suffix[::-1] for suffix in _distinct([tail[::-1] for tail in tails])]
    rule = NameRule(
        image_prefix=prefixes[0], image_suffix=suffixes[0], mask_prefix=prefixes[1], mask_suffix=suffixes[1]
    )
    at_boundaries = all(
        len(name) > len(prefix + suffix)
        and _is_boundary(name, len(prefix))
        and _is_boundary(name, len(name) - len(suffix))
        for names, prefix, suffix in (
            (images, rule.image_prefix, rule.image_suffix),
            (masks, rule.mask_prefix, rule.mask_suffix),
        )
        for name in names
    )
    return rule if at_boundaries and _is_plausible(rule) else None


def _split_constant(names: Sequence[str]) -> tuple[str, str, list[str]]:
    """Return what all names begin with, what the rest of all ends with, and what is between."""
    head = _common_start(names)
    rests = [name[len(head) :] for name in names]
    tail = _common_start([rest[::-1] for rest in rests])[::-1]
    return head, tail, [rest[: len(rest) - len(tail)] for rest in rests]


def _common_start(names: Sequence[str]) -> str:
    """Return what all names begin with: what the first and the last in order do."""
    low, high = min(names), max(names)
    differing = (index for index, (one, other) in enumerate(zip(low, high, strict=False)) if one != other)
    return low[: next(differing, len(low))]


def _distinct(heads: Sequence[str]) -> list[str]:
    """Return two constant beginnings without what both have next to the rest of the names, except separators."""
    shared = _common_start([head[::-1] for head in heads])[::-1]
    if all(len(head) > len(shared) for head in heads):
        separators = len(shared) - len(shared.lstrip("_-. "))
        shared = shared[separators:]
    return [head[: len(head) - len(shared)] for head in heads]


def _single(image: str, mask: str) -> NameRule | None:
    """Return the rule for one image and one mask: one name must contain the other."""
    long, short = (mask, image) if len(mask) >= len(image) else (image, mask)
    prefix = long[: -len(short)] if long.endswith(short) else ""
    suffix = long[len(short) :] if long.startswith(short) else ""
    if not short or not (prefix or suffix or long == short):
        return None
    if not (_is_boundary(long, len(prefix)) and _is_boundary(long, len(long) - len(suffix))):
        return None
    suffix = "" if prefix else suffix
    return (
        NameRule(mask_prefix=prefix, mask_suffix=suffix)
        if long == mask
        else NameRule(image_prefix=prefix, image_suffix=suffix)
    )


def _is_plausible(rule: NameRule) -> bool:
    """Return whether the affixes name kinds of files: not two numbers, nor two splits, which are other images."""
    for image_affix, mask_affix in ((rule.image_prefix, rule.mask_prefix), (rule.image_suffix, rule.mask_suffix)):
        for pattern in (r"\d+", "|".join(rf"\b{word}\b" for word in SPLIT_WORDS)):
            here, there = (re.findall(pattern, affix.replace("_", " ")) for affix in (image_affix, mask_affix))
            if here and there and here != there:
                return False
    return True


def _affixes(names: Sequence[str], count: int, *, end: bool = False) -> list[str]:
    """Return the affixes at word boundaries that most of `count` names share, the empty one first."""
    counts: dict[str, int] = {}
    for name in names:
        cuts = boundaries(name)
        for cut in cuts[::-1][:_MAX_AFFIXES] if end else cuts[:_MAX_AFFIXES]:
            affix = name[cut:] if end else name[:cut]
            counts[affix] = counts.get(affix, 0) + 1
    least = max(2, MIN_SHARED * count)
    return ["", *sorted((affix for affix, count in counts.items() if count >= least), key=len)[:_MAX_TRIED]]


def _keys(names: Sequence[str], prefix: str, suffix: str) -> set[str]:
    """Return the unique rests of the names that have both affixes."""
    size = len(prefix) + len(suffix)
    keys = [
        name[len(prefix) : len(name) - len(suffix)]
        for name in names
        if len(name) > size and name.startswith(prefix) and name.endswith(suffix)
    ]
    return set(keys)


def boundaries(name: str) -> list[int]:
    """Return where words and numbers of a name begin or end, without its own ends."""
    return [cut for cut in range(1, len(name)) if _is_boundary(name, cut)]


def _is_boundary(name: str, cut: int) -> bool:
    """Return whether `cut` is an end of the name, or between two kinds of characters: letters, digits, others."""
    if not 0 < cut < len(name):
        return True
    before, after = (_kind(letter) for letter in name[cut - 1 : cut + 1])
    return before != after or before == "other"


def _kind(letter: str) -> str:
    return "digit" if letter.isdecimal() else "letter" if letter.isalpha() else "other"


def _by_value(name: str) -> str:
    """Return a name without the leading zeros of its numbers."""
    return re.sub(r"\d+", lambda match: str(int(match[0])), name)


def _flag(flag: str, value: str) -> str:
    return f"{flag}={shlex.quote(value)}" if value.startswith("-") else f"{flag} {shlex.quote(value)}"
