"""`pixelwise import-weights` writes safetensors, or one line with the error."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cifar_peer import make_peer
from pixelwise.cli import main
from pixelwise.cli.options import parse_numbers
from pixelwise.errors import BadOption
from pixelwise.model_file.model_file import read_model_card
from pixelwise.networks.weights import read_weights


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return shutil.copyfile, (__file__, str(self.path))


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["pixelwise", "import-weights", *(str(word) for word in words)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def test_tensors_become_safetensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"conv1.weight": torch.ones(2, 3)}, tmp_path / "x.pth")
    out = tmp_path / "y.safetensors"
    words = ("--out", out, "--licence", "MIT", "--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.2", "--json")
    assert run(monkeypatch, tmp_path / "x.pth", *words) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["path"], result["tensors"], result["licence"]) == (str(out), 1, "MIT")
    tensors, origin = read_weights(out)
    assert tensors["conv1.weight"].shape == (2, 3)
    assert (origin.mean, origin.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))


def test_classes_make_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(make_peer(both_sides=True, base=4, classes=2).state_dict(), tmp_path / "x.th")
    words = ("network=resnet20", "network.base=4", "--classes", "cat, dog", "--mean", "0,0,0", "--std", "1,1,1")
    assert run(monkeypatch, tmp_path / "x.th", *words, "--out", tmp_path / "run") == 2
    assert "network.shortcut_padding=both" in capsys.readouterr().err
    words = (*words, "network.shortcut_padding=both")
    assert run(monkeypatch, tmp_path / "x.th", *words, "--out", tmp_path / "run", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["path"], result["shortcut_padding"]) == (str(tmp_path / "run"), "both")
    assert read_model_card(tmp_path / "run" / "model.safetensors").classes == ("cat", "dog")


def test_code_in_a_file_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a": Payload(tmp_path / "trace")}, tmp_path / "x.pth")
    assert run(monkeypatch, tmp_path / "x.pth", "--out", tmp_path / "y.safetensors") == 2
    text = capsys.readouterr().err.strip()
    assert text.startswith("Error: ")
    assert "shutil.copyfile" in text
    assert "\n" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_comma_separated_numbers() -> None:
    assert parse_numbers("--mean", None) == ()
    assert parse_numbers("--mean", "0.5, 1") == (0.5, 1.0)
    with pytest.raises(BadOption, match="comma-separated numbers for --mean; got `a,b`"):
        parse_numbers("--mean", "a,b")
