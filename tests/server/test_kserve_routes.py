"""The Open Inference Protocol: metadata, JSON and binary data, bad requests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from bright import drawn_image
from pixelwise.inference.load import open_model

LENGTH = "Inference-Header-Content-Length"


def request_of(pixels: np.ndarray, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "shape": [1, *pixels.shape], "datatype": "UINT8", "data": pixels.ravel().tolist()}
    return {"inputs": [{**tensor, **changes}]}


@pytest.fixture(scope="module")
def expected(model: Path) -> np.ndarray:
    labels = open_model(model).predict(drawn_image(side=48))
    assert isinstance(labels, np.ndarray)
    return labels


def test_json_in_and_out(client: TestClient, expected: np.ndarray) -> None:
    answer = client.post("/v2/models/cells/infer", json={**request_of(drawn_image(side=48)), "id": "7"}).json()
    (output,) = answer["outputs"]
    assert (answer["id"], answer["model_name"], output["datatype"]) == ("7", "cells", "INT32")
    assert np.array_equal(np.reshape(output["data"], output["shape"])[0], expected)


def test_binary_in_and_out(client: TestClient, expected: np.ndarray) -> None:
    pixels = drawn_image(side=48)
    request: dict[str, Any] = {**request_of(pixels), "parameters": {"binary_data_output": True}}
    del request["inputs"][0]["data"]
    head = json.dumps(request).encode()
    answer = client.post("/v2/models/cells/infer", content=head + pixels.tobytes(), headers={LENGTH: str(len(head))})
    length = int(answer.headers[LENGTH])
    (output,) = json.loads(answer.content[:length])["outputs"]
    data = answer.content[length:]
    assert output["parameters"]["binary_data_size"] == len(data)
    assert np.array_equal(np.frombuffer(data, "<i4").reshape(output["shape"])[0], expected)


def test_metadata_and_health(client: TestClient) -> None:
    about = client.get("/v2/models/cells").json()
    assert about["inputs"][0]["shape"] == [1, 1, -1, -1]
    assert about["parameters"]["classes"] == ["background", "object"]
    assert client.get("/v2/models/cells/ready").json() == {"name": "cells", "ready": True}
    assert client.get("/v2/models/other").status_code == 404
    assert client.get("/v2").json()["name"] == "pixelwise"


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [1, 1, 48, 49]},
        {"shape": [1, 1, -48, 48]},
        {"shape": [1, 1, 10**9, 10**9]},
        {"shape": [48, 48]},
        {"datatype": "BYTES"},
        {"datatype": "FP64"},
        {"name": "other"},
        {"data": ["x"] * 48 * 48},
        {"data": [256] * 48 * 48},
        {"data": [0.5] * 48 * 48},
        {"data": None},
        {"data": [[1], [2, 3]]},
    ],
)
def test_bad_tensors(client: TestClient, changes: dict[str, Any]) -> None:
    answer = client.post("/v2/models/cells/infer", json=request_of(drawn_image(side=48), **changes))
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"


@pytest.mark.parametrize("length", ["-1", "x", "1000000"])
def test_bad_lengths(client: TestClient, length: str) -> None:
    answer = client.post("/v2/models/cells/infer", content=b"{}", headers={LENGTH: length})
    assert answer.status_code == 400


def test_values_that_are_not_finite(client: TestClient) -> None:
    pixels = np.full((1, 48, 48), np.nan, "<f4")
    request = request_of(pixels, datatype="FP32")
    del request["inputs"][0]["data"]
    head = json.dumps(request).encode()
    answer = client.post("/v2/models/cells/infer", content=head + pixels.tobytes(), headers={LENGTH: str(len(head))})
    assert answer.status_code == 422
