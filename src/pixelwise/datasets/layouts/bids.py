"""BIDS: ``sub-01/anat/sub-01_T1w.nii.gz``, ``derivatives/NAME/sub-01/anat/sub-01_label-lesion_mask.nii.gz``.

Gorgolewski et al. 2016, "The brain imaging data structure"; names of files: bids-specification.readthedocs.io, "File
name structure" and "Imaging derivatives". The entities ``sub`` and ``ses`` of a name say to which images a mask
belongs; what else is in the name of an image is its kind, such as ``T1w``. Several kinds on the grid of the mask are
the channels of one image.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.layouts.image_folders import find_base, folders_in, images_below
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset, BadImage, printable
from pixelwise.io.read import probe
from pixelwise.io.volumes.names import stem_of
from pixelwise.text import list_first, pluralise

NAME = "BIDS"
_MASKS = ("mask", "dseg", "roi", "msk", "seg")  # the last part of the names of masks
_RAW = ("rawdata", "sourcedata")


class _Name(NamedTuple):
    """The subject and session in the name of a file, and what else it says."""

    subject: str
    session: str
    kind: str


def recognise(root: Path) -> bool:
    """Return whether a folder, or the only such folder in it, has subjects, and masks of them in derivatives."""
    base = find_base(root, _has_format)
    return base is not None and bool(_files(base / "derivatives", masks=True))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read the images that have a mask; `images` and `masks` are words in the names of the kinds to use.

    Raises
    ------
    BadDataset
        Masks of several kinds, or no images of a kind that all masked subjects have.
    """
    base = find_base(root, _has_format) or root
    raw = [folder for folder in folders_in(base) if folder.name.startswith("sub-") or folder.name in _RAW]
    images: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for folder in raw:
        for name, path in _files(folder, masks=False):
            if not options.images or options.images.casefold() in name.kind.casefold():
                images[name.subject, name.session].setdefault(name.kind, path)
    masks = _choose_masks(base, _files(base / "derivatives", masks=True), options)
    shared = set.intersection(*(set(images.get(case, {})) for case in masks))
    kinds = sorted(shared)
    if len(kinds) > 1:
        case = next(iter(masks))
        kinds = [kind for kind in kinds if _has_grid_of(images[case][kind], masks[case])]
    if not kinds:
        got = list_first(sorted({kind for case in masks for kind in images.get(case, {})})) or "none"
        hint = "Name one with --images, such as --images T1w, or list the pairs in pairs.csv (--format list)."
        raise BadDataset(
            "images of a kind that every subject with a mask has, on the grid of the mask", got, hint, base
        )
    bare = sum(case not in masks for case in images)
    first = next(iter(masks.values())).relative_to(base).as_posix()
    channels = ", which are the channels of one image," if len(kinds) > 1 else ""
    messages = [
        f"{printable(' and '.join(kinds))}{channels} with masks such as {printable(first)} (--images, --masks)."
    ]
    messages += [f"{pluralise(bare, 'image')} without a mask: left out."] if bare else []
    several = len({subject for subject, _ in masks}) < len(masks)
    return AnnotatedSet(
        format=NAME,
        images=tuple(
            _image(case, [images[case][kind] for kind in kinds], mask, several=several) for case, mask in masks.items()
        ),
        messages=tuple(messages),
    )


def _image(case: tuple[str, str], files: Sequence[Path], mask: Path, *, several: bool) -> AnnotatedImage:
    return AnnotatedImage(
        name="_".join(filter(None, case)),
        image=files[0],
        channel_files=tuple(files) if len(files) > 1 else (),
        annotation=MaskFile(path=mask),
        group=case[0] if several else "",
    )


def _has_format(folder: Path) -> bool:
    if not (folder / "derivatives").is_dir():
        return False
    return any(inner.name.startswith("sub-") or inner.name in _RAW for inner in folders_in(folder))


def _files(folder: Path, *, masks: bool) -> list[tuple[_Name, Path]]:
    """Return the masks of a folder, or its other images, with what their names say."""
    found: list[tuple[_Name, Path]] = []
    for path in images_below(folder):
        parts = stem_of(path).split("_")
        entities = dict(part.split("-", 1) for part in parts if re.match(r"(sub|ses)-.", part))
        if "sub" in entities and (parts[-1].casefold() in _MASKS) is masks:
            kind = "_".join(part for part in parts if not re.match(r"(sub|ses)-.", part))
            found.append((_Name(f"sub-{entities['sub']}", entities.get("ses", ""), kind), path))
    return found


def _choose_masks(
    base: Path, files: Sequence[tuple[_Name, Path]], options: DataOptions
) -> Mapping[tuple[str, str], Path]:
    """Return the masks by subject and session: the only kind, or the one that has the word that the user names."""
    by_kind: dict[str, dict[tuple[str, str], Path]] = defaultdict(dict)
    for name, path in files:
        program = path.relative_to(base / "derivatives").parts[0]
        kind = name.kind if program.startswith("sub-") else f"{program}/{name.kind}"
        if not options.masks or options.masks.casefold() in kind.casefold():
            by_kind[kind].setdefault((name.subject, name.session), path)
    if len(by_kind) == 1:
        return next(iter(by_kind.values()))
    got = list_first(sorted(by_kind)) or f"none called {options.masks}"
    hint = "Name them with --masks, by a word that only they have."
    raise BadDataset("masks of one kind in derivatives", printable(got), hint, base)


def _has_grid_of(image: Path, mask: Path) -> bool:
    """Return whether an image lies on its mask; not if one of them is unreadable."""
    try:
        one, other = probe(image), probe(mask)
    except BadImage:
        return False
    if one.size != other.size:
        return False
    return one.grid is None or other.grid is None or not one.grid.difference(other.grid, one.size)
