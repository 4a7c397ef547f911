"""Reading .pth files returns tensors and runs no code; the payloads here would write a file."""

import argparse
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pixelwise.errors import BadWeights
from pixelwise.model_file import torch_pickle
from pixelwise.model_file.torch_pickle import read_pickled


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return shutil.copyfile, (__file__, str(self.path))


def same(result: dict[str, Tensor]) -> bool:
    expected = network().state_dict()
    return result.keys() == expected.keys() and all(torch.equal(result[name], expected[name]) for name in expected)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
def test_tensors_are_read(tmp_path: Path, new: bool) -> None:
    torch.save(network().state_dict(), tmp_path / "x.pth", _use_new_zipfile_serialization=new)
    assert same(read_pickled(tmp_path / "x.pth"))


def test_tensors_of_a_checkpoint_are_read_without_the_prefix_of_wrappers(tmp_path: Path) -> None:
    tensors = {f"module.{name}": value for name, value in network().state_dict().items()}
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, "state_dict": tensors}, tmp_path / "x.pth")
    assert same(read_pickled(tmp_path / "x.pth"))


def test_parameters_count_as_tensors(tmp_path: Path) -> None:
    torch.save(dict(network().named_parameters()), tmp_path / "x.pth")
    assert not read_pickled(tmp_path / "x.pth")["0.weight"].requires_grad


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
def test_a_file_with_code_is_rejected_and_not_run(tmp_path: Path, new: bool) -> None:
    trace = tmp_path / "trace"
    torch.save({"a": torch.ones(1), "b": Payload(trace)}, tmp_path / "x.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(
        BadWeights, match=r"a file that holds only tensors; got one that calls shutil\.copyfile"
    ) as caught:
        read_pickled(tmp_path / "x.pth")
    assert "No code of it was run" in caught.value.hint
    assert not trace.exists()
    torch.load(tmp_path / "x.pth", weights_only=False)  # control: the payload is a real one
    assert trace.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_indirect_calls_of_newer_protocols_are_rejected(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    torch.save({"b": Payload(trace)}, tmp_path / "x.pth", pickle_protocol=protocol)
    with pytest.raises(BadWeights, match="an unknown target of STACK_GLOBAL"):
        read_pickled(tmp_path / "x.pth")
    assert not trace.exists()


def test_a_zip_archive_appended_to_a_legacy_file_does_not_hide_it(tmp_path: Path) -> None:
    """This reader and torch must detect the same format."""
    trace = tmp_path / "trace"
    torch.save({"b": Payload(trace)}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    torch.save(network().state_dict(), tmp_path / "y.pth")
    (tmp_path / "x.pth").write_bytes((tmp_path / "x.pth").read_bytes() + (tmp_path / "y.pth").read_bytes())
    assert zipfile.is_zipfile(tmp_path / "x.pth")
    with pytest.raises(BadWeights, match=r"calls shutil\.copyfile"):
        read_pickled(tmp_path / "x.pth")
    assert not trace.exists()


def test_pickled_networks_and_settings_are_rejected_by_name(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "x.pth")
    with pytest.raises(BadWeights, match=r"torch\.nn\.modules\.batchnorm\.BatchNorm2d") as caught:
        read_pickled(tmp_path / "x.pth")
    assert "torch.save(model.state_dict(), FILE)" in caught.value.hint
    torch.save({"args": argparse.Namespace(), "model": network().state_dict()}, tmp_path / "x.pth")
    with pytest.raises(BadWeights, match=r"argparse\.Namespace"):
        read_pickled(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({"epoch": 3}, "a mapping of epoch"),
        ([torch.ones(1)], "one list"),
        ({}, "a mapping of nothing"),
    ],
)
def test_files_without_named_tensors_are_rejected(tmp_path: Path, content: Any, got: str) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(BadWeights, match=got):
        read_pickled(tmp_path / "x.pth")


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before torch 1.6"])
def test_damaged_files_are_rejected(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "x.pth"
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for length in (0, 3, 40, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(BadWeights, match=r"a \.pth file of tensors; got"):
            read_pickled(path)
    path.write_bytes(b"this is no such file, but a longer piece of text" * 5)
    with pytest.raises(BadWeights):
        read_pickled(path)
    with pytest.raises(BadWeights, match="no such file"):
        read_pickled(tmp_path / "absent.pth")


def test_compressed_archives_are_rejected(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as source, zipfile.ZipFile(tmp_path / "y.pth", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(BadWeights, match="a compressed archive"):
        read_pickled(tmp_path / "y.pth")


def test_a_small_file_does_not_expand_to_terabytes(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1).expand(10**12)}, tmp_path / "x.pth")
    with pytest.raises(BadWeights, match="1 tensors of 4000000000000 bytes"):
        read_pickled(tmp_path / "x.pth")


def test_large_files_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(network().state_dict(), tmp_path / "x.pth")
    monkeypatch.setattr(torch_pickle, "BYTES_LIMIT", 100)
    with pytest.raises(BadWeights, match="bytes"):
        read_pickled(tmp_path / "x.pth")


def test_an_old_torch_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(network().state_dict(), tmp_path / "x.pth")
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(BadWeights, match=r"torch 2\.10 or newer to read \.pth files; got 2\.9\.1"):
        read_pickled(tmp_path / "x.pth")
