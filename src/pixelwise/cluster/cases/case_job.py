"""The diagnosis of a data set whose files are read by workers; its findings are those of one process."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixelwise.cluster.cases.case_units import (
    MEASURES,
    RECORDS,
    SCANS,
    identity_of,
    meaning_of,
    result_path,
    sample_of,
)
from pixelwise.cluster.cases.records import read_records
from pixelwise.cluster.driver import continued_later, watch_local, worker_threads, workers_at
from pixelwise.cluster.job import UNIT_SECONDS, Job, LeaseTimes, check_same, create_job, find_job
from pixelwise.cluster.launch_commands import WORKERS, launch_commands
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.places import Place, check_cluster
from pixelwise.cluster.processes.forked import start_early
from pixelwise.datasets.observing import CaseObserver, Decoded, Task, Understand
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.scan import ImageScan
from pixelwise.errors import BadOption, BadRun, Interrupted, OutputFailed
from pixelwise.progress import Progress
from pixelwise.runtimes.cache import cache_folder
from pixelwise.workflow.diagnosis.cases import Measures, observe_case, with_one_foreground

_MODULES = ("pixelwise.cli.main", "pixelwise.cluster.worker", "pixelwise.cluster.cases.case_units")
_MAX_CASES = 4096  # of a unit
_UNITS = 4  # per worker, at least, so that all end at about the same time
_TIMED = 3  # cases
SHORTEST = 0.5  # seconds of a unit, where there are more than a few


def examine_with_workers(
    place: Place | None, out: Path | None = None, times: LeaseTimes | None = None
) -> Callable[[Path, DataOptions, Progress], CaseObserver[Measures]]:
    """Return what reads the files of a data set with workers, for `workflow.doctor`.

    Parameters
    ----------
    place : Place or None
        None: the job is made, and the commands are shown that start workers.
    out : Path, optional
        Folder of the job, outside the data; by default one in the cache folder, which is removed when all is read.
    times : LeaseTimes, optional
        When a worker counts as dead.

    Raises
    ------
    BadOption
        Workers elsewhere without a folder, or no protected Ray cluster at the place.
    """
    if out is None and (place is None or place.ray):
        raise BadOption("--out with --on none and --on ray://", "none", "Give a folder that all machines share.")
    if place is not None and place.ray:
        check_cluster(place.ray)

    def observe(root: Path, options: DataOptions, progress: Progress) -> CaseObserver[Measures]:
        if out is not None and out.resolve().is_relative_to(root.resolve()):
            raise OutputFailed("a folder outside the data folder", "one inside it", "Choose another --out.", out)
        return _CasesOfWorkers(place, out, root, asdict(options), progress, times)

    return observe


class _CasesOfWorkers(CaseObserver[Measures]):
    """Makes a job of the files of a data set, runs it, and has the results of its workers."""

    def __init__(
        self,
        place: Place | None,
        out: Path | None,
        root: Path,
        options: dict[str, Any],
        progress: Progress,
        times: LeaseTimes | None,
    ) -> None:
        super().__init__(observe_case, with_one_foreground)
        self._place, self._out, self._root, self._options = place, out, root, options
        self._progress, self._times = progress, times

    def see(self, decoded: Decoded) -> None:
        """Nothing: workers measure."""

    def scan(
        self, scan: Callable[[Task], ImageScan], tasks: Sequence[Task], understand: Understand
    ) -> Iterator[ImageScan]:
        """Let workers scan all cases; return the scans."""
        self.total = len(tasks)
        identity = identity_of(self._root, self._options)
        out = cache_folder() / "jobs" / identity[:16] if self._out is None else self._out
        local = self._place is not None and not self._place.ray
        with continued_later(out):
            starter = start_early(_MODULES, worker_threads(self._place.count)) if self._place and local else None
            try:
                job = find_job(out)
                if job is None:
                    job = self._make(out, identity, scan, tasks)
                check_same(job, identity)
                if not job.sealed and self._place is None:
                    done, count = int(Ledger(job).scan().sum()), min(WORKERS, job.units)
                    self._progress.message(launch_commands(job, count).to_text())
                    hint = "Start workers with these commands, then run the same command again."
                    raise Interrupted(f"all {job.units} units", f"{done} that are complete", hint, out)
                if not job.sealed and self._place is not None:
                    watch_local(workers_at(self._place, job, starter), self._progress, "Reading images and masks")
            finally:
                if starter is not None:
                    starter.close()
        scans = self._collect(job, understand)
        if self._out is None:
            shutil.rmtree(out, ignore_errors=True)
        return iter(scans)

    def _make(self, out: Path, identity: str, scan: Callable[[Task], ImageScan], tasks: Sequence[Task]) -> Job:
        """Divide the cases by the time that some of them take; measuring them takes as long again."""
        count, workers = len(tasks), self._place.count if self._place else WORKERS
        some = tasks[:: -(-count // _TIMED)]
        began = time.monotonic()
        for task in some:
            scan(task)
        each = 2 * (time.monotonic() - began) / max(1, len(some))
        shortest, longest = (int(seconds / max(each, 1e-9)) for seconds in (SHORTEST, UNIT_SECONDS))
        step = max(1, min(_MAX_CASES, max(shortest, min(longest, -(-count // (_UNITS * workers))))))
        spans = [(first, min(first + step, count)) for first in range(0, count, step)]
        units = [({"cases": [first, stop]}, stop - first) for first, stop in spans]
        settings = {"data": str(self._root), "options": self._options, "folder": str(Path.cwd())}
        return create_job(out, "doctor", identity, units, settings, times=self._times)

    def _collect(self, job: Job, understand: Understand) -> list[ImageScan]:
        """Return all scans, and keep what was measured with them."""
        failed = [outcome for outcome in Ledger(job).failures() if outcome.set_aside]
        if failed:
            name, error = failed[0].failed[0]
            hint = "Examine these files without --on, or take them out of the folder."
            raise BadRun("scans of all cases", f"none of {name}: {error}", hint, self._root)
        scans: list[ImageScan] = []
        measures: dict[tuple[str, Path], Measures] = {}
        for unit in range(job.units):
            found = read_records(result_path(job.out, unit), RECORDS)
            scans += found[SCANS]
            measures |= {(name, path): measured for name, path, measured in found[MEASURES]}
        sample = sample_of(len(scans))
        meaning = meaning_of(len(scans), {number: scans[number] for number in sample}, understand)
        if meaning is not None:
            self.put(meaning, measures)
        return scans
