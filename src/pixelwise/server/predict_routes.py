"""The friendly route: `POST /predict`, an image in, its mask or objects out."""

import hashlib
import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from pixelwise.server.bodies import IMAGE_TYPES, receive_image
from pixelwise.server.failures import Failure
from pixelwise.server.service import Service


class Format(StrEnum):
    """What `POST /predict` returns."""

    PNG = "png"
    TIFF = "tiff"
    CSV = "csv"
    JSON = "json"
    GEOJSON = "geojson"
    OVERLAY = "overlay"


_MEDIA = {
    Format.PNG: "image/png",
    Format.TIFF: "image/tiff",
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON: "application/json",
    Format.GEOJSON: "application/geo+json",
    Format.OVERLAY: "image/png",
}
_FILES = {Format.PNG: "mask", Format.TIFF: "tiff", Format.CSV: "table", Format.OVERLAY: "overlay"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": {}}}
    for status, text in {
        400: "The request is malformed.",
        401: "The token is missing.",
        403: "Host or Origin is not allowed.",
        404: "There is no such model.",
        408: "The body arrives too slowly.",
        413: "The image is too large.",
        415: "The media type is not one of the accepted ones.",
        422: "The image cannot be read or does not fit the model.",
        429: "This client sends too many requests; see Retry-After.",
        503: "The queue is full, the server stops or a worker restarts; see Retry-After.",
        504: "The deadline passed.",
        507: "The disk of the server is full; see Retry-After.",
    }.items()
}
_FILE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": dict.fromkeys(IMAGE_TYPES, _FILE)}}


def add_predict_routes(app: FastAPI, service: Service) -> None:
    """Add `POST /predict`."""

    @app.post("/predict", responses=_ERRORS, openapi_extra=_BODY, response_class=Response)
    async def predict(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        format: Annotated[Format, Query(description="png, tiff, csv, json, geojson or overlay")] = Format.PNG,
        model: Annotated[str, Query(max_length=200, description="name of a model; by default the first")] = "",
    ) -> Response:
        """Predict the image in the body.

        The mask as PNG or TIFF, the table of objects as CSV, outlines as GeoJSON, an overlay, or everything that is
        known about the objects as JSON. The PNG has the same bytes as the file that `pixelwise predict` writes.
        """
        service.rate.take(request.client.host if request.client else "")
        name, path = service.model(model)
        began = time.monotonic()
        with service.admission.request() as ticket, service.spool() as folder:
            image = await receive_image(request, folder, ticket)
            service.metrics.seconds.labels("receive").observe(time.monotonic() - began)
            key = hashlib.sha256(image.read_bytes()).hexdigest()
            pixels = await image_pixels(service, image, key)
            ticket.add_pixels(pixels)
            wanted = {"overlay": format == Format.OVERLAY, "tiff": format == Format.TIFF}
            wanted["only_mask"] = format not in (Format.CSV, Format.JSON)
            job = {"image": str(image), "folder": str(folder), "name": "mask", "key": key, "temporary": True, **wanted}
            result = await service.predictions.predict(path, job, pixels)
            content = await _content(service, folder, format, result, name)
        return Response(content, media_type=_MEDIA[format])


async def image_pixels(service: Service, image: Path, key: str, *, volumes: bool = False) -> int:
    """Return height times width from the header of an image file; of a volume also times depth.

    Raises
    ------
    Failure
        422: not an image, one whose pixels need far more memory than its file, or a volume unless `volumes` is set.
    """
    info = (await service.reader.call("probe", key=key, seconds=30, path=str(image))).value
    size = image.stat().st_size
    if info["bytes"] > 64 * 2**20 and info["bytes"] > 1000 * size:
        raise Failure(422, "bad_image", "The decoded image would be more than a thousand times larger than its file.")
    if info["depth"] is not None and not volumes:
        raise Failure(
            422, "volume", "Expected an image; got a volume. Predict it on the page, or with `pixelwise predict`."
        )
    return int(info["height"]) * int(info["width"]) * int(info["depth"] or 1)


async def _content(service: Service, folder: Path, format: Format, result: dict[str, Any], model: str) -> bytes:
    files = result["files"]
    if format in _FILES:
        return (folder / files[_FILES[format]]).read_bytes()
    if format == Format.JSON:
        objects = json.loads((folder / files["objects"]).read_bytes())
        classes = json.loads((folder / files["classes"]).read_bytes())
        answer = {"model": model, "size": result["size"], **classes, "objects": objects}
        return json.dumps({**answer, "warnings": result["warnings"]}).encode()
    about = await service.about(service.models[model])
    own = {"classes": about["classes"], "task": about["task"], "file": str(folder / "outlines.geojson")}
    reply = await service.reader.call("geojson", seconds=60, mask=str(folder / files["mask"]), **own)
    return Path(reply.value["file"]).read_bytes()
