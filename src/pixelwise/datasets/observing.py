"""Measure cases while the scan decodes their files, so that no file is decoded twice.

What a mask means is known only when all masks have been read. A `CaseObserver` therefore gets what the first ones mean,
and measures the others as they are decoded. In the end a result counts if nothing that it depends on has changed since.
The cases that were decoded before are kept in memory, as far as there is room.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.annotations import MaskFile
from pixelwise.datasets.cases import Case
from pixelwise.datasets.examples import Dataset, labels_from, match_channels
from pixelwise.datasets.masks.mapping import ignore_missing
from pixelwise.datasets.records import Labelling
from pixelwise.datasets.scan import Decoded, ImageScan
from pixelwise.errors import PixelwiseError
from pixelwise.io.read import Image
from pixelwise.parallel import parallel_map

FIRST = 32  # cases before the first guess; then twice as many each time
_MEMORY = 256_000_000  # bytes of decoded files that wait for the first guess
_NO_LABELS = Labelling(task="classification", classes=(), values=(), colours=())
Task = TypeVar("Task")
Result = TypeVar("Result")
Labels = Int32[np.ndarray, "height width"] | None
Measure = Callable[[Dataset, Image, Labels, int], Result]


class CaseObserver(Generic[Result]):
    """Measure each case as it is decoded.

    Parameters
    ----------
    measure : callable
        `measure(dataset, image, labels, total)`: image and labels as `dataset` reads them (labels None for classes of
        whole images), and the number of cases that are scanned. The data set has no cases. It runs in threads.
    adapt : callable, optional
        Changes how a data set is read, as the caller changes it after the scan.
    """

    def __init__(self, measure: Measure[Result], adapt: Callable[[Dataset], Dataset] = lambda dataset: dataset) -> None:
        self.total = 0
        self._measure, self._adapt = measure, adapt
        self._view: Dataset | None = None
        self._waiting: list[Decoded] = []
        self._bytes = 0
        self._results: dict[tuple[str, Path], tuple[Dataset, Result]] = {}

    def see(self, decoded: Decoded) -> None:
        """Measure a decoded case, or keep it until there is a guess."""
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
            arrays = _interpret(view, decoded)
            if arrays is not None:
                self._results[decoded.name, decoded.path] = view, self._measure(view, *arrays, self.total)
        except PixelwiseError:
            return  # it is read again, which raises the same error where it is reported


def scan_in_turns(
    scan: Callable[[Task], ImageScan],
    tasks: Sequence[Task],
    observer: "CaseObserver[Result] | None",
    understand: Callable[[Sequence[ImageScan]], Dataset | None],
) -> Iterator[ImageScan]:
    """Yield `scan(task)` of each task, in threads; `understand` returns what the first scans mean, for the observer."""
    if observer is None:
        yield from parallel_map(scan, tasks)
        return
    observer.total = len(tasks)
    scans: list[ImageScan] = []
    while len(scans) < len(tasks):
        first = len(scans)
        for found in parallel_map(scan, tasks[first : first + max(FIRST, first)]):
            scans.append(found)
            yield found
        meaning = understand(scans) if len(scans) < len(tasks) else None
        if meaning is not None:
            observer.guess(meaning)


def _key(case: Case) -> tuple[str, Path]:
    return case.name if case.annotation is not None else "", case.image


def _view_of(dataset: Dataset) -> Dataset:
    """Return what the arrays of a case depend on."""
    labelling = _NO_LABELS if dataset.task == "classification" else dataset.labelling
    return replace(dataset, cases=(), messages=(), problems=(), split_made=False, labelling=labelling)


def _interpret(view: Dataset, decoded: Decoded) -> tuple[Image, Labels] | None:
    """Return image and labels as a data set reads them; None if it would decode the files in another way."""
    keeps_alpha = decoded.image.alpha and view.channels == len(decoded.image.pixels) + 1
    if keeps_alpha or decoded.image.bands_last:
        return None
    image = match_channels(decoded.image, view.channels, decoded.path)
    if decoded.annotation is None or decoded.values is None:
        return image, None
    if not isinstance(decoded.annotation, MaskFile) and decoded.objects != (view.task == "instance"):
        return None
    labels = labels_from(decoded.values, decoded.annotation, view.labelling)
    if labels.shape != image.pixels.shape[1:]:
        return None
    return image, ignore_missing(labels, image.pixels, view.task)
