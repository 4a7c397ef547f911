"""Find the image files that annotation files name, and name the images of a set."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pixelwise.datasets.annotations import AnnotatedImage, Annotation, Shapes
from pixelwise.datasets.naming.folder_names import is_hidden_folder, natural_key, read_folder_name
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.records import Split
from pixelwise.errors import BadDataset, printable
from pixelwise.io.read import SUFFIXES
from pixelwise.text import pluralise

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image with its annotation and the split that its format gives."""

    image: Path
    annotation: Annotation | None
    split: Split | None


class ImageIndex:
    """The image files below a folder, each found by the end of its path; no file outside the folder is found."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Path] = []
        self._by_name: dict[str, list[tuple[tuple[str, ...], Path]]] = defaultdict(list)
        self._by_stem: dict[str, list[tuple[tuple[str, ...], Path]]] = defaultdict(list)
        self._by_folder: dict[str, Path | None] | None = None
        for here, inner, names in os.walk(root):
            inner[:] = sorted(name for name in inner if not is_hidden_folder(name))
            for name in sorted(names, key=natural_key):
                if name.startswith(".") or not name.casefold().endswith(SUFFIXES):
                    continue
                path = Path(here, name)
                parts = _normalise(path.relative_to(root).as_posix())
                self.files.append(path)
                self._by_name[parts[-1]].append((parts, path))
                self._by_stem[PurePosixPath(parts[-1]).stem].append((parts, path))

    def find(self, name: str, near: Path, split: Split | None = None, *, by_stem: bool = False) -> Path | None:
        """Return the image that an annotation file calls `name`, or None.

        Parameters
        ----------
        name : str
            A path of any system, absolute or not: the longest matching end counts.
        near : Path
            The folder of the annotation file; between equal matches the nearest one is chosen.
        split : str, optional
            Preferred over the distance: a match in a folder of this split.
        by_stem : bool
            Accept another extension.

        Raises
        ------
        BadDataset
            Several files match equally well.
        """
        wanted = _normalise(name)
        if not wanted:
            return None
        found = self._by_name.get(wanted[-1], [])
        if not found and by_stem:
            found = self._by_stem.get(PurePosixPath(wanted[-1]).stem, [])
        if len(found) < 2:
            return found[0][1] if found else None
        here = _normalise(near.relative_to(self.root).as_posix())

        def fit(parts: tuple[str, ...]) -> tuple[int, bool, int, int]:
            inside = split is not None and split_of(parts[:-1]) == split
            return _common(wanted[-2::-1], parts[-2::-1]), inside, _common(here, parts), -len(parts)

        best = max(fit(parts) for parts, _ in found)
        chosen = [path for parts, path in found if fit(parts) == best]
        if len(chosen) > 1:
            listed = ", ".join(printable(path.relative_to(self.root).as_posix()) for path in chosen[:4])
            raise BadDataset(f"one image called {printable(name)}", listed, "Keep one of them.", self.root)
        return chosen[0]

    def find_by_folder(self, name: str) -> Path | None:
        """Return the only image of which `name` is a folder and the first words of its file name, or None.

        ``case123_day20_slice_0001`` is ``case123/case123_day20/scans/slice_0001_266_266_1.50_1.50.png`` (kaggle.com/c/
        uw-madison-gi-tract-image-segmentation, "Data").
        """
        if self._by_folder is None:
            self._by_folder = {}
            for path in self.files:
                *folders, file = _normalise(path.relative_to(self.root).with_suffix("").as_posix())
                starts = [file[: found.start()] for found in re.finditer("[_-]|$", file)]
                for key in {f"{folder}_{start}" for folder in folders for start in starts}:
                    self._by_folder[key] = None if key in self._by_folder else path
        return self._by_folder.get(name.casefold())


def split_of(parts: Sequence[str]) -> Split | None:
    """Return the split that the folders of a path name, such as ``train2017``."""
    for part in parts:
        split, _ = read_folder_name(re.sub(r"[_-]?\d+$", "", part) or part)
        if split is not None:
            return split
    return None


@dataclass
class Reading:
    """What the files of a set have in common while they are read: labels, and shapes that are left out by reason."""

    root: Path
    index: ImageIndex
    labels: set[str] = field(default_factory=set[str])
    left_out: Counter[str] = field(default_factory=Counter[str])


def split_of_stem(stem: str) -> Split | None:
    """Return the split that a file name contains as a word, such as ``instances_val2017``; None if not exactly one."""
    splits: list[Split] = []
    for word in re.findall(r"[a-z]+", stem.casefold()):
        split = split_of([word])
        if split is not None and split not in splits:
            splits.append(split)
    return splits[0] if len(splits) == 1 else None


def name_images(root: Path, found: Sequence[FoundImage]) -> tuple[AnnotatedImage, ...]:
    """Name the images of a set by their paths, and sort them by split and name.

    A name is the split and the path below `root` without extension and without folders for splits and roles:
    ``images/train2017/a/7.jpg`` becomes ``train/a/7``. Where two images would share a name, it is the whole path.
    """
    short = [_short_name(root, entry) for entry in found]
    counts = Counter(name.casefold() for name in short)
    images = [
        AnnotatedImage(
            name=name if counts[name.casefold()] == 1 else entry.image.relative_to(root).as_posix(),
            image=entry.image,
            annotation=entry.annotation,
            split=entry.split,
        )
        for name, entry in zip(short, found, strict=True)
    ]
    return tuple(sorted(images, key=lambda image: (SPLITS.index(image.split or "train"), natural_key(image.name))))


def name_indexed_images(index: ImageIndex, annotations: Mapping[Path, Annotation]) -> tuple[AnnotatedImage, ...]:
    """Name all images of an index, with the annotations that some of them have; splits are those of their folders."""
    found = [
        FoundImage(
            image=path, annotation=annotations.get(path), split=split_of(path.relative_to(index.root).parts[:-1])
        )
        for path in index.files
    ]
    return name_images(index.root, found)


def read_each(
    root: Path, files: Sequence[Path], options: DataOptions, read_file: Callable[[Path], tuple[str, Shapes]]
) -> tuple[list[FoundImage], tuple[str, ...]]:
    """Read annotation files of one image each; return the images, and the message about missing ones.

    Parameters
    ----------
    options : DataOptions
        `allow_missing` leaves out files whose image does not exist.
    read_file : callable
        Returns what a file calls its image, and its shapes.

    Raises
    ------
    BadDataset
        An image does not exist, or has two files.
    """
    index = ImageIndex(root)
    found: dict[Path, FoundImage] = {}
    missing: list[str] = []
    for path in files:
        name, shapes = read_file(path)
        image = index.find(name, path.parent, by_stem=True)
        if image is None:
            missing.append(name)
            continue
        if image in found:
            got = f"two, {printable(path.relative_to(root))} among them"
            raise BadDataset(f"one file for {printable(image.name)}", got, "Remove one of them.", root)
        split = split_of(image.relative_to(root).parts[:-1])
        found[image] = FoundImage(image=image, annotation=shapes, split=split)
    return list(found.values()), report_missing(missing, len(files), root, options) if files else ()


def report_missing(missing: Sequence[str], listed: int, source: Path, options: DataOptions) -> tuple[str, ...]:
    """Return the message about images that an annotation file lists and the folder lacks.

    Raises
    ------
    BadDataset
        All are missing, or some are and `allow_missing` is not set.
    """
    if not missing:
        return ()
    shown = ", ".join(printable(name) for name in missing[:5]) + (", ..." if len(missing) > 5 else "")
    text = f"{len(missing)} of {pluralise(listed, 'image')} that {printable(source.name)} lists"
    if len(missing) == listed:
        raise BadDataset("the images that this file lists", f"none of them: {shown}", "Add the images.", source)
    if not options.allow_missing:
        hint = "Add them, or leave them out with --allow-missing."
        raise BadDataset("all images that this file lists", f"{text} missing: {shown}", hint, source)
    return (f"{text} are missing and were left out (--allow-missing): {shown}.",)


def _short_name(root: Path, entry: FoundImage) -> str:
    relative = entry.image.relative_to(root)
    names = [name for name in relative.parts[:-1] if not _is_split_or_role(name)]
    return "/".join(([entry.split] if entry.split else []) + names + [relative.stem])


def _is_split_or_role(name: str) -> bool:
    return split_of([name]) is not None or read_folder_name(name) != (None, None)


def _normalise(path: str) -> tuple[str, ...]:
    """Split a path of any system into comparable parts, without a drive and relative steps."""
    text = unicodedata.normalize("NFC", path).replace("\\", "/").casefold()
    return tuple(part for part in text.split("/") if part not in ("", ".", "..") and not part.endswith(":"))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def is_below(path: Path, root: Path) -> bool:
    """Return whether an existing path lies in `root`, links followed."""
    return path.resolve().is_relative_to(root.resolve())
