"""With statistics of the whole image, tiles of networks with instance or group normalisation are exact."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inference.test_predictor import Float
from pixelwise.geometry import statistics_passes
from pixelwise.geometry.statistics_passes import find_passes, plan_statistics
from pixelwise.geometry.symmetries import SYMMETRIES
from pixelwise.inference import predictor as predictors
from pixelwise.inference.memory import MemoryBudget
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.whole_image import count_tiles, measure_statistics
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.ensemble import Ensemble
from pixelwise.runtimes.torch import TorchRuntime

SIZE = (77, 62)
BUDGET = MemoryBudget(bytes=2**30, image_pixel=8, tile_pixel=2**9)
NETWORKS: list[dict[str, Any]] = [
    {"depth": 2},
    {"depth": 2, "upsampling": "bilinear"},
    {"name": "attention_unet", "depth": 2},
    {"name": "attention_unet", "depth": 2, "gates": "aligned"},
    {"name": "resunet", "depth": 2},
    {"name": "resencunet", "depth": 2},
    {"name": "unetplusplus", "depth": 2, "deep_supervision": True},
    {"name": "vnet", "depth": 2},
]
VOLUMES: list[dict[str, Any]] = [
    {"depth": 1, "dimensions": 3},
    {"name": "resencunet", "depth": 1, "dimensions": 3, "strides": ((1, 2, 2),), "kernels": ((1, 3, 3), (3, 3, 3))},
]


def runtime_of(normalisation: str = "instance", dtype: torch.dtype = torch.float64, **options: Any) -> TorchRuntime:
    """Return a network whose normalisations have weights of both signs."""
    torch.manual_seed(0)
    network = build(NetworkOptions(**{"base": 2, "classes": 2, "normalisation": normalisation, **options}))
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1 and name.endswith("weight"):
            torch.nn.init.uniform_(parameter, -1.5, 1.5)
    return TorchRuntime(network.to(dtype).eval())


def pixels_of(size: tuple[int, ...]) -> np.ndarray:
    """Return a smooth image whose parts have other statistics than the whole."""
    axes = np.meshgrid(*(np.arange(side) for side in size), indexing="ij")
    ramp = sum(axis / side for axis, side in zip(axes, size, strict=True))
    waves = sum(np.sin(axis / 5 + number) for number, axis in enumerate(axes))
    return ((1 + 3 * np.asarray(ramp)) * np.asarray(waves) + np.random.default_rng(0).random(size))[None]


def predictor_of(runtime: TorchRuntime, options: dict[str, Any], core: int = 32, **fields: Any) -> Predictor:
    network = build(NetworkOptions(**{"base": 2, "classes": 2, "normalisation": "instance", **options}))
    return Predictor(runtime, network.geometry(), 2, core, **{"statistics_budget": BUDGET, **fields})


def distance(predictor: Predictor, size: tuple[int, ...], core: int = 32) -> float:
    """Return the largest difference from the logits of the whole image, relative to the largest logit."""
    pixels = pixels_of(size)
    whole = predictor.with_core(10_000).logits(pixels, Float(torch.float64))
    tiled = predictor.logits(pixels, Float(torch.float64))
    return float(np.abs(whole - tiled).max() / np.abs(whole).max())


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let passes have several tiles on small images, and cost what they want."""
    monkeypatch.setattr(statistics_passes, "CORES", (32,))
    monkeypatch.setattr(statistics_passes, "VOLUME_CORES", (16,))
    monkeypatch.setattr(predictors, "MAX_RATIO", 1e9)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("number", "options"), list(enumerate(NETWORKS)), ids=str)
def test_tiles_of_images_are_exact(number: int, options: dict[str, Any]) -> None:
    predictor = predictor_of(runtime_of("group" if number % 2 else "instance", **options), options)
    assert predictor.exact_for(SIZE).needs_statistics
    assert distance(predictor, SIZE) < 1e-12
    assert distance(predictor.without_statistics(), SIZE) > 1e-3, "control: blended tiles are not exact"


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("options", VOLUMES, ids=str)
def test_tiles_of_volumes_are_exact(options: dict[str, Any]) -> None:
    predictor = predictor_of(runtime_of(**options), options, 8)
    assert distance(predictor, (9, 27, 18)) < 1e-12
    assert distance(predictor.without_statistics(), (9, 27, 18)) > 1e-3, "control: blended tiles are not exact"


