"""Assign images to groups that stay in one split: by --group-by, by their names, and by copies; report leaks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pixelwise.datasets.naming.groups import Grouping, find_folders, find_groups, search_groups
from pixelwise.datasets.options import NO_GROUPS, DataOptions
from pixelwise.datasets.records import Split
from pixelwise.datasets.splitting.duplicates import Copies
from pixelwise.datasets.splitting.map_blocks import Footprint, find_blocks
from pixelwise.labels.disjoint_sets import first_linked
from pixelwise.text import list_first, pluralise

_SHOWN = 4  # groups or pairs named in a message


@dataclass(frozen=True, kw_only=True)
class GroupedImage:
    """What decides about the group of an image.

    Attributes
    ----------
    name : str
        Unique; the group of an image that is in no other.
    path : str
        Relative to the data set, with `/`, without extension: what --group-by searches.
    key : str
        The path without folders for split, role and class: where groups are recognised.
    split : str or None
        Given by folders.
    group : str
        Given by the data set; empty if unknown.
    place : Footprint or None
        Of a map.
    """

    name: str
    path: str
    key: str
    split: Split | None
    group: str = ""
    place: Footprint | None = None


def assign_groups(
    images: Sequence[GroupedImage], copies: Copies, options: DataOptions, messages: list[str]
) -> list[str]:
    """Return the group of each image.

    Recognised groups are dropped if they would put all training images into one group: unlike those of the user, they
    must not prevent a validation split.

    Parameters
    ----------
    copies : Copies
        Copies of images are in one group; their near copies across given splits are reported.
    options : DataOptions
        `group_by` is used.
    messages : list of str
        Extended.
    """
    given = options.group_by is None and any(image.group for image in images)
    names = [(image.group if given else "") or image.name for image in images]
    training = [index for index, image in enumerate(images) if image.split in (None, "train")]
    if options.group_by is None and not given and (blocks := _map_groups(images)):
        messages.append(blocks.text)
        messages += _leaks(images, blocks.related, copies, recognised=True)
        return _merge_copies(blocks.groups, copies, training, messages)
    found = find_groups([image.key for image in images]) if options.group_by is None and not given else None
    if found is not None:
        named = [group or name for group, name in zip(found.groups, names, strict=True)]
        groups = _merge_copies(named, copies, training, [])
        if len(training) < 2 or len({groups[index] for index in training}) > 1:
            messages.append(_describe(found))
            messages += _leaks(images, named, copies, recognised=True)
            return _merge_copies(named, copies, training, messages)
    elif options.group_by not in (None, NO_GROUPS):
        names = _user_groups(images, options.group_by or "", messages)
    elif options.group_by is None and not given and (folders := find_folders([image.key for image in images])):
        messages.append(
            f"Images are in {len(folders)} folders ({list_first(folders, _SHOWN)}). If these are patients, videos or "
            r"scenes, keep each in one split: --group-by '([^/]+)/[^/]+$'."
        )
    messages += _leaks(images, names, copies, recognised=given)
    return _merge_copies(names, copies, training, messages)


@dataclass(frozen=True)
class _MapGroups:
    """The group of each map tile by its place; `related` are those that share pixels with others."""

    groups: list[str]
    related: list[str]
    text: str


def _map_groups(images: Sequence[GroupedImage]) -> _MapGroups | None:
    """Return groups of neighbours; None unless all images are maps in at least two blocks."""
    places = [image.place for image in images if image.place is not None]
    if len(places) < max(2, len(images)):
        return None
    found = find_blocks(places)
    count = len(set(found.blocks.tolist()))
    if count < 2:
        return None
    given = any(image.split is not None for image in images)
    # given splits are kept: between them only shared pixels are a leak, not neighbours
    related = [images[first].name for first in found.overlapping.tolist()]
    groups = related if given else [f"place {block + 1}" for block in found.blocks.tolist()]
    tiles, scenes = pluralise(len(images), "map tile"), pluralise(found.scenes, "scene")
    text = (
        f"{tiles} of {scenes} are split by place, in {count} blocks of neighbours, because neighbours look alike "
        "(--group-by none switches this off)."
    )
    if given:
        text = f"{tiles} of {scenes} stay in the given splits; tiles that overlap are related."
    return _MapGroups(groups, related, text)


def _describe(found: Grouping) -> str:
    sizes = Counter(group for group in found.groups if group)
    names = ", ".join(list(sizes)[:_SHOWN]) + (", ..." if len(sizes) > _SHOWN else "")
    flag = f"--group-by '{found.expression}' is the same; " if found.expression else ""
    images, groups = pluralise(sum(sizes.values()), "image"), pluralise(len(sizes), "group")
    text = f"{images} in {groups} by {found.kind} ({names}) stay whole, except in given splits"
    return f"{text} ({flag}--group-by none switches this off)."


def _user_groups(images: Sequence[GroupedImage], expression: str, messages: list[str]) -> list[str]:
    """Return the match of --group-by for each image, else its name."""
    found = search_groups(expression, [image.path for image in images])
    groups = [image.name if group is None else group for image, group in zip(images, found, strict=True)]
    unmatched = pluralise(sum(group is None for group in found), "name")
    messages.append(f"--group-by found {pluralise(len(set(groups)), 'group')}; {unmatched} without a match.")
    return groups


def _leaks(images: Sequence[GroupedImage], groups: Sequence[str], copies: Copies, *, recognised: bool) -> list[str]:
    """Report in one message which groups and nearly equal images are in several given splits, and how many images."""
    splits = [image.split or "train" for image in images]
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    torn = {group: found for group, found in members.items() if len({splits[index] for index in found}) > 1}
    related = {index for found in torn.values() for index in found} if recognised else set[int]()
    related |= {index for pair in copies.near_across for index in pair}
    scored = [index for index in related if splits[index] != "train"]
    if not scored:
        return []
    what = list[str]()
    if recognised and torn:
        what.append(f"{pluralise(len(torn), 'group')} ({list_first(list(torn), _SHOWN)})")
    if copies.near_across:
        pairs = [f"{images[one].name} ~ {images[other].name}" for one, other in copies.near_across]
        what.append(f"{pluralise(len(pairs), 'pair')} of nearly equal images ({list_first(pairs, _SHOWN)})")
    total = sum(split != "train" for split in splits)
    return [
        f"The given splits share {' and '.join(what)}: {len(scored)} of {pluralise(total, 'image')} of val and test "
        "have a relative in another split, so their scores may be too optimistic."
    ]


def _merge_copies(names: Sequence[str], copies: Copies, training: Sequence[int], messages: list[str]) -> list[str]:
    """Merge groups that share copies, so that copies stay in one split.

    If near copies would merge all training images into one group, only equal images are kept together, with a message.
    """
    groups = _merge_groups(names, copies.family)
    if len(training) > 1 and len({groups[index] for index in training}) == 1:
        equal_only = _merge_groups(names, copies.equal)
        if len({equal_only[index] for index in training}) > 1:
            messages.append(
                "All training images are nearly equal to one another: only equal ones are kept in one split, and the "
                "validation score may be too optimistic. Use --group-by to define which images belong together."
            )
            return equal_only
    return groups


def _merge_groups(groups: Sequence[str], family: Sequence[int]) -> list[str]:
    """Merge all groups that are connected by copies; the merged group has the first of their names."""
    first: dict[str, int] = {}
    links = [(index, first.setdefault(name, index)) for index, name in enumerate(groups)]
    roots = first_linked(len(groups), [*links, *enumerate(family)]).tolist()
    names: dict[int, str] = {}
    for name, root in zip(groups, roots, strict=True):
        names[root] = min(name, names.get(root, name))
    return [names[root] for root in roots]
