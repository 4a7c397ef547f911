"""A binary mask file per object, as in the Data Science Bowl 2018 (Caicedo et al. 2019).

Five layouts: ``<id>/images/<id>.png`` with ``<id>/masks/*.png``; ``images/x.png`` with ``masks/x/*.png``;
``images/x.png`` with ``masks/x_1.png``, ``masks/x_2.png`` ..., or ``masks/x_hair.png``, ``masks/skin_x.png`` ...;
``x.png`` with ``x_1.png`` ... in one folder; and a folder per case with ``photo.png``, ``iris.png``, ``pupil.png``.
If the files of every image have the same few names, they are masks of classes. Masks that mark the same pixels are
versions, such as those of several observers, and refused.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from pixelwise.datasets.annotations import AnnotatedImage, AnnotatedSet, Annotation, ClassMasks, ObjectMasks
from pixelwise.datasets.layouts.image_folders import folders_in, images_in, split_in_name
from pixelwise.datasets.layouts.mask_overlap import refuse_versions
from pixelwise.datasets.layouts.masks_beside import are_binary, find_masks_beside
from pixelwise.datasets.naming.folder_names import IMAGE_WORDS, MASK_WORDS, natural_key, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.io.volumes.names import is_volume_name, stem_of
from pixelwise.text import pluralise

NAME = "one mask file per object"
CLASSES_NAME = "one mask file per class"
MAX_CLASSES = 40  # names that may be classes
MAX_ORGANS = 254  # of volumes, where a scan of the whole body has a hundred structures
MAX_DEPTH = 3  # folders between the set and its images
_PLAIN_WORDS = (
    MASK_WORDS | IMAGE_WORDS | frozenset(("object", "obj", "instance", "inst", "nucleus", "cell", "id", "no"))
)
_NUMBERED = re.compile(r"^(.+?)[_-](?:[a-z]+[_-]?)?\d+$", re.IGNORECASE)
FoundImage = tuple[str, Path, Split | None, list[Path] | None]


def recognise(root: Path) -> bool:
    """Return whether images have several mask files each."""
    return bool(_find(root))


def read(root: Path, options: DataOptions) -> AnnotatedSet:
    """Read images with their mask files; without a folder of masks an image is not annotated.

    Raises `BadDataset` if the masks of an image mark the same pixels.
    """
    found = _find(root)
    hint = "Choose one by the end of its name (--mask-suffix) or its folder (--masks), or move the others away."
    refuse_versions([masks for *_, masks in found if masks], options, "file-per-object", hint, root)
    classes = _class_names([(stem_of(path), masks) for _, path, _, masks in found if masks])
    images = tuple(
        AnnotatedImage(name=name, image=path, annotation=_annotation(masks, classes), split=split)
        for name, path, split, masks in found
    )
    counts = [len(masks) for *_, masks in found if masks is not None]
    kind = "class (--task instance reads them as objects)" if classes else "object"
    message = f"{pluralise(sum(counts), 'mask file')} of {pluralise(len(counts), 'image')}: one per {kind}."
    return AnnotatedSet(
        format=CLASSES_NAME if classes else NAME,
        images=images,
        classes=tuple(sorted(set(classes.values()), key=natural_key)),
        instances=not classes,
        messages=(message,),
    )


def _find(root: Path) -> list[FoundImage]:
    """Return name, image, split and mask files of each image; empty if the folder has another layout."""
    finders = (_folder_per_image, _masks_beside_images, _masks_in_one_folder, _masks_in_case_folders)
    return next((found for find in finders if (found := find(root))), [])


def _folder_per_image(root: Path) -> list[FoundImage]:
    """Find ``<id>/images/<id>.png`` or ``<id>/<id>.png``, with ``<id>/masks/*.png``."""
    found: list[FoundImage] = []
    for folder, split in _folders_below(root, MAX_DEPTH):
        images = _images_of(folder) if read_folder_name(folder.name)[1] is None else []
        if len(images) != 1:
            continue
        masks = [inner for inner in folders_in(folder) if read_folder_name(inner.name) == (None, "mask")]
        files = images_in(masks[0]) if len(masks) == 1 else None
        found.append((_name(folder, root), images[0], split, files))
    return found if _have_several(found) and len(found) > 1 else []


def _images_of(folder: Path) -> list[Path]:
    """Return the images of a folder of one image: directly in it, or in its folder of images."""
    inner = [one for one in folders_in(folder) if read_folder_name(one.name) == (None, "image")]
    return images_in(inner[0]) if len(inner) == 1 else images_in(folder)


def _masks_beside_images(root: Path) -> list[FoundImage]:
    """Find ``images/x.png`` with ``masks/x/*.png`` or ``masks/x_1.png``, below split folders or beside them."""
    found: list[FoundImage] = []
    folders: list[tuple[Path, Split | None]] = [(root, None), *_folders_below(root, MAX_DEPTH)]
    masks = {key: folder for folder, split in folders if (key := _key(root, folder, split, "mask")) is not None}
    for folder, split in folders:
        key = _key(root, folder, split, "image")
        if key is None or key not in masks:
            continue
        images = images_in(folder)
        files = _by_image(masks[key], [stem_of(image) for image in images])
        if files is None:
            return []
        prefix = f"{key[0]}/" if key[0] else ""
        for image in images:
            found.append((f"{prefix}{stem_of(image)}", image, key[0], files.get(stem_of(image))))
    return found if _have_several(found) else []


def _masks_in_one_folder(root: Path) -> list[FoundImage]:
    """Find ``x.png`` with ``x_cell.png`` and ``x_nucleus.png`` in one folder, or in each of several."""
    found: list[FoundImage] = []
    folders: list[tuple[Path, Split | None]] = [(root, None), *_folders_below(root, MAX_DEPTH)]
    for folder, split in folders:
        files = images_in(folder)
        masks = find_masks_beside(files, fewest=1 if folder != root else 2)
        if files and not masks and split != "test":
            return []
        owned = {path for paths in masks.values() for path in paths}
        place = [_name(folder, root)] if folder != root else []
        for path in (path for path in files if path not in owned):
            found.append(("/".join([*place, stem_of(path)]), path, split, masks.get(path)))
    return found if len(found) > 1 and any(masks for *_, masks in found) else []


def _masks_in_case_folders(root: Path) -> list[FoundImage]:
    """Find a folder per case with files of the same names in each, one of them the image: photo, iris, pupil."""
    cases: list[tuple[Path, Split | None, list[Path]]] = [
        (folder, split, files) for folder, split in _folders_below(root, MAX_DEPTH) if (files := images_in(folder))
    ]
    if any(read_folder_name(folder.name)[1] for folder, _, _ in cases):
        return []  # images and masks, not cases
    kinds = [{_kind(path, folder): path for path in files} for folder, _, files in cases]
    names = set(kinds[0]) if kinds else set[str]()
    if len(cases) < 2 or not 3 <= len(names) <= MAX_CLASSES or any(set(kind) != names for kind in kinds):
        return []
    images = [name for name in names if not are_binary([kind[name] for kind in kinds])]
    if len(images) != 1 or len(images_in(root)):
        return []
    found: list[FoundImage] = []
    for (folder, split, _), kind in zip(cases, kinds, strict=True):
        masks = sorted(path for name, path in kind.items() if name != images[0])
        found.append((_name(folder, root), kind[images[0]], split, masks))
    return found


def _kind(path: Path, folder: Path) -> str:
    """Return the name of a file without that of its folder."""
    return stem_of(path).replace(folder.name, "").strip("_-. ").casefold()


def _key(root: Path, folder: Path, split: Split | None, role: str) -> tuple[Split | None, tuple[str, ...]] | None:
    """Return what image and mask folder of one place share: split, and the names above them without role or split."""
    parts = folder.relative_to(root).parts
    read = [read_folder_name(name) for name in parts]
    if [found for _, found in read if found is not None] != [role]:
        return None
    stated: list[Split | None] = [found for found, _ in read if found is not None]
    return (stated or [split])[0], tuple(name for name, found in zip(parts, read, strict=True) if found == (None, None))


def _by_image(folder: Path, stems: Sequence[str]) -> dict[str, list[Path]] | None:
    """Return the mask files of each image; None if they are not several per image."""
    inner = {one.name: one for one in folders_in(folder)}
    files = images_in(folder)
    if inner and not files:
        known = {stem: images_in(inner[stem]) for stem in stems if stem in inner}
        return known if 2 * len(known) >= max(len(inner), len(stems)) else None
    if inner or not files:
        return None
    owners: dict[str, list[Path]] = defaultdict(list)
    numbers = {int(stem): stem for stem in stems if stem.isdecimal()}
    numbered = True
    for path in files:
        ends = _suffixes(stem_of(path))  # liver_7
        begins = _prefixes(stem_of(path))
        owner = next((begin for begin in begins if begin in stems), None)
        if owner is None:  # 7 and 00007_hair
            owner = next((numbers[int(begin)] for begin in begins if begin.isdecimal() and int(begin) in numbers), None)
        if owner is None:
            owner = next((end for end in ends if end in stems), None)
            numbered = False
        if owner is None or owner == stem_of(path):
            return None
        numbered = numbered and _NUMBERED.match(stem_of(path)) is not None
        owners[owner].append(path)
    return (
        owners if numbered or are_binary([paths[i % len(paths)] for i, paths in enumerate(owners.values())]) else None
    )


def _prefixes(stem: str) -> list[str]:
    """Return the beginnings of a name that end before a separator, longest first."""
    return [stem[: match.start()] for match in reversed(list(re.finditer(r"[_-]", stem)))]


def _suffixes(stem: str) -> list[str]:
    """Return the ends of a name that begin after a separator, longest first."""
    return [stem[match.end() :] for match in re.finditer(r"[_-]", stem)]


def _folders_below(folder: Path, depth: int, split: Split | None = None) -> list[tuple[Path, Split | None]]:
    """Return the folders below a folder to a depth, each with the split that a name above it states."""
    found: list[tuple[Path, Split | None]] = []
    for inner in folders_in(folder):
        own = split or split_in_name(inner.name)
        found.append((inner, own))
        found += _folders_below(inner, depth - 1, own) if depth > 1 else []
    return found


def _have_several(found: Sequence[FoundImage]) -> bool:
    """Return whether images have several masks, or masks that are not named as their image."""
    annotated = [(stem_of(image), masks) for _, image, _, masks in found if masks]
    several = sum(len(masks) > 1 for _, masks in annotated)
    return bool(annotated) and several > 0 and 3 * several >= len(annotated)


def _name(folder: Path, root: Path) -> str:
    return "/".join(folder.relative_to(root).parts)


def _class_names(annotated: Sequence[tuple[str, list[Path]]]) -> dict[Path, str]:
    """Return the class name of each file, if the mask files of different images have the same few names; else nothing.

    Words for objects, such as "cell", are no names unless all files have different ones: ``_cell`` and ``_nucleus``.
    """
    for words in (_PLAIN_WORDS, MASK_WORDS | IMAGE_WORDS):
        names = [[_class_name(stem, stem_of(path), words) for path in masks] for stem, masks in annotated]
        counts = Counter(name for group in names for name in group)
        repeated = sum(count for count in counts.values() if count > 1)
        distinct = counts[""] == 0 and all(len(set(group)) == len(group) for group in names)
        most = MAX_ORGANS if all(is_volume_name(path.name) for _, masks in annotated for path in masks) else MAX_CLASSES
        if distinct and len(counts) <= most and len(names) > 1 and 2 * repeated >= counts.total():
            paths = [path for _, masks in annotated for path in masks]
            return dict(zip(paths, (name for group in names for name in group), strict=True))
    return {}


def _class_name(image: str, mask: str, plain: Container[str]) -> str:
    """Return a mask's name without the name of its image, numbers, and words such as "mask"; empty for objects."""
    begin = rf"0*{image}(?!\d)" if image.isdecimal() else re.escape(image)
    rest = re.sub(f"^{begin}|(?<![0-9]){re.escape(image)}$", "", mask, count=1) if mask != image else ""
    if re.search(r"\d", rest):
        return ""
    return " ".join(word for word in re.split(r"[\W_]+", rest) if word and word.casefold() not in plain)


def _annotation(masks: list[Path] | None, classes: Mapping[Path, str]) -> Annotation | None:
    if masks is None:
        return None
    if classes:
        return ClassMasks(masks=tuple((classes[path], path) for path in masks))
    return ObjectMasks(paths=tuple(masks))
