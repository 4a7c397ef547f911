"""The job: what is computed, from what, and its division into units. It is written once and never changes.

OUT/.job/job.json is small; the units are one JSON line each in a second file, with an index of their offsets in a
third, so that a worker reads the units that it computes and no others.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int64

from pixelwise.atomic_write import atomic_write, write_error
from pixelwise.errors import BadRun, OutputFailed
from pixelwise.exclusive_write import write_new_bytes
from pixelwise.text import __version__

FOLDER, SEAL = ".job", "_SUCCESS"
FORMAT = 1  # of the job folder
UNIT_SECONDS = 10.0  # about how long a unit takes, where there is enough work


@dataclass(frozen=True, kw_only=True)
class LeaseTimes:
    """Seconds between two signs of life of a worker, and without one until it counts as dead."""

    heartbeat: float = 5.0
    stale: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """The job of an output folder.

    Attributes
    ----------
    out : Path
        The output folder, absolute.
    kind : str
        What a unit is; see `kinds`.
    identity : str
        SHA-256 of all that the outputs depend on.
    units : int
        The number of units.
    listing : str
        The names of the files of the units, without their suffixes.
    settings : dict
        What the kind needs, JSON-ready.
    after : dict
        For units that need others: their number -> (first, last + 1) of those.
    pixelwise : str
        The version; workers of another one are refused.
    """

    out: Path
    kind: str
    identity: str
    units: int
    listing: str
    settings: dict[str, Any]
    after: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    times: LeaseTimes = field(default_factory=LeaseTimes)
    pixelwise: str = __version__

    @property
    def folder(self) -> Path:
        """The folder of the job inside the output folder."""
        return self.out / FOLDER

    @property
    def seal(self) -> Path:
        """The file that is written when everything is complete: the SHA-256 of each output."""
        return self.out / SEAL

    @property
    def sealed(self) -> bool:
        """Whether everything is complete; False while the file system does not answer."""
        try:
            return self.seal.is_file()
        except OSError:
            return False

    @property
    def made(self) -> float:
        """The time of the file system when the job was made."""
        return (self.folder / "job.json").stat().st_mtime

    def check_present(self) -> None:
        """Raise OutputFailed if the folder of the job is gone: a worker must not begin another one in its place."""
        if not (self.folder / "job.json").is_file():
            hint = "Mount its file system, or make the job again."
            raise OutputFailed("the folder of a job", "none: it was removed, or is away", hint, self.folder)

    @cached_property
    def _index(self) -> Int64[np.ndarray, "units_and_one two"]:
        path = self.folder / f"{self.listing}.npy"
        try:
            index = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise BadRun("the index of the units of a job", str(error), "Make the job again.", path) from error
        if index.shape != (self.units + 1, 2) or index.dtype != np.int64:
            raise BadRun(f"an index of {self.units} units", f"shape {index.shape}", "Make the job again.", path)
        return index

    @cached_property
    def weights(self) -> Int64[np.ndarray, " units"]:
        """The number of images, or of other pieces of work, in each unit."""
        return np.diff(self._index[:, 1])

    def unit(self, number: int) -> dict[str, Any]:
        """Return what a unit consists of, as it was given to `create_job`."""
        start, stop = (int(value) for value in self._index[number : number + 2, 0])
        path = self.folder / f"{self.listing}.jsonl"
        try:
            with path.open("rb") as file:
                file.seek(start)
                return json.loads(file.read(stop - start))
        except FileNotFoundError as error:
            raise BadRun("the units of a job", "none", "Make the job again.", path) from error
        except OSError as error:
            raise write_error(path, error) from error
        except ValueError as error:
            raise BadRun("the units of a job", str(error), "Make the job again.", path) from error


def create_job(
    out: Path,
    kind: str,
    identity: str,
    units: Iterable[tuple[dict[str, Any], int]],
    settings: Mapping[str, Any],
    *,
    after: Mapping[int, tuple[int, int]] | None = None,
    times: LeaseTimes | None = None,
) -> Job:
    """Write the job of an output folder, or return the one that another process wrote at the same time.

    Parameters
    ----------
    kind, identity, settings, after, times
        See `Job`.
    units : iterable of (dict, int)
        What each unit consists of, JSON-ready, and its weight.

    Raises
    ------
    OutputFailed
        The folder cannot be written, or holds another job.
    """
    folder, listing = out.resolve() / FOLDER, f"units-{token_hex(4)}"
    index = [(0, 0)]

    def write(file: BinaryIO) -> None:
        for unit, weight in units:
            line = json.dumps(unit, separators=(",", ":")).encode() + b"\n"
            file.write(line)
            index.append((index[-1][0] + len(line), index[-1][1] + weight))

    atomic_write(folder / f"{listing}.jsonl", write)
    buffer = io.BytesIO()
    np.save(buffer, np.array(index, np.int64), allow_pickle=False)
    atomic_write(folder / f"{listing}.npy", lambda file: file.write(buffer.getbuffer()))
    job = Job(
        out=out.resolve(),
        kind=kind,
        identity=identity,
        units=len(index) - 1,
        listing=listing,
        settings=dict(settings),
        after=dict(after or {}),
        times=times or LeaseTimes(),
    )
    record = {"format": FORMAT, **{name: value for name, value in asdict(job).items() if name != "out"}}
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    if write_new_bytes(folder / "job.json", text.encode()):
        return job
    for suffix in ("jsonl", "npy"):
        (folder / f"{listing}.{suffix}").unlink(missing_ok=True)
    first = open_job(out)
    check_same(first, identity)
    return first


def find_job(out: Path) -> Job | None:
    """Return the job of an output folder, if it has one."""
    return open_job(out) if (out / FOLDER / "job.json").is_file() else None


def open_job(out: Path) -> Job:
    """Read the job of an output folder.

    Raises
    ------
    BadRun
        There is none, it is damaged, or another version of pixelwise wrote it.
    """
    path = out.resolve() / FOLDER / "job.json"
    hint = "Make one: pixelwise predict MODEL IMAGES --out OUT --on none."
    if not path.is_file():
        raise BadRun("an output folder with a job", "none", hint, out)
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if record.pop("format") != FORMAT:
            raise ValueError("of another format")
        record["after"] = {int(unit): (int(first), int(stop)) for unit, (first, stop) in record["after"].items()}
        record["times"] = LeaseTimes(**record["times"])
        return Job(out=out.resolve(), **record)
    except OSError as error:
        raise write_error(path, error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRun("the record of a job", str(error), "Remove the folder .job, and make it again.", path) from error


def check_same(job: Job, identity: str) -> None:
    """Raise OutputFailed if the job of an output folder is not the one with this identity."""
    if job.identity != identity:
        got = "one with another model, other options, or images that have changed"
        raise OutputFailed("a folder for this job", got, "Choose another --out.", job.out)


def check_version(job: Job) -> None:
    """Raise BadRun if another version of pixelwise made a job: its outputs could differ."""
    if job.pixelwise != __version__:
        hint = "Install the same version on all machines."
        raise BadRun(f"version {job.pixelwise} of pixelwise, which made the job", __version__, hint, job.out)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-ready value.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
