"""Measure cases while the scan decodes their files, so that no file is decoded twice.

What a mask means is known only when all masks have been read. A `CaseObserver` therefore gets what the first ones mean,
and measures the others as they are decoded. In the end a result counts if nothing that it depends on has changed since.
The cases that were decoded before are kept in memory, as far as there is room.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.cases import Case
from pixelwise.datasets.examples import Dataset, labels_from, match_channels
from pixelwise.datasets.folder_layout import Pair
from pixelwise.datasets.masks.mapping import ignore_missing
from pixelwise.datasets.records import Labelling
from pixelwise.datasets.scan import Decoded, ImageScan
from pixelwise.errors import BadDataset, BadImage, PixelwiseError
from pixelwise.io.read import Image
from pixelwise.parallel import parallel_map

FIRST = 32  # cases before the first guess; then four times as many each time
_MEMORY = 256_000_000  # bytes of decoded files that wait for the first guess
_NO_LABELS = Labelling(task="classification", classes=(), values=(), colours=())
Task = TypeVar("Task")
Result = TypeVar("Result")
Understand = Callable[[Sequence[ImageScan | None]], Dataset | None]
"""Scans of cases, None for those that are not scanned -> what they mean, without cases; None if no mask is usable."""


@dataclass(frozen=True, eq=False)
class ObservedCase:
    """A case that has just been decoded.

    Attributes
    ----------
    dataset : Dataset
        What is read as what; without cases.
    image : Image
        With the channels of the data set.
    decoded : Decoded
        The files as they are.
    total : int
        Number of cases that are scanned.
    """

    dataset: Dataset
    image: Image
    decoded: Decoded
    total: int

    @property
    def labelled(self) -> bool:
        """Whether it has an annotation."""
        return self.decoded.values is not None

    def labels(self) -> Int32[np.ndarray, "height width"]:
        """Return the labels as the data set reads them.

        Raises
        ------
        BadImage
            The mask has a value of no class, or another size than the image.
        """
        decoded, size = self.decoded, self.image.pixels.shape[1:]
        if decoded.annotation is None or decoded.values is None:
            raise BadDataset("an annotation", "none", "Add it.", decoded.path)
        labels = labels_from(decoded.values, decoded.annotation, self.dataset.labelling)
        if labels.shape != size:
            raise BadImage(f"a mask of {size[0]} x {size[1]}", "another size", "Export it again.", decoded.path)
        return ignore_missing(labels, self.image.pixels, self.dataset.task)


class CaseObserver(Generic[Result]):
    """Measure each case as it is decoded.

    Parameters
    ----------
    measure : callable
        Measures an `ObservedCase`; it runs in threads.
    adapt : callable, optional
        Changes how a data set is read, as the caller changes it after the scan.

    Attributes
    ----------
    pairs : tuple of Pair
        All pairs of image and annotation in the folder, also those that the data set leaves out; set by the scan.
    """

    def __init__(
        self,
        measure: Callable[[ObservedCase], Result],
        adapt: Callable[[Dataset], Dataset] = lambda dataset: dataset,
    ) -> None:
        self.total = 0
        self.pairs: tuple[Pair, ...] = ()
        self._measure, self._adapt = measure, adapt
        self._view: Dataset | None = None
        self._waiting: list[Decoded] = []
        self._bytes = 0
        self._results: dict[tuple[str, Path], tuple[Dataset, Result]] = {}

    def scan(
        self, scan: Callable[[Task], ImageScan], tasks: Sequence[Task], understand: Understand
    ) -> Iterator[ImageScan]:
        """Yield `scan(task)` of each task, in threads; `understand` returns what the first scans mean."""
        self.total = len(tasks)
        scans: list[ImageScan] = []
        while len(scans) < len(tasks):
            first = len(scans)
            for found in parallel_map(scan, tasks[first : first + max(FIRST, 3 * first)]):
                scans.append(found)
                yield found
            meaning = understand(scans) if len(scans) < len(tasks) else None
            if meaning is not None:
                self.guess(meaning)

    def see(self, decoded: Decoded) -> None:
        """Measure a decoded case, or keep it until there is a guess; a volume is read again by who measures it."""
        if decoded.image.grid is not None:
            return
        if self._view is not None:
            self._observe(self._view, decoded)
        elif self._bytes + decoded.size <= _MEMORY:
            self._bytes += decoded.size
            self._waiting.append(decoded)

    def guess(self, dataset: Dataset) -> None:
        """Take a data set as the meaning of what is decoded from now on, and measure what waited for it."""
        self._view = _view_of(self._adapt(dataset))
        waiting, self._waiting = self._waiting, []
        for _ in parallel_map(partial(self._observe, self._view), waiting):
            pass

    def take(self) -> dict[tuple[str, Path], Result]:
        """Return the results so far, for `put` of another process, and forget them."""
        results, self._results = self._results, {}
        return {key: result for key, (_, result) in results.items()}

    def put(self, dataset: Dataset, results: Mapping[tuple[str, Path], Result]) -> None:
        """Add results of another process whose guess was this data set."""
        view = _view_of(self._adapt(dataset))
        self._results |= {key: (view, result) for key, result in results.items()}

    def finish(self, dataset: Dataset) -> None:
        """Measure what still waits, now that the data set is known."""
        if self._waiting:
            self.guess(dataset)

    def results(self, dataset: Dataset) -> dict[str, Result]:
        """Return the results of the cases of a data set by name; those that have to be read again are missing."""
        final = _view_of(self._adapt(dataset))
        valid = {id(view): view == final for view, _ in self._results.values()}
        found = {key: result for key, (view, result) in self._results.items() if valid[id(view)]}
        return {case.name: found[_key(case)] for case in dataset.cases if _key(case) in found}

    def _observe(self, view: Dataset, decoded: Decoded) -> None:
        try:
            if _reads_alike(view, decoded):
                image = match_channels(decoded.image, view.channels, decoded.path)
                result = self._measure(ObservedCase(view, image, decoded, self.total))
                self._results[decoded.name, decoded.path] = view, result
        except PixelwiseError:
            return  # it is read again, which raises the same error where it is reported


Observer = CaseObserver[Any]


def scan_in_turns(
    scan: Callable[[Task], ImageScan],
    tasks: Sequence[Task],
    observer: "CaseObserver[Result] | None",
    understand: Understand,
) -> Iterator[ImageScan]:
    """Return `scan(task)` of each task, in threads, or as `observer` scans them."""
    return parallel_map(scan, tasks) if observer is None else observer.scan(scan, tasks, understand)


def _key(case: Case) -> tuple[str, Path]:
    return case.name if case.annotation is not None else "", case.image


def _view_of(dataset: Dataset) -> Dataset:
    """Return what the arrays of a case depend on."""
    labelling = _NO_LABELS if dataset.task == "classification" else replace(dataset.labelling, regions=())
    return replace(dataset, cases=(), messages=(), problems=(), split_made=False, labelling=labelling)


def _reads_alike(view: Dataset, decoded: Decoded) -> bool:
    """Return whether a data set would decode the files in the same way, now that its channels and task are known."""
    keeps_alpha = decoded.image.alpha and view.channels == len(decoded.image.pixels) + 1
    drawn = decoded.annotation is not None and not isinstance(decoded.annotation, MaskFile)
    objects_differ = drawn and decoded.objects != (view.task == "instance")
    return not keeps_alpha and not decoded.image.bands_last and not objects_differ
