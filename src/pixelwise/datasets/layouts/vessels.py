"""Sets of retinal vessels: DRIVE, HRF, CHASE_DB1 and STARE, with their field of view and several observers.

Staal et al. 2004 (DRIVE): ``training/images``, ``training/1st_manual`` and ``training/mask``, the field of view; names
share a number. Budai et al. 2013 (HRF): ``images``, ``manual1`` and ``mask``. Fraz et al. 2012 (CHASE_DB1): one folder
with ``Image_01L.jpg``, ``Image_01L_1stHO.png`` and ``Image_01L_2ndHO.png``. Hoover et al. 2000 (STARE):
``stare-images/im0001.ppm``, ``labels-ah/im0001.ah.ppm`` and ``labels-vk/im0001.vk.ppm``.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, MaskFile
from pixelwise.datasets.layouts.image_folders import find_base, folders_in, images_in, split_in_name
from pixelwise.datasets.naming.folder_names import normalised, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset
from pixelwise.text import pluralise

NAME = "retinal vessels (DRIVE, HRF, CHASE_DB1, STARE)"
OBSERVER_FOLDERS = ("1st_manual", "2nd_manual", "manual1", "manual2", "labels-ah", "labels-vk")
OBSERVER_SUFFIXES = ("_1stHO", "_2ndHO", ".ah", ".vk")
_FIELD_OF_VIEW = ("mask", "masks", "fov")


def recognise(root: Path) -> bool:
    """Return whether a folder has images beside the manual segmentations of an observer."""
    return find_base(root, _has_format) is not None


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read images with the segmentations of one observer; outside the field of view is ignored.

    Parameters
    ----------
    options : DataOptions
        `masks` names the observer, such as "2nd_manual" or "_2ndHO"; by default the first.

    Raises
    ------
    BadDataset
        The named observer does not exist, or a name has no number, or two files of a folder have the same.
    """
    base = find_base(root, _has_format) or root
    if _suffixes(base):
        return _read_suffixes(base, options)
    images: list[AnnotatedImage] = []
    messages: list[str] = []
    for split, folder in _parts(base):
        images += _read_part(split, folder, options, messages)
    if any(isinstance(image.annotation, MaskFile) and image.annotation.region is not None for image in images):
        messages.append("The folder mask is the field of view: pixels outside it are ignored (--format folders).")
    return AnnotatedSet(format=NAME, images=tuple(images), instances=False, messages=tuple(dict.fromkeys(messages)))


def _has_format(folder: Path) -> bool:
    return bool(_suffixes(folder)) or any(True for _ in _parts(folder))


def _parts(base: Path) -> Iterator[tuple[Split | None, Path]]:
    """Yield the folders with images and observers; those of a split without observers too."""
    with_observers = [folder for folder in (base, *folders_in(base)) if _observers(folder) and _images(folder)]
    for folder in (base, *folders_in(base)) if with_observers else ():
        split = None if folder == base else split_in_name(folder.name)
        if folder in with_observers or (split == "test" and _images(folder)):
            yield split, folder


def _observers(folder: Path) -> list[str]:
    return [name for name in OBSERVER_FOLDERS if (folder / name).is_dir()]


def _images(folder: Path) -> list[Path]:
    """Return the images of a folder: those in the folder whose name means images, such as ``stare-images``."""
    inner = folders_in(folder)
    named = [one for one in inner if read_folder_name(one.name) == (None, "image")]
    named = named or [one for one in inner if normalised(one.name).endswith(("-images", "_images"))]
    return images_in(named[0]) if len(named) == 1 else []


def _read_part(
    split: Split | None, folder: Path, options: DataOptions, messages: list[str]
) -> Iterator[AnnotatedImage]:
    observers = _observers(folder)
    chosen = _choose(observers, options, folder) if observers else None
    if chosen is not None:
        others = ", ".join(name for name in observers if name != chosen)
        messages.append(f"{chosen} is the truth{f'; {others} not used' if others else ''} (--masks).")
    masks = {} if chosen is None else _by_number(folder / chosen)
    regions = next((_by_number(folder / name) for name in _FIELD_OF_VIEW if (folder / name).is_dir()), {})
    for number, image in _by_number(_images(folder)[0].parent).items():
        mask = masks.get(number)
        yield AnnotatedImage(
            name=image.stem,
            image=image,
            annotation=None if mask is None else MaskFile(path=mask, region=regions.get(number)),
            split=split,
        )


def _by_number(folder: Path) -> dict[str, Path]:
    """Return files by the number, and the letters beside it, that begin their names, such as "21" or "01_dr"."""
    files: dict[str, Path] = {}
    for path in images_in(folder):
        match = re.match(r"^\D*?(\d+)(_(?:dr|h|g)(?![a-z]))?", path.stem, re.IGNORECASE)
        number = f"{int(match[1])}{match[2] or ''}".casefold() if match else path.stem
        if number in files:
            hint = "Name the folders with --images and --masks."
            raise BadDataset("one file per number", f"{files[number].name} and {path.name}", hint, folder)
        files[number] = path
    return files


def _choose(observers: list[str], options: DataOptions, where: Path) -> str:
    """Return the observer that the user names, else the first."""
    if options.masks is None:
        return observers[0]
    named = [name for name in observers if name.casefold() == options.masks.strip("/").rpartition("/")[2].casefold()]
    if not named:
        hint = f"Use --masks {observers[0]}, or --format folders to name any folder."
        raise BadDataset(f"an observer: {', '.join(observers)}", f"--masks {options.masks}", hint, where)
    return named[0]


def _suffixes(folder: Path) -> dict[str, list[Path]]:
    """Return the masks of each observer by suffix, if masks lie beside their images."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in images_in(folder):
        for suffix in OBSERVER_SUFFIXES:
            if path.stem.endswith(suffix):
                found[suffix].append(path)
    return found


def _read_suffixes(base: Path, options: DataOptions) -> AnnotatedSet:
    found = _suffixes(base)
    chosen = _choose(list(found), options, base)
    masks = {path.stem.removesuffix(chosen): path for path in found[chosen]}
    files = [path for path in images_in(base) if not path.stem.endswith(OBSERVER_SUFFIXES)]
    images = tuple(
        AnnotatedImage(
            name=path.stem,
            image=path,
            annotation=MaskFile(path=masks[path.stem]) if path.stem in masks else None,
            group=match[1] if (match := re.match(r"^(.*\d)[LR]$", path.stem)) else "",
        )
        for path in files
    )
    others = ", ".join(suffix for suffix in found if suffix != chosen)
    messages = [f"Files ending in {chosen} are the truth{f'; {others} not used' if others else ''} (--masks)."]
    if any(image.group for image in images):
        messages.append(f"Both eyes of a person stay in one split ({pluralise(len(files), 'image')}; --group-by).")
    return AnnotatedSet(format=NAME, images=images, instances=False, messages=tuple(messages))
