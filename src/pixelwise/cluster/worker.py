"""A worker: takes units of a job, one after the other, until every unit has an outcome and the job is sealed.

Any number of workers, started by anything at any time: first the units of the own stride `index :: of`, without the
last ones, then whatever is missing. Nothing is coordinated but by files in the output folder.
"""

import contextlib
import errno
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pixelwise.atomic_write import check_writable
from pixelwise.cluster.claims import Claim, Claims
from pixelwise.cluster.heartbeat import Heartbeat
from pixelwise.cluster.job import Job, check_version, open_job
from pixelwise.cluster.kinds import known_kinds
from pixelwise.cluster.ledger import OUTPUTS, PARTS, Ledger, Outcome
from pixelwise.cluster.sealing import LAST_SWEPT, seal_job, sweep
from pixelwise.cluster.storage.outputs import sum_up
from pixelwise.cluster.work import WAITING, Kinds, Work, go_to
from pixelwise.errors import Interrupted, OutputFailed, PixelwiseError
from pixelwise.progress import Progress
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.text import command, pluralise
from pixelwise.workflow.fit.signals import interrupt_on_signals

PATIENCE = 600.0  # seconds for which a full disk or a share that is away is waited for
# units per worker at the end, at most half of all, that no worker has for its own: they are the short ones, and whoever
# is free takes the next, so that a slow worker does not begin a long one when the others have done theirs
_SHARED = 4
# of a file system that does not answer, and may come back
AWAY = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV)
_LATE = 3.0  # times the mean duration of a unit, after which a second worker tries it too
_ERROR_LINES = 30  # of a traceback, in the record of an attempt


@dataclass(frozen=True, kw_only=True)
class WorkerResult:
    """What a worker did: units computed, and units that another worker had finished first."""

    computed: int
    lost: int
    sealed: bool


def run_worker(
    out: Path,
    index: int = 0,
    of: int = 1,
    *,
    progress: Progress | None = None,
    kinds: Kinds | None = None,
    patience: float = PATIENCE,
) -> WorkerResult:
    """Compute units of the job of an output folder until none is left.

    Parameters
    ----------
    index, of : int
        The place of this worker among `of`; it decides what is taken first, nothing else.
    kinds : Kinds, optional
        How the work of each kind of job is opened.
    patience : float
        Seconds for which a full disk or a share that is away is waited for.

    Raises
    ------
    BadRun
        There is no job, or another version of pixelwise made it.
    BadModel
        The model is not the one of the job.
    OutputFailed
        The output folder cannot be written.
    Interrupted
        Ctrl-C or SIGTERM; what is done is kept.
    """
    progress = progress or Progress()
    keep_large_blocks()  # as the commands of one process do
    job = open_job(out)
    check_version(job)
    if job.sealed:
        if (job.folder / LAST_SWEPT).is_dir():  # whoever sealed it was stopped
            sweep(job)
        progress.message("The job is complete.")
        return WorkerResult(computed=0, lost=0, sealed=True)
    try:
        with interrupt_on_signals(), Heartbeat(job, index, of) as heartbeat:
            go_to(job.settings.get("folder", Path.cwd()))
            work = (kinds or known_kinds())[job.kind](job, progress)
            return Worker(job, work, heartbeat, progress, patience).go()
    except KeyboardInterrupt as stop:
        hint = f"Every finished unit is kept. Continue with: {command('worker', job.out)}"
        raise Interrupted("a complete job", "the worker was stopped", hint, job.out) from stop


