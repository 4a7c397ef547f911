"""A data set on its way to another program: names that are safe as paths, splits as given, labels as arrays."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Int32, Num

from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.records import Colour, Split, Task
from pixelwise.errors import BadDataset, PixelwiseError
from pixelwise.geometry.grid import Grid
from pixelwise.io.headers import Header, open_image_file, zarr_metadata
from pixelwise.io.read import read_header
from pixelwise.labels.targets import IGNORE, IGNORE_OBJECT
from pixelwise.parallel import cores, parallel_map
from pixelwise.progress import Progress
from pixelwise.text import pluralise

Result = TypeVar("Result")
FORBIDDEN = dict.fromkeys(map(ord, '\\:*?"<>|\0\n\r\t'), "_")  # in file names of Windows, and in lists of names


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledImage:
    """An image with its labels.

    Attributes
    ----------
    name : str
        Unique in its split without regard to case, without an extension; folders are separated by ``/``.
    flat_name : str
        Unique in the set, without folders.
    source : Path
        The image file.
    pixels : (channels, height, width) array, or (channels, depth, height, width) of a volume
    labels : (height, width) or (depth, height, width) int32 array
        Class indices with 255 for ignored pixels, or object numbers with -1, as `Dataset.read` returns them.
    split : str or None
        None if the data set has no given split.
    spacing : (float, float) or None
        Micrometres per pixel, (y, x).
    channel_files : tuple of Path
        Files of one channel each, in order, if the image is stored so.
    grid : Grid or None
        Of a volume: where its voxels are, on the axes of `pixels`.
    """

    name: str
    flat_name: str
    source: Path
    pixels: Num[np.ndarray, " channels *size"]
    labels: Int32[np.ndarray, "*size"]
    split: Split | None = None
    spacing: tuple[float, float] | None = None
    channel_files: tuple[Path, ...] = ()
    grid: Grid | None = None

    def path(self, *before: str) -> Path:
        """Return the name as a relative path below the folder of its split, if any, and other folders."""
        return Path(*((self.split,) if self.split else ()), *before, *self.name.split("/"))


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledSet:
    """A data set whose images are read while they are written, a few at a time."""

    dataset: Dataset
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        """Refuse data sets without masks."""
        if self.task == "classification":
            got, hint = "classes of whole images", "A folder per class is what other programs read, too."
            raise BadDataset("images with masks", got, hint, self.dataset.root)

    @property
    def task(self) -> Task:
        """Return "binary", "multiclass" or "instance"."""
        return self.dataset.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order, background (if any) first."""
        return self.dataset.classes

    @property
    def colours(self) -> tuple[Colour, ...]:
        """Return a colour per class."""
        return self.dataset.labelling.colours

    @property
    def first_class(self) -> int:
        """Index of the first class that is drawn: 1 after a background, else 0."""
        return self.dataset.labelling.first_class

    @property
    def ignored(self) -> int:
        """Number of ignored pixels in `LabelledImage.labels`."""
        return IGNORE_OBJECT if self.task == "instance" else IGNORE

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.dataset.cases)

    def map(self, function: Callable[[LabelledImage], Result]) -> Iterator[Result]:
        """Yield `function(image)` for each image, in order, one image per core in memory."""
        names = unique_names(
            [(case.name, given_split(self.dataset, case.split) or case.split) for case in self.dataset.cases]
        )
        size = cores()

        def read(index: int) -> Result:
            return function(self._read(index, *names[index]))

        with self.progress.bar("Writing images and labels", len(names)) as advance:
            for first in range(0, len(names), size):
                for result in parallel_map(read, range(first, min(first + size, len(names))), size):
                    advance(1, "")
                    yield result

    def _read(self, index: int, name: str, flat_name: str) -> LabelledImage:
        case = self.dataset.cases[index]
        pixels, labels = self.dataset.read(case)
        if not isinstance(labels, np.ndarray):
            raise BadDataset("a mask for each image", f"none for {case.name}", "Leave it out.", self.dataset.root)
        volumes = self.dataset.spatial_dims == 3
        return LabelledImage(
            name=name,
            flat_name=flat_name,
            source=case.image,
            pixels=pixels,
            labels=labels,
            split=given_split(self.dataset, case.split),
            spacing=None if volumes else spacing_of(case.image),
            channel_files=case.channel_files,
            grid=self.dataset.read_grid(case) if volumes else None,
        )

    def describe_losses(self, losses: Iterable[Iterable[str]]) -> tuple[str, ...]:
        """Return a sentence for each loss, with the number of images that it concerns."""
        counts = Counter(text for texts in losses for text in set(texts))
        return tuple(f"{pluralise(count, 'image')}: {text}." for text, count in counts.items())


