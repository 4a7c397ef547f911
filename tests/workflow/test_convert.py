"""convert: what it refuses, and that nothing unfinished is left."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import drawn
from pixelwise.atomic_write import TEMPORARY
from pixelwise.cli.convert import FORMATS
from pixelwise.cli.main import app
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.writers import registry
from pixelwise.datasets.writers.labelled_set import LabelledSet
from pixelwise.errors import BadOption, DiskFull, OutputFailed
from pixelwise.process_name import host_name
from pixelwise.progress import Progress
from pixelwise.workflow import convert as module
from pixelwise.workflow.convert import convert


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return drawn.pairs(tmp_path / "cells", draw=drawn.objects)


def test_the_data_set_is_read_with_its_options_and_never_changed(cells: Path, tmp_path: Path) -> None:
    before = files(cells)
    result = convert(cells, to="folders", out=tmp_path / "a/b", task="multiclass", ignore_index=2, progress=Progress())
    assert files(cells) == before
    again = load_dataset(result.folder)
    assert result.dataset.task == again.task == "multiclass"
    assert (again.read(again.cases[0]).labels == 255).sum() == 25
    assert result.to_json()["images"] == 6


def test_an_unknown_format_suggests_the_nearest(cells: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="Did you mean `nnunet`"):
        convert(cells, to="nnunett", out=tmp_path / "out")


@pytest.mark.parametrize("place", ["", "new", "..", "images/../new"])
def test_a_folder_inside_or_around_the_data_set_is_refused(cells: Path, place: str) -> None:
    before = files(cells)
    with pytest.raises(OutputFailed, match="outside the data set"):
        convert(cells, to="folders", out=cells / place)
    assert files(cells) == before


def test_a_folder_with_files_is_refused_and_an_empty_one_used(cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    convert(cells, to="cellpose", out=out, progress=Progress())
    with pytest.raises(OutputFailed, match="empty folder"):
        convert(cells, to="cellpose", out=out, progress=Progress())
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="a file"):
        convert(cells, to="cellpose", out=tmp_path / "file", progress=Progress())


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), DiskFull("space", "none", "Free some.")])
def test_a_stopped_conversion_leaves_nothing(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    def write(data: LabelledSet, out: Path) -> tuple[str, ...]:
        (out / "half.png").touch()
        raise stop

    writer = registry.Writer(name="half", title="", write=write)
    monkeypatch.setattr(module, "WRITERS", (writer,))
    with pytest.raises(type(stop)):
        convert(cells, to="half", out=tmp_path / "out", progress=Progress())
    assert [path.name for path in tmp_path.iterdir()] == ["cells"]


@pytest.mark.parametrize("to", ["coco", "ome-zarr"])
def test_nothing_is_left_beside_the_output(cells: Path, tmp_path: Path, to: str) -> None:
    """Labels that become shapes are files for a while; a folder of the user may have any name."""
    (tmp_path / "labels").mkdir()
    convert(cells, to=to, out=tmp_path / "out", progress=Progress())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "labels", "out"]
    assert not list((tmp_path / "labels").iterdir())


def test_what_a_killed_conversion_left_is_removed(cells: Path, tmp_path: Path) -> None:
    left = tmp_path / f".out.{host_name()}-{2**22 + 1}-0123abcd{TEMPORARY}"  # above the largest process number
    left.mkdir()
    (left / "half.png").touch()
    convert(cells, to="cellpose", out=tmp_path / "out", progress=Progress())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells", "out"]
    assert not (tmp_path / "out/half.png").exists()


def test_the_command_prints_what_was_understood_and_lost(cells: Path, tmp_path: Path) -> None:
    words = ["convert", str(cells), "--to", "nnunet", "--out", str(tmp_path / "out"), "--task", "instance"]
    result: dict[str, Any] = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert result["task"] == "instance"
    assert result["format"] == "nnunet"
    assert any("merged" in text for text in result["losses"])
    assert result["understood"]


def test_the_help_and_the_page_name_every_format() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "convert.md").read_text("utf-8")
    names = [writer.name for writer in registry.WRITERS]
    assert re.findall(r"^\| `(\w[\w-]*)` \|", page, re.MULTILINE) == names
    assert re.split(", | or ", FORMATS) == names
    assert all(f'"{name}"' in (convert.__doc__ or "") for name in names)