class Worker:
    """A worker with its work opened.

    Parameters
    ----------
    heartbeat : Heartbeat
        Running.
    patience : float
        See `run_worker`.
    """

    def __init__(
        self, job: Job, work: Work, heartbeat: Heartbeat, progress: Progress, patience: float = PATIENCE
    ) -> None:
        self._job, self._work, self._heartbeat, self._progress = job, work, heartbeat, progress
        self._ledger, self._claims = Ledger(job), Claims(job, heartbeat.facts.name)
        self._place = job.folder / "work" / heartbeat.facts.name
        index, of = heartbeat.facts.index, max(1, heartbeat.facts.of)
        self._stride = iter(range(index % of, job.units - min(_SHARED * of, job.units // 2), of))
        self._patience = patience
        self._waiting_since: float | None = None
        self._seconds: list[float] = []
        self._lost = 0

    def go(self) -> WorkerResult:
        """Compute units until the job is sealed."""
        try:
            while not self._job.sealed:
                self._patiently(self._one_round)
        finally:
            if self._job.sealed:
                shutil.rmtree(self._place.parent, ignore_errors=True)  # a late attempt has made it again
            with contextlib.suppress(OSError):
                self._place.rmdir()  # unless it holds what is not published yet
        return WorkerResult(computed=len(self._seconds), lost=self._lost, sealed=self._job.sealed)

    def _one_round(self) -> None:
        """Compute one unit, or seal the job, or wait for other workers."""
        self._job.check_present()
        claim = self._next()
        if claim is not None:
            self._compute(claim)
        elif not self._ledger.scan().all() or not self._seal():
            time.sleep(self._job.times.heartbeat / 5)

    def _next(self) -> Claim | None:
        """Claim the next unit: of the own stride, then any that has no outcome."""
        for unit in self._stride:
            if not self._ledger.has(unit) and (claim := self._take(unit, None)):
                return claim
        missing = (~self._ledger.scan()).nonzero()[0].tolist()
        late = self._late()
        for unit in missing:
            # a unit that puts others together is long: it is given to one worker
            if claim := self._take(unit, None if unit in self._job.after else late):
                return claim
        return None

    def _take(self, unit: int, late: float | None) -> Claim | None:
        """Claim a unit if it is ready and nobody is on it; set it aside if it failed too often."""
        if unit in self._job.after and not self._is_ready(unit):
            return None
        now = self._heartbeat.now()
        attempts = self._claims.attempts(unit, now)
        if attempts.exhausted:
            self._set_aside(unit, [claim.error or "the process was killed" for claim in attempts.failed])
            return None
        claim = self._claims.take(unit, attempts, now, late)
        if claim is not None and self._ledger.has(unit):  # meanwhile
            self._claims.release(claim)
            return None
        return claim

    def _is_ready(self, unit: int) -> bool:
        first, stop = self._job.after[unit]
        return all(self._ledger.has(number) for number in range(first, stop))

    def _late(self) -> float | None:
        """Return the seconds after which a unit of another worker is tried too."""
        if not self._work.shares_units:
            return None
        mean = sum(self._seconds) / len(self._seconds) if self._seconds else 0.0
        return max(_LATE * mean, self._job.times.stale / 2)

    def _compute(self, claim: Claim) -> None:
        """Compute a unit and commit its outcome."""
        folder = self._place / f"{claim.unit:06d}.{claim.number}"
        began = time.monotonic()
        committed = False
        try:
            outputs, parts = folder / OUTPUTS, folder / PARTS
            for inner in (outputs, parts):
                inner.mkdir(parents=True)
            messages = Messages()
            unit = self._job.unit(claim.unit)
            result = self._work.compute(claim.unit, unit, outputs, parts, messages)
            outcome = Outcome(
                unit=claim.unit,
                worker=claim.worker,
                seconds=round(time.monotonic() - began, 3),
                work=folder.relative_to(self._job.folder / "work").as_posix(),
                files=sum_up(outputs),
                parts=sum_up(parts),
                failed=result.failed,
                answer={**result.answer, "messages": messages.texts},
            )
            self._job.check_present()
            committed = self._ledger.record(outcome)
        except (KeyboardInterrupt, Interrupted):
            self._claims.release(claim)
            raise KeyboardInterrupt from None
        except Exception as error:  # whatever a unit does must not end the worker
            self._job.check_present()
            if not self._ledger.has(claim.unit):
                if not self._is_away(error):
                    self._fail(claim, error)
                    return
                self._claims.release(claim)
                raise
        finally:
            if not committed:
                self._discard(folder, claim.unit)
        self._claims.release(claim)
        self._note(claim, committed, time.monotonic() - began)

    def _is_away(self, error: Exception) -> bool:
        """Return whether an error is that of the output folder, which may come back, and not of the unit."""
        if isinstance(error, OutputFailed):
            return True
        if not isinstance(error, OSError):
            return False
        try:
            check_writable(self._job.folder)
        except OSError:
            return True
        return error.errno in (errno.ENOSPC, errno.EDQUOT, *AWAY)

    def _discard(self, folder: Path, unit: int) -> None:
        """Remove the files of an attempt, unless its outcome counts and they are not published yet.

        What is left of a long unit helps the next attempt.
        """
        if not self._work.shares_units and not self._ledger.has(unit):
            return
        name = folder.relative_to(self._job.folder / "work").as_posix()
        if not (self._ledger.has(unit) and self._ledger.read(unit).work == name):
            shutil.rmtree(folder, ignore_errors=True)

    def _note(self, claim: Claim, committed: bool, seconds: float) -> None:
        self._seconds.append(seconds)
        self._waiting_since = None
        self._lost += not committed
        done = f"{seconds:.1f} s" if committed else "another worker was first"
        self._progress.message(f"Unit {claim.unit + 1:,} of {self._job.units:,}: {done}.")

    def _fail(self, claim: Claim, error: Exception) -> None:
        """Note an error that a unit ended in."""
        lines = [str(error)] if isinstance(error, PixelwiseError) else traceback.format_exc().splitlines()
        self._claims.fail(claim, "\n".join(lines[-_ERROR_LINES:]))
        self._progress.message(f"Unit {claim.unit + 1:,} failed: {lines[-1]}")

    def _set_aside(self, unit: int, errors: list[str]) -> None:
        """Record that a unit has no outputs."""
        text = f"{pluralise(len(errors), 'attempt')} failed, the last one: {errors[-1].splitlines()[-1]}"
        failed = tuple((name, f"{name}: {text}") for name in self._work.inputs(self._job.unit(unit)))
        outcome = Outcome(
            unit=unit,
            worker=self._heartbeat.facts.name,
            seconds=0.0,
            failed=failed,
            set_aside=True,
            answer={"errors": errors, "messages": []},
        )
        self._ledger.record(outcome)
        self._progress.message(f"Unit {unit + 1:,} is set aside: {text}")

    def _seal(self) -> bool:
        """Seal the job, unless another worker does; return whether it is sealed."""
        end = self._job.units
        now = self._heartbeat.now()
        claim = self._claims.take(end, self._claims.attempts(end, now), now, None)
        if claim is None:
            return False
        try:
            seal_job(self._job, self._ledger, self._work, self._heartbeat.facts.name)
        finally:
            self._claims.release(claim)
        self._progress.message(f"The job is complete; the checksums of its outputs are in {self._job.seal}.")
        return True

    def _patiently(self, one_round: Callable[[], None]) -> None:
        """Call a function; where the output folder cannot be written, wait, and give up after `patience` seconds."""
        try:
            one_round()
        except (OutputFailed, OSError) as error:
            if self._job.sealed:
                return
            now = time.monotonic()
            self._waiting_since = now if self._waiting_since is None else self._waiting_since
            waited = now - self._waiting_since
            if waited > self._patience:
                raise
            self._progress.message(f"{WAITING}: {error}")
            time.sleep(min(30.0, max(self._job.times.heartbeat / 5, waited / 4)))


class Messages(Progress):
    """Collects messages, each once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, *sentences: str) -> None:
        """Keep sentences."""
        self.texts += [sentence for sentence in sentences if sentence not in self.texts]
