"""A machine learning backend for Label Studio that asks a pixelwise server; the standard library only.

    python examples/annotation/label_studio.py --pixelwise http://127.0.0.1:8117 --token-file token
        --label-studio http://localhost:8080 --label-studio-token-file ls-token [--port 9090]

Add http://localhost:9090 as a model of a project whose labelling interface has PolygonLabels with the class names of
the model. Images are fetched from the named Label Studio alone, whatever address a task contains.
"""

import argparse
import json
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pixelwise_client import Pixelwise, Region

VERSION = "pixelwise"
MAX_BODY = 16 * 2**20


@dataclass(frozen=True)
class LabelStudio:
    """Where images are: an address and a token that may read them."""

    address: str
    token: str

    def fetch(self, url: str) -> bytes:
        """Return an image of a task.

        Raises
        ------
        ValueError
            It is somewhere else.
        """
        full = urllib.parse.urljoin(f"{self.address.rstrip('/')}/", url)
        if urllib.parse.urlsplit(full)[:2] != urllib.parse.urlsplit(self.address)[:2]:
            raise ValueError(f"the image is not on {self.address}")
        request = urllib.request.Request(full, headers={"Authorization": f"Token {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()


@dataclass(frozen=True)
class Control:
    """The tags of a labelling interface: polygons, their image, the labels, and the field of a task with the image."""

    name: str
    to_name: str
    labels: tuple[str, ...]
    field: str


def find_control(config: str) -> Control:
    """Return the polygon labels of a labelling interface.

    Raises
    ------
    ValueError
        It has none, or it is no plain XML.
    """
    if "<!" in config.replace("<!--", ""):
        raise ValueError("a labelling interface without a document type")
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        raise ValueError(f"a labelling interface in XML: {error}") from error
    control = next(root.iter("PolygonLabels"), None)
    images = {tag.get("name", ""): tag.get("value", "") for tag in root.iter("Image")}
    if control is None or control.get("toName", "") not in images:
        raise ValueError("a labelling interface with PolygonLabels of an Image")
    to_name = control.get("toName", "")
    labels = tuple(tag.get("value", "") for tag in control.iter("Label"))
    return Control(control.get("name", ""), to_name, labels, images[to_name].removeprefix("$"))


def prediction_of(regions: list[Region], size: tuple[int, int], control: Control) -> dict[str, Any]:
    """Return the prediction of a task: polygons in per cent of width and height; other labels are left out."""
    width, height = size
    results: list[dict[str, Any]] = []
    for number, region in enumerate(regions):
        if region.label not in control.labels:
            continue
        points = [[100 * x / width, 100 * y / height] for x, y in region.rings[0]]
        results.append(
            {
                "id": f"pixelwise-{number}",
                "from_name": control.name,
                "to_name": control.to_name,
                "type": "polygonlabels",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {"points": points, "closed": True, "polygonlabels": [region.label]},
            }
        )
    return {"result": results, "score": 1.0, "model_version": VERSION}


def image_size(image: bytes) -> tuple[int, int]:
    """Return width and height of a PNG or JPEG.

    Raises
    ------
    ValueError
        It is another format.
    """
    if image[:8] == b"\x89PNG\r\n\x1a\n":
        return int.from_bytes(image[16:20], "big"), int.from_bytes(image[20:24], "big")
    if image[:2] == b"\xff\xd8":
        return _jpeg_size(image)
    raise ValueError("a PNG or a JPEG")


def _jpeg_size(image: bytes) -> tuple[int, int]:
    place = 2
    while place + 9 < len(image) and image[place] == 0xFF:
        kind, length = image[place + 1], int.from_bytes(image[place + 2 : place + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(image[place + at : place + at + 2], "big") for at in (5, 7))
            return width, height
        place += 2 + length
    raise ValueError("a whole JPEG")


def predict(request: dict[str, Any], pixelwise: Pixelwise, studio: LabelStudio) -> dict[str, Any]:
    """Answer `POST /predict`: one prediction for each task, in order."""
    control = find_control(str(request["label_config"]))
    results: list[dict[str, Any]] = []
    for task in request["tasks"]:
        image = studio.fetch(str(task["data"][control.field]))
        results.append(prediction_of(pixelwise.regions(image), image_size(image), control))
    return {"results": results, "model_version": VERSION}


def answer(path: str, request: dict[str, Any], pixelwise: Pixelwise, studio: LabelStudio) -> tuple[int, dict[str, Any]]:
    """Return status and body of a request of Label Studio."""
    if path == "/health":
        return 200, {"status": "UP", "model_class": VERSION}
    if path == "/setup":
        return 200, {"model_version": VERSION}
    if path in ("/webhook", "/validate"):
        return 200, {}
    if path != "/predict":
        return 404, {"error": "unknown path"}
    try:
        return 200, predict(request, pixelwise, studio)
    except (ValueError, KeyError, TypeError) as error:
        return 400, {"error": f"expected {error}"}
    except OSError as error:
        return 502, {"error": f"no answer: {error}"}


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixelwise", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--label-studio", required=True)
    parser.add_argument("--label-studio-token-file", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9090)
    chosen = parser.parse_args()
    pixelwise = Pixelwise(chosen.pixelwise, chosen.token_file.read_text("utf-8").strip())
    studio = LabelStudio(chosen.label_studio, chosen.label_studio_token_file.read_text("utf-8").strip())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            if length > MAX_BODY:
                self.send_error(413)
                return
            try:
                request = json.loads(self.rfile.read(length) or b"{}")
            except ValueError:
                self.send_error(400)
                return
            self.reply(request)

        def reply(self, request: dict[str, Any]) -> None:
            status, value = answer(self.path.partition("?")[0], request, pixelwise, studio)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    ThreadingHTTPServer(("127.0.0.1", chosen.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
