"""Pair images and masks by name, and separate masks from images in one folder."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixelwise.datasets.masks.likeness import find_mask_side
from pixelwise.datasets.naming.beginnings import pair_by_beginning
from pixelwise.datasets.naming.file_copies import find_copies
from pixelwise.datasets.naming.folder_names import (
    MASK_PREFIXES,
    MASK_SUFFIXES,
    has_affix,
    is_image_word,
    is_mask_word,
    normalised,
    pairing_name,
    strip_affix,
    strip_image_words,
    strip_mask_words,
)
from pixelwise.datasets.naming.further_masks import find_further_masks, take_numbered
from pixelwise.datasets.naming.kinds import describe_kinds
from pixelwise.datasets.naming.outputs import find_derived
from pixelwise.datasets.naming.partitions import partitions
from pixelwise.datasets.naming.rules import NameRule, find_rule, nearest_rule
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.problems import Problem
from pixelwise.errors import printable
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import list_first, pluralise

_AFFIXES = (*MASK_SUFFIXES, *MASK_PREFIXES)
_LABEL_STUDIO = re.compile(r"task-\d+-annotation-\d+-")  # its export as PNG
_HASH = re.compile(r"(?:\.rf)?[._-](?=[0-9a-z]*\d)[0-9a-f]{8,}$")  # an identifier that a program adds
_Key = Callable[[Path], str | None]


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Pairs as (name, image, mask), further masks of an image by its mask, messages and problems."""

    pairs: tuple[tuple[str, Path, Path], ...]
    messages: tuple[str, ...]
    problems: tuple[Problem, ...]
    further: Mapping[Path, tuple[Path, ...]] = field(default_factory=dict[Path, tuple[Path, ...]])
    missing: tuple[Path, ...] = ()  # images without a mask


@dataclass(frozen=True, kw_only=True)
class SameFolderPairs:
    """The images and masks of one folder."""

    images: tuple[Path, ...]
    masks: tuple[Path, ...]
    messages: tuple[str, ...] = ()


@dataclass
class _Match:
    """The masks of images; masks that may be of the same image; masks without an image, images without a mask."""

    chosen: dict[Path, Path] = field(default_factory=dict[Path, Path])
    clashes: list[tuple[list[Path], list[Path]]] = field(default_factory=list[tuple[list[Path], list[Path]]])
    orphans: list[Path] = field(default_factory=list[Path])
    missing: list[Path] = field(default_factory=list[Path])

    @property
    def complete(self) -> bool:
        """Whether every file is in a pair."""
        return not (self.clashes or self.orphans or self.missing)


def pair_by_name(root: Path, images: Sequence[Path], masks: Sequence[Path], options: DataOptions) -> Pairing:
    """Pair by name.

    By the flags for prefixes and suffixes, if given. Else by the whole name, then without the words for image and mask,
    then by a rule for prefixes and suffixes that pairs all files one to one.
    """
    problems: list[Problem] = []
    messages: list[str] = []
    rule = given_rule(options)
    images, masks = _unique(root, images, problems), _unique(root, masks, problems)
    if rule is not None:
        images = _with_key(images, rule.image_key, "image", messages)
        masks = _with_key(masks, rule.mask_key, "mask", messages)
        match = _match(images, masks, rule.image_key, rule.mask_key)
    else:
        match = _match_by_names(images, masks, options, messages)
    copies = find_copies([*match.missing, *match.orphans], [*match.chosen, *match.chosen.values()])
    if copies:
        names = list_first([f"{printable(path.name)} of {printable(copies[path].name)}" for path in copies], 3)
        messages.append(f"Left out: {pluralise(len(copies), 'copy', 'copies')} of files in a pair, {names}.")
        match.missing, match.orphans = (_without(files, list(copies)) for files in (match.missing, match.orphans))
    if rule is None:
        match.chosen |= take_numbered(match.missing, match.orphans)
    further = find_further_masks(match.chosen.values(), [*match.missing, *match.orphans]) if rule is None else {}
    if further:
        united = [path for paths in further.values() for path in paths]
        match.missing, match.orphans = (_without(files, united) for files in (match.missing, match.orphans))
        files = f"{pluralise(len(united), 'further mask file')}, such as {printable(united[0].name)}"
        messages.append(f"The masks of an image are united: {files} (--task instance: an object each).")
    match.missing = _without_derived("image", match.missing, list(match.chosen), messages)
    match.orphans = _without_derived("mask", match.orphans, list(match.chosen.values()), messages)
    if not match.complete and (problem := _differing_names(images, masks, match)) is not None:
        problems.append(problem)
    else:
        problems += _unpaired(root, match, options, messages)
    pairs = tuple((stem_of(image), image, match.chosen[image]) for image in images if image in match.chosen)
    missing = tuple(match.missing)
    return Pairing(pairs=pairs, messages=tuple(messages), problems=tuple(problems), further=further, missing=missing)


