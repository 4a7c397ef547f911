"""The bridges to annotation programs, against what those programs send and read."""

import base64
import io
import json
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelwise.server.workers.label_tiles import Labels
from pixelwise.server.workers.outlines import write_geojson

EXAMPLES = Path(__file__).parents[1] / "examples" / "annotation"
CONFIG = """<View>
  <!-- nuclei -->
  <Image name="picture" value="$photo"/>
  <PolygonLabels name="shape" toName="picture"><Label value="cell"/></PolygonLabels>
</View>"""


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """The modules of the examples, imported as their programs do."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    names = ("pixelwise_client", "cvat_main", "label_studio")
    yield SimpleNamespace(**{name: __import__(name) for name in names})
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def labels() -> np.ndarray:
    """Two objects; the first has a hole."""
    labels = np.zeros((12, 20), int)
    labels[2:7, 3:9] = 1
    labels[4, 5:7] = 0
    labels[8:12, 12:20] = 2
    labels[8, 12] = 0
    return labels


@pytest.fixture
def collection(labels: np.ndarray, tmp_path: Path) -> dict[str, Any]:
    """The outlines of `labels` as the server sends them."""
    path = tmp_path / "outlines.geojson"
    write_geojson(path, Labels(labels), ("background", "cell"), objects=True)
    return json.loads(path.read_text("utf-8"))


@pytest.fixture
def asked(
    labels: np.ndarray, collection: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> list[urllib.request.Request]:
    """What was sent; the server answers with the outlines of `labels`, Label Studio with a picture."""
    requests: list[urllib.request.Request] = []
    picture = io.BytesIO()
    Image.fromarray(np.zeros(labels.shape, np.uint8)).save(picture, "PNG")

    def urlopen(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        requests.append(request)
        return io.BytesIO(json.dumps(collection).encode() if "/predict" in request.full_url else picture.getvalue())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return requests


def test_bits_are_the_pixels_of_an_object(modules: Any, labels: np.ndarray, collection: dict[str, Any]) -> None:
    for number, region in enumerate(modules.pixelwise_client.regions_of(collection), start=1):
        left, top, right, bottom = region.box
        window = labels[top : bottom + 1, left : right + 1] == number
        assert region.bits() == window.astype(int).ravel().tolist()
        assert window.sum() == (labels == number).sum()


def test_cvat_gets_masks_in_its_own_form(
    modules: Any, labels: np.ndarray, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELWISE_ADDRESS", "http://server:8117/")
    monkeypatch.setenv("PIXELWISE_TOKEN", "secret")
    context = SimpleNamespace(user_data=SimpleNamespace(), Response=SimpleNamespace)
    modules.cvat_main.init_context(context)
    event = SimpleNamespace(body={"image": base64.b64encode(b"frame").decode(), "threshold": 0.5})
    answer = modules.cvat_main.handler(context, event)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert asked[0].full_url == "http://server:8117/predict?format=geojson"
    assert (asked[0].data, asked[0].get_header("Authorization")) == (b"frame", "Bearer secret")
    shapes = json.loads(answer.body)
    assert [shape["label"] for shape in shapes] == ["cell", "cell"]
    for number, shape in enumerate(shapes, start=1):
        assert shape["type"] == "mask"
        left, top, right, bottom = shape["mask"][-4:]
        window = np.array(shape["mask"][:-4]).reshape(bottom - top + 1, right - left + 1)
        whole = np.zeros(labels.shape, bool)
        whole[top : bottom + 1, left : right + 1] = window
        assert np.array_equal(whole, labels == number)
        assert len(shape["points"]) % 2 == 0


def test_label_studio_gets_polygons_in_per_cent(modules: Any, labels: np.ndarray, asked: list[Any]) -> None:
    pixelwise = modules.pixelwise_client.Pixelwise("http://server:8117", "secret")
    studio = modules.label_studio.LabelStudio("http://labels:8080", "own")
    request = {"tasks": [{"id": 1, "data": {"photo": "/data/upload/1/a.png"}}], "label_config": CONFIG}
    status, answer = modules.label_studio.answer("/predict", request, pixelwise, studio)
    assert status == 200
    assert asked[0].full_url == "http://labels:8080/data/upload/1/a.png"
    assert asked[0].get_header("Authorization") == "Token own"
    (prediction,) = answer["results"]
    assert len(prediction["result"]) == 2
    height, width = labels.shape
    for number, one in enumerate(prediction["result"], start=1):
        assert (one["from_name"], one["to_name"], one["type"]) == ("shape", "picture", "polygonlabels")
        assert (one["original_width"], one["original_height"]) == (width, height)
        assert one["value"]["polygonlabels"] == ["cell"]
        points = np.array(one["value"]["points"]) * (width, height) / 100
        rows, columns = np.nonzero(labels == number)
        assert np.allclose(points.min(0), (columns.min(), rows.min()))
        assert np.allclose(points.max(0), (columns.max() + 1, rows.max() + 1))


@pytest.mark.parametrize(
    "url", ["http://elsewhere/a.png", "//elsewhere/a.png", "file:///etc/passwd", "https://labels:8080/a"]
)
def test_no_image_is_fetched_from_elsewhere(url: str, modules: Any, asked: list[Any]) -> None:
    studio = modules.label_studio.LabelStudio("http://labels:8080", "own")
    with pytest.raises(ValueError, match="not on"):
        studio.fetch(url)
    assert asked == []


@pytest.mark.parametrize(
    "config", ["", "<View/>", "<!DOCTYPE x [<!ENTITY a 'b'>]><View/>", "<View><PolygonLabels toName='x'/></View>"]
)
def test_a_request_that_does_not_fit_is_answered(config: str, modules: Any, asked: list[Any]) -> None:
    request = {"tasks": [{"data": {}}], "label_config": config}
    status, answer = modules.label_studio.answer("/predict", request, None, None)
    assert status == 400
    assert answer["error"]


def test_the_other_routes_of_label_studio(modules: Any) -> None:
    answers = {
        path: modules.label_studio.answer(path, {}, None, None)[0] for path in ("/health", "/setup", "/webhook", "/x")
    }
    assert answers == {"/health": 200, "/setup": 200, "/webhook": 200, "/x": 404}


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_sizes_of_pictures(form: str, modules: Any) -> None:
    for size in ((1, 1), (300, 20)):
        file = io.BytesIO()
        Image.new("RGB", size).save(file, form, **({"progressive": True} if form == "JPEG" else {}))
        assert modules.label_studio.image_size(file.getvalue()) == size
    with pytest.raises(ValueError, match="PNG"):
        modules.label_studio.image_size(b"GIF89a")
    with pytest.raises(ValueError, match="whole"):
        modules.label_studio.image_size(b"\xff\xd8\xff")
