"""Routes of the page for images: the list, tiles, results and their objects."""

import hashlib
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import Response

from pixelwise.atomic_write import move_file
from pixelwise.server.bodies import receive_file, receive_image, with_volume_suffix
from pixelwise.server.corrections import useful_place
from pixelwise.server.dropped_folders import LISTS
from pixelwise.server.predict_routes import image_pixels
from pixelwise.server.studio import Studio

_CACHED = {"Cache-Control": "private, max-age=3600"}
_TILE_SECONDS = 120.0

Name = Annotated[str, Query(max_length=300)]
Model = Annotated[str, Query(max_length=200)]
Number = Annotated[float | None, Query(allow_inf_nan=False)]


def plane_of(
    plane: Annotated[
        Literal["axial", "coronal", "sagittal"] | None, Query(description="of a volume: the side it is seen from")
    ] = None,
    at: Annotated[int, Query(ge=0, le=2**31, description="number of the plane")] = 0,
) -> dict[str, Any]:
    """Return which plane of a volume is asked for; nothing for an image."""
    return {} if plane is None else {"plane": plane, "at": at}


PlaneOf = Annotated[dict[str, Any], Depends(plane_of)]


def tile_of(level: int, column: int, row: int, plane: PlaneOf) -> dict[str, Any]:
    """Return which tile of an image, or of a plane of a volume, is asked for."""
    return {"level": level, "column": column, "row": row, **plane}


TileOf = Annotated[dict[str, Any], Depends(tile_of)]


def add_image_routes(app: FastAPI, studio: Studio) -> None:
    """Add the routes for images, tiles and results."""
    _add_images(app, studio)
    _add_tiles(app, studio)
    _add_results(app, studio)


