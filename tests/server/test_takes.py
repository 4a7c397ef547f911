"""Files that are made of a result: with progress in a process of its own, stopped, kept for a while."""

import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bright import drawn_image
from pixelwise.io.write import png_bytes
from pixelwise.server import takes
from pixelwise.server.service import Service

HELD = "import time; time.sleep(600)"


@pytest.fixture
def own(client: TestClient) -> str:
    """The id of an image with a result."""
    content, headers = png_bytes(drawn_image(78)), {"Content-Type": "image/png"}
    added = client.post("/api/images?name=plate.png", content=content, headers=headers)
    client.post(f"/api/images/{added.json()['id']}/result")
    return added.json()["id"]


def ended(client: TestClient, take: dict[str, Any]) -> dict[str, Any]:
    while take["state"] == "running":
        time.sleep(0.05)
        take = client.get(f"/api/takes/{take['id']}").json()
    return take


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("kind", ["geojson", "corrected"])
def test_a_file_is_made_and_fetched(
    client: TestClient, own: str, kind: str, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takes, "MAX_SHARED", 0 if alone else 10**9)
    started = client.post(f"/api/images/{own}/take/{kind}")
    assert started.status_code == 202
    take = ended(client, started.json())
    assert (take["state"], take["share"]) == ("done", 1)
    made = client.get(f"/api/takes/{take['id']}/file")
    ending = {"geojson": "plate.geojson", "corrected": "plate.corrected.png"}[kind]
    assert made.headers["content-disposition"] == f'attachment; filename="{ending}"'
    assert made.content == client.get(f"/api/images/{own}/take/{kind}").content
    assert client.get("/api/takes/none").status_code == 404


def test_progress_and_stop(
    client: TestClient, service: Service, own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takes, "MAX_SHARED", 0)
    (tmp_path / "held.py").write_text(HELD, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(takes, "READER", "held")
    path = f"/api/images/{own}/take/geojson"
    first = client.post(path).json()
    assert client.post(path).json() == first, "one that is being made is not begun again"
    assert first["state"] == "running"
    (folder,) = [folder for folder in Path(service.folder).glob("take-*") if not list(folder.glob("file.*"))]
    (folder / "progress").write_text("0.25", "utf-8")
    assert client.get(f"/api/takes/{first['id']}").json()["share"] == 0.25
    stopped = client.delete(f"/api/takes/{first['id']}").json()
    assert stopped["state"] == "stopped"
    assert not folder.exists()
    assert client.get(f"/api/takes/{first['id']}/file").status_code == 409
