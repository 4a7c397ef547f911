"""Which model a training on marks goes on from, and which folder a training on masks reads."""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pixelwise.server.failures import Failure
from pixelwise.server.jobs import Job
from pixelwise.server.marks.rounds import Length
from pixelwise.server.project import Project
from pixelwise.server.service import Service
from pixelwise.server.studio import Studio

BINARY: dict[str, Any] = {"task": "binary", "classes": ["background", "object"], "channels": 1}


class Started(Exception):
    """The command of a job that would have been started."""


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Studio]:
    """A studio whose marks are a data set already, and which starts no process."""
    service = Service([])
    studio = Studio(service, Project(tmp_path / "project"), [])

    async def crops(folder: Path) -> dict[str, Any]:
        return {"objects": False, "channels": 1, "options": ["--ignore-index", "255"]}

    async def about(path: Path) -> dict[str, Any]:
        return BINARY | known.get(path.name, {})

    def start(kind: str, command: tuple[str, ...], *rest: object) -> Job:
        raise Started(*command)

    known: dict[str, dict[str, Any]] = {"objects": {"task": "instance"}, "colour": {"channels": 3}}
    monkeypatch.setattr(studio, "_write_crops", crops)
    monkeypatch.setattr(studio.jobs, "start", start)
    monkeypatch.setattr(service, "about", about)
    yield studio
    studio.project.close()
    asyncio.run(service.close())


def add_run(studio: Studio, folder: Path, name: str, *files: str) -> Path:
    for file in files or ("config.yaml", "model.safetensors"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / file).touch()
    studio.service.add_model(folder / name)
    return folder / name


def words_of(studio: Studio, **more: Any) -> tuple[str, ...]:
    with pytest.raises(Started) as started:
        asyncio.run(studio.train("marks", Length(60), **more))
    return started.value.args


def test_the_first_round_starts_from_nothing(studio: Studio) -> None:
    words = words_of(studio)
    assert words[-2:] == ("--budget", "60s")
    assert "binary" in words


def test_the_next_one_from_the_newest_model_that_does_the_same(studio: Studio, tmp_path: Path) -> None:
    for name in ("older", "newer", "objects", "colour"):
        add_run(studio, tmp_path, name)
    add_run(studio, tmp_path, "export", "model.onnx")
    failed = add_run(studio, tmp_path, "failed")
    studio.jobs.jobs["0001"] = Job(
        id="0001",
        kind="train",
        command=(),
        folder=str(failed),
        started=0.0,
        state="done",
        message="Nothing was learned.",
    )
    words = words_of(studio)
    assert f"transfer.initial_model={tmp_path / 'newer'}" in words
    assert words[words.index("--config") + 1] == str(tmp_path / "newer" / "config.yaml")
    assert "--budget" not in words
    assert words_of(studio, fresh=True)[-2:] == ("--budget", "60s")


def test_other_classes_start_from_nothing(studio: Studio, tmp_path: Path) -> None:
    add_run(studio, tmp_path, "two")
    studio.set_classes(["ground", "leaf", "stem"])
    assert not any(word.startswith("transfer.") for word in words_of(studio))


def test_a_corrected_copy_is_trained_on(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(Failure):
        asyncio.run(studio.train("folder", Length(60)))
    studio.project.data = studio.checks.data = tmp_path / "data"

    def data_of() -> str:
        with pytest.raises(Started) as started:
            asyncio.run(studio.train("folder", Length(steps=7)))
        assert started.value.args[-2:] == ("--steps", "7")
        return started.value.args[1]

    assert data_of() == str(tmp_path / "data")
    words = ("doctor", str(tmp_path / "data"), "--fix", str(tmp_path / "copy"))
    studio.jobs.jobs["0001"] = Job(
        id="0001", kind="fix", command=words, folder=str(tmp_path / "copy"), started=0.0, state="done"
    )
    assert data_of() == str(tmp_path / "copy")


def test_the_sentence_names_files_with_problems(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Studio, "understood", True)
    problem = {"kind": "unreadable", "text": "it is cut off", "fatal": True}
    studio.project.problems = [{"file": f"{name}.png", **problem} for name in "abcb"]
    assert studio.state()["sentence"].endswith("4 problems (a.png, b.png and 1 more).")


def test_only_a_run_has_a_report(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "cells.safetensors").touch()
    studio.service.add_model(tmp_path / "cells.safetensors")
    with pytest.raises(Failure, match="without its run"):
        studio.export("cells", "report")
    add_run(studio, tmp_path, "trained")
    with pytest.raises(Started) as started:
        studio.export("trained", "report")
    assert started.value.args == ("report", str(tmp_path / "trained"))
