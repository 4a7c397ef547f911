"""Corrections of a result, and the next useful place: what the page asks about a result and the marks over it."""

from collections.abc import Sequence
from pathlib import Path

from pixelwise.atomic_write import atomic_write_json
from pixelwise.server.marks.records import Action, Point, active_shapes, parse_mark
from pixelwise.server.project import Project, ProjectImage
from pixelwise.server.studio import Studio

_SECONDS = 60.0
_WHOLE_SECONDS = 600.0  # of an image of any size


async def useful_place(studio: Studio, image: ProjectImage, model: str) -> list[int] | None:
    """Return the box of the place where a mark would help most; None if no place is left.

    Raises
    ------
    Failure
        404: there is no result with a map of uncertainty.
    """
    name, _ = studio.service.model(model)
    unsure = studio.project.result_file(image.id, name, "uncertainty")
    with studio.service.spool() as folder:
        request = write_shown(studio.project, folder, image, name, uncertainty=str(unsure))
        reply = await studio.service.reader.call("useful_place", seconds=_WHOLE_SECONDS, request=str(request))
    return reply.value["box"]


async def correct(
    studio: Studio, image: ProjectImage, model: str, action: Action, points: Sequence[Point], key: str
) -> int:
    """Correct objects of a result; return the id of the mark.

    Raises
    ------
    Failure
        404: there is no result; 422: the line does not do what it should.
    """
    name, _ = studio.service.model(model)
    known = studio.project.marks(image.id).id_of(key) if studio.project.has_marks(image.id) else None
    if known is not None:
        studio.project.events.add_once("mark", image=image.id, id=known)
        return known
    with studio.service.admission.request(), studio.service.spool() as folder:
        request = write_shown(studio.project, folder, image, name, action=action, points=points, key=key)
        reply = await studio.service.reader.call("correct", seconds=_SECONDS, request=str(request))
    number = studio.project.marks(image.id).add(parse_mark(reply.payload))
    studio.project.events.add_once("mark", image=image.id, id=number)
    return number


def write_shown(project: Project, folder: Path, image: ProjectImage, model: str, **more: object) -> Path:
    """Write what the page shows of a result, for the worker that reads images."""
    result = project.result(image.id, model)
    marks = project.marks(image.id).marks if project.has_marks(image.id) else []
    request = folder / "shown.json"
    atomic_write_json(
        request,
        {
            "mask": str(project.result_file(image.id, model, "mask")),
            "objects": str(project.result_file(image.id, model, "objects")),
            "task": result["task"],
            "foreground": max(1, len(result["classes"]) - 1),
            "shapes": [shape.model_dump() for _, shape in active_shapes(marks)],
            **more,
        },
    )
    return request
