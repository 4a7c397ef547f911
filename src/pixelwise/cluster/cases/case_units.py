"""Cases of a data set as units: the scan of each pair of files, and what a diagnosis measures while they are decoded.

What a mask means is known only when all masks have been read. Workers therefore measure with what a sample of the masks
means. The diagnosis asks the same sample, and measures again what this guess was wrong about.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pixelwise.cluster.cases.records import write_records
from pixelwise.cluster.job import Job, digest
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.work import UnitResult
from pixelwise.datasets.checks.image_quality import ImageQuality
from pixelwise.datasets.checks.mask_contents import MaskContent
from pixelwise.datasets.checks.reduced import ReducedCase
from pixelwise.datasets.dataset import DETAILED, DataOptions, Dataset, scan_dataset
from pixelwise.datasets.masks.measure import MaskValues, Place
from pixelwise.datasets.observing import CaseObserver, Task, Understand
from pixelwise.datasets.scan import ImageScan, Issue
from pixelwise.errors import BadRun
from pixelwise.geometry.grid import Grid
from pixelwise.io.georeference import Georeference, TiffTag
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.text import __version__
from pixelwise.workflow.diagnosis.cases import Measures, observe_case, with_one_foreground

RECORDS = (
    *(ImageScan, Issue, MaskValues, Place, Grid, Georeference, TiffTag),
    *(Measures, ImageQuality, MaskContent, ReducedCase),
)
SCANS, MEASURES = "scans", "measures"
_FOLDER = "cases"  # of the outputs


class _TasksFound(Exception):
    """The reading of a data set has come to its files."""


class CaseTasks(CaseObserver[Measures]):
    """The files of a data set that are to be scanned, found without opening them.

    Raises
    ------
    BadDataset
        No image, or no masks and no class folders.
    """

    def __init__(self, root: Path, options: DataOptions) -> None:
        super().__init__(observe_case, with_one_foreground)
        self.tasks: Sequence[Any] = ()
        self._scan: Callable[[Any], ImageScan] | None = None
        self._understand: Understand | None = None
        with suppress(_TasksFound):
            scan_dataset(root, replace(options, skip_bad=True), 0, Progress(), self)

    def scan(
        self, scan: Callable[[Task], ImageScan], tasks: Sequence[Task], understand: Understand
    ) -> Iterator[ImageScan]:
        """Keep the tasks, and end the reading."""
        self.total, self.tasks = len(tasks), tasks
        self._scan, self._understand = scan, understand
        raise _TasksFound

    def scan_some(self, numbers: Sequence[int]) -> list[ImageScan]:
        """Return the scans of some cases."""
        return [] if self._scan is None else list(parallel_map(self._scan, [self.tasks[number] for number in numbers]))

    def learn_meaning(self) -> None:
        """Scan the sample, so that cases are measured from now on."""
        sample = sample_of(self.total)
        scans = dict(zip(sample, self.scan_some(sample), strict=True))
        meaning = None if self._understand is None else meaning_of(self.total, scans, self._understand)
        if meaning is not None:
            self.guess(meaning)
        self.take()


class CaseWork:
    """The scan of cases in one worker; see `work.Work`."""

    shares_units = True

    def __init__(self, cases: CaseTasks) -> None:
        self._cases = cases

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Scan the cases of a unit."""
        self._cases.take()  # of an attempt that ended in an error
        scans = self._cases.scan_some(range(*unit["cases"]))
        measures = [[name, path, measured] for (name, path), measured in self._cases.take().items()]
        write_records(result_path(outputs, number), {SCANS: scans, MEASURES: measures})
        return UnitResult()

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Nothing: the command that made the job diagnoses the data set."""

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Return the cases of a unit."""
        return [f"cases {unit['cases'][0] + 1} to {unit['cases'][1]}"]


def open_case_work(job: Job, progress: Progress) -> CaseWork:
    """Find the files of a job, and learn what the masks mean; see `work.OpenWork`."""
    root, options = Path(job.settings["data"]), TypeAdapter(DataOptions).validate_python(job.settings["options"])
    if identity_of(root, job.settings["options"]) != job.identity:
        raise BadRun("the data for which the job was made", "files that have changed", "Choose another --out.", root)
    cases = CaseTasks(root, options)
    cases.learn_meaning()
    return CaseWork(cases)


def identity_of(root: Path, options: dict[str, Any]) -> str:
    """Return a digest of all that the scans depend on: options, and name, size and time of all files below a folder."""
    files: list[tuple[str, int, int]] = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            with suppress(OSError):  # a link to nothing
                stat = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118, for each of a million files
                files.append((os.path.relpath(os.path.join(folder, name), root), stat.st_size, stat.st_mtime_ns))  # noqa: PTH118
    return digest({"pixelwise": __version__, "options": options, "files": files})


def sample_of(count: int) -> range:
    """Return the cases whose scans tell what the masks mean: some of those that are scanned in detail.

    Examples
    --------
    >>> sample_of(10), len(sample_of(100_000))
    (range(0, 10, 2), 32)
    """
    return range(0, count, 2 * max(1, -(-count // DETAILED)))


def meaning_of(count: int, scans: Mapping[int, ImageScan], understand: Understand) -> Dataset | None:
    """Return what the sample of `count` cases means, from the scans by number."""
    sample = sample_of(count)
    return understand([scans[number] if number in sample else None for number in range(count)])


def result_path(outputs: Path, unit: int) -> Path:
    """Return the file with the scans of a unit."""
    return outputs / _FOLDER / f"{unit:06d}.safetensors"
