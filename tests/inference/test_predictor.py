"""Tiled prediction equals whole-image prediction, but not with a smaller halo or with whole-image layers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import SYMMETRIES
from pixelwise.inference.memory import MemoryBudget
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.tile_reading import Job, read_mirrored
from pixelwise.io.windows import InMemoryReader
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.models import Segmenter
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Scale

PLAIN = Scale(np.ones(1), np.zeros(1))


def positive(network: Segmenter, dtype: torch.dtype) -> Segmenter:
    """Return the network with positive weights, so that ReLU and max pooling do not hide dependencies."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            fan = module.weight[0].numel() if isinstance(module, nn.Conv2d | nn.Conv3d) else module.in_channels
            nn.init.uniform_(module.weight, 0.5 / fan, 1.5 / fan)
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network.to(dtype).eval()


def difference(network: Segmenter, geometry: Geometry, size: tuple[int, int], core: int) -> float:
    """Return the largest difference between tiled and whole prediction, relative to the largest logit."""
    dtype = next(network.parameters()).dtype
    pixels = np.random.default_rng(3).random((1, *size))
    runtime = TorchRuntime(network)
    whole = Predictor(runtime, network.geometry(), 2, 10_000).logits(pixels, Float(dtype))
    tiled = Predictor(runtime, geometry, 2, core).logits(pixels, Float(dtype))
    return float(np.abs(whole - tiled).max() / np.abs(whole).max())


