"""Images, tiles, results and marks of the page, over HTTP."""

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from bright import drawn_image
from pixelwise.io.read import read_mask
from pixelwise.io.write import png_bytes
from pixelwise.server.studio import Studio


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture(scope="module")
def images(client: TestClient, studio: Studio) -> list[dict[str, Any]]:
    """The images of the folder, once it was read."""
    while not studio.understood:
        time.sleep(0.05)
    return [image for image in client.get("/api/state").json()["images"] if image["labelled"]]


def test_a_folder_is_understood_where_it_is(client: TestClient, images: list[dict[str, Any]], data: Path) -> None:
    state = client.get("/api/state").json()
    assert len(images) == 5
    assert "5 with masks" in state["sentence"]
    assert state["trainable"]
    assert state["task"] == "binary"
    assert str(data) not in json.dumps(state["images"]), "clients do not learn where files are"
    assert sorted(path.name for path in data.iterdir()) == ["images", "masks"], "nothing is written beside the images"


def test_tiles_are_the_image(client: TestClient, images: list[dict[str, Any]]) -> None:
    first = images[0]["id"]
    about = client.get(f"/api/images/{first}").json()
    assert (about["width"], about["height"], about["levels"], about["dtype"]) == (96, 96, 1, "uint8")
    tile = pixels_of(client.get(f"/tiles/{first}/0/0_0.jpg").content)
    number = int(images[0]["name"].removesuffix(".png").split("/")[-1])
    assert np.abs(tile.astype(int) - drawn_image(number)[0]).mean() < 3
    dark = pixels_of(client.get(f"/tiles/{first}/0/0_0.jpg?low=0&high=1000").content)
    assert dark.mean() < 0.5 * tile.mean()
    assert pixels_of(client.get(f"/tiles/{first}/thumbnail.jpg").content).shape == (96, 96)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tiles/{id}/1/0_0.jpg", 422),
        ("/tiles/{id}/0/1_0.jpg", 422),
        ("/tiles/{id}/-1/0_0.jpg", 422),
        ("/tiles/{id}/0/-1_0.jpg", 422),
        ("/tiles/{id}/0/0_0.jpg?gamma=0", 400),
        ("/tiles/{id}/0/0_0.jpg?low=nan", 400),
        ("/tiles/{id}/0/0_0.jpg?channels=7", 422),
        ("/tiles/0123456789abcdef/0/0_0.jpg", 404),
        ("/tiles/..%2f..%2fetc/0/0_0.jpg", 404),
        ("/labels/{id}/0/0_0.png?model=other", 404),
        ("/api/images/{id}/take/mask?model=other", 404),
        ("/api/images/{id}/take/exe", 400),
        ("/api/jobs/9999/snapshot.png", 404),
        ("/api/models/cells/take/onnx", 404),
    ],
)
def test_what_is_not_there(client: TestClient, images: list[dict[str, Any]], path: str, status: int) -> None:
    assert client.get(path.format(id=images[0]["id"])).status_code == status


def test_truth_tiles_hold_the_classes_of_the_mask(client: TestClient, images: list[dict[str, Any]], data: Path) -> None:
    tile = pixels_of(client.get(f"/truth/{images[0]['id']}/0/0_0.png").content).astype(int)
    name = images[0]["name"].split("/")[-1].removesuffix(".png")
    assert np.array_equal(tile[..., 0] * 256 + tile[..., 1], read_mask(data / "masks" / f"{name}.png").values > 0)


def test_a_dropped_image_is_predicted_and_taken_away(client: TestClient, studio: Studio) -> None:
    content = png_bytes(drawn_image(77))
    added = client.post("/api/images?name=..%2Fplate.png", content=content, headers={"Content-Type": "image/png"})
    assert (added.status_code, added.json()["name"]) == (201, "plate.png")
    own = added.json()["id"]
    assert client.post("/api/images", content=content, headers={"Content-Type": "image/png"}).json()["id"] == own
    result = client.post(f"/api/images/{own}/result").json()
    assert result["objects"] >= 3
    assert result["model"] == "cells"
    assert "pixelwise predict" in result["command"]
    again = client.post(f"/api/images/{own}/result").json()
    assert again == result, "a result that exists is returned"
    mask = client.get(f"/api/images/{own}/take/mask").content
    friendly = client.post("/predict", content=content, headers={"Content-Type": "image/png"}).content
    assert mask == friendly
    labels = pixels_of(mask)
    tile = pixels_of(client.get(f"/labels/{own}/0/0_0.png").content).astype(int)
    assert np.array_equal(tile[..., 0] * 256 + tile[..., 1], labels)
    row = client.get(f"/api/images/{own}/objects").json()[0]
    place = {"row": round(row["row"]), "column": round(row["column"])}
    assert client.get(f"/api/images/{own}/at", params=place).json() == {"id": row["id"]}
    assert client.get(f"/api/images/{own}/take/objects").text.count("\n") == result["objects"] + 1
    outlines = client.get(f"/api/images/{own}/take/geojson")
    assert outlines.headers["content-disposition"] == 'attachment; filename="plate.geojson"'
    assert len(outlines.json()["features"]) == result["objects"]
    assert own in {image["id"] for image in client.get("/api/state").json()["images"]}


def test_what_is_no_image_is_not_taken(client: TestClient) -> None:
    refused = client.post("/api/images?name=a.png", content=b"GIF89a", headers={"Content-Type": "image/png"})
    assert refused.status_code == 422