def _add_images(app: FastAPI, studio: Studio) -> None:
    service, project = studio.service, studio.project

    @app.get("/api/state", tags=["page"])
    async def state() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Return images, classes, models and jobs."""
        return studio.state()

    @app.post("/api/images", tags=["page"], status_code=201)
    async def add_image(request: Request, name: Name = "") -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Take the image in the body into the project."""
        with service.admission.request() as ticket, service.spool() as folder:
            content = with_volume_suffix(await receive_image(request, folder, ticket), name)
            key = hashlib.sha256(content.read_bytes()).hexdigest()
            image = await studio.add_image(content, name, key)
        return {"id": image.id, "name": image.name}

    @app.post("/api/folders", tags=["page"], status_code=201)
    async def begin_folder(name: Name = "") -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Begin to receive a folder of images and masks."""
        return {"id": studio.folders.begin(name)}

    @app.post("/api/folders/{number}/files", tags=["page"], status_code=201)
    async def add_file(  # pyright: ignore[reportUnusedFunction]
        request: Request, number: str, path: Annotated[str, Query(max_length=1000)]
    ) -> dict[str, str]:
        """Take the file in the body, an image, a mask or a list of names, into a folder that is being received."""
        target = studio.folders.place(number, path)
        with service.admission.request() as ticket, service.spool() as folder:
            content = await receive_file(request, folder / target.name, ticket)
            if target.suffix.casefold() not in LISTS:
                await image_pixels(service, content, hashlib.sha256(content.read_bytes()).hexdigest(), volumes=True)
            move_file(content, target)
        return {"name": target.name}

    @app.post("/api/folders/{number}/read", tags=["page"])
    async def read_folder(number: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Read a folder that has arrived; what is in it can be trained on."""
        images = await studio.read_folder(studio.folders.finish(number))
        labelled = sum(image.case is not None for image in images)
        return {"images": [image.id for image in images], "labelled": labelled}

    @app.get("/api/images/{image_id}", tags=["page"])
    async def describe(image_id: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Return size, type, displayed range and results of an image."""
        image = project.image(image_id)
        about = await service.reader.call("describe", key=image_id, seconds=_TILE_SECONDS, path=str(image.path))
        results = [
            project.result(image_id, name)
            for name in project.results(image_id).get(image_id, [])
            if name in service.models
        ]
        own = {"id": image_id, "name": image.name, "labelled": image.case is not None, "results": results}
        return {**about.value, **own, "marked": project.has_marks(image_id)}


def _add_tiles(app: FastAPI, studio: Studio) -> None:
    service, project = studio.service, studio.project

    @app.get("/tiles/{image_id}/thumbnail.jpg", tags=["page"])
    async def thumbnail(image_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return a small picture of an image."""
        image = project.image(image_id)
        reply = await service.reader.call("thumbnail", key=image_id, seconds=_TILE_SECONDS, path=str(image.path))
        return Response(reply.payload, media_type="image/jpeg", headers=_CACHED)

    @app.get("/tiles/{image_id}/{level}/{column}_{row}.jpg", tags=["page"])
    async def tile(  # pyright: ignore[reportUnusedFunction]
        image_id: str,
        place: TileOf,
        low: Number = None,
        high: Number = None,
        gamma: Annotated[float, Query(ge=0.1, le=10)] = 1.0,
        channels: Annotated[list[int] | None, Query(max_length=3)] = None,
    ) -> Response:
        """Return a tile of an image, or of a plane of a volume, with the given contrast."""
        image = project.image(image_id)
        contrast = {"low": low, "high": high, "gamma": gamma, "channels": channels}
        reply = await service.reader.call(
            "tile", key=image_id, seconds=_TILE_SECONDS, path=str(image.path), **place, **contrast
        )
        return Response(reply.payload, media_type="image/jpeg", headers=_CACHED)

    @app.get("/labels/{image_id}/{level}/{column}_{row}.png", tags=["page"])
    async def label_tile(  # pyright: ignore[reportUnusedFunction]
        image_id: str, place: TileOf, model: Model = ""
    ) -> Response:
        """Return a tile of a result: number in red and green, confidence in blue."""
        name, _ = service.model(model)
        files = {"path": str(project.result_file(image_id, name, "mask")), "image": str(project.image(image_id).path)}
        if "uncertainty" in project.result(image_id, name)["files"]:
            files["uncertainty"] = str(project.result_file(image_id, name, "uncertainty"))
        reply = await service.reader.call("label_tile", seconds=_TILE_SECONDS, **files, **place)
        return Response(reply.payload, media_type="image/png", headers=_CACHED)

    @app.get("/truth/{image_id}/{level}/{column}_{row}.png", tags=["page"])
    async def truth_tile(image_id: str, place: TileOf) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return a tile of the ground truth, as of a result."""
        image = project.image(image_id)
        truth = {"data": str(image.data or ""), "case": -1 if image.case is None else image.case}
        reply = await service.reader.call("truth_tile", seconds=_TILE_SECONDS, **truth, **place)
        return Response(reply.payload, media_type="image/png", headers=_CACHED)


def _add_results(app: FastAPI, studio: Studio) -> None:
    service, project = studio.service, studio.project

    @app.post("/api/images/{image_id}/result", tags=["page"])
    async def predict(image_id: str, model: Model = "") -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Predict an image with a model; a result that exists is returned."""
        return await studio.predict(project.image(image_id), model)

    @app.get("/api/images/{image_id}/objects", tags=["page"])
    async def objects(image_id: str, model: Model = "") -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return the objects of a result."""
        name, _ = service.model(model)
        content = project.result_file(image_id, name, "objects").read_bytes()
        return Response(content, media_type="application/json")

    @app.get("/api/images/{image_id}/useful", tags=["page"])
    async def useful(image_id: str, model: Model = "") -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Return the box (top, left, bottom, right) of the place where a mark helps most, or null."""
        await studio.check_plane(project.image(image_id))
        return {"box": await useful_place(studio, project.image(image_id), model)}

    @app.get("/api/images/{image_id}/at", tags=["page"])
    async def label_at(  # pyright: ignore[reportUnusedFunction]
        image_id: str, row: int, column: int, plane: PlaneOf, model: Model = ""
    ) -> dict[str, Any]:
        """Return the number of a result at a pixel; of a plane of a volume as it is drawn."""
        name, _ = service.model(model)
        path = str(project.result_file(image_id, name, "mask"))
        place: dict[str, Any] = {"image": str(project.image(image_id).path), **plane, "row": row, "column": column}
        return (await service.reader.call("label_at", seconds=60, path=path, **place)).value
