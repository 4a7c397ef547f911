"""The state of a job: what is done, running and failed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.cluster.claims import Claims
from pixelwise.cluster.heartbeat import Lives, WorkerFacts, share_clock
from pixelwise.cluster.job import open_job
from pixelwise.cluster.ledger import Ledger
from pixelwise.errors import printable
from pixelwise.text import pluralise

_SHOWN = 20  # failures in the text
UNFINISHED, SOME_FAILED = 75, 3  # exit codes


@dataclass(frozen=True, kw_only=True)
class JobState:
    """The state of a job.

    Attributes
    ----------
    units, done, pieces, pieces_done : int
        Of units, and of the images or other pieces in them.
    sealed : bool
        Everything is complete.
    workers : tuple of WorkerFacts
        Those that are alive.
    running : tuple of int
        Units that workers are computing.
    failed : tuple of (str, str)
        Inputs without an output, each with the reason.
    set_aside : tuple of int
        Units that failed again and again.
    """

    out: Path
    kind: str
    units: int
    done: int
    pieces: int
    pieces_done: int
    sealed: bool
    workers: tuple[WorkerFacts, ...]
    running: tuple[int, ...]
    failed: tuple[tuple[str, str], ...]
    set_aside: tuple[int, ...]

    @property
    def exit_code(self) -> int:
        """0: complete; 3: complete, and some inputs have no output; 75: not complete."""
        if not self.sealed:
            return UNFINISHED
        return SOME_FAILED if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {
            **{name: getattr(self, name) for name in ("kind", "units", "done", "pieces", "pieces_done", "sealed")},
            "out": str(self.out),
            "workers": [vars(worker) for worker in self.workers],
            "running": list(self.running),
            "failed": [{"file": path, "text": text} for path, text in self.failed],
            "set_aside": list(self.set_aside),
        }

    def to_text(self) -> str:
        """Return a summary of a few lines."""
        state = "complete" if self.sealed else "not complete"
        share = f"{self.pieces_done:,} of {self.pieces:,} done" if self.pieces else "nothing to do"
        lines = [f"{self.out}: {state}, {share} ({self.done:,} of {pluralise(self.units, 'unit')})."]
        if not self.sealed:
            lines.append(f"{pluralise(len(self.workers), 'worker')}, {pluralise(len(self.running), 'unit')} running.")
        lines += [f"  {worker.name} on {worker.machine.get('node', '')}" for worker in self.workers]
        if self.set_aside:
            lines.append(f"{pluralise(len(self.set_aside), 'unit')} set aside after repeated failures.")
        if self.failed:
            lines.append(f"{pluralise(len(self.failed), 'input')} without an output:")
            lines += [f"  {printable(text)}" for _, text in self.failed[:_SHOWN]]
            lines += ["  ..."] if len(self.failed) > _SHOWN else []
        return "\n".join(lines)


def describe_job(out: Path) -> JobState:
    """Return the state of the job of an output folder.

    Raises
    ------
    BadRun
        There is no job, or it is damaged.
    """
    job = open_job(out)
    ledger = Ledger(job)
    done = ledger.scan()
    failures = ledger.failures()
    with share_clock(job) as now:
        running = [] if job.sealed else Claims(job, "").going(now)
    refused = [(str(path), str(text)) for path, text in job.settings.get("refused", [])]
    return JobState(
        out=out,
        kind=job.kind,
        units=job.units,
        done=int(done.sum()),
        pieces=int(job.weights.sum()),
        pieces_done=int(job.weights[done].sum()),
        sealed=job.sealed,
        workers=() if job.sealed else tuple(Lives(job).alive()),
        running=tuple(sorted({claim.unit for claim in running if claim.unit < job.units})),
        failed=(*refused, *(pair for outcome in failures for pair in outcome.failed)),
        set_aside=tuple(outcome.unit for outcome in failures if outcome.set_aside),
    )
