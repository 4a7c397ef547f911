"""The fastest runtime is measured once, cached and reported; runtimes with other logits are skipped."""

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet, ref

import numpy as np
import pytest

from exports import DATASET, Heard, graphs_made_once, make_network, make_samples
from pixelwise.errors import BadModel, BadOption
from pixelwise.inference import make_runtime
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.model_file.model_file import save_model
from pixelwise.networks.architectures import build
from pixelwise.runtimes import benchmark
from pixelwise.runtimes.benchmark import MIN_TILES, RuntimeChoice, cached_choice, choose_runtime
from pixelwise.runtimes.cache import cache_folder
from pixelwise.runtimes.torch import TorchRuntime
from tiny import make_recipe

__all__ = ["graphs_made_once"]
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


def test_the_fastest_is_chosen_and_cached() -> None:
    heard = Heard()
    candidates = {"torch": runtime(0.03), "onnx": runtime(0.001), "openvino": runtime(0.02)}
    choice, chosen = choose_runtime(candidates, "model", SHAPE, heard)
    assert (choice.name, choice.cached) == ("onnx", False)
    assert np.array_equal(chosen(np.ones(SHAPE, np.float32)), np.ones(SHAPE, np.float32))
    assert "Runtime onnx: fastest for a tile of 8 x 8 (onnx " in choice.message(SHAPE)
    created: list[str] = []

    def recorded(name: str) -> Callable[[], Callable[[np.ndarray], np.ndarray]]:
        return lambda: created.append(name) or runtime(0.0)()

    again, _ = choose_runtime({name: recorded(name) for name in candidates}, "model", SHAPE, heard)
    assert (again.name, again.cached, created) == ("onnx", True, ["onnx"])
    assert "measured earlier" in again.message(SHAPE)
    assert cached_choice("another model", SHAPE) is None
    assert cached_choice("model", (1, 1, 16, 16)) is None


def test_runtimes_that_differ_or_fail_are_skipped() -> None:
    def broken() -> Callable[[np.ndarray], np.ndarray]:
        raise BadModel("a graph", "none", "Export again.")

    heard = Heard()
    candidates = {"torch": runtime(0.02), "onnx": runtime(0.0, factor=1.01), "openvino": broken}
    choice, _ = choose_runtime(candidates, "model", SHAPE, heard)
    assert choice.name == "torch"
    assert "Runtime onnx is skipped: it differs by 0.01 of the largest logit." in heard.text
    assert "Runtime openvino is skipped: expected a graph" in heard.text


class CyclicRuntime:
    """A runtime in a reference cycle, as those of PyTorch, that counts its instances."""

    alive: ClassVar[WeakSet["CyclicRuntime"]] = WeakSet()
    most = 0

    def __init__(self, seconds: float) -> None:
        self._seconds, self._compute = seconds, self.__call__
        CyclicRuntime.alive.add(self)
        CyclicRuntime.most = max(CyclicRuntime.most, len(CyclicRuntime.alive))

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        time.sleep(self._seconds)
        return tiles


@pytest.mark.parametrize("freed", [True, False])
def test_slower_runtimes_are_freed(monkeypatch: pytest.MonkeyPatch, freed: bool) -> None:
    gc.collect()
    monkeypatch.setattr(CyclicRuntime, "most", 0)
    if not freed:  # control
        monkeypatch.setattr(benchmark, "_free_memory", lambda: None)
    gc.disable()
    try:
        candidates = {
            "torch": lambda: CyclicRuntime(0.003),
            "onnx": lambda: CyclicRuntime(0.0),
            "openvino": lambda: CyclicRuntime(0.002),
        }
        choice, chosen = choose_runtime(candidates, "model", SHAPE, Heard())
        assert choice.name == "onnx"
        assert isinstance(chosen, CyclicRuntime)
        assert (CyclicRuntime.most, len(CyclicRuntime.alive)) == ((1, 1) if freed else (4, 4))
    finally:
        gc.enable()


def test_logits_of_a_runtime_do_not_outlive_it() -> None:
    """Those of ONNX Runtime keep the memory of its whole graph."""
    logits: list[ref[np.ndarray]] = []
    left: list[int] = []

    def onnx(tiles: np.ndarray) -> np.ndarray:
        result = tiles.copy()
        logits.append(ref(result))
        return result

    def openvino() -> Callable[[np.ndarray], np.ndarray]:
        left.append(sum(kept() is not None for kept in logits))
        return runtime(0.0)()

    choose_runtime({"torch": runtime(0.0), "onnx": lambda: onnx, "openvino": openvino}, "model", SHAPE, Heard())
    assert len(logits) > 1
    assert left[0] == 0


def test_runtimes_of_deep_encoders_are_compared_within_the_memory_of_a_tile() -> None:
    """A tile with the whole halo of a ResNet-34 has 1,600 pixels a side, for which ONNX Runtime takes 2.4 GB."""
    deep, plain = (replace(make_recipe(encoder=encoder), tile=512) for encoder in ("resnet34", "plain"))
    halo, border = deep.geometry.along(0).halo, plain.geometry.along(0)
    assert 512 + 2 * halo > 768
    assert make_runtime.timed_sides(deep) == (768, 768)
    assert make_runtime.timed_sides(plain)[0] >= 512 + 2 * (border.halo or border.margin)


