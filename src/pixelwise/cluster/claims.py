"""Claims on units: which worker tries which unit, and what became of earlier attempts.

A claim is a numbered file `.job/tries/012/012345.2.json`, written exclusively: the second attempt at unit 12345. It
holds while its worker lives. It prevents work done twice, and nothing depends on it: the ledger accepts one outcome of
a unit, however many workers compute it. Attempts that ended in death or in an error are counted, and a unit that failed
`MAX_ATTEMPTS` times is set aside.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.cluster.heartbeat import Lives
from pixelwise.cluster.job import Job
from pixelwise.cluster.ledger import SHARD
from pixelwise.errors import OutputFailed
from pixelwise.exclusive_write import write_new_bytes

MAX_ATTEMPTS = 3
_MAX_AT_ONCE = 2  # workers on one unit: a second one when the first is late


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attempt at a unit: its number, its worker, when it began, and the error that ended it."""

    unit: int
    number: int
    worker: str
    began: float
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """The attempts at a unit: those that go on, and those that ended in death or in an error."""

    going: tuple[Claim, ...]
    failed: tuple[Claim, ...]

    @property
    def exhausted(self) -> bool:
        """Whether the unit is not tried again."""
        return len(self.failed) >= MAX_ATTEMPTS and not self.going

    @property
    def next(self) -> int:
        """The number of the next attempt."""
        return max((claim.number for claim in (*self.going, *self.failed)), default=0) + 1


class Claims:
    """The claims on the units of a job by one worker, and by others.

    Parameters
    ----------
    worker : str
        The name of this worker.
    """

    def __init__(self, job: Job, worker: str) -> None:
        self._job, self._worker, self._lives = job, worker, Lives(job)

    def attempts(self, unit: int, now: float) -> Attempts:
        """Return the attempts at a unit; `now` is the time of the file system.

        This worker computes nothing when it asks: a claim of its own is one that it could not remove.
        """
        found = self._claims(unit)
        own = [claim for claim in found if claim.worker == self._worker and not claim.error]
        for claim in own:
            self.release(claim)
        claims = [claim for claim in found if claim not in own]
        going = [claim for claim in claims if not claim.error and self._lives.is_alive(claim.worker, now)]
        return Attempts(going=tuple(going), failed=tuple(claim for claim in claims if claim not in going))

    def take(self, unit: int, attempts: Attempts, now: float, late: float | None) -> Claim | None:
        """Claim a unit, unless other workers are on it.

        Parameters
        ----------
        attempts : Attempts
            Those at this unit.
        now : float
            The time of the file system.
        late : float or None
            Seconds after which a second worker may try the same unit; None: never.

        Returns
        -------
        Claim or None
        """
        if attempts.going:
            youngest = max(claim.began for claim in attempts.going)
            if late is None or len(attempts.going) >= _MAX_AT_ONCE or not now - youngest > late:
                return None
        claim = Claim(unit=unit, number=attempts.next, worker=self._worker, began=now)
        return claim if write_new_bytes(self._path(claim), self._content(claim), durable=False) else None

    def release(self, claim: Claim) -> None:
        """Remove a claim of this worker: the unit is done, or was given up without having failed."""
        with contextlib.suppress(OSError):
            self._path(claim).unlink()

    def fail(self, claim: Claim, error: str) -> None:
        """Note that an attempt of this worker ended in an error."""
        with contextlib.suppress(OutputFailed):  # then the end of this worker counts
            atomic_write_bytes(self._path(claim), self._content(claim, error))

    def going(self, now: float) -> list[Claim]:
        """Return the claims of all workers that are alive."""
        folder = self._job.folder / "tries"
        names = sorted(path.name for path in folder.glob("*/*.json") if not path.name.startswith("."))
        units = sorted({int(name.partition(".")[0]) for name in names})
        return [claim for unit in units for claim in self.attempts(unit, now).going]

    def _claims(self, unit: int) -> list[Claim]:
        found: list[Claim] = []
        try:
            names = os.listdir(self._folder(unit))  # noqa: PTH208, a few names, asked for before every unit
        except FileNotFoundError:
            return []
        for name in names:
            number, _, rest = name.partition(".")
            attempt, _, suffix = rest.partition(".")
            if suffix == "json" and number == f"{unit:06d}" and attempt.isdecimal():
                found += self._read(unit, int(attempt))
        return sorted(found, key=lambda claim: claim.number)

    def _read(self, unit: int, number: int) -> list[Claim]:
        path = self._folder(unit) / f"{unit:06d}.{number}.json"
        try:
            record, began = json.loads(path.read_bytes()), path.stat().st_mtime
            return [Claim(unit=unit, number=number, began=began, **record)]
        except FileNotFoundError:  # released meanwhile
            return []
        except (ValueError, TypeError):  # torn by a crash of the machine: it counts as a failed attempt
            return [Claim(unit=unit, number=number, worker="", began=0.0, error="a damaged record")]

    def _content(self, claim: Claim, error: str = "") -> bytes:
        return json.dumps({"worker": claim.worker, "error": error}).encode()

    def _path(self, claim: Claim) -> Path:
        return self._folder(claim.unit) / f"{claim.unit:06d}.{claim.number}.json"

    def _folder(self, unit: int) -> Path:
        return self._job.folder / "tries" / f"{unit // SHARD:03d}"