def test_marks(client: TestClient, images: list[dict[str, Any]]) -> None:
    path = f"/api/images/{images[1]['id']}/marks"
    stroke = {"kind": "stroke", "class_index": 1, "radius": 3, "points": [[1, 2], [3, 4]], "key": "k1"}
    assert client.get(path).json() == []
    assert client.post(path, json=stroke).json() == {"id": 1}
    assert client.post(path, json=stroke).json() == {"id": 1}
    assert client.post(path, json={"kind": "undo", "of": 1}).json() == {"id": 2}
    assert [mark["kind"] for mark in client.get(path).json()] == ["stroke", "undo"]
    assert [mark["id"] for mark in client.get(f"{path}?after=1").json()] == [2]


def test_the_order_of_images(client: TestClient, images: list[dict[str, Any]]) -> None:
    """Results have a mean uncertainty; the score needs a ground truth of the task of the model."""
    own = images[4]["id"]
    assert client.get(f"/api/images/{own}/useful").status_code == 404
    result = client.post(f"/api/images/{own}/result").json()
    assert 0 < result["uncertainty"] < 1
    assert result["score"] is None, "the masks are classes, the model finds objects"
    shown = next(image for image in client.get("/api/state").json()["images"] if image["id"] == own)
    assert shown["uncertainty"] == result["uncertainty"]
    top, left, bottom, right = client.get(f"/api/images/{own}/useful").json()["box"]
    assert 0 <= top < bottom <= 96
    assert 0 <= left < right <= 96


def test_corrections_of_objects(client: TestClient, images: list[dict[str, Any]]) -> None:
    """Each is a mark; the corrected mask holds all of them, and training on them learns objects."""
    own = images[3]["id"]
    assert (
        client.post(f"/api/images/{own}/corrections", json={"action": "accept", "points": [[1, 1]]}).status_code == 404
    )
    result = client.post(f"/api/images/{own}/result").json()
    rows = client.get(f"/api/images/{own}/objects").json()
    before = pixels_of(client.get(f"/api/images/{own}/take/mask").content)

    def correct(action: str, *points: tuple[float, float], key: str = "") -> Any:
        body = {"action": action, "points": points, "key": key}
        return client.post(f"/api/images/{own}/corrections", json=body)

    first, second = ([row["column"] + 0.5, row["row"] + 0.5] for row in rows[:2])
    assert correct("delete", first, key="d").json() == correct("delete", first, key="d").json() == {"id": 1}
    assert correct("accept", second).json() == {"id": 2}
    top, left, bottom, right = rows[1]["box"]
    middle = (left + right) / 2
    assert correct("split", (middle, top - 3.0), (middle, bottom + 3.0)).json() == {"id": 3}
    marks = client.get(f"/api/images/{own}/marks").json()
    assert [mark["action"] for mark in marks] == ["delete", "accept", "split"]
    assert [len(mark["objects"]) for mark in marks] == [1, 1, 2]
    after = pixels_of(client.get(f"/api/images/{own}/take/corrected").content)
    assert (after[before == rows[0]["id"]] == 0).all()
    assert len(np.unique(after)) - 1 == result["objects"] - 1 + 1
    assert np.array_equal(after > 0, (before > 0) & (before != rows[0]["id"]))
    refused = correct("merge", first)
    assert refused.status_code == 422
    assert "background" in refused.json()["message"]
    for bad in ({"action": "explode", "points": [[1, 1]]}, {"action": "accept", "points": []}, {"action": "accept"}):
        assert client.post(f"/api/images/{own}/corrections", json=bad).status_code == 400
    for number in (1, 2, 3):
        client.post(f"/api/images/{own}/marks", json={"kind": "undo", "of": number})
    undone = pixels_of(client.get(f"/api/images/{own}/take/corrected").content)
    assert np.array_equal(undone > 0, before > 0)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"radius": 0},
        {"radius": 1e9},
        {"points": []},
        {"points": [[1e300, 0]]},
        {"points": [[0, 0]] * 20_001},
        {"class_index": 254},
        {"class_index": -2},
        {"more": 1},
    ],
)
def test_bad_marks(client: TestClient, images: list[dict[str, Any]], change: dict[str, Any]) -> None:
    mark = {"kind": "stroke", "class_index": 1, "radius": 3, "points": [[1, 2]], **change}
    path = f"/api/images/{images[2]['id']}/marks"
    assert client.post(path, json=mark).status_code == 400
    assert client.post(path, content=b"x" * (2 * 2**20 + 1)).status_code == 413
    assert client.get(path).json() == []


def test_training_needs_marks_of_two_classes(client: TestClient, images: list[dict[str, Any]]) -> None:
    refused = client.post("/api/jobs", json={"kind": "train", "source": "marks"})
    assert refused.status_code == 422
    assert "at least two classes" in refused.json()["message"]
    assert client.post("/api/jobs", json={"kind": "delete"}).status_code == 400


def test_the_page_asks_for_its_first_image_at_once(client: TestClient, images: list[dict[str, Any]]) -> None:
    first = client.get("/api/state").json()["images"][0]["id"]
    assert first in {image["id"] for image in images}
    assert client.get("/").headers["link"] == f"</api/images/{first}>; rel=preload; as=fetch; crossorigin"


def test_files_of_the_page_are_sent_again_only_if_they_changed(client: TestClient) -> None:
    sent = client.get("/static/app.js")
    again = client.get("/static/app.js", headers={"If-None-Match": sent.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/static/api.js", headers={"If-None-Match": sent.headers["etag"]})
    assert other.status_code == 200
