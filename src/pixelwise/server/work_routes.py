"""Routes of the page for marks, jobs, events and files to take away."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field, ValidationError

from pixelwise.io.volumes.names import stem_of, suffix_of
from pixelwise.server.bodies import receive_small
from pixelwise.server.corrections import correct as correct_objects
from pixelwise.server.failures import Failure
from pixelwise.server.jobs import Job, read_metrics, snapshot_steps
from pixelwise.server.marks.records import MAX_CLASSES, MAX_POINTS, Action, Point, parse_mark
from pixelwise.server.marks.rounds import Length
from pixelwise.server.studio import Studio
from pixelwise.server.takes import TakeKind, Takes

_MAX_MARK = 2 * 2**20

Model = Annotated[str, Query(max_length=200)]
ClassName = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^,]+$")]


class Kind(StrEnum):
    """A file of a result."""

    MASK = "mask"
    OBJECTS = "objects"
    OVERLAY = "overlay"
    GEOJSON = "geojson"
    CORRECTED = "corrected"


class JobRequest(BaseModel):
    """What to start."""

    kind: Literal["train", "export", "report", "check", "fix"]
    source: Literal["folder", "marks"] = "folder"
    seconds: Annotated[int, Field(ge=10, le=30 * 24 * 3600)] = 300
    model: Annotated[str, Field(max_length=200)] = ""
    fresh: bool = False
    """Train on marks from nothing, not from the newest model."""
    steps: Annotated[int | None, Field(ge=1, le=10**7)] = None
    """Length of a training in steps, instead of seconds: its result can be repeated exactly."""

    @property
    def length(self) -> Length:
        """How long to train."""
        return Length(self.seconds if self.steps is None else None, self.steps)


class Correction(BaseModel):
    """What to do with the objects of a result that a line touches, or with those of a frame."""

    action: Action
    points: Annotated[list[Point], Field(min_length=1, max_length=MAX_POINTS)]
    key: Annotated[str, Field(max_length=64)] = ""


class Classes(BaseModel):
    """Names of the classes to paint, background first."""

    names: Annotated[list[ClassName], Field(min_length=2, max_length=MAX_CLASSES)]


def add_work_routes(app: FastAPI, studio: Studio) -> None:
    """Add the routes for marks, jobs, events and downloads."""
    _add_marks(app, studio)
    _add_jobs(app, studio)
    _add_progress(app, studio)
    _add_take_away(app, studio)


def _add_marks(app: FastAPI, studio: Studio) -> None:
    project = studio.project

    @app.get("/api/images/{image_id}/marks", tags=["page"])
    async def marks(image_id: str, after: int = 0) -> list[dict[str, Any]]:  # pyright: ignore[reportUnusedFunction]
        """Return the marks of an image with ids above `after`."""
        project.image(image_id)
        return project.marks(image_id).after(after) if project.has_marks(image_id) else []

    @app.post("/api/images/{image_id}/marks", tags=["page"], status_code=201)
    async def add_mark(request: Request, image_id: str) -> dict[str, int]:  # pyright: ignore[reportUnusedFunction]
        """Add the mark in the body; when the answer arrives it is on disk."""
        await studio.check_plane(project.image(image_id))
        try:
            mark = parse_mark(await receive_small(request, _MAX_MARK))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise Failure(400, "bad_mark", f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
        number = project.marks(image_id).add(mark)
        project.events.add_once("mark", image=image_id, id=number)
        return {"id": number}

    @app.post("/api/images/{image_id}/corrections", tags=["page"], status_code=201)
    async def correct(  # pyright: ignore[reportUnusedFunction]
        image_id: str, wanted: Correction, model: Model = ""
    ) -> dict[str, int]:
        """Correct objects of a result: accept, delete, merge, split, or all of a frame; the correction is a mark."""
        image = project.image(image_id)
        await studio.check_plane(image)
        return {"id": await correct_objects(studio, image, model, wanted.action, wanted.points, wanted.key)}


async def _start(studio: Studio, wanted: JobRequest) -> Job:
    if wanted.kind == "train":
        return await studio.train(wanted.source, wanted.length, fresh=wanted.fresh)
    if wanted.kind in ("check", "fix"):
        return studio.checks.start(wanted.kind)
    return studio.export(wanted.model, "onnx" if wanted.kind == "export" else "report")


def _add_jobs(app: FastAPI, studio: Studio) -> None:
    jobs, starting = studio.jobs, asyncio.Lock()

    @app.post("/api/jobs", tags=["page"])
    async def start(wanted: JobRequest) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Start a training, an export or a report; 409 with the running one if there is one."""
        async with starting:  # two pages that start at once get one job
            running = jobs.running(wanted.kind)
            if running is not None:
                return JSONResponse(running.to_json(), 409)
            job = await _start(studio, wanted)
        return JSONResponse(job.to_json(), 202)

    @app.delete("/api/jobs/{job_id}", tags=["page"])
    async def stop(job_id: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Ask a job to save its state and stop."""
        return jobs.stop(job_id).to_json()

    @app.post("/api/jobs/{job_id}/resume", tags=["page"])
    async def resume(job_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Continue a training that was stopped."""
        running = jobs.running("train")
        if running is not None:
            return JSONResponse(running.to_json(), 409)
        return JSONResponse(jobs.resume(job_id).to_json(), 202)

    @app.get("/api/events", tags=["page"])
    async def events(  # pyright: ignore[reportUnusedFunction]
        request: Request, after: Annotated[int, Query(ge=0, le=2**53)] = 0
    ) -> StreamingResponse:
        """Stream what happens as server-sent events, from the id in `Last-Event-ID` or `after` on."""
        last = request.headers.get("last-event-id", "")
        begin = int(last) if last.isdecimal() and len(last) < 17 else after
        stream = studio.project.events.follow(begin, lambda: studio.stopping or studio.service.admission.draining)
        return StreamingResponse(stream, media_type="text/event-stream")


def _add_progress(app: FastAPI, studio: Studio) -> None:
    jobs = studio.jobs

    @app.get("/api/jobs/{job_id}/metrics", tags=["page"])
    async def metrics(job_id: str) -> list[dict[str, float]]:  # pyright: ignore[reportUnusedFunction]
        """Return the rows of metrics of a training so far."""
        return read_metrics(Path(jobs.get(job_id).folder))

    @app.get("/api/jobs/{job_id}/snapshot.png", tags=["page"])
    async def snapshot(  # pyright: ignore[reportUnusedFunction]
        job_id: str, step: Annotated[int, Query(ge=-1, le=10**9)] = -1, what: Literal["step", "image", "truth"] = "step"
    ) -> Response:
        """Return the newest prediction of a training for one place, or the image or the truth of that place."""
        folder = Path(jobs.get(job_id).folder)
        steps = snapshot_steps(folder)
        step = step if step >= 0 else max(steps, default=0)
        path = folder / "snapshots" / (f"step-{step:07d}.png" if what == "step" else f"{what}.png")
        if not path.is_file():
            raise Failure(404, "no_snapshot", "There is no such snapshot yet.")
        return Response(path.read_bytes(), media_type="image/png")


def _add_take_away(app: FastAPI, studio: Studio) -> None:
    service, project, takes = studio.service, studio.project, Takes(studio)
    studio.closing.append(takes.close)
    kinds = {Kind.MASK: "mask", Kind.OBJECTS: "table", Kind.OVERLAY: "overlay"}

    @app.get("/api/images/{image_id}/take/{kind}", tags=["page"])
    async def take(image_id: str, kind: Kind, model: Model = "") -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return a file of a result: mask, objects, overlay, outlines, or the mask with all marks over it."""
        name, _ = service.model(model)
        image = project.image(image_id)
        if kind in (Kind.GEOJSON, Kind.CORRECTED):
            await studio.check_plane(image)
            one = takes.start(image, model, kind.value)
            return _file_attachment(await takes.finished(one), one.name)
        path = project.result_file(image_id, name, kinds[kind])
        if path.is_dir():
            place = path.relative_to(project.folder).as_posix()
            raise Failure(409, "folder", f"This result is an OME-Zarr folder: copy {place} of the project folder.")
        table = ".volumes.csv" if path.name.endswith("volumes.csv") else ".objects.csv"
        ending = {Kind.MASK: suffix_of(path), Kind.OBJECTS: table, Kind.OVERLAY: ".overlay.png"}[kind]
        return _file_attachment(path, stem_of(Path(image.name)) + ending)

    @app.post("/api/images/{image_id}/take/{kind}", tags=["page"], status_code=202)
    async def make(image_id: str, kind: TakeKind, model: Model = "") -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Begin to make outlines, or the mask with all marks over it, of an image of any size."""
        image = project.image(image_id)
        await studio.check_plane(image)
        return takes.start(image, model, kind).to_json()

    @app.get("/api/takes/{take_id}", tags=["page"])
    async def progress(take_id: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Return the state of a file that is made, and the share of the work that is done."""
        return takes.get(take_id).to_json()

    @app.delete("/api/takes/{take_id}", tags=["page"])
    async def stop(take_id: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Stop making a file."""
        await takes.stop(takes.get(take_id))
        return takes.get(take_id).to_json()

    @app.get("/api/takes/{take_id}/file", tags=["page"])
    async def made(take_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return a file that was made; it is kept until newer ones are made."""
        one = takes.get(take_id)
        return _file_attachment(await takes.finished(one), one.name)

    @app.get("/api/models/{model}/take/{kind}", tags=["page"])
    async def take_model(model: str, kind: Literal["onnx", "report"]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return an exported model or its report, once it was made."""
        path = studio.exported(model, kind)
        ending = "onnx" if kind == "onnx" else "html"
        return _attachment(path.read_bytes(), f"{model}.{ending}", "application/octet-stream")

    @app.put("/api/classes", tags=["page"])
    async def set_classes(wanted: Classes) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Set the names of the classes to paint."""
        studio.set_classes(wanted.names)
        return {"classes": project.classes, "colours": project.colours}


def _attachment(content: bytes, name: str, media_type: str) -> Response:
    """Return a download."""
    return Response(content, media_type=media_type, headers=_headers(name))


def _headers(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{_plain(name)}"'}


def _file_attachment(path: Path, name: str) -> Response:
    """Return a file as a download, which may be larger than the memory."""
    return FileResponse(path, media_type="application/octet-stream", filename=_plain(name))


def _plain(name: str) -> str:
    """Return a name reduced to what every system accepts."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)
