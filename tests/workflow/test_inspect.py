"""`inspect` of data and runs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixelwise.atomic_write import atomic_write_json
from pixelwise.errors import OutputFailed
from pixelwise.io.read import read_image, write_image
from pixelwise.networks.architectures import NetworkOptions
from pixelwise.progress import Progress
from pixelwise.workflow.config import Config
from pixelwise.workflow.inspect import inspect
from pixelwise.workflow.run import Run


@pytest.fixture
def three_classes(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Four pairs with a known share of each class: half 0, three eighths 1, an eighth 2."""
    root = tmp_path / "data"
    mask = np.zeros((1, 32, 40), np.uint8)
    mask[:, 16:] = 1
    mask[:, 16:, 30:] = 2
    for index in range(4):
        pixels = rng.integers(0, 255, (3, 32, 40), dtype=np.uint8)
        write_image(root / "images" / f"case_{index}.png", pixels)
        write_image(root / "masks" / f"case_{index}.png", mask)
    (root / "classes.txt").write_text("ground\nroad\ncar\n", "utf-8")
    return root


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_data_is_told_with_classes_shares_and_a_contact_sheet(three_classes: Path, tmp_path: Path) -> None:
    before = files(three_classes)
    sheet = tmp_path / "sheet.png"
    found = inspect(three_classes, out=sheet, progress=Progress())
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert value["task"] == "multiclass"
    assert value["classes"] == ["ground", "road", "car"]
    assert value["ignore_index"] is None
    assert value["channels"] == 3
    assert value["cases"] == {"train": 3, "val": 1, "test": 0}
    assert value["fingerprint"]["class_shares"] == pytest.approx([0.5, 0.375, 0.125])
    for problem in value["problems"]:
        assert {"file", "kind", "text"} <= set(problem)
    text = found.to_text()
    for sentence in (*value["messages"], "car", "12.50%", str(sheet)):
        assert sentence in text
    picture = read_image(sheet).pixels
    assert min(picture.shape[1:]) > 300
    assert picture.std() > 10, "something is drawn"
    assert files(three_classes) == before, "nothing is written beside the user's images"


def test_the_contact_sheet_never_lies_in_the_data(three_classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(three_classes)
    with pytest.raises(OutputFailed, match="expected a path outside the data folder; got one inside it"):
        inspect(three_classes, out=three_classes / "sheet.png", progress=Progress())
    monkeypatch.chdir(three_classes)
    assert inspect(".", progress=Progress()).to_json()["contact_sheet"] is None
    assert files(three_classes) == before


def test_all_problems_are_listed_in_one_pass(three_classes: Path) -> None:
    (three_classes / "masks" / "case_1.png").unlink()
    (three_classes / "images" / "case_2.png").write_bytes(b"")
    found = inspect(three_classes, progress=Progress())
    problems = {(problem["kind"], Path(problem["file"]).name) for problem in found.to_json()["problems"]}
    assert ("unreadable image", "case_2.png") in problems
    assert ("missing mask", "case_1.png") in problems
    assert "case_2.png" in found.to_text()


def test_a_run_without_model_yet_shows_its_plan_with_reasons(tmp_path: Path) -> None:
    reasons = {"network.base": "The widest that fits the time."}
    config = Config(network=NetworkOptions(base=12, depth=3), origins={"network.depth": "user"}, reasons=reasons)
    Run.create(tmp_path / "run", config, {})
    found = inspect(tmp_path / "run")
    value = json.loads(json.dumps(found.to_json()))
    assert value["settings"]["network.base"] == 12
    assert (value["origins"]["network.base"], value["origins"]["network.depth"]) == ("planned", "user")
    assert value["reasons"]["network.base"] == reasons["network.base"]
    assert value["model"] is None
    assert value["scores"] is None
    assert "The widest that fits the time." in found.to_text()
    go_on = f"pixelwise train DATA --out {tmp_path / 'run'} --resume"
    assert f"No model yet: continue it with `{go_on}`." in found.to_text()
    atomic_write_json(tmp_path / "run" / "understood.json", {"folder": "/data/my cells"})
    assert "`pixelwise train '/data/my cells' --out " in inspect(tmp_path / "run").to_text()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path], dict[str, object]]:
    monkeypatch.chdir(tmp_path)
    return lambda root: inspect(root, progress=Progress()).to_json()


def test_real_membranes_are_understood_with_no_flag(
    shared_data: Path, quiet: Callable[[Path], dict[str, object]]
) -> None:
    found = quiet(shared_data / "isbi2012_em")
    assert (found["task"], found["channels"], found["ignore_index"]) == ("binary", 1, None)
