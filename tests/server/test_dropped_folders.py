"""Folders of images and masks that are dropped on the page: taken file by file, read as on the command line."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from bright import drawn_image
from pixelwise.io.write import png_bytes
from pixelwise.server import dropped_folders
from pixelwise.server.dropped_folders import MAX_DEPTH, DroppedFolders
from pixelwise.server.failures import Failure
from pixelwise.server.limits import Limits
from pixelwise.server.project import Project
from pixelwise.server.service import ServeOptions, Service
from pixelwise.server.studio import Studio
from studio_client import running


@pytest.fixture
def folders(tmp_path: Path) -> DroppedFolders:
    return DroppedFolders(tmp_path / "folders")


def test_a_folder_is_there_once_it_is_whole(folders: DroppedFolders, tmp_path: Path) -> None:
    first, second = folders.begin("plate 7"), folders.begin("../..")
    assert first != second
    assert folders.complete() == []
    folders.place(first, "images/a.png").write_bytes(b"pixels")
    whole = folders.finish(first)
    assert folders.complete() == [whole]
    assert whole.name == "plate 7"
    assert (whole / "images" / "a.png").read_bytes() == b"pixels"
    again = DroppedFolders(tmp_path / "folders")
    assert again.complete() == [whole]
    assert [path.name for path in (tmp_path / "folders").iterdir()] == [first], "what broke off is removed"
    assert again.begin("next") > first


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../a.png", 400),
        ("/etc/a.png", 400),
        ("images/../../a.png", 400),
        (".hidden/a.png", 400),
        ("", 400),
        ("/".join(["a"] * MAX_DEPTH) + "/a.png", 400),
        ("細胞" * 60 + ".png", 400),
        ("run.sh", 415),
        ("pairs.csv", 415),
        ("annotations.json", 415),
        ("a", 415),
    ],
)
def test_what_cannot_be_placed(folders: DroppedFolders, path: str, status: int, tmp_path: Path) -> None:
    number = folders.begin("plate")
    with pytest.raises(Failure) as refused:
        folders.place(number, path)
    assert refused.value.status == status
    assert not [one for one in (tmp_path / "folders").rglob("*") if one.is_file()]
    folders.place(number, "a/classes.TXT")
    folders.place(number, "b/brain.nii.gz")


def test_backslashes_and_odd_signs_become_plain_names(folders: DroppedFolders, tmp_path: Path) -> None:
    number = folders.begin("plate")
    target = folders.place(number, "images/..\\..\\a\x00\n.png")
    assert target.name == "a.png"
    assert target.resolve().is_relative_to(tmp_path / "folders")


def test_a_folder_has_a_limit(folders: DroppedFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropped_folders, "MAX_FILES", 2)
    number = folders.begin("plate")
    for name in ("a.png", "b.png"):
        folders.place(number, name).touch()
    folders.place(number, "a.png")
    with pytest.raises(Failure) as refused:
        folders.place(number, "c.png")
    assert refused.value.status == 413


@pytest.mark.parametrize("number", ["0002", "..", "1/../0001", "x"])
def test_an_unknown_folder(folders: DroppedFolders, number: str) -> None:
    folders.begin("plate")
    for call in (lambda: folders.place(number, "a.png"), lambda: folders.finish(number)):
        with pytest.raises(Failure) as refused:
            call()
        assert refused.value.status == 404


def serve(project: Path, model: Path) -> AbstractContextManager[TestClient]:
    """A server of a model alone, on which folders are dropped."""
    service = Service([model], Limits(max_megapixels=4, max_megabytes=1), ServeOptions(runtime="torch"))
    return running(service, Studio(service, Project(project), []))


def send(client: TestClient, name: str, seed: int) -> dict[str, Any]:
    """Drop a folder of three images with masks; return what the server says of it."""
    number = client.post("/api/folders", params={"name": name}).json()["id"]
    for index in range(seed, seed + 3):
        image = drawn_image(index, 64)
        for folder, pixels in (("images", image), ("masks", (image > 110) * np.uint8(255))):
            where = {"path": f"{name}/{folder}/{index}.png"}
            answer = client.post(f"/api/folders/{number}/files", params=where, content=png_bytes(pixels))
            assert answer.status_code == 201
    assert client.get("/api/state").json()["understood"]
    return client.post(f"/api/folders/{number}/read").json()


def test_images_and_masks_can_be_trained_on_also_after_a_restart(model: Path, tmp_path: Path) -> None:
    """The last folder that was dropped is meant."""
    with serve(tmp_path / "project", model) as client:
        for number, name in enumerate(("cells of mine", "others")):
            answer = send(client, name, 3 * number)
            assert (len(answer["images"]), answer["labelled"]) == (3, 3)
            state = client.get("/api/state").json()
            assert state["trainable"]
            assert f"{3 * number + 3} with masks" in state["sentence"]
    with serve(tmp_path / "project", model) as client:
        assert "6 with masks" in client.get("/api/state").json()["sentence"]
        begun = client.post("/api/jobs", json={"kind": "train", "steps": 1}).json()
        assert "/others" in begun["command"]
        assert client.delete(f"/api/jobs/{begun['id']}").status_code in (200, 204)


def test_what_is_refused_of_a_folder(model: Path, tmp_path: Path) -> None:
    refusals = {
        "images/broken.png": (b"\x89PNG\r\n\x1a\n", 422),
        "images/a.sh": (b"x", 415),
        "images/large.png": (bytes(1_000_001), 413),
        "images/empty.png": (b"", 400),
        "../a.png": (png_bytes(drawn_image()), 400),
    }
    with serve(tmp_path / "project", model) as client:
        number = client.post("/api/folders").json()["id"]
        for name, (content, status) in refusals.items():
            answer = client.post(f"/api/folders/{number}/files", params={"path": name}, content=content)
            assert answer.status_code == status, name
        assert client.post("/api/folders/0009/files", params={"path": "a.png"}, content=b"x").status_code == 404
        assert not [path for path in (tmp_path / "project" / "folders").rglob("*") if path.is_file()]
        assert client.post(f"/api/folders/{number}/read").status_code == 422
        assert client.post(f"/api/folders/{number}/read").status_code == 404
        assert not list((tmp_path / "project" / "folders").iterdir()), "what cannot be read is not kept"
