"""Health, metadata and inference in the form of the Open Inference Protocol (KServe V2), over HTTP.

Source: https://kserve.github.io/website, "Open Inference Protocol (V2)", with its extension for binary tensor data.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixelwise.server.bodies import receive_bytes
from pixelwise.server.failures import Failure
from pixelwise.server.service import Service
from pixelwise.text import __version__

INPUT, OUTPUT = "image", "labels"
"""Names of the only input and the only output of a model."""

_TYPES = {"UINT8": "u1", "UINT16": "<u2", "INT16": "<i2", "FP32": "<f4"}
_JSON_LENGTH = "inference-header-content-length"
_MAX_SIDE = 10**6
_Side = Annotated[int, Field(ge=1, le=_MAX_SIDE)]


class InputTensor(BaseModel):
    """An image of shape (1, channels, height, width) or (channels, height, width)."""

    name: str
    shape: list[_Side] = Field(min_length=3, max_length=4)
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class InferenceRequest(BaseModel):
    """The JSON part of a request."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(default="", max_length=200)
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[dict[str, Any]] = Field(default=[], max_length=1)
    parameters: dict[str, Any] = {}


@dataclass(frozen=True)
class _Image:
    shape: tuple[int, int, int]
    dtype: str
    data: bytes


def add_kserve_routes(app: FastAPI, service: Service) -> None:
    """Add the routes below `/v2`."""

    @app.get("/v2")
    async def server_metadata() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Return name, version and extensions of the server."""
        return {"name": "pixelwise", "version": __version__, "extensions": ["binary_tensor_data"]}

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:  # pyright: ignore[reportUnusedFunction]
        """Return whether the server runs; needs no token."""
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return whether predictions can be answered now; needs no token."""
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)

    @app.get("/v2/models/{model}")
    async def model_metadata(model: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        """Return inputs and outputs of a model, its classes and colours."""
        name, path = service.model(model)
        about = await service.about(path)
        side = -1
        return {
            "name": name,
            "versions": [],
            "platform": f"pixelwise_{about['runtime']}",
            "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [1, about["channels"], side, side]}],
            "outputs": [{"name": OUTPUT, "datatype": "INT32", "shape": [1, side, side]}],
            "parameters": about,
        }

    @app.get("/v2/models/{model}/ready")
    async def model_ready(model: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return whether a model can be used now."""
        name, _ = service.model(model)
        return JSONResponse({"name": name, "ready": service.ready}, 200 if service.ready else 503)

    @app.post("/v2/models/{model}/infer")
    async def infer(request: Request, model: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Predict a tensor: `image` in, `labels` out, as JSON or with binary data."""
        service.rate.take(request.client.host if request.client else "")
        _, path = service.model(model)
        with service.admission.request() as ticket, service.spool() as folder:
            body = await receive_bytes(request, ticket)
            parsed, image = parse_request(body, request.headers)
            ticket.add_pixels(image.shape[1] * image.shape[2])
            (folder / "tensor").write_bytes(image.data)
            reply = await service.predictor.call(
                "infer",
                seconds=service.limits.deadline,
                model=str(path),
                tensor=str(folder / "tensor"),
                shape=list(image.shape),
                dtype=image.dtype,
                labels=str(folder / "labels"),
            )
            labels = (folder / "labels").read_bytes()
        return _answer(parsed, model, [1, *reply.value["shape"]], labels, reply.value["warnings"])


def parse_request(body: bytes, headers: Mapping[str, str]) -> tuple[InferenceRequest, _Image]:
    """Return the parsed request and its image.

    Raises
    ------
    Failure
        400: not a request of the protocol, or data that do not fill the shape.
    """
    length = headers.get(_JSON_LENGTH, str(len(body)))
    if not length.isdecimal() or int(length) > len(body):
        raise Failure(400, "bad_request", "Inference-Header-Content-Length is not a length within the body.")
    try:
        request = InferenceRequest.model_validate_json(body[: int(length)])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise Failure(400, "bad_request", f"{where}: {first['msg']}.") from None
    (tensor,) = request.inputs
    dtype = _TYPES.get(tensor.datatype)
    if tensor.name != INPUT or dtype is None or tensor.shape[:-3] not in ([], [1]):
        raise Failure(400, "bad_request", f"Send one input `{INPUT}` of one image, as {', '.join(_TYPES)}.")
    channels, height, width = tensor.shape[-3:]
    count = math.prod(tensor.shape)
    data = body[int(length) :] if tensor.data is None else _flat(tensor.data, dtype, count)
    if len(data) != count * np.dtype(dtype).itemsize:
        raise Failure(400, "bad_request", f"The data do not fill the shape {tensor.shape}.")
    return request, _Image((channels, height, width), dtype, data)


def _flat(data: list[Any], dtype: str, count: int) -> bytes:
    """Return nested or flat numbers as bytes."""
    try:
        array = np.array(data)
        kinds = "iu" if np.dtype(dtype).kind in "iu" else "iuf"
        with np.errstate(invalid="ignore", over="ignore"):  # infinity as a whole number: the values then differ
            cast = array.astype(dtype)
        if array.size != count or array.dtype.kind not in kinds or (kinds == "iu" and not np.array_equal(cast, array)):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise Failure(400, "bad_request", "The data are not numbers of the datatype that fill the shape.") from None
    return cast.tobytes()


def _answer(request: InferenceRequest, model: str, shape: list[int], labels: bytes, warnings: list[str]) -> Response:
    wanted = request.outputs[0].get("parameters", {}) if request.outputs else {}
    binary = isinstance(wanted, dict) and wanted.get("binary_data") is True
    binary = binary or request.parameters.get("binary_data_output") is True
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "INT32", "shape": shape}
    answer: dict[str, Any] = {"model_name": model, "outputs": [output]}
    answer |= {"id": request.id} if request.id else {}
    answer |= {"parameters": {"warnings": warnings}} if warnings else {}
    if not binary:
        output["data"] = np.frombuffer(labels, "<i4").tolist()
        return JSONResponse(answer)
    output["parameters"] = {"binary_data_size": len(labels)}
    head = json.dumps(answer).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return Response(head + labels, media_type="application/octet-stream", headers=headers)
