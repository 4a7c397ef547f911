"""What doctor finds, on the images of the page."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pixelwise.server.checks import Checks, read_findings
from pixelwise.server.failures import Failure
from pixelwise.server.jobs import Job, Jobs
from pixelwise.server.project import Project


def finding(**values: Any) -> dict[str, Any]:
    plain = {"kind": "shifted mask", "severity": "hard", "confidence": 0.9, "text": "moved", "fix": None}
    return {**plain, "files": [], "case": "", **values}


@pytest.fixture
def checks(tmp_path: Path) -> Generator[Checks]:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    project = Project(tmp_path / "project")
    cases = [
        {"name": name, "image": str(data / "images" / f"{name}.png"), "split": "train", "labelled": name != "c"}
        for name in "abc"
    ]
    project.add_files(cases)
    checks = Checks(project, Jobs(project, lambda job: None))
    checks.data = data
    (project.folder / "jobs").mkdir()
    yield checks
    project.close()


def done(checks: Checks, kind: str, folder: Path, data: Path | None = None, number: int = 1) -> None:
    words = ("doctor", str(data or checks.data))
    job = Job(id=f"{number:04d}", kind=kind, command=words, folder=str(folder), started=0.0, state="done")
    checks._jobs.jobs[job.id] = job  # pyright: ignore[reportPrivateUsage]


def test_findings_belong_to_images(checks: Checks) -> None:
    found = [
        finding(case="a", fix=[{"action": "shift"}]),
        finding(files=["images/c.png"], severity="soft"),
        finding(files=["masks/gone.png"]),
    ]
    done(checks, "check", Path())
    job = checks._jobs.jobs["0001"]  # pyright: ignore[reportPrivateUsage]
    checks._jobs.result_path(job).write_text(json.dumps({"findings": found}), encoding="utf-8")  # pyright: ignore[reportPrivateUsage]
    shown = checks.to_json()
    ids = {image.name: image.id for image in checks._project.images.values()}  # pyright: ignore[reportPrivateUsage]
    assert [one["image"] for one in shown["findings"]] == [ids["a"], ids["c"], None]
    assert shown["fixable"]
    assert "doctor" in shown["command"]


def test_nothing_is_shown_before_a_check(checks: Checks) -> None:
    shown = checks.to_json()
    assert (shown["checked"], shown["findings"], shown["fixable"], shown["copy"]) == (False, [], False, False)
    checks.data = None
    with pytest.raises(Failure):
        checks.start("check")


def test_the_copy_is_that_of_this_folder(checks: Checks, tmp_path: Path) -> None:
    done(checks, "fix", tmp_path / "other", tmp_path / "elsewhere")
    assert checks.copy is None
    done(checks, "fix", tmp_path / "one", number=2)
    done(checks, "fix", tmp_path / "two", number=3)
    assert checks.copy == tmp_path / "two"


@pytest.mark.parametrize("content", [b"", b'{"findings": [', b"{}"])
def test_an_output_that_was_cut_off(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(content)
    assert read_findings(tmp_path / "out") == []
    assert read_findings(tmp_path / "missing") == []
