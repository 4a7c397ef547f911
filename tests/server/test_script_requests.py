"""The scripts for Fiji and QuPath: the requests that their text makes are sent, and what they read is in the answers.

Fiji and QuPath are not run here.
"""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from starlette.testclient import TestClient

from bright import drawn_image
from pixelwise.io.write import png_bytes
from studio_client import TOKEN

SCRIPTS = Path(__file__).parents[2] / "examples" / "annotation"
OFFSET, DOWNSAMPLE = (100, 40), 2.0


@dataclass(frozen=True)
class ScriptRequest:
    """The request in the text of a script; `{token}` stands for the token."""

    method: str
    path: str
    headers: dict[str, str]


def request_of(script: str) -> ScriptRequest:
    """Return what a script sends: the text after the address in its URL, its method and its headers."""
    text = (SCRIPTS / script).read_text("utf-8")
    (url,) = re.findall(r'new URL\("\$\{address\}(/[^"]*)"\)', text)
    (method,) = re.findall(r'setRequestMethod\("(\w+)"\)', text)
    headers = {
        name: value + ("{token}" if rest else "")
        for name, value, rest in re.findall(r'setRequestProperty\("([\w-]+)", "([^"]*)"( \+ token)?\)', text)
    }
    assert len(headers) == text.count("setRequestProperty("), "every header is understood"
    return ScriptRequest(method, url, headers)


def send(client: TestClient, wanted: ScriptRequest, content: bytes, model: str = "", token: str = TOKEN) -> Any:
    query = f"&model={model}" if model else ""
    headers = {name: value.format(token=token) for name, value in wanted.headers.items()}
    return client.request(wanted.method, wanted.path.replace("${query}", query), content=content, headers=headers)


def as_imagej_writes(pixels: np.ndarray) -> bytes:
    """An uncompressed big-endian TIFF with the description of ImageJ, as FileSaver and QuPath write."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, imagej=True, byteorder=">", metadata={"unit": "um"}, resolution=(4.0, 4.0))
    return file.getvalue()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return drawn_image(21)[0]


def test_fiji_gets_the_labels_in_the_first_band_of_a_png(client: TestClient, pixels: np.ndarray) -> None:
    wanted = request_of("fiji_pixelwise.groovy")
    answer = send(client, wanted, as_imagej_writes(pixels))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    labels = np.asarray(Image.open(io.BytesIO(answer.content)))
    friendly = client.post("/predict", content=png_bytes(pixels[None]), headers={"Content-Type": "image/png"})
    assert np.array_equal(labels, np.asarray(Image.open(io.BytesIO(friendly.content))))
    assert labels.shape == pixels.shape
    assert labels.max() >= 3


def test_sixteen_bits_are_sent_as_they_are(client: TestClient, pixels: np.ndarray) -> None:
    wanted = request_of("fiji_pixelwise.groovy")
    deep = send(client, wanted, as_imagej_writes(pixels.astype(np.uint16) * 200))
    flat = send(client, wanted, as_imagej_writes(pixels))
    assert deep.content == flat.content, "the model sees the same image on another scale"


def test_qupath_gets_outlines_that_fit_where_the_region_was(client: TestClient, pixels: np.ndarray) -> None:
    wanted = request_of("qupath_pixelwise.groovy")
    answer = send(client, wanted, as_imagej_writes(pixels))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/geo+json")
    collection = json.loads(answer.content)
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) >= 3
    for feature in collection["features"]:
        assert feature["properties"]["objectType"] == "annotation"
        assert feature["properties"]["classification"]["name"]
        assert feature["geometry"]["type"] in ("Polygon", "MultiPolygon")
    text = (SCRIPTS / "qupath_pixelwise.groovy").read_text("utf-8")
    (terms,) = re.findall(r"new AffineTransform\(([^)]*\)[^)]*\))\)", text)
    values = {"downsample": DOWNSAMPLE, "0": 0.0, "region.getX()": OFFSET[0], "region.getY()": OFFSET[1]}
    m00, m10, m01, m11, m02, m12 = (values[term.strip()] for term in terms.split(","))
    ring = np.array(collection["features"][0]["geometry"]["coordinates"][0])
    placed = ring @ np.array([[m00, m10], [m01, m11]]) + (m02, m12)
    assert np.array_equal(placed, ring * DOWNSAMPLE + OFFSET)


@pytest.mark.parametrize("script", ["fiji_pixelwise.groovy", "qupath_pixelwise.groovy"])
def test_what_is_refused_is_a_sentence(client: TestClient, script: str, pixels: np.ndarray) -> None:
    """The scripts show `message` of the answer."""
    wanted = request_of(script)
    content = as_imagej_writes(pixels)
    client.headers.pop("Authorization")
    try:
        refused = [send(client, wanted, content, token="another"), send(client, wanted, content, model="other"),
                   send(client, wanted, b"no image")]  # fmt: skip
    finally:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
    assert [answer.status_code for answer in refused] == [401, 404, 422]
    assert all(answer.json()["message"] for answer in refused)
    assert "parseText(answer).message" in (SCRIPTS / script).read_text("utf-8")
