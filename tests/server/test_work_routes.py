"""Jobs, files to take away and classes of the page, over HTTP, by a server without workers."""

import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from pixelwise.atomic_write import atomic_write_json
from pixelwise.server.access import Access
from pixelwise.server.app import create_app
from pixelwise.server.jobs import Jobs
from pixelwise.server.project import Project
from pixelwise.server.service import Service
from pixelwise.server.studio import Studio
from studio_client import ORIGIN, TOKEN

# Stands in for `pixelwise`: a training writes its plan, and saves when it is asked to stop; all else ends at once.
PROGRAM = """
import pathlib, signal, sys, time
words = sys.argv[1:]
if words[0] == "train":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    (pathlib.Path(words[words.index("--out") + 1]) / "config.yaml").touch()
    while True:
        time.sleep(0.01)
"""


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A studio over a folder with masks that was read, and one file with a model."""
    (tmp_path / "cells.safetensors").touch()
    studio = Studio(Service([tmp_path / "cells.safetensors"]), Project(tmp_path / "project"), [])
    studio.jobs = Jobs(studio.project, lambda job: None, (sys.executable, "-c", PROGRAM))
    studio.checks._jobs = studio.jobs  # pyright: ignore[reportPrivateUsage]
    studio.project.data = studio.checks.data = tmp_path / "data"
    studio.project.add_files([{"image": tmp_path / "data/a b.png", "name": "ä b.tif", "split": "", "labelled": True}])

    async def start() -> None: ...

    monkeypatch.setattr(studio.service, "start", start)
    monkeypatch.setattr(studio, "start", lambda: None)
    return studio


@pytest.fixture
def client(studio: Studio) -> Generator[TestClient]:
    """A client of its server."""
    app = create_app(studio.service, Access("127.0.0.1", 8117, token=TOKEN), studio)
    with TestClient(app, base_url=ORIGIN, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def wait(state: Callable[[], Any], *wanted: Any) -> None:
    while state() not in wanted:
        time.sleep(0.01)


def test_one_training_at_a_time_is_stopped_and_continued(client: TestClient, studio: Studio) -> None:
    def start() -> tuple[int, dict[str, Any]]:
        answer = client.post("/api/jobs", json={"kind": "train", "steps": 7})
        return answer.status_code, answer.json()

    status, job = start()
    assert (status, job["state"]) == (202, "running")
    assert "--steps 7" in job["command"]
    again, running = start()
    assert (again, running["id"]) == (409, job["id"]), "two pages get one training"
    resume = f"/api/jobs/{job['id']}/resume"
    assert client.post(resume).status_code == 409
    run = Path(studio.jobs.get(job["id"]).folder)
    wait((run / "config.yaml").is_file, True)
    assert client.delete(f"/api/jobs/{job['id']}").json()["state"] == "stopping"
    wait(lambda: studio.jobs.get(job["id"]).state, "stopped", "failed")
    resumed = client.post(resume)
    assert (resumed.status_code, resumed.json()["state"]) == (202, "running")
    assert resumed.json()["command"].endswith("--resume")
    client.delete(f"/api/jobs/{job['id']}")
    wait(lambda: studio.jobs.get(job["id"]).state, "stopped", "failed")
    assert client.delete("/api/jobs/0099").status_code == 404


@pytest.mark.parametrize("kind", ["check", "fix", "export"])
def test_what_ends_by_itself(client: TestClient, studio: Studio, kind: str) -> None:
    job = client.post("/api/jobs", json={"kind": kind}).json()
    words = {"check": "doctor", "fix": "--fix", "export": "onnx"}
    assert words[kind] in job["command"]
    wait(lambda: studio.jobs.get(job["id"]).state, "done", "failed")
    assert studio.jobs.get(job["id"]).state == "done"


def test_the_progress_of_a_training(client: TestClient, studio: Studio) -> None:
    job = client.post("/api/jobs", json={"kind": "train"}).json()["id"]
    run = Path(studio.jobs.get(job).folder)
    assert client.get(f"/api/jobs/{job}/metrics").json() == []
    assert client.get(f"/api/jobs/{job}/snapshot.png").status_code == 404
    (run / "metrics.csv").write_text("step,loss,val_score\n1,0.5,\n2,0.25,0.75\n", encoding="utf-8")
    (run / "snapshots").mkdir()
    for name in ("step-0000001", "step-0000002", "truth"):
        (run / "snapshots" / f"{name}.png").write_bytes(name.encode())
    assert client.get(f"/api/jobs/{job}/metrics").json() == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25, "val_score": 0.75},
    ]
    assert client.get(f"/api/jobs/{job}/snapshot.png").content == b"step-0000002"
    assert client.get(f"/api/jobs/{job}/snapshot.png?step=1").content == b"step-0000001"
    assert client.get(f"/api/jobs/{job}/snapshot.png?what=truth").content == b"truth"
    assert client.get(f"/api/jobs/{job}/snapshot.png?what=image").status_code == 404
    client.delete(f"/api/jobs/{job}")
    wait(lambda: studio.jobs.get(job).active, False)


def test_events_begin_after_the_last_one_that_the_page_saw(
    client: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def follow(begin: int, stopping: Callable[[], bool]) -> AsyncGenerator[bytes]:
        yield f"{begin} {stopping()}".encode()

    monkeypatch.setattr(studio.project.events, "follow", follow)

    def begin(header: str) -> str:
        return client.get("/api/events?after=12", headers={"Last-Event-ID": header}).text

    assert begin("345") == "345 False"
    assert begin("") == begin("-1") == begin("9" * 17) == "12 False"
    studio.stopping = True
    assert begin("") == "12 True"


def add_result(studio: Studio, **files: str) -> tuple[str, Path]:
    """Write a result of the model with the given files; return the id of its image, and its folder."""
    (image,) = studio.project.images
    folder = studio.project.result_folder(image, "cells")
    folder.mkdir(parents=True)
    atomic_write_json(folder / "result.json", {"files": files})
    return image, folder


@pytest.mark.parametrize(
    ("kind", "key", "file", "name"),
    [
        ("mask", "mask", "mask.tif", "_ b.tif"),
        ("objects", "table", "mask.objects.csv", "_ b.objects.csv"),
        ("objects", "table", "mask.volumes.csv", "_ b.volumes.csv"),
        ("overlay", "overlay", "mask.overlay.png", "_ b.overlay.png"),
    ],
)
def test_files_of_a_result_have_the_name_of_the_image(
    client: TestClient, studio: Studio, kind: str, key: str, file: str, name: str
) -> None:
    image, folder = add_result(studio, **{key: file})
    (folder / file).write_bytes(b"content")
    taken = client.get(f"/api/images/{image}/take/{kind}")
    assert taken.content == b"content"
    assert name in taken.headers["content-disposition"].replace("%20", " ")


def test_a_result_that_is_a_folder_is_copied(client: TestClient, studio: Studio) -> None:
    image, folder = add_result(studio, mask="mask.ome.zarr")
    (folder / "mask.ome.zarr").mkdir()
    refused = client.get(f"/api/images/{image}/take/mask")
    assert refused.status_code == 409
    assert f"results/{image}/cells/mask.ome.zarr" in refused.json()["message"]


def test_an_exported_model_and_its_report_are_taken_away(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "run" / "report").mkdir(parents=True)
    (tmp_path / "run" / "report" / "index.html").write_bytes(b"page")
    studio.service.add_model(tmp_path / "run")
    exports = studio.project.folder / "exports" / "cells"
    exports.mkdir(parents=True)
    (exports / "cells.onnx").write_bytes(b"graph")
    onnx, report = client.get("/api/models/cells/take/onnx"), client.get("/api/models/run/take/report")
    assert (onnx.content, onnx.headers["content-disposition"]) == (b"graph", 'attachment; filename="cells.onnx"')
    assert (report.content, report.headers["content-disposition"]) == (b"page", 'attachment; filename="run.html"')
    assert client.get("/api/models/cells/take/report").json()["code"] == "not_made"


def test_classes_are_named_unless_masks_have_them(client: TestClient, studio: Studio) -> None:
    names = ["ground", "leaf", "stem"]
    answer = client.put("/api/classes", json={"names": names}).json()
    assert answer["classes"] == studio.project.classes == names
    assert len({tuple(colour) for colour in answer["colours"]}) == 3
    assert client.put("/api/classes", json={"names": ["a,b", "c"]}).status_code == 400
    studio.project.task = "binary"
    assert client.put("/api/classes", json={"names": ["a", "b"]}).status_code == 409
    assert studio.project.classes == names