def given_split(dataset: Dataset, split: Split) -> Split | None:
    """Return a split of a case as the data set gives it, without a validation split that was drawn."""
    if not dataset.split_made or split == "test":
        return split
    return "train" if dataset.splits["test"] else None


def unique_names(cases: Sequence[tuple[str, Split]]) -> list[tuple[str, str]]:
    """Return two names for each case: one with folders, unique in its split, and one without, unique in the set.

    Parameters
    ----------
    cases : sequence of (str, str)
        Name and split of each case; a name may start with the split.

    Examples
    --------
    >>> unique_names([("train/p1/a", "train"), ("test/p1/a", "test")])
    [('p1/a', 'p1_a'), ('p1/a', 'test_p1_a')]
    """
    names: list[tuple[str, str]] = []
    taken: set[str] = set()
    for case, split in cases:
        parts = [part.translate(FORBIDDEN) for part in case.split("/") if part.strip(". ")] or ["image"]
        parts = parts[1:] if len(parts) > 1 and parts[0] == split else parts
        name = _first_free(f"{split}/", "/".join(parts), (), taken)
        names.append((name, _first_free("//", name.replace("/", "_"), (f"{split}_",), taken)))
    return names


def _first_free(space: str, name: str, prefixes: Sequence[str], taken: set[str]) -> str:
    """Return the name, or the first variant of it, that is not taken in a name space, without regard to case."""
    variants = (name, *(prefix + name for prefix in prefixes), *(f"{name}_{n}" for n in range(2, len(taken) + 3)))
    chosen = next(other for other in variants if f"{space}{other}".casefold() not in taken)
    taken.add(f"{space}{chosen}".casefold())
    return chosen


def stored_header(path: Path) -> Header | None:
    """Return the header of an image file or of OME-Zarr; None if there is no such file, or it cannot be read."""
    if not path.is_file() and zarr_metadata(path) is None:
        return None
    try:
        file, kind = open_image_file(path)
        with closing(file):
            return read_header(file, kind, path)
    except PixelwiseError:
        return None


def spacing_of(path: Path) -> tuple[float, float] | None:
    """Return the micrometres per pixel (y, x) of an upright image; None if unknown or not in the file."""
    header = stored_header(path)
    if header is None or header.spacing is None:
        return None
    row, column = header.spacing
    return (column, row) if header.orientation >= 5 else (row, column)


def regions_lost(dataset: Dataset) -> Sequence[str]:
    """Return a sentence if classes overlap as regions, which most formats cannot state."""
    names = ", ".join(region.name for region in dataset.labelling.regions)
    return (f"The regions {names} are not written; use --regions again.",) if names else ()


def groups_lost(dataset: Dataset) -> Sequence[str]:
    """Return a sentence if images belong together, which most formats cannot state."""
    shared = Counter(case.group for case in dataset.cases if case.group)
    joined = [group for group, count in shared.items() if count > 1]
    if not joined:
        return ()
    count = pluralise(len(joined), "group")
    return (f"{count} of images that belong together, such as {joined[0]}: not written; use --group-by again.",)
