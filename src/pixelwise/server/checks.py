"""What `pixelwise doctor` finds in the data, for the page, and the corrected copy that it writes."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pixelwise.server.failures import Failure
from pixelwise.server.jobs import Job, Jobs
from pixelwise.server.project import Project
from pixelwise.text import command

MAX_SHOWN = 1000
"""Findings that are sent to a page."""


class Checks:
    """The findings about the data folder, and its corrected copy.

    Attributes
    ----------
    data : Path or None
        The folder with masks that is examined.
    """

    def __init__(self, project: Project, jobs: Jobs) -> None:
        self._project, self._jobs = project, jobs
        self.data: Path | None = None

    @property
    def copy(self) -> Path | None:
        """The newest corrected copy of the folder; None if there is none."""
        job = self._newest("fix")
        return Path(job.folder) if job is not None else None

    def start(self, kind: str) -> Job:
        """Start to examine the folder ("check"), or to write a corrected copy ("fix").

        Raises
        ------
        Failure
            409: there are no masks; 503: they are being read.
        """
        self._project.check_read()
        if self.data is None:
            raise Failure(409, "no_masks", "There are no masks to check.")
        if kind == "check":
            return self._jobs.start("check", ("doctor", str(self.data), "--json"), self._project.folder)
        out = self._project.new_folder("corrected")
        return self._jobs.start("fix", ("doctor", str(self.data), "--fix", str(out)), out)

    def to_json(self) -> dict[str, Any]:
        """Return what a page shows: the findings, each with its image, and the command that writes the copy."""
        job, copy = self._newest("check"), self.copy
        found = [] if job is None else read_findings(self._jobs.result_path(job))
        images = self._images() if found else {}
        shown = [
            {**finding, "image": _first(images, [finding["case"], *finding["files"]])} for finding in found[:MAX_SHOWN]
        ]
        fixable = any(finding["fix"] and finding["severity"] == "hard" for finding in found)
        return {
            "possible": self.data is not None,
            "checked": job is not None,
            "findings": shown,
            "more": len(found) - len(shown),
            "fixable": fixable,
            "command": command("doctor", self.data, "--fix", "OUT") if self.data is not None and fixable else "",
            "copy": copy is not None,
        }

    def _newest(self, kind: str) -> Job | None:
        """Return the newest job of a kind that is done and examined this folder."""
        done = (job for job in self._jobs.jobs.values() if (job.kind, job.state) == (kind, "done"))
        own = [job for job in done if self.data is not None and job.command[1] == str(self.data)]
        return own[-1] if own else None

    def problems(self) -> list[dict[str, Any]]:
        """Return what was noticed when the folder was read, each with its image."""
        images = self._images() if self._project.problems else {}
        return [{**problem, "image": _first(images, [problem["file"]])} for problem in self._project.problems]

    def _images(self) -> dict[str, str]:
        """Return the ids of all images by their names and by their paths within the data."""
        root = f"{self.data or ''}{os.sep}"
        images = self._project.images.values()
        paths = {str(image.path).removeprefix(root).replace(os.sep, "/"): image.id for image in images}
        return paths | {image.name: image.id for image in images}


def _first(images: dict[str, str], names: Sequence[str]) -> str | None:
    return next((images[name] for name in names if name in images), None)


def read_findings(file: Path) -> list[dict[str, Any]]:
    """Return the findings in the output of `pixelwise doctor --json`; none if it was cut off."""
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return []
    found: Sequence[dict[str, Any]] = value.get("findings", ())
    return list(found)
