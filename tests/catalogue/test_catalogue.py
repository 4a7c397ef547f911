"""Every row of the catalogue of bad inputs through every command: accepted, left out, or refused in one line."""

import errno
import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from catalogue.commands import (
    COMMANDS,
    DATA_COMMANDS,
    FILE_COMMANDS,
    TRAINING,
    Outcome,
    light_export,
    run_command,
    run_on_data,
    run_on_file,
    send,
    serving,
)
from catalogue.entries import ELSEWHERE, ENTRIES, Entry, place
from drawn import pairs
from exports import write_trained_run
from privileges import bound_by_permissions
from tiny import write_model

__all__ = ["light_export"]
CATALOGUE = 97
ALWAYS = ("one pixel", "16-bit gray PNG", "palette mask", "whole floats", "OME-Zarr 0.5")  # computed in every test run


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


def is_slow(entry: Entry, command: str) -> bool:
    """Return whether a cell takes long, or is one of many that compute with a network what others compute too."""
    computes = command in ("train", "evaluate", "export", "predict --format tiff") and entry.expected(command) == "ok"
    return command in entry.slow or (computes and entry.name not in ALWAYS)


def cells() -> list[object]:
    return [
        pytest.param(
            entry,
            command,
            marks=[pytest.mark.slow] if is_slow(entry, command) else [],
            id=f"{entry.number}-{entry.name}-{command}",
        )
        for entry in ENTRIES
        for command in COMMANDS
        if not str(entry.expected(command)).startswith("n/a")
    ]


@pytest.mark.parametrize(("entry", "command"), cells())
@pytest.mark.usefixtures("light_export")
def test_cell(entry: Entry, command: str, tmp_path: Path, client: TestClient) -> None:
    with bound_by_permissions() if entry.number == 9 else nullcontext(True) as bound:
        if not bound:
            pytest.skip("this user may read everything")
        outcome = run_cell(entry, command, tmp_path, client)
    assert str(outcome) == str(entry.expected(command)), outcome.text
    check_text(outcome)


def run_cell(entry: Entry, command: str, folder: Path, client: TestClient) -> Outcome:
    (folder / "in").mkdir()
    (folder / "work").mkdir()
    if command in DATA_COMMANDS:
        root = place(entry, folder / "in")
        before = _listing(folder / "in")
        outcome = run_on_data(command, root, folder / "work", *entry.options)
        assert _listing(folder / "in") == before, "nothing is written beside the images"
        return outcome
    file = entry.make(folder / "in")
    return run_on_file(command, file, folder / "work") if command in FILE_COMMANDS else send(client, file)


def check_text(outcome: Outcome) -> None:
    """A refusal is one line, or a list of problems; it never shows the program."""
    assert "Traceback" not in outcome.text
    refused = outcome.kind not in ("", "BadDataset")
    assert not refused or "\n" not in outcome.text
    assert outcome.code != 500


def test_every_row_of_the_catalogue_is_here() -> None:
    assert {entry.number for entry in ENTRIES} | set(ELSEWHERE) == set(range(1, CATALOGUE + 1))


