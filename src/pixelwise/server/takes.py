"""Files that are made of a result when somebody wants them: a process of its own for a large one, with its progress."""

import asyncio
import contextlib
import math
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

from pixelwise.io.volumes.names import stem_of
from pixelwise.server.corrections import write_shown
from pixelwise.server.failures import Failure
from pixelwise.server.project import ProjectImage
from pixelwise.server.service import READER
from pixelwise.server.studio import Studio
from pixelwise.server.worker_client import WorkerClient

TakeKind = Literal["geojson", "corrected"]
State = Literal["running", "done", "failed", "stopped"]

MAX_SHARED = 16 * 1024 * 1024
"""Pixels of the largest result whose files are made by the worker that the page needs."""

KEPT = 4
"""Files that are kept until newer ones are made."""

_MAX_RUNNING = 8
_SECONDS = 120.0  # of a small one
_NICE = 5


@dataclass(eq=False)
class Take:
    """A file that is made of a result.

    Attributes
    ----------
    key : tuple
        What it is made of: kind, image, model and the last mark.
    folder : Path
        Of the file and of its progress.
    stem : str
        Name of the file without its suffix.
    message : str
        Why it failed.
    path : Path or None
        The file, once it is there.
    """

    id: str
    key: tuple[str, str, str, int]
    folder: Path
    stem: str
    state: State = "running"
    failure: Failure | None = None
    path: Path | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name under which the file is stored by a browser."""
        suffix = self.path.suffix if self.path is not None else ""
        return f"{self.stem}{'.corrected' if self.key[0] == 'corrected' else ''}{suffix}"

    def to_json(self) -> dict[str, Any]:
        """Return what a page may know, with the share of the work that is done."""
        share = 1.0 if self.state == "done" else 0.0
        if self.state == "running":
            with contextlib.suppress(OSError, ValueError):
                share = float((self.folder / "progress").read_text("utf-8"))
        message = self.failure.message if self.failure is not None else ""
        return {"id": self.id, "kind": self.key[0], "state": self.state, "share": share, "message": message}


class Takes:
    """Makes files of results, one large one at a time."""

    def __init__(self, studio: Studio) -> None:
        self._studio, self._one = studio, asyncio.Semaphore(1)
        self._takes: dict[str, Take] = {}
        self._count = 0

    def start(self, image: ProjectImage, model: str, kind: TakeKind) -> Take:
        """Begin to make a file; one that is being made of the same result and marks is not begun again.

        Raises
        ------
        Failure
            404: there is no result; 503: too many are being made.
        """
        service, project = self._studio.service, self._studio.project
        name, _ = service.model(model)
        result = project.result(image.id, name)
        marks = project.marks(image.id).marks if project.has_marks(image.id) else []
        key = kind, image.id, name, max((number for number, _ in marks), default=0)
        running = [take for take in self._takes.values() if take.state == "running"]
        for take in running:
            if take.key == key:
                return take
        if len(running) >= _MAX_RUNNING or service.admission.draining:
            raise service.admission.full("draining" if service.admission.draining else "requests")
        self._count += 1
        folder = Path(mkdtemp(dir=service.folder, prefix="take-"))
        take = Take(id=f"{self._count}", key=key, folder=folder, stem=stem_of(Path(image.name)))
        self._takes[take.id] = take
        request = {"file": str(folder / f"file.{'geojson' if kind == 'geojson' else 'png'}")}
        if kind == "geojson":
            mask = str(project.result_file(image.id, name, "mask"))
            request |= {"mask": mask, "classes": result["classes"], "task": result["task"]}
        else:
            request["request"] = str(write_shown(project, folder, image, name))
        large = math.prod(result.get("size") or (math.inf,)) > MAX_SHARED
        take.task = asyncio.create_task(self._make(take, request, large=large))
        return take

    def get(self, take_id: str) -> Take:
        """Return a take; raises `Failure` (404) for an unknown id, or one whose file is gone."""
        if take_id not in self._takes:
            raise Failure(404, "unknown_take", "This file is no longer kept: make it again.")
        return self._takes[take_id]

    async def finished(self, take: Take) -> Path:
        """Wait for a file and return it.

        Raises
        ------
        Failure
            It cannot be made, or somebody stopped it.
        """
        if take.task is not None:
            await asyncio.shield(asyncio.gather(take.task, return_exceptions=True))
        if take.path is None:
            raise take.failure or Failure(409, "stopped", "Making this file was stopped.")
        return take.path

    async def stop(self, take: Take) -> None:
        """Stop making a file."""
        if take.task is not None:
            take.task.cancel()
            await asyncio.gather(take.task, return_exceptions=True)

    async def close(self) -> None:
        """Stop all of them."""
        for take in list(self._takes.values()):
            await self.stop(take)

    async def _make(self, take: Take, request: dict[str, Any], *, large: bool) -> None:
        kind, reader = take.key[0], self._studio.service.reader
        try:
            if large:
                async with self._one:
                    take.path = await self._make_alone(kind, {**request, "progress": str(take.folder / "progress")})
            else:
                take.path = Path((await reader.call(kind, seconds=_SECONDS, **request)).value["file"])
            take.state = "done"
        except Failure as failure:
            take.state, take.failure = "failed", failure
        except asyncio.CancelledError:
            take.state = "stopped"
            raise
        finally:
            self._forget()

    async def _make_alone(self, kind: str, request: dict[str, Any]) -> Path:
        """Make a file in a process of its own, which can be ended; the page stays quick."""
        worker = WorkerClient(READER)
        worker.start()
        try:
            await worker.wait_ready()
            with contextlib.suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, worker.pid or 0, _NICE)
            return Path((await worker.call(kind, **request)).value["file"])
        finally:
            await worker.close()

    def _forget(self) -> None:
        """Delete the oldest files, and at once those that are not complete."""
        ended = [take for take in self._takes.values() if take.state != "running"]
        for take in ended[:-KEPT]:
            del self._takes[take.id]
        for take in ended:
            if take.id not in self._takes or take.path is None:
                shutil.rmtree(take.folder, ignore_errors=True)