def given_rule(options: DataOptions) -> NameRule | None:
    """Return the rule that the flags for prefixes and suffixes give, if any of them is given."""
    rule = NameRule(
        image_prefix=options.image_prefix or "",
        image_suffix=options.image_suffix or "",
        mask_prefix=options.mask_prefix or "",
        mask_suffix=options.mask_suffix or "",
    )
    return None if rule == NameRule() else rule


def pair_up(images: Sequence[Path], masks: Sequence[Path]) -> dict[Path, Path]:
    """Return the masks of images by their names alone, as far as they pair."""
    return _match_by_names(images, masks, DataOptions(), []).chosen


def _match_by_names(images: Sequence[Path], masks: Sequence[Path], options: DataOptions, messages: list[str]) -> _Match:
    """Match by equal names, then by the rule for the other names that pairs most."""
    same = _match(images, masks, pairing_name, pairing_name)
    if not same.missing or not same.orphans:
        return same
    suffix = options.masks if is_suffix(options.masks) else None

    def mask_name(path: Path) -> str:
        name = pairing_name(path)
        given = suffix is not None and has_affix(name, suffix.casefold())
        return name[: -len(suffix or "")] if given else strip_mask_words(name)

    def image_name(path: Path) -> str:
        return strip_image_words(pairing_name(path))

    words = (_match(same.missing, same.orphans, key, mask_name) for key in (pairing_name, image_name))
    best = max(words, key=lambda match: len(match.chosen))
    rule = find_rule(images, masks) if not same.chosen and not best.complete else None
    if rule is not None:
        flags = f" ({rule.flags})" if rule.flags else ""
        messages.append(f"Images and masks are paired without {rule.description}{flags}.")
        return _match(images, masks, rule.image_key, rule.mask_key)
    if not same.chosen and not best.complete:
        bare = _match(
            images, masks, lambda path: _HASH.sub("", pairing_name(path)), lambda p: _HASH.sub("", mask_name(p))
        )
        if bare.complete:
            messages.append("Images and masks are paired without the identifiers at the end of their names.")
            return bare
    if not same.chosen and not best.complete:
        inner = _match(images, masks, _without_own_folder, _without_own_folder)
        if inner.complete:
            messages.append("Images and masks are paired without the names of their folders, which their names repeat.")
            return inner
    if not same.chosen and not best.complete and (pairs := pair_by_beginning(images, masks)):
        shown = f"{printable(pairs[0][1].name)} is the mask of {printable(pairs[0][0].name)}"
        how = "by the beginning of their names"
        messages.append(f"Images and masks are paired {how}: {shown} (a list of files decides: --format list).")
        return _Match(chosen=dict(pairs))
    best.chosen = same.chosen | best.chosen
    return best


def _without_own_folder(path: Path) -> str | None:
    """Return a pairing name without that of its folder between other words; None without it.

    ``s2_0/ROI1_s2_0_p7.tif`` and ``dfc_0/ROI1_dfc_0_p7.tif`` have ``roi1_p7`` in common.
    """
    words = f"_{pairing_name(path)}_".partition(f"_{normalised(path.parent.name)}_")
    return f"{words[0]}_{words[2]}".strip("_") if words[1] else None


def _match(images: Sequence[Path], masks: Sequence[Path], image_key: _Key, mask_key: _Key) -> _Match:
    """Match the images and masks of equal keys."""
    by_key: dict[str | None, list[Path]] = defaultdict(list)
    for image in images:
        by_key[image_key(image)].append(image)
    masks_by_key: dict[str | None, list[Path]] = defaultdict(list)
    for mask in masks:
        masks_by_key[mask_key(mask)].append(mask)
    match = _Match()
    for key, found in masks_by_key.items():
        own = by_key.get(key, []) if key is not None else []
        if len(found) == len(own) == 1:
            match.chosen[own[0]] = found[0]
        elif own:
            match.clashes.append((found, own))
        else:
            match.orphans += found
    match.missing = [image for image in images if image not in match.chosen]
    return match