@pytest.mark.usefixtures("small_tiles")
def test_an_ensemble_is_exact() -> None:
    options = NetworkOptions(base=2, depth=1, normalisation="group")
    torch.manual_seed(0)
    ensemble = Ensemble([build(options).double().eval() for _ in range(2)], 2)
    assert distance(predictor_of(TorchRuntime(ensemble), {"depth": 1}), (50, 40)) < 1e-12


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("number", range(4))
def test_every_choice_of_stored_maps_gives_the_same(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    runtime = runtime_of(depth=2, name="resencunet")
    assert runtime.whole_image is not None
    stored = list(statistics_passes._stored_sets(runtime.whole_image.graph))[number]
    monkeypatch.setattr(statistics_passes, "_stored_sets", lambda graph: [stored])
    assert distance(predictor_of(runtime, {"name": "resencunet", "depth": 2}), SIZE) < 1e-12


@pytest.mark.usefixtures("small_tiles")
def test_control_a_smaller_halo_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_smaller_halo(*arguments: Any) -> tuple[statistics_passes.StatisticsPass, ...]:
        passes = find_passes(*arguments)
        each = [tuple(max(0, h - m) for h, m in zip(p.halo, p.multiple, strict=True)) for p in passes]
        return tuple(replace(step, halo=halo) for step, halo in zip(passes, each, strict=True))

    monkeypatch.setattr(statistics_passes, "find_passes", with_smaller_halo)
    assert distance(predictor_of(runtime_of(depth=2), {"depth": 2}), SIZE) > 1e-9


def test_every_pixel_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics_passes, "CORES", (48,))
    runtime = runtime_of(depth=2)
    layers = runtime.whole_image
    assert layers is not None
    plan = plan_statistics(layers.graph, (100, 72), 2**30)
    assert plan is not None
    counts: dict[int, int] = {}
    measure = layers.measure

    def watched(step: Any, *arguments: Any) -> Any:
        moments, stored = measure(step, *arguments)
        counts[step.target] = counts.get(step.target, 0) + moments.pixels
        return moments, stored

    monkeypatch.setattr(layers, "measure", watched)
    pixels = pixels_of((100, 72))
    done: list[int] = []

    def read(spans: tuple[tuple[int, int], ...]) -> np.ndarray:
        return pixels[(slice(None), *(slice(*span) for span in spans))]

    measure_statistics(layers, plan, (100, 72), read, lambda count, _: done.append(count))
    assert counts == {step.target: 7200 // np.prod(layers.graph[step.target].strides) for step in plan.passes}
    assert sum(done) == count_tiles(plan, (100, 72)) > len(plan.passes)


def test_float32_agrees_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictors, "MAX_RATIO", 1e9)
    predictor = predictor_of(runtime_of(dtype=torch.float32, depth=2), {"depth": 2})
    pixels = pixels_of((100, 90)) + 1000  # a large mean, which single sums of squares would not survive
    whole, tiled = (p.logits(pixels, Float(torch.float32)) for p in (predictor.with_core(10_000), predictor))
    assert np.abs(whole - tiled).max() < 1e-3 * np.abs(whole).max()


def test_costs_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = predictor_of(runtime_of(depth=3), {"depth": 3}, core=256)
    tiling = predictor.tiling((2048, 2048))
    assert tiling is not None
    assert tiling.plan is not None, str(tiling)
    assert tiling.ratio < predictors.MAX_RATIO
    monkeypatch.setattr(predictors, "MAX_RATIO", 0.1)
    dear = predictor_of(predictor.runtime, {"depth": 3}, core=256)  # type: ignore[arg-type]
    refused = dear.tiling((2048, 2048))
    assert refused is not None
    assert refused.plan is None
    assert "times as much" in str(refused)
    assert dear.exact_for((2048, 2048)) is dear
    assert dear.blends((2048, 2048))


def test_reasons_for_blending() -> None:
    runtime = runtime_of(depth=1)
    options = {"depth": 1}

    def reason(predictor: Predictor, size: tuple[int, int] = (100, 90), **given: Any) -> str:
        return str(predictor.tiling(size, **given))

    assert "memory" in reason(predictor_of(runtime, options), memory=1000)
    assert "test-time augmentation" in reason(predictor_of(runtime, options, symmetries=SYMMETRIES))
    geometry = build(NetworkOptions(base=2, depth=1, normalisation="instance")).geometry()
    assert "PyTorch" in reason(Predictor(lambda tiles: tiles, geometry, 2, 32, statistics_budget=BUDGET))
    assert predictor_of(runtime, options).tiling((20, 30)) is None, "one tile"
    plain = TorchRuntime(build(NetworkOptions(base=4, depth=1)))
    assert plain.whole_image is None


def test_less_memory_stores_coarser_maps() -> None:
    layers = runtime_of(depth=3).whole_image
    assert layers is not None
    plans = [plan_statistics(layers.graph, (2048, 2048), memory) for memory in (2**34, 2**29, 2**27)]
    assert all(plan is not None for plan in plans)
    work = [plan.work for plan in plans if plan is not None]
    memory = [plan.bytes for plan in plans if plan is not None]
    assert work == sorted(work)
    assert memory == sorted(memory, reverse=True)
    assert memory[1] <= 2**29
    assert plan_statistics(layers.graph, (2048, 2048), 1000) is None
