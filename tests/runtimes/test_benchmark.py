"""The fastest runtime is measured once, kept, and told; one that says something else is left out."""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

import numpy as np
import pytest

from exports import DATASET, Heard, make_network, make_samples
from pixelwise.errors import BadModel, BadOption
from pixelwise.inference import make_runtime
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.model_file.model_file import save_model
from pixelwise.runtimes import benchmark
from pixelwise.runtimes.benchmark import WORTH, choose, known_choice
from pixelwise.runtimes.cache import cache_folder

SHAPE = (1, 1, 8, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def runtime(seconds: float, factor: float = 1.0) -> Callable[[], Callable[[np.ndarray], np.ndarray]]:
    def compute(tiles: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return tiles * np.float32(factor)

    return lambda: compute


def test_the_fastest_is_taken_and_known_the_next_time() -> None:
    heard = Heard()
    candidates = {"torch": runtime(0.03), "onnx": runtime(0.001), "openvino": runtime(0.02)}
    choice, chosen = choose(candidates, "model", SHAPE, heard)
    assert (choice.name, choice.known) == ("onnx", False)
    assert np.array_equal(chosen(np.ones(SHAPE, np.float32)), np.ones(SHAPE, np.float32))
    assert "Runtime onnx: fastest here for a tile of 8 x 8 (onnx " in choice.messages(SHAPE)
    made: list[str] = []

    def noted(name: str) -> Callable[[], Callable[[np.ndarray], np.ndarray]]:
        return lambda: made.append(name) or runtime(0.0)()

    again, _ = choose({name: noted(name) for name in candidates}, "model", SHAPE, heard)
    assert (again.name, again.known, made) == ("onnx", True, ["onnx"])
    assert "measured before" in again.messages(SHAPE)
    assert known_choice("another model", SHAPE) is None
    assert known_choice("model", (1, 1, 16, 16)) is None


def test_one_that_says_something_else_or_cannot_be_made_is_left_out() -> None:
    def broken() -> Callable[[np.ndarray], np.ndarray]:
        raise BadModel("a graph", "none", "Export again.")

    heard = Heard()
    candidates = {"torch": runtime(0.02), "onnx": runtime(0.0, factor=1.01), "openvino": broken}
    choice, _ = choose(candidates, "model", SHAPE, heard)
    assert choice.name == "torch"
    assert "Runtime onnx is left out: it differs by 0.01 of the largest logit." in heard.text
    assert "Runtime openvino is left out: expected a graph" in heard.text


class Held:
    """A runtime that holds itself, as those of PyTorch do, and counts how many of its kind are alive."""

    alive: ClassVar[WeakSet["Held"]] = WeakSet()
    most = 0

    def __init__(self, seconds: float) -> None:
        self._seconds, self._compute = seconds, self.__call__
        Held.alive.add(self)
        Held.most = max(Held.most, len(Held.alive))

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        time.sleep(self._seconds)
        return tiles


@pytest.mark.parametrize("let_go", [True, False])
def test_losers_do_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch, let_go: bool) -> None:
    gc.collect()
    monkeypatch.setattr(Held, "most", 0)
    if not let_go:  # control
        monkeypatch.setattr(benchmark, "_let_go", lambda: None)
    gc.disable()
    try:
        candidates = {"torch": lambda: Held(0.003), "onnx": lambda: Held(0.0), "openvino": lambda: Held(0.002)}
        choice, chosen = choose(candidates, "model", SHAPE, Heard())
        assert choice.name == "onnx"
        assert isinstance(chosen, Held)
        assert (Held.most, len(Held.alive)) == ((1, 1) if let_go else (4, 4))
    finally:
        gc.enable()


def test_other_threads_and_damaged_notes_are_measured_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose({"torch": runtime(0.0)}, "model", SHAPE, Heard())
    assert known_choice("model", SHAPE) is not None
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert known_choice("model", SHAPE) is None
    monkeypatch.undo()
    monkeypatch.setenv("PIXELWISE_CACHE", str(cache))
    for note in (cache / "runtimes").iterdir():
        note.write_text("{")
    assert known_choice("model", SHAPE) is None


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "file"))
    assert choose({"torch": runtime(0.0)}, "model", SHAPE, Heard())[0].name == "torch"


@pytest.mark.parametrize("name", ["auto", "torch", "onnx", "openvino"])
def test_a_run_says_the_same_in_every_runtime(name: str, tmp_path: Path) -> None:
    for scale in (None, DATASET):
        network, model_card = make_network(scale)
        path = tmp_path / "model.safetensors"
        save_model(path, network, model_card)
        expected = load_model_for_prediction(path, device="cpu")
        heard = Heard()
        model = load_model_for_prediction(path, device="cpu", runtime=name, progress=heard)
        for sample in make_samples():
            assert np.array_equal(model.predict(sample.pixels), expected.predict(sample.pixels))
        assert ("fastest here" in heard.text) == (name == "auto")


def test_few_tiles_are_not_worth_a_measurement(cache: Path, tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.safetensors"
    save_model(path, network, model_card)
    heard = Heard()
    load_model_for_prediction(path, device="cpu", runtime="auto", pixels=WORTH * model_card.tile**2 - 1, progress=heard)
    assert (heard.text, cache.exists()) == ("", False)
    load_model_for_prediction(path, device="cpu", runtime="auto", pixels=WORTH * model_card.tile**2, progress=heard)
    assert "measured now, and kept" in heard.text
    load_model_for_prediction(path, device="cpu", runtime="auto", pixels=1, progress=heard)
    assert "measured before" in heard.text


def test_a_damaged_graph_in_the_cache_is_made_again(tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.safetensors"
    save_model(path, network, model_card)
    load_model_for_prediction(path, device="cpu", runtime="onnx")
    (graph,) = (cache_folder() / "graphs").iterdir()
    whole = graph.read_bytes()
    graph.write_bytes(whole[:100])
    load_model_for_prediction(path, device="cpu", runtime="onnx")
    assert graph.read_bytes() == whole


def test_what_is_not_installed_is_told_only_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_runtime, "installed", lambda package: False)
    network, model_card = make_network()
    path = tmp_path / "model.safetensors"
    save_model(path, network, model_card)
    heard = Heard()
    load_model_for_prediction(path, device="cpu", runtime="auto", progress=heard)
    assert heard.text == ""
    load_model_for_prediction(path, device="cpu", runtime="onnx", progress=heard)
    assert 'Runtime onnx is not installed (pip install "pixelwise[onnx,openvino]"); torch computes.' in heard.text
    with pytest.raises(BadOption, match="Did you mean `onnx`"):
        load_model_for_prediction(path, device="cpu", runtime="onxx")
