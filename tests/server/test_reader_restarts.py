"""What the page shows after the worker that reads died: nothing that was there before is lost."""

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from bright import drawn_image
from pixelwise.io.write import write_image
from pixelwise.server.project import Project
from pixelwise.server.service import Service
from pixelwise.server.studio import Studio
from studio_client import running


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders of images with masks: everything is an object in the first, nothing but a corner in the second."""
    for name, rows in (("first", 96), ("second", 8)):
        for number in range(3):
            mask = np.zeros((1, 96, 96), np.uint8)
            mask[:, :rows, : rows - number] = 255
            write_image(tmp_path / name / "images" / f"{name}{number}.png", drawn_image(number))
            write_image(tmp_path / name / "masks" / f"{name}{number}.png", mask)
    return [tmp_path / "first", tmp_path / "second"]


@pytest.fixture
def studio(folders: list[Path], model: Path, tmp_path: Path) -> Studio:
    return Studio(Service([model]), Project(tmp_path / "project"), folders)


@pytest.fixture
def client(studio: Studio) -> Generator[TestClient]:
    with running(studio.service, studio) as client:
        yield client


def kill_while_reading(studio: Studio, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the worker so often within the call that reads the first folder."""
    reader, call, sent = studio.service.reader, studio.service.reader._call, list[str]()

    async def killed(name: str, key: str, arguments: dict[str, Any]) -> Any:
        if name == "understand" and len(sent) < times:
            sent.append(name)
            reader.kill()
        return await call(name, key, arguments)

    monkeypatch.setattr(reader, "_call", killed)


def state_of(client: TestClient) -> dict[str, Any]:
    while not (state := client.get("/api/state").json())["understood"]:
        time.sleep(0.05)
    return state


def truth_of(client: TestClient, name: str) -> bytes:
    image = next(image["id"] for image in state_of(client)["images"] if name in image["name"])
    while (answer := client.get(f"/truth/{image}/0/0_0.png")).status_code == 503:
        time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_a_folder_is_read_again_by_the_next_worker(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_while_reading(studio, 1, monkeypatch)
    with running(studio.service, studio) as client:
        state = state_of(client)
    assert len(state["images"]) == 6
    assert state["trainable"]


def test_a_folder_that_ends_the_worker_each_time_does_not_hide_the_next(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_while_reading(studio, 2, monkeypatch)
    with running(studio.service, studio) as client:
        state = state_of(client)
    assert {image["name"][:-1] for image in state["images"]} == {"second"}
    assert any(message.startswith("first cannot be read") for message in state["messages"])


def test_the_ground_truth_is_that_of_its_own_folder_also_after_a_restart(client: TestClient, studio: Studio) -> None:
    before = {name: truth_of(client, name) for name in ("first0", "second0")}
    assert before["first0"] != before["second0"]
    os.kill(studio.service.reader.pid or 0, signal.SIGKILL)
    assert {name: truth_of(client, name) for name in before} == before