def _listing(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["folder.png", "pipe.png", "link.png", "gone.png", "https://example.org/a.png"])
def test_paths_given_directly(name: str, tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    path = tmp_path / name
    if name.startswith("folder"):
        path.mkdir()
    elif name.startswith("pipe"):
        os.mkfifo(path)
    elif name.startswith("link"):
        path.symlink_to(tmp_path / "nothing.png")
    given = name if name.startswith("https") else path
    outcome = run_command("predict", tmp_path / "model.safetensors", given, "--out", tmp_path / "out")
    assert outcome.code in (2, 3)
    check_text(outcome)


INSIDE = {
    "inspect": ("inspect", "{data}", "--out", "{data}/sheet.png"),
    "train": ("train", "{data}", "--out", "{data}/run", *TRAINING),
    "predict": ("predict", "{run}", "{data}/images", "--out", "{data}/images"),
    "convert": ("convert", "{data}", "--to", "folders", "--out", "{data}/new"),
}


@pytest.mark.parametrize("command", INSIDE)
def test_outputs_beside_the_images_are_refused(command: str, tmp_path: Path) -> None:
    """Row 86."""
    data = pairs(tmp_path / "data")
    run = write_trained_run(tmp_path / "run", data)
    before = _listing(data)
    outcome = run_command(*(word.format(data=data, run=run.folder) for word in INSIDE[command]))
    assert str(outcome) == "OutputFailed"
    assert _listing(data) == before


EXISTING = {
    "inspect": (("inspect", "{data}", "--out", "{out}.png"), "ok"),
    "train": (("train", "{data}", "--out", "{out}", *TRAINING), "OutputFailed"),
    "predict": (("predict", "{run}", "{data}/images", "--out", "{out}"), "OutputFailed"),
    "convert": (("convert", "{data}", "--to", "folders", "--out", "{out}"), "OutputFailed"),
    "evaluate": (("evaluate", "{run}", "{data}"), "ok"),
    "export": (("export", "{run}", "{data}"), "ok"),
}


@pytest.mark.parametrize("command", EXISTING)
@pytest.mark.usefixtures("light_export")
def test_outputs_that_exist(command: str, tmp_path: Path) -> None:
    """Row 87: a second call is refused where it would replace results, which it names."""
    data = pairs(tmp_path / "data")
    run = write_trained_run(tmp_path / "trained", data)
    words, expected = EXISTING[command]
    given = [word.format(data=data, run=run.folder, out=tmp_path / "out") for word in words]
    assert run_command(*given).code in (0, 5)
    assert str(run_command(*given)) == expected


@pytest.mark.parametrize("command", EXISTING)
def test_a_full_disk(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 88: one line, nothing half written, and the advice leads on."""
    data = pairs(tmp_path / "data")
    run = write_trained_run(tmp_path / "trained", data)
    given = [word.format(data=data, run=run.folder, out=tmp_path / "out") for word in EXISTING[command][0]]

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        outcome = run_command(*given)
    assert str(outcome) == "DiskFull"
    assert "\n" not in outcome.text
    assert not list(tmp_path.rglob(".*.part"))
    again = [*given, *(["--overwrite"] if command == "predict" else ["--resume"] if "--resume" in outcome.text else [])]
    assert run_command(*again).code in (0, 5), "the advice leads on"


def test_a_full_disk_of_the_server(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 88."""

    async def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pixelwise.server.predict_routes.receive_image", full)
    answer = client.post("/predict", content=b"x", headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")


# Each protection of the table, replaced by nothing: the cell that it protects then ends in another way.
PROTECTIONS = {
    "problems stop a training": ("pixelwise.datasets.dataset.raise_problems", "half a JPEG", "train"),
    "problems stop a conversion": ("pixelwise.datasets.dataset.raise_problems", "half a PNG", "convert"),
    "failures are counted": ("pixelwise.workflow.prediction.masks._add_failure", "half a JPEG", "predict"),
    "names are limited": ("pixelwise.workflow.prediction.results.MAX_NAME", "a name of 250 bytes", "predict"),
}


@pytest.mark.parametrize("name", PROTECTIONS)
@pytest.mark.usefixtures("light_export")
def test_control_without_a_protection(
    name: str, tmp_path: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, row, command = PROTECTIONS[name]
    (entry,) = (entry for entry in ENTRIES if entry.name == row)
    monkeypatch.setattr(target, 10**6 if target.endswith("MAX_NAME") else lambda *_, **__: None)
    try:
        outcome = run_cell(entry, command, tmp_path, client)
    except Exception:  # a foreign exception
        return
    assert str(outcome) != str(entry.expected(command))


def test_control_without_the_check_of_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 86: a run is written into its data."""
    data = pairs(tmp_path / "data")
    monkeypatch.setattr("pixelwise.workflow.run.Run.check_outside", lambda *_: None)
    assert str(run_command(*(word.format(data=data, run="") for word in INSIDE["train"]))) == "ok"
    assert (data / "run" / "config.yaml").exists()
