"""Volumes over HTTP: described, shown from three sides, predicted, and not marked."""

import io
import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from starlette.testclient import TestClient

from bright import drawn_volume, write_bright_model
from drawn_volumes import save_nifti
from pixelwise.io.read import read_image, read_mask
from pixelwise.server.limits import Limits
from pixelwise.server.project import Project
from pixelwise.server.service import ServeOptions, Service
from pixelwise.server.studio import Studio
from pixelwise.workflow.predict import predict as predict_files
from pixelwise.workflow.prediction.options import PredictOptions
from studio_client import running

pytest.importorskip("nibabel")

AFFINE = np.diag([-1.0, 1.0, 3.0, 1.0])
SIDES = (12, 40, 48)


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of volumes, and four scans with masks."""
    folder = tmp_path_factory.mktemp("volumes")
    write_bright_model(folder / "model.safetensors", "binary", dimensions=3)
    for number in range(4):
        volume = drawn_volume(number)
        save_nifti(folder / "data" / "images" / f"{number}.nii.gz", volume, AFFINE)
        save_nifti(folder / "data" / "labels" / f"{number}.nii.gz", (volume > -400).astype(np.uint8), AFFINE)
    (folder / "data" / "classes.txt").write_text("background\nobject\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Generator[TestClient]:
    service = Service([folder / "model.safetensors"], Limits(), ServeOptions())
    with running(service, Studio(service, Project(folder / "project"), [folder / "data"])) as client:
        yield client


@pytest.fixture(scope="module")
def image(client: TestClient) -> dict[str, Any]:
    state = client.get("/api/state").json()
    assert "4 volumes, 4 with masks" in state["sentence"]
    assert state["trainable"]
    return next(one for one in state["images"] if one["name"] == "0")


def test_a_volume_is_described(client: TestClient, image: dict[str, Any]) -> None:
    about = client.get(f"/api/images/{image['id']}").json()
    volume = about["volume"]
    assert (volume["shape"], volume["spacing"], volume["unit"]) == ([*SIDES], [3.0, 1.0, 1.0], "millimeter")
    assert volume["planes"]["coronal"]["height"] == 3 * SIDES[0]
    assert (about["height"], about["width"]) == SIDES[1:]
    assert about["range"][0][0] < -800 < 0 < about["range"][0][1]


@pytest.mark.parametrize(("plane", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_tiles_are_the_planes_with_the_window_asked_for(
    client: TestClient, image: dict[str, Any], folder: Path, plane: str, axis: int
) -> None:
    pixels = read_image(folder / "data" / "images" / "0.nii.gz").pixels[0].astype(float)
    expected = np.clip((pixels.take(7, axis=axis) + 1000) / 1200, 0, 1)[::-1] * 255
    expected = np.repeat(expected, 1 if axis == 0 else 3, axis=0)
    tile = pixels_of(client.get(f"/tiles/{image['id']}/0/0_0.jpg?plane={plane}&at=7&low=-1000&high=200").content)
    assert tile.shape == expected.shape
    assert np.abs(tile - expected).mean() < 6
    truth = pixels_of(client.get(f"/truth/{image['id']}/0/0_0.png?plane={plane}&at=7").content)
    assert np.array_equal(truth[..., 1] > 0, expected > 127)
    assert pixels_of(client.get(f"/tiles/{image['id']}/thumbnail.jpg").content).shape == SIDES[1:]


def test_a_volume_is_predicted_as_the_command_line_does(
    client: TestClient, image: dict[str, Any], folder: Path
) -> None:
    result = client.post(f"/api/images/{image['id']}/result").json()
    assert result["score"] > 0.8
    assert 0 < result["uncertainty"] < 1
    predict_files(folder / "model.safetensors", [folder / "data" / "images" / "0.nii.gz"], folder / "out",
                  PredictOptions(runtime="torch"))  # fmt: skip
    taken = client.get(f"/api/images/{image['id']}/take/mask")
    assert taken.headers["content-disposition"] == 'attachment; filename="0.nii.gz"'
    (folder / "taken.nii.gz").write_bytes(taken.content)
    labels = read_mask(folder / "taken.nii.gz").values
    assert np.array_equal(labels, read_mask(folder / "out" / "0.nii.gz").values)
    tile = pixels_of(client.get(f"/labels/{image['id']}/0/0_0.png?plane=coronal&at=20").content)
    assert np.array_equal(tile[..., 1], np.repeat(labels[::-1, 20], 3, axis=0))
    assert len(np.unique(tile[..., 2])) > 1, "the confidence is beside the labels"
    (row,) = client.get(f"/api/images/{image['id']}/objects").json()
    assert row["area"] == int((labels == 1).sum())
    inside = labels[row["slices"][0] : row["slices"][1], row["box"][0] : row["box"][2], row["box"][1] : row["box"][3]]
    assert inside.sum() == labels.sum()
    assert labels[row["slice"]].sum() == labels.sum(axis=(1, 2)).max()
    place = {"plane": "axial", "at": row["slice"], "row": SIDES[1] // 2, "column": SIDES[2] // 4}
    assert client.get(f"/api/images/{image['id']}/at", params=place).json() == {"id": 1}
    table = client.get(f"/api/images/{image['id']}/take/objects")
    assert table.headers["content-disposition"] == 'attachment; filename="0.volumes.csv"'
    assert "millilitres" in table.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tiles/{id}/0/0_0.jpg", 422),
        ("/tiles/{id}/0/0_0.jpg?plane=axial&at=12", 422),
        ("/tiles/{id}/0/0_0.jpg?plane=axial&at=-1", 400),
        ("/tiles/{id}/0/0_0.jpg?plane=oblique", 400),
        ("/tiles/{id}/1/0_0.jpg?plane=axial", 422),
        ("/labels/{id}/0/0_0.png?plane=axial&at=99", 422),
        ("/api/images/{id}/useful", 409),
        ("/api/images/{id}/take/geojson", 409),
        ("/api/images/{id}/take/corrected", 409),
    ],
)
def test_what_is_not_there(client: TestClient, image: dict[str, Any], path: str, status: int) -> None:
    client.post(f"/api/images/{image['id']}/result")
    answer = client.get(path.format(id=image["id"]))
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message", "request_id"}


def test_a_volume_is_not_marked(client: TestClient, image: dict[str, Any]) -> None:
    stroke = {"kind": "stroke", "class_index": 1, "radius": 3, "points": [[1, 2]]}
    refused = client.post(f"/api/images/{image['id']}/marks", json=stroke)
    assert (refused.status_code, refused.json()["code"]) == (409, "volume")
    correction = {"action": "accept", "points": [[1, 1]]}
    assert client.post(f"/api/images/{image['id']}/corrections", json=correction).status_code == 409
    assert client.get(f"/api/images/{image['id']}/marks").json() == []


def test_a_dropped_volume_is_predicted(client: TestClient, folder: Path) -> None:
    save_nifti(folder / "dropped.nii.gz", drawn_volume(9), AFFINE)
    content = (folder / "dropped.nii.gz").read_bytes()
    added = client.post(
        "/api/images?name=scan.nii.gz", content=content, headers={"Content-Type": "application/octet-stream"}
    )
    assert added.status_code == 201
    result = client.post(f"/api/images/{added.json()['id']}/result").json()
    assert result["objects"] == 1
    assert result["score"] is None
    stored = json.loads((folder / "project" / "images" / f"{added.json()['id']}.json").read_text("utf-8"))
    assert stored["file"].endswith(".nii.gz")


def test_an_image_does_not_fit_a_model_of_volumes(client: TestClient) -> None:
    file = io.BytesIO()
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64) % 251).save(file, "PNG")
    added = client.post("/api/images?name=a.png", content=file.getvalue(), headers={"Content-Type": "image/png"}).json()
    refused = client.post(f"/api/images/{added['id']}/result")
    assert refused.status_code == 422
    assert "a volume" in refused.json()["message"]


def test_a_volume_is_not_predicted_by_the_route_for_images(client: TestClient, folder: Path) -> None:
    tifffile.imwrite(folder / "stack.tif", drawn_volume(3), imagej=True, metadata={"axes": "ZYX"})
    content = (folder / "stack.tif").read_bytes()
    refused = client.post("/predict", content=content, headers={"Content-Type": "image/tiff"})
    assert (refused.status_code, refused.json()["code"]) == (422, "volume")


@pytest.mark.slow
def test_volumes_are_learned_from_the_page(client: TestClient, image: dict[str, Any]) -> None:
    started = client.post("/api/jobs", json={"kind": "train", "source": "folder", "steps": 3})
    assert started.status_code == 202
    job = started.json()
    ends = time.monotonic() + 600
    while job["state"] == "running":
        assert time.monotonic() < ends
        time.sleep(0.5)
        job = next(one for one in client.get("/api/state").json()["jobs"] if one["id"] == job["id"])
    assert (job["state"], job["command"].split()[:2]) == ("done", ["pixelwise", "train"])
    assert client.get(f"/api/jobs/{job['id']}/snapshot.png?what=truth").status_code == 200
    result = client.post(f"/api/images/{image['id']}/result?model={job['id']}").json()
    assert result["model"] == job["id"]
    assert result["files"]["mask"] == "mask.nii.gz"