def _without_derived(role: str, files: Sequence[Path], paired: Sequence[Path], messages: list[str]) -> list[Path]:
    """Return the files without those that were made from files in a pair, which are reported."""
    derived = find_derived(files, paired)
    for suffix, paths in derived.items():
        count = pluralise(len(paths), "file")
        messages.append(f"Left out: {count} ending in {suffix} beside {role}s in a pair (--{role}-suffix).")
    return _without(files, [path for paths in derived.values() for path in paths])


def _differing_names(images: Sequence[Path], masks: Sequence[Path], match: _Match) -> Problem | None:
    """Return the problem that names differ systematically: another rule pairs more, or no name fits."""
    if not match.missing or not match.orphans or match.clashes:
        return None
    found = nearest_rule(images, masks)
    if found is not None and found[1] > len(match.chosen) and 2 * found[1] >= min(len(images), len(masks)):
        rule, count = found
        pairs = "all" if count == len(masks) else f"{count} of {len(masks)}"
        text = f"{len(match.chosen)} pairs; {pairs} masks would pair without {rule.description}: {rule.flags}"
        if len(images) > len(masks) and (kinds := describe_kinds(images)):
            text += f"; {kinds[:-1]}"
        return Problem(file=".", kind="names differ", text=text)
    if match.chosen:
        return None
    names = f"{printable(images[0].name)} and {printable(masks[0].name)}"
    count = f"{pluralise(len(images), 'image')} and {pluralise(len(masks), 'mask')}"
    text = f"{count} without a common name, such as {names}"
    if all(_LABEL_STUDIO.match(path.name) for path in masks):
        text += "; Label Studio has named these masks by the number of their task: its export as JSON names the images"
    return Problem(file=".", kind="names differ", text=text)


def _unpaired(root: Path, match: _Match, options: DataOptions, messages: list[str]) -> list[Problem]:
    """Return the problems of files that are not in a pair, or ignore them with a message (`--allow-missing`)."""
    problems: list[Problem] = []
    for masks, images in match.clashes:
        text = "may be the mask of the same image as " + printable(masks[0].name)
        problems += [_problem(root, mask, "duplicate name", text, (*masks, *images)) for mask in masks[1:] or masks]
    if not options.allow_missing:
        problems += [_problem(root, path, "missing mask", "no mask of this name") for path in match.missing]
        problems += [_problem(root, path, "orphan mask", "no image of this name") for path in match.orphans]
    elif match.missing or match.orphans:
        unlabelled = pluralise(len(match.missing), "image without mask", "images without mask")
        orphans = pluralise(len(match.orphans), "mask without image", "masks without image")
        messages.append(f"Ignored: {unlabelled} and {orphans}.")
    return problems


def _with_key(paths: Sequence[Path], key: _Key, role: str, messages: list[str]) -> list[Path]:
    """Return the files that have the given prefix and suffix; the number of the others is reported."""
    kept = [path for path in paths if key(path) is not None]
    if len(kept) < len(paths):
        others = pluralise(len(paths) - len(kept), role)
        messages.append(f"Left out: {others} without the given prefix or suffix (--{role}-prefix, --{role}-suffix).")
    return kept


def is_suffix(masks: str | None) -> bool:
    """Return whether --masks is a file name suffix rather than a folder."""
    return masks is not None and masks.startswith(("_", "-", "."))


def separate_masks(files: Sequence[Path], options: DataOptions) -> SameFolderPairs:
    """Separate masks from images in one folder.

    By the flags, the usual words (also as whole names: ``image.png``, ``label.png``), the extension, or the pixels.
    """
    rule = given_rule(options)
    if rule is not None:
        return _by_rule(files, rule)
    if is_suffix(options.masks):
        suffix = (options.masks or "").casefold()
        found = {suffix: [path for path in files if has_affix(pairing_name(path), suffix)]}
    else:
        found = _usual_affixes(files)
    found = {affix: paths for affix, paths in found.items() if paths}
    if found:
        return _by_affix(files, found)
    for separate in (_by_words, _by_extension):
        if (separated := separate(files)).masks:
            return separated
    return _by_content(files)


def _by_words(files: Sequence[Path]) -> SameFolderPairs:
    """Separate files whose names are nothing but a word for masks from those with a word for images."""
    masks = tuple(path for path in files if is_mask_word(pairing_name(path)))
    images = tuple(path for path in files if is_image_word(pairing_name(path)))
    return SameFolderPairs(images=images, masks=masks if images else ())


