"""The end of a job: files of all units together, and the seal, a list of all outputs with their SHA-256.

`sha256sum --check _SUCCESS` in the output folder verifies it. Two processes that seal a job write the same bytes.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pixelwise.atomic_write import remove_leftovers
from pixelwise.cluster.job import SEAL, Job
from pixelwise.cluster.ledger import OUTPUTS, Ledger
from pixelwise.cluster.storage.outputs import STORE, WrittenFile, outputs_of, publish_files, sum_up
from pixelwise.cluster.work import Work
from pixelwise.exclusive_write import write_new

LAST_SWEPT = "workers"  # the folder that `sweep` removes at its end


def seal_job(job: Job, ledger: Ledger, work: Work, worker: str) -> None:
    """Complete a job whose units all have an outcome.

    Raises
    ------
    OutputFailed
        The output folder cannot be written, or someone else changed it.
    """
    ledger.complete()
    place = job.folder / "work" / worker
    place.mkdir(parents=True, exist_ok=True)
    joined = Path(tempfile.mkdtemp(dir=place, prefix="join-"))
    outputs = joined / OUTPUTS
    outputs.mkdir()
    work.join(ledger, outputs)
    files = sum_up(outputs)
    publish_files(files, outputs, job.out)  # of an object store too: the command reads tables there

    def write(file: BinaryIO) -> None:
        for line in _lines(ledger, files):
            file.write(line.encode("utf-8", "surrogateescape"))

    if STORE in job.settings:
        outputs_of(job).publish(files, outputs)
        last = joined / "seal"
        last.mkdir()
        with (last / SEAL).open("wb") as file:
            write(file)
        outputs_of(job).publish(sum_up(last), last)
    write_new(job.seal, write)
    sweep(job)


def sweep(job: Job) -> None:
    """Remove what a sealed job no longer needs; again after workers were ended that woke up late."""
    for path in job.folder.glob("units-*"):
        if not path.name.startswith(f"{job.listing}."):  # of a driver that came second
            path.unlink(missing_ok=True)
    for folder in (job.out, job.folder, *(job.folder / "done").glob("*"), job.folder / "failed"):
        remove_leftovers(folder)
    for name in ("tries", "work", "parts", LAST_SWEPT):
        shutil.rmtree(job.folder / name, ignore_errors=True)


def _lines(ledger: Ledger, joined: tuple[WrittenFile, ...]) -> Iterator[str]:
    for outcome in ledger.outcomes():
        yield from (f"{file.sha256}  {file.name}\n" for file in outcome.files)
    yield from (f"{file.sha256}  {file.name}\n" for file in joined)
