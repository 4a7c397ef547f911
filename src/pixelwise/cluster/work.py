"""Work: what a unit computes, and how the outputs of all units become those of one process."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pixelwise.cluster.job import Job
from pixelwise.cluster.ledger import Ledger
from pixelwise.errors import BadRun
from pixelwise.progress import Progress

WAITING = "Waiting to try again"  # start of what a worker says while the output folder, or that of the inputs, is away


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """What a unit reports besides its files: inputs without an output, each with the reason, and more for the kind."""

    failed: tuple[tuple[str, str], ...] = ()
    answer: dict[str, Any] = field(default_factory=dict[str, Any])


@runtime_checkable
class Work(Protocol):
    """The work of a job in one worker, with the model loaded.

    `shares_units` tells whether a second worker may compute a unit when the first is late; long units are given to one.
    """

    shares_units: bool

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Compute a unit.

        Parameters
        ----------
        unit : dict
            What it consists of; see `Job.unit`.
        outputs, parts : Path
            Empty folders for the files of the output folder, and for parts of files of all units together.

        Raises
        ------
        OutputFailed
            The disk is full or away; the unit is tried again.
        """
        ...

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Write the files of all units together to an empty folder; each unit has an outcome."""
        ...

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Return the names of the inputs of a unit, for the list of failures if it is set aside."""
        ...


OpenWork = Callable[[Job, Progress], Work]
"""Opens the work of a job in the folder in which it was made; raises BadRun if its data have changed."""
Kinds = Mapping[str, OpenWork]


def go_to(folder: Path | str) -> None:
    """Make a folder the working folder, because paths of a job are those that the user gave.

    Raises
    ------
    BadRun
        This machine has no such folder.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadRun(
            "the folder in which the job was made", reason, "All machines need the same paths.", folder
        ) from error
