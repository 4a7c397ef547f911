"""Volumes: tiles and cuts equal the whole, but not with a smaller halo; flips, tile shapes, the Python interface."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from inference.test_predictor import Float, positive
from inference.test_staged import Planned, plan_of
from pixelwise.errors import BadImage, BadOption
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import VOLUME_FLIPS, tta_symmetries
from pixelwise.inference.cut_plan import MIN_VOLUME_MEMORY
from pixelwise.inference.memory import MemoryBudget
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.models import Segmenter
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import intensity_scale
from pixelwise.sampling.resample import resample_image, resample_logits
from tiny import make_recipe, write_model

NETWORKS: list[dict[str, Any]] = [
    {"depth": 1, "upsampling": "transposed"},
    {"depth": 1, "upsampling": "bilinear"},
    {"depth": 2, "upsampling": "nearest", "normalisation": "none"},
    {"name": "unet2015"},
    {"name": "vnet", "depth": 1},
    {"depth": 2, "strides": ((1, 2, 2), (2, 2, 2)), "kernels": ((1, 3, 3), (3, 3, 3), (3, 3, 3))},
]
sides = st.integers(1, 40)


@cache
def network_of(dtype: torch.dtype = torch.float64, **options: Any) -> tuple[Segmenter, TorchRuntime]:
    shared = {"in_channels": 1, "classes": 2, "base": 2, "dimensions": 3}
    network = positive(build(NetworkOptions(**{**shared, **options})), dtype)
    return network, TorchRuntime(network)


def difference(options: dict[str, Any], geometry: Geometry | None, size: tuple[int, ...], core: Any) -> float:
    """Return the largest difference between tiled and whole prediction, relative to the largest logit."""
    network, runtime = network_of(**options)
    pixels = np.random.default_rng(3).random((1, *size))
    whole = Predictor(runtime, network.geometry(), 2, 10_000).logits(pixels, Float(torch.float64))
    tiled = Predictor(runtime, geometry or network.geometry(), 2, core).logits(pixels, Float(torch.float64))
    assert whole.shape == (2, *size)
    return float(np.abs(whole - tiled).max() / np.abs(whole).max())


@pytest.mark.parametrize("options", NETWORKS[:3], ids=str)
@settings(max_examples=5, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@given(size=st.tuples(sides, sides, sides), core=st.tuples(*(st.integers(4, 24),) * 3))
def test_tiles_equal_the_whole(options: dict[str, Any], size: tuple[int, ...], core: tuple[int, ...]) -> None:
    assert difference(options, None, size, core) < 1e-12


def test_tiles_of_v_net_equal_the_whole() -> None:
    assert difference(NETWORKS[4], None, (21, 18, 40), (8, 40, 16)) < 1e-12


def test_tiles_of_a_network_with_strides_of_each_axis_equal_the_whole_but_not_with_a_smaller_halo() -> None:
    geometry = network_of(**NETWORKS[5])[0].geometry()
    first, *others = geometry.axes
    assert first.halo < others[0].halo
    assert difference(NETWORKS[5], None, (50, 40, 61), (6, 16, 20)) < 1e-12
    short = replace(first, halo=first.halo - first.total_stride)
    assert difference(NETWORKS[5], replace(geometry, axes=(short, *others)), (64, 12, 12), 8) > 1e-9


CONTEXT: dict[str, Any] = {
    "depth": 2,
    "context": 2,
    "strides": ((1, 2, 2),) * 2,
    "kernels": ((1, 3, 3),) * 3,
}


def test_slices_with_a_context_equal_the_whole_but_not_with_a_smaller_one() -> None:
    geometry = network_of(**CONTEXT)[0].geometry()
    first, *others = geometry.axes
    assert (first.margin, first.halo, others[0].margin) == (2, 0, 0)
    assert difference(CONTEXT, None, (23, 40, 61), (3, 16, 20)) < 1e-12
    short = replace(others[0], halo=others[0].halo - others[0].total_stride)
    assert difference(CONTEXT, replace(geometry, axes=(first, short, others[1])), (9, 64, 12), 8) > 1e-9
    shifted = replace(first, margin=first.margin + 1, legal_first=first.legal_first + 2)
    # the network removes its own border, no other
    assert difference(CONTEXT, replace(geometry, axes=(shifted, *others)), (23, 12, 12), 4) > 1e-9


@pytest.mark.parametrize("context", [0, 1])
def test_a_slice_depends_on_its_context_alone(context: int) -> None:
    network, runtime = network_of(**(CONTEXT | {"context": context}))
    predictor = Predictor(runtime, network.geometry(), 2, 8)
    pixels = np.random.default_rng(0).random((1, 12, 20, 16))
    before = predictor.logits(pixels, Float(torch.float64))
    pixels[:, 6] += 1.0
    changed = np.abs(predictor.logits(pixels, Float(torch.float64)) - before).max((0, 2, 3)) > 1e-9
    assert np.flatnonzero(changed).tolist() == list(range(6 - context, 7 + context))


def test_the_first_slice_has_reflected_neighbours() -> None:
    network, runtime = network_of(**(CONTEXT | {"context": 1}))
    pixels = np.random.default_rng(0).random((1, 4, 12, 8))
    padded = torch.from_numpy(np.pad(pixels, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="reflect"))[None]
    with torch.inference_mode():
        expected = network(padded)[0].numpy()
    found = Predictor(runtime, network.geometry(), 2, 512).logits(pixels, Float(torch.float64))
    assert np.allclose(found, expected, atol=1e-12)


def test_valid_networks_use_reflection_padding() -> None:
    network, runtime = network_of(name="unet2015", base=1)
    margin = network.geometry().margin
    pixels = np.random.default_rng(0).random((1, 4, 5, 4))
    # 4 and 20 are output sizes of the network
    padded = np.pad(pixels, ((0, 0), (margin, margin), (margin, margin + 15), (margin, margin)), mode="reflect")
    expected = network(torch.from_numpy(padded)[None])[0].detach().numpy()[:, :, :5]
    result = Predictor(runtime, network.geometry(), 2, 512).logits(pixels, Float(torch.float64))
    assert np.allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("options", NETWORKS[1:3], ids=str)
def test_control_a_smaller_halo_along_any_axis_changes_logits(options: dict[str, Any], axis: int) -> None:
    geometry = network_of(**options)[0].geometry()
    short = replace(geometry, halo=geometry.halo - geometry.total_stride)
    axes = tuple(short if index == axis else geometry for index in range(3))
    size, core = tuple(64 if index == axis else 12 for index in range(3)), 16
    assert difference(options, replace(geometry, axes=axes), size, core) > 1e-9
    assert difference(options, replace(geometry, axes=(geometry,) * 3), size, core) < 1e-12


@pytest.mark.parametrize("lost", [-1, 0, 2])
def test_a_cut_network_equals_the_whole_but_not_with_a_smaller_halo(lost: int) -> None:
    network, runtime = network_of(depth=3)
    pixels = np.random.default_rng(3).random((1, 72, 17, 20))
    whole = Predictor(runtime, network.geometry(), 2, 10_000).logits(pixels, Float(torch.float64))
    predictor = Planned(runtime, network.geometry(), 2, 10_000)
    predictor.given = plan_of(runtime, (1, 2), 72, 16, lost)
    cut = predictor.logits(pixels, Float(torch.float64))
    found = float(np.abs(whole - cut).max() / np.abs(whole).max())
    assert found < 1e-12 if lost < 0 else found > 1e-11


def test_a_deep_network_is_cut_within_the_memory() -> None:
    network, runtime = network_of(torch.float32, depth=4)
    budget = MemoryBudget(bytes=2**26, image_pixel=8, tile_pixel=32 * 16)
    predictor = Predictor(runtime, network.geometry(), 2, 32, memory_budget=budget)
    plan = predictor.plan((192, 192, 192))
    assert plan is not None, "the halo is half of the volume: tiles of the whole network do not fit"
    assert plan.bytes <= MIN_VOLUME_MEMORY
    assert predictor.count((192, 192, 192)) == len(predictor.windows((192, 192, 192)))
    assert predictor.plan((30, 30, 30)) is None, "small volumes are one tile"


def test_flips_over_all_axes_are_equivariant() -> None:
    network, runtime = network_of(depth=1)
    predictor = Predictor(runtime, network.geometry(), 2, 512, tta_symmetries(8, dimensions=3))
    pixels = np.random.default_rng(0).random((1, 8, 6, 10))
    straight = predictor.logits(pixels, Float(torch.float64))
    for flip in VOLUME_FLIPS:
        flipped = predictor.logits(np.ascontiguousarray(flip.apply(pixels)), Float(torch.float64))
        assert np.allclose(flip.invert(flipped), straight, atol=1e-12)
    plain = Predictor(runtime, network.geometry(), 2, 512).logits(pixels, Float(torch.float64))
    assert not np.allclose(plain, straight), "control: the network is not symmetric"


def test_the_flips_of_a_volume_are_eight_different_ones() -> None:
    pixels = np.arange(24).reshape(2, 3, 4)
    for flip in VOLUME_FLIPS:
        assert np.array_equal(flip.invert(flip.apply(pixels)), pixels)
        assert flip.apply(pixels).shape == pixels.shape
    assert len({flip.apply(pixels).tobytes() for flip in VOLUME_FLIPS}) == 8
    assert [len(tta_symmetries(count, dimensions=3)) for count in (1, 4, 7, 8)] == [1, 4, 7, 8]
    with pytest.raises(BadOption, match="tta of 1, 4, 7 or 8"):
        tta_symmetries(16, dimensions=3)


def test_blending_leaves_no_seams_between_tiles() -> None:
    geometry = network_of(torch.float32, depth=1, normalisation="instance")[0].geometry()
    assert not geometry.exact

    def stretched(tiles: np.ndarray) -> np.ndarray:
        """Return two classes: ones, and each tile scaled by its own mean."""
        own = tiles / tiles.mean(axis=(2, 3, 4), keepdims=True)
        return np.concatenate([np.ones_like(tiles), own], axis=1)

    ramp = np.broadcast_to(np.arange(1.0, 81.0)[:, None, None], (80, 20, 33))[None]
    blended = Predictor(stretched, geometry, 2, 16)
    assert blended.overlap((80, 20, 33)) == (2, 2, 2)
    pasted = Predictor(stretched, replace(geometry, exact=True, halo=0), 2, 16)
    smooth, seamed = (p.logits(ramp, Float(torch.float64)) for p in (blended, pasted))
    assert np.allclose(smooth[0], 1), "weights add up to 1"
    steps = [np.abs(np.diff(logits[1], axis=0)).max() for logits in (smooth, seamed)]
    assert steps[0] < 0.6 * steps[1]


def load(tmp_path: Path, task: str = "binary", *, spacing: Any = None, channels: int = 1) -> SegmentationModel:
    path = tmp_path / "model.safetensors"
    write_model(path, replace(make_recipe(task, channels, dimensions=3, depth=1), spacing=spacing))
    return load_model_for_prediction(path)


@pytest.mark.parametrize("shape", [(7, 20, 18), (1, 7, 20, 18), (7, 20, 18, 1)])
def test_the_usual_shapes_of_volumes(tmp_path: Path, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    volume = rng.integers(0, 256, (7, 20, 18)).astype(np.uint8)
    model = load(tmp_path)
    expected = model.predict(volume)
    assert expected.shape == (7, 20, 18)
    assert np.array_equal(model.predict(volume.reshape(shape)), expected)
    probabilities = model.probabilities(volume)
    assert np.array_equal(probabilities.argmax(0), expected) or probabilities.shape == (2, 7, 20, 18)


def test_two_channels_come_last_or_first(tmp_path: Path, rng: np.random.Generator) -> None:
    volume = rng.integers(0, 256, (2, 7, 20, 18)).astype(np.uint8)
    model = load(tmp_path, channels=2)
    assert np.array_equal(model.predict(volume), model.predict(np.moveaxis(volume, 0, -1)))
    with pytest.raises(BadImage, match=r"expected \(depth, height, width\), \(2, depth, height, width\) or"):
        model.predict(np.zeros((5, 7, 8, 9), np.uint8))


def test_images_and_volumes_need_models_of_their_kind(tmp_path: Path) -> None:
    volumes = load(tmp_path)
    with pytest.raises(BadImage, match=r"expected a volume .*; got an image of shape \(20, 18\)"):
        volumes.predict(np.zeros((20, 18), np.uint8))
    with pytest.raises(BadImage, match=r"expected a volume .*; got an image of shape \(1, 20, 18\)"):
        volumes.predict_pixels(np.zeros((1, 20, 18), np.uint8))
    write_model(tmp_path / "images.safetensors", make_recipe())
    images = load_model_for_prediction(tmp_path / "images.safetensors")
    for call in (images.predict, images.predict_pixels):
        with pytest.raises(BadImage, match=r"expected an image .*; got a volume of shape \(1, 5, 20, 18\)"):
            call(np.zeros((1, 5, 20, 18), np.uint8))
    with pytest.raises(BadImage, match="a volume needs a model that was trained on volumes"):
        images.predict(np.zeros((5, 20, 18), np.uint8))
    with pytest.raises(BadOption, match="no spacing for a model of images"):
        images.predict(np.zeros((20, 18), np.uint8), spacing=(1.0, 1.0))


@pytest.mark.parametrize("task", ["binary", "multiclass", "instance"])
def test_a_volume_of_another_spacing_is_resampled_to_that_of_the_model_and_back(
    tmp_path: Path, rng: np.random.Generator, task: str
) -> None:
    smooth = resample_image(rng.random((1, 4, 5, 6)) * 255, (10, 24, 30))
    model = load(tmp_path, task, spacing=(2.0, 1.0, 1.0))
    same = model.predict(smooth, spacing=(2.0, 1.0, 1.0))
    assert np.array_equal(model.predict_pixels(smooth, spacing=(2.0004, 1.0, 1.0)).labels, same), "equal to rounding"
    finer = resample_image(smooth, (10, 48, 60))
    result = model.predict(finer, spacing=(2.0, 0.5, 0.5))
    assert result.shape == (10, 48, 60)
    if task != "instance":
        coarse = resample_image(finer, (10, 24, 30))
        logits = model.predictor.logits(coarse, intensity_scale(coarse, model.model_card.normalisation))
        assert np.array_equal(result, resample_logits(logits, (10, 48, 60)).argmax(0))
        ignored = model.predict(finer, spacing=(2.0, 1.0, 1.0))
        assert (result == ignored).mean() < 0.999, "control: the spacing matters"


def test_a_missing_or_impossible_spacing_is_refused(tmp_path: Path) -> None:
    model, volume = load(tmp_path, spacing=(1.0, 1.0, 1.0)), np.zeros((6, 8, 8), np.uint8)
    with pytest.raises(BadOption, match=r"expected the spacing of the volume .*; got none"):
        model.predict(volume)
    for spacing in ((1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0)):
        with pytest.raises(BadOption, match="a spacing of 3 positive numbers"):
            model.predict(volume, spacing=spacing)
    with pytest.raises(BadImage, match="near the spacing of the model"):
        model.predict(volume, spacing=(1000.0, 1000.0, 1000.0))
    assert any("The spacing is unknown" in text for text in model.predict_pixels(volume[None]).warnings)


@pytest.mark.parametrize(("dimensions", "size"), [(3, (1, 16, 12)), (2, (16, 1))], ids=["slice", "column"])
def test_flips_of_an_axis_with_one_sample(tmp_path: Path, dimensions: int, size: tuple[int, ...]) -> None:
    """NumPy keeps the negative stride of such an axis, which PyTorch refuses."""
    strides = {"strides": ((1, 2, 2), (1, 2, 2))} if dimensions == 3 else {}
    write_model(tmp_path / "m.safetensors", make_recipe(dimensions=dimensions, **strides))
    pixels = np.random.default_rng(0).normal(size=size).astype(np.float32)
    masks = [
        load_model_for_prediction(tmp_path / "m.safetensors", tta=tta, runtime="torch").predict(pixels)
        for tta in (1, 8)
    ]
    assert masks[0].shape == masks[1].shape == size