def _by_rule(files: Sequence[Path], rule: NameRule) -> SameFolderPairs:
    """Separate masks by the given prefixes and suffixes."""
    if rule.mask_prefix or rule.mask_suffix:
        masks = [path for path in files if rule.mask_key(path) is not None]
        return SameFolderPairs(images=tuple(_without(files, masks)), masks=tuple(masks))
    images = [path for path in files if rule.image_key(path) is not None]
    return SameFolderPairs(images=tuple(images), masks=tuple(_without(files, images)))


def _usual_affixes(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return masks by their usual suffix or prefix: those whose image is there, or all if a rule pairs them."""
    names = {path: pairing_name(path) for path in files}
    images = {*names.values(), *(strip_image_words(name) for name in names.values())}
    found: dict[str, list[Path]] = defaultdict(list)
    for path, name in names.items():
        fitting = (affix for affix in _AFFIXES if has_affix(name, affix) and strip_affix(name, affix) in images)
        affix = next(fitting, None)
        if affix is not None:
            found[affix].append(path)
    if found:
        return found
    for affix in _AFFIXES:
        masks = [path for path, name in names.items() if has_affix(name, affix)]
        if masks and find_rule(_without(files, masks), masks) is not None:
            return {affix: masks}
    return {}


def _without(files: Sequence[Path], others: Sequence[Path]) -> list[Path]:
    excluded = set(others)
    return [path for path in files if path not in excluded]


def _by_affix(files: Sequence[Path], found: dict[str, list[Path]]) -> SameFolderPairs:
    usual = max(found, key=lambda affix: len(found[affix]))
    masks = [path for path in files if has_affix(pairing_name(path), usual)]
    other_masks = [path for affix, paths in found.items() if affix != usual for path in paths]
    images = tuple(_without(files, [*masks, *other_masks]))
    flag = f"names beginning with {usual} are used as masks (--mask-prefix {usual})."
    if not usual.endswith("_"):
        flag = f"files ending in {usual} are used as masks (--masks {usual})."
    messages = [flag]
    if other_masks:
        others = ", ".join(sorted(affix for affix in found if affix != usual))
        messages.append(f"files ending in {others} were ignored (--masks).")
    return SameFolderPairs(images=images, masks=tuple(masks), messages=tuple(messages))


def _by_extension(files: Sequence[Path]) -> SameFolderPairs:
    """Pair ``a.jpg`` with ``a.png``: images in a lossy format with masks in a lossless one."""
    names = Counter(pairing_name(path) for path in files)
    extensions = Counter(path.suffix.casefold() for path in files)
    lossy = {".jpg", ".jpeg"} & set(extensions)
    exact = {extension for extension in extensions if extension in (".png", ".tif", ".tiff", ".bmp", ".gif")}
    if set(names.values()) == {2} and lossy and exact and lossy | exact == set(extensions):
        images = tuple(path for path in files if path.suffix.casefold() in lossy)
        if len({pairing_name(path) for path in images}) == len(images) == len(names):
            masks = tuple(_without(files, images))
            text = f"files ending in {', '.join(sorted(exact))} are used as masks (--masks)."
            return SameFolderPairs(images=images, masks=masks, messages=(text,))
    return SameFolderPairs(images=tuple(files), masks=())


def _by_content(files: Sequence[Path]) -> SameFolderPairs:
    """Separate two kinds of files whose names pair one to one, if the pixels of one kind are those of masks."""
    for pairs in partitions(files):
        first, second = (tuple(pair[side] for pair in pairs) for side in (0, 1))
        side = find_mask_side(first, second)
        if side is not None:
            masks, images = (first, second) if side == 0 else (second, first)
            names = f"{printable(masks[0].name)} is used as the mask of {printable(images[0].name)}, and so on"
            text = f"{names}: their pixels are those of masks (--mask-suffix, --image-suffix)."
            return SameFolderPairs(images=images, masks=masks, messages=(text,))
    return SameFolderPairs(images=tuple(files), masks=())


def _unique(root: Path, files: Sequence[Path], problems: list[Problem]) -> list[Path]:
    """Return the first file of each pairing name."""
    by_name: dict[str, Path] = {}
    for path in files:
        other = by_name.setdefault(pairing_name(path), path)
        if other is not path:
            # it is unknown which one belongs to the other files of this name: both are excluded
            text = f"same name as {printable(other.relative_to(root))}"
            problems.append(_problem(root, path, "duplicate name", text, (other, path)))
    return list(by_name.values())


def _problem(root: Path, path: Path, kind: str, text: str, files: Sequence[Path] = ()) -> Problem:
    concerned = tuple(printable(file.relative_to(root)) for file in files)
    return Problem(file=printable(path.relative_to(root)), kind=kind, text=text, files=concerned)
