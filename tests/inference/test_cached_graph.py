"""Tests of the cached ONNX graph of a model file."""

import sys
from pathlib import Path

import onnx
import pytest

from exports import make_network
from pixelwise.inference import cached_graph
from pixelwise.model_file.model_file import save_model


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))


def graph_of(path: Path) -> onnx.ModelProto:
    network, model_card = make_network()
    save_model(path, network, model_card)
    return onnx.load(cached_graph.cached_graph(network, model_card, path))


def here(*_: object) -> None:
    pytest.fail("exported in this process")


def test_large_models_are_exported_in_a_process_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_graph, "LARGE", 0)
    with monkeypatch.context() as patch:
        patch.setattr(cached_graph, "_export", here)
        apart = graph_of(tmp_path / "model.safetensors")
    (file,) = (cached_graph.cache_folder() / "graphs").iterdir()
    file.unlink()
    monkeypatch.setattr(sys, "executable", "/bin/false")  # cannot export
    assert graph_of(tmp_path / "model.safetensors") == apart


def test_small_models_are_exported_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_graph, "_export", here)
    with pytest.raises(pytest.fail.Exception):
        graph_of(tmp_path / "model.safetensors")