def test_other_thread_counts_and_damaged_entries_are_measured_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_runtime({"torch": runtime(0.0)}, "model", SHAPE, Heard())
    assert cached_choice("model", SHAPE) is not None
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cached_choice("model", SHAPE) is None
    monkeypatch.undo()
    monkeypatch.setenv("PIXELWISE_CACHE", str(cache))
    for entry in (cache / "runtimes").iterdir():
        entry.write_text("{", encoding="utf-8")
    assert cached_choice("model", SHAPE) is None


def test_a_read_only_cache_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "file"))
    assert choose_runtime({"torch": runtime(0.0)}, "model", SHAPE, Heard())[0].name == "torch"


@pytest.mark.parametrize("name", ["auto", "torch", "onnx", "openvino"])
def test_all_runtimes_agree(name: str, tmp_path: Path) -> None:
    for scale in (None, DATASET):
        network, model_card = make_network(scale)
        path = tmp_path / "model.safetensors"
        save_model(path, network, model_card)
        expected = load_model_for_prediction(path, device="cpu")
        heard = Heard()
        model = load_model_for_prediction(path, device="cpu", runtime=name, progress=heard)
        for sample in make_samples():
            assert np.array_equal(model.predict(sample.pixels), expected.predict(sample.pixels))
        assert ("fastest for" in heard.text) == (name == "auto")


def test_few_tiles_do_not_start_a_benchmark(cache: Path, tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.safetensors"
    save_model(path, network, model_card)
    heard = Heard()
    load_model_for_prediction(
        path, device="cpu", runtime="auto", sizes=[(MIN_TILES * model_card.tile**2 - 1, 1)], progress=heard
    )
    assert (heard.text, cache.exists()) == ("", False)
    tiles = [(model_card.tile, model_card.tile)] * MIN_TILES
    load_model_for_prediction(path, device="cpu", runtime="auto", sizes=tiles, progress=heard)
    assert "measured now and cached" in heard.text
    load_model_for_prediction(path, device="cpu", runtime="auto", sizes=[(1, 1)], progress=heard)
    assert "measured earlier" in heard.text


def test_a_damaged_cached_graph_is_exported_again(tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.safetensors"
    save_model(path, network, model_card)
    load_model_for_prediction(path, device="cpu", runtime="onnx")
    (graph,) = (cache_folder() / "graphs").iterdir()
    whole = graph.read_bytes()
    graph.write_bytes(whole[:100])
    load_model_for_prediction(path, device="cpu", runtime="onnx")
    assert graph.read_bytes() == whole


def test_missing_runtimes_are_reported_only_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_runtime, "installed", lambda *packages: False)
    network, model_card = make_network()
    path = tmp_path / "model.safetensors"
    save_model(path, network, model_card)
    heard = Heard()
    load_model_for_prediction(path, device="cpu", runtime="auto", progress=heard)
    assert heard.text == ""
    load_model_for_prediction(path, device="cpu", runtime="onnx", progress=heard)
    assert 'Runtime onnx is not installed (pip install "pixelwise[onnx,openvino]"); using torch.' in heard.text
    with pytest.raises(BadOption, match="Did you mean `onnx`"):
        load_model_for_prediction(path, device="cpu", runtime="onxx")


@pytest.mark.parametrize(("largest", "chosen"), [((4096, 4096), "torch"), ((100, 100), "onnx"), (None, "onnx")])
def test_a_cut_network_may_be_faster_than_faster_whole_tiles(
    largest: tuple[int, int] | None, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(*arguments: object) -> tuple[RuntimeChoice, Callable[[np.ndarray], np.ndarray]]:
        return RuntimeChoice(name="onnx", seconds={"torch": 1.0, "onnx": 0.5}, cached=True), runtime(0.0)()

    monkeypatch.setattr(make_runtime, "choose_runtime", choose)
    model_card = make_recipe(encoder="resnet18", base=16)
    path = tmp_path / "model.safetensors"
    save_model(path, build(model_card.network), model_card)
    heard, sizes = Heard(), None if largest is None else [largest] * 4096  # enough for a benchmark
    model = load_model_for_prediction(path, device="cpu", runtime="auto", sizes=sizes, progress=heard)
    assert ("torch" if isinstance(model.predictor.runtime, TorchRuntime) else "onnx") == chosen
    assert ("Override with --runtime" in heard.text.partition("cut")[2]) == (chosen == "torch")


@pytest.mark.parametrize(("seconds", "chosen"), [(0.9, "torch"), (0.05, "onnx")])
def test_exact_tiles_with_whole_image_normalisation_need_torch(
    seconds: float, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(*arguments: object) -> tuple[RuntimeChoice, Callable[[np.ndarray], np.ndarray]]:
        return RuntimeChoice(name="onnx", seconds={"torch": 1.0, "onnx": seconds}, cached=True), runtime(0.0)()

    monkeypatch.setattr(make_runtime, "choose_runtime", choose)
    model_card = make_recipe(base=8, normalisation="instance")
    path = tmp_path / "model.safetensors"
    save_model(path, build(model_card.network), model_card)
    heard = Heard()
    model = load_model_for_prediction(path, device="cpu", runtime="auto", sizes=[(1024, 1024)], progress=heard)
    assert ("torch" if isinstance(model.predictor.runtime, TorchRuntime) else "onnx") == chosen
    tiling = model.tiling((1024, 1024))
    assert tiling is not None
    assert (tiling.plan is not None) == (chosen == "torch")
    assert ("whole-image layers" in heard.text) == (chosen == "torch")