class Float(Scale):
    """The identity scale in the precision of the network (runs scale to float32)."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(np.ones(1), np.zeros(1))
        object.__setattr__(self, "dtype", np.float64 if dtype == torch.float64 else np.float32)

    def apply(self, pixels: np.ndarray) -> np.ndarray:  # type: ignore[override]
        return pixels.astype(self.dtype)  # type: ignore[attr-defined]


NETWORKS = [
    {"depth": 2, "upsampling": "transposed"},
    {"depth": 2, "upsampling": "bilinear"},
    {"depth": 3, "upsampling": "nearest"},
    {"depth": 2, "normalisation": "none"},
    {"name": "unet2015"},
]


@pytest.mark.parametrize("options", NETWORKS, ids=str)
@settings(max_examples=6)
@given(height=st.integers(1, 200), width=st.integers(1, 200), core=st.integers(8, 100))
def test_tiles_equal_the_whole(options: dict[str, object], height: int, width: int, core: int) -> None:
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        network = positive(build(NetworkOptions(base=2, **options)), dtype)
        assert difference(network, network.geometry(), (height, width), core) < tolerance


@pytest.mark.parametrize(("depth", "upsampling"), [(2, "bilinear"), (3, "nearest"), (3, "bilinear")])
@pytest.mark.parametrize("lost", ["one stride", "half", "all"])
def test_control_a_smaller_halo_changes_logits(depth: int, upsampling: str, lost: str) -> None:
    network = positive(build(NetworkOptions(base=2, depth=depth, upsampling=upsampling)), torch.float64)
    geometry = network.geometry()
    stride = geometry.total_stride
    halo = {"one stride": geometry.halo - stride, "half": geometry.halo // 2 // stride * stride, "all": 0}[lost]
    assert difference(network, replace(geometry, halo=halo), (160, 160), 32) > 1e-9
    assert difference(network, geometry, (160, 160), 32) < 1e-12


@pytest.mark.parametrize("normalisation", ["instance", "group"])
def test_control_whole_image_layers_are_not_exact(normalisation: str) -> None:
    network = positive(build(NetworkOptions(base=8, depth=2, normalisation=normalisation)), torch.float64)
    assert not network.geometry().exact
    assert difference(network, network.geometry(), (160, 160), 64) > 1e-6


def test_valid_networks_use_reflection_padding() -> None:
    network = positive(build(NetworkOptions(name="unet2015", base=2)), torch.float64)
    pixels = np.random.default_rng(0).random((1, 100, 120))
    # 100 -> 100 and 120 -> 132 are the output sizes of the network
    padded = np.pad(pixels, ((0, 0), (92, 92), (92, 104)), mode="reflect")
    expected = network(torch.from_numpy(padded)[None])[0].detach().numpy()[:, :, :120]
    result = Predictor(TorchRuntime(network), network.geometry(), 2, 512).logits(pixels, Float(torch.float64))
    assert np.allclose(result, expected, atol=1e-12)


def test_tta_is_equivariant() -> None:
    network = positive(build(NetworkOptions(base=2, depth=2)), torch.float64)
    predictor = Predictor(TorchRuntime(network), network.geometry(), 2, 512, SYMMETRIES)
    pixels = np.random.default_rng(0).random((1, 32, 32))
    straight = predictor.logits(pixels, Float(torch.float64))
    for symmetry in SYMMETRIES:
        transformed = predictor.logits(symmetry.apply(pixels).copy(), Float(torch.float64))
        assert np.allclose(symmetry.invert(transformed), straight, atol=1e-12)


def test_tiles_grow_within_the_memory_budget() -> None:
    network = build(NetworkOptions(base=2, depth=2))
    geometry = network.geometry()
    budget = MemoryBudget(bytes=10_000_000, image_pixel=2, tile_pixel=10)
    predictor = Predictor(TorchRuntime(network), geometry, 2, 128, memory_budget=budget)
    assert budget.side((1000, 1000)) == 894  # the root of (10 - 2) million bytes by 10
    assert predictor.core_of((100, 128)) == 128, "small images stay one tile"
    assert predictor.core_of((1000, 1000)) == (894 - 2 * geometry.halo) // 256 * 256 == 768
    assert predictor.core_of((2000, 2000)) == 256, "a large image leaves less memory"
    assert predictor.core_of((3000, 3000)) == 128, "not below the setting of the model"
    assert predictor.count((1000, 1000)) == 4
    assert predictor.with_core(128).count((1000, 1000)) == 64, "a fixed size is kept"
    whole_image = replace(geometry, exact=False)
    assert Predictor(TorchRuntime(network), whole_image, 2, 128, memory_budget=budget).core_of((1000, 1000)) == 128


def test_grown_tiles_cover_the_image() -> None:
    network = positive(build(NetworkOptions(base=2, depth=1)), torch.float32)
    pixels = np.random.default_rng(0).random((1, 300, 700))
    runtime, geometry = TorchRuntime(network), network.geometry()
    small = Predictor(runtime, geometry, 2, 64).logits(pixels, PLAIN)
    budget = MemoryBudget(bytes=1_000_000, image_pixel=0, tile_pixel=10)
    grown = Predictor(runtime, geometry, 2, 64, memory_budget=budget)
    assert grown.count((300, 700)) == 6 < Predictor(runtime, geometry, 2, 64).count((300, 700))
    np.testing.assert_allclose(grown.logits(pixels, PLAIN), small, rtol=1e-5, atol=1e-6)


def test_read_mirrored_equals_numpy_reflection() -> None:
    pixels = np.arange(12).reshape(1, 3, 4)
    expected = np.pad(pixels, ((0, 0), (5, 2), (1, 7)), mode="reflect")
    assert np.array_equal(read_mirrored(pixels, ((-5, 5), (-1, 11))), expected)
    assert read_mirrored(pixels, ((0, 2), (1, 3))).base is not None


def test_compute_batches_yields_the_windows_of_each_batch() -> None:
    network = build(NetworkOptions(in_channels=1, classes=2, base=4, depth=1))
    predictor = Predictor(TorchRuntime(network), network.geometry(), 2, 32, batch=4)
    jobs = [Job(InMemoryReader(np.full((1, 16, 16), k, np.float32)), PLAIN) for k in range(6)]
    batches = list(predictor.make_batches(predictor.read_tiles(jobs), first=1))
    result = list(predictor.compute_batches(batches))
    assert [[job for job, _ in parts] for parts in result] == [jobs[:1], jobs[1:5], jobs[5:]]
    one_by_one = list(predictor.compute(batches))
    assert [job for job, _ in one_by_one] == jobs
    for (_, part), (_, expected) in zip(one_by_one, (pair for parts in result for pair in parts), strict=True):
        np.testing.assert_array_equal(part.logits, expected.logits)


def test_the_first_batch_may_be_a_small_one() -> None:
    network = build(NetworkOptions(in_channels=1, classes=2, base=4, depth=1))
    predictor = Predictor(TorchRuntime(network), network.geometry(), 2, 32, batch=4)
    jobs = [Job(InMemoryReader(np.full((1, 16, 16), k, np.float32)), PLAIN) for k in range(10)]
    prepared = list(predictor.read_tiles(jobs))
    assert [len(batch.items) for batch in predictor.make_batches(prepared)] == [4, 4, 2]
    batches = list(predictor.make_batches(prepared, first=1))
    assert [len(batch.items) for batch in batches] == [1, 4, 4, 1]
    assert [int(window.max()) for batch in batches for window in batch.stack] == list(range(10))
    assert all(np.shares_memory(item.window, batch.stack) for batch in batches for item in batch.items)
