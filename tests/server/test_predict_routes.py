"""`POST /predict`: what comes back, and every limit."""

import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.draw import polygon2mask
from starlette.testclient import TestClient

from pixelwise.io.read import read_mask
from pixelwise.io.write import png_bytes
from pixelwise.server.limits import Admission
from pixelwise.server.service import Service
from pixelwise.workflow.predict import predict as predict_files
from pixelwise.workflow.prediction.options import PredictOptions

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def expected(png: bytes, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `pixelwise predict` writes for the same image."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "in").mkdir()
    (folder / "in" / "image.png").write_bytes(png)
    predict_files(model, [folder / "in"], folder / "out", PredictOptions(runtime="torch", overlays=True))
    return folder / "out"


def test_the_mask_has_the_bytes_of_the_command_line(client: TestClient, png: bytes, expected: Path) -> None:
    answer = client.post("/predict", content=png, headers=PNG)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == (expected / "image.png").read_bytes()
    assert read_mask(expected / "image.png").values.max() > 1, "there are objects to find"


def test_table_and_overlay_have_the_bytes_of_the_command_line(client: TestClient, png: bytes, expected: Path) -> None:
    table = client.post("/predict?format=csv", content=png, headers=PNG)
    assert table.content == (expected / "objects.csv").read_bytes()
    overlay = client.post("/predict?format=overlay", content=png, headers=PNG)
    assert overlay.content == (expected / "image.overlay.png").read_bytes()


def test_tiff_json_and_geojson_hold_the_same_objects(client: TestClient, png: bytes, expected: Path) -> None:
    labels = read_mask(expected / "image.png").values
    tiff = client.post("/predict?format=tiff", content=png, headers=PNG)
    assert np.array_equal(tifffile.imread(io.BytesIO(tiff.content)), labels)
    answer = client.post("/predict?format=json", content=png, headers=PNG).json()
    assert {row["id"]: row["area"] for row in answer["objects"]} == {
        int(i): int((labels == i).sum()) for i in np.unique(labels) if i
    }
    shapes = json.loads(client.post("/predict?format=geojson", content=png, headers=PNG).content)["features"]
    assert [shape["properties"]["id"] for shape in shapes] == [row["id"] for row in answer["objects"]]
    exterior = np.array(shapes[0]["geometry"]["coordinates"][0])
    inside = polygon2mask(labels.shape, exterior[:, ::-1] - 0.5)
    assert (inside == (labels == shapes[0]["properties"]["id"])).mean() > 0.99


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", PNG, 400),
        (b"not an image", PNG, 422),
        (b"x", {"Content-Type": "text/plain"}, 415),
        (b"x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (zlib.compress(b"x"), {**PNG, "Content-Encoding": "deflate"}, 415),
        (b"http://169.254.169.254/latest/meta-data", PNG, 422),
    ],
)
def test_bad_requests(client: TestClient, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = client.post("/predict", content=content, headers=headers)
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"code", "message", "request_id"}
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert "/tmp" not in body["message"]
    assert "Traceback" not in body["message"]


def test_bad_parameters(client: TestClient, png: bytes) -> None:
    assert client.post("/predict?format=exe", content=png, headers=PNG).status_code == 400
    assert client.post("/predict?model=../cells", content=png, headers=PNG).status_code == 404
    colour = png_bytes(np.stack([np.full((8, 8), value, np.uint8) for value in (0, 90, 255)]))
    assert client.post("/predict", content=colour, headers=PNG).status_code == 422


def test_too_many_bytes(client: TestClient, service: Service) -> None:
    large = b"\x89PNG\r\n\x1a\n" + bytes(service.limits.max_megabytes * 10**6)
    announced = client.post("/predict", content=large, headers=PNG)
    streamed = client.post("/predict", content=(large[i : i + 2**20] for i in range(0, len(large), 2**20)), headers=PNG)
    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert service.admission.bytes == 0, "a refused request leaves nothing in the queue"


def test_too_many_pixels(client: TestClient, service: Service) -> None:
    large = png_bytes(np.zeros((1, 2001, 2000), np.uint8))
    assert client.post("/predict", content=large, headers=PNG).status_code == 413
    assert service.admission.pixels == 0


def test_an_image_that_inflates(client: TestClient) -> None:
    bomb = png_bytes(np.zeros((1, 9000, 9000), np.uint8))
    assert len(bomb) < 200_000
    assert client.post("/predict", content=bomb, headers=PNG).status_code in (413, 422)


def test_a_full_queue(client: TestClient, service: Service, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "admission", Admission(service.limits))
    places = [service.admission.request() for _ in range(service.limits.queue_requests)]
    for place in places:
        place.__enter__()
    refused = client.post("/predict", content=png, headers=PNG)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    places[0].__exit__(None, None, None)
    assert client.post("/predict", content=png, headers=PNG).status_code == 200


def test_a_server_that_stops_takes_no_work(client: TestClient, service: Service, png: bytes) -> None:
    service.admission.draining = True
    try:
        assert client.post("/predict", content=png, headers=PNG).status_code == 503
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/health/live").status_code == 200
    finally:
        service.admission.draining = False
