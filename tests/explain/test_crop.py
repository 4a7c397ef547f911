"""Crops for inspection: normalisation, size and position."""

import numpy as np
import pytest

from pixelwise.errors import BadOption
from pixelwise.explain import crop
from pixelwise.explain.crop import crop_for_class, crop_for_masks, largest_side
from pixelwise.explain.grad_cam import GradCam
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.networks.architectures import build
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.resize_crop import View
from tiny import make_recipe


@pytest.mark.parametrize("name", ["unet", "unet2015"])
def test_logits_of_the_crop_equal_the_prediction(name: str, rng: np.random.Generator) -> None:
    model_card = make_recipe(name=name)
    network = build(model_card.network).eval()
    pixels = rng.integers(0, 256, (1, 41, 30)).astype(np.uint8)
    result = crop_for_masks(network, model_card, pixels)
    insight = GradCam(network, result.given)
    assert np.array_equal(result.shown, pixels)
    actual = insight.logits[:, *result.keep]
    assert actual.shape == (2, 41, 30)
    model = SegmentationModel(model_card, Predictor(TorchRuntime(network), model_card.geometry, 2, 64))
    assert np.array_equal(actual.argmax(0), model.predict(pixels))
    # the offset gives the position of the image
    margin = network.geometry().margin
    assert result.offset == (-margin, -margin)
    inside = result.given[0, margin : margin + 41, margin : margin + 30]
    assert inside == pytest.approx((pixels[0] - pixels.mean()) / pixels.std(), abs=1e-5)


def test_a_crop_of_a_large_image_has_the_scale_of_the_whole_image(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop, "MAX_SIDE", 64)
    model_card = make_recipe()
    network = build(model_card.network)
    pixels = rng.integers(0, 256, (1, 50, 301)).astype(np.uint8)
    pixels[:, :, :20] = 255
    result = crop_for_masks(network, model_card, pixels)
    assert result.origin == (0, 116)  # (150 - 32) on the grid of 4
    assert np.array_equal(result.shown, pixels[:, :, 116:180])
    assert result.given[0, :50] == pytest.approx((result.shown[0] - pixels.mean()) / pixels.std(), abs=1e-5)
    for column, start in ((0, 0), (40, 8), (300, 240)):
        result = crop_for_masks(network, model_card, pixels, (49, column))
        assert result.origin == (0, start)
        assert start <= column < start + result.shown.shape[2], "the last crop reaches the border"


@pytest.mark.parametrize("pixel", [(50, 0), (0, 301), (-1, 0)])
def test_a_pixel_outside_the_image_is_an_error(pixel: tuple[int, int]) -> None:
    model_card = make_recipe()
    message = rf"a pixel in the image of 50 rows and 301 columns, counted from 0; got {pixel[0]},{pixel[1]}"
    with pytest.raises(BadOption, match=message):
        crop_for_masks(build(model_card.network), model_card, np.zeros((1, 50, 301), np.uint8), pixel)


def test_wide_networks_have_smaller_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(make_recipe().network)
    assert largest_side(network) == 1024
    values = sum(layer.values for layer in network.layers(256))
    monkeypatch.setattr(crop, "MAX_VALUES", values)
    assert largest_side(network) == 256
    monkeypatch.setattr(crop, "MAX_VALUES", values - 1)
    assert largest_side(network) == 128


def test_the_crop_for_classification_is_the_centre(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (1, 12, 20)).astype(np.uint8)
    result = crop_for_class(make_recipe(), View(side=8, shorter=12), pixels)
    assert np.array_equal(result.shown, pixels[:, 2:10, 6:14])
    assert result.given[0] == pytest.approx((result.shown[0] - pixels.mean()) / pixels.std(), abs=1e-5)


def test_a_crop_of_a_volume_gives_the_prediction_of_the_volume(rng: np.random.Generator) -> None:
    model_card = make_recipe(dimensions=3, depth=1)
    network = build(model_card.network).eval()
    pixels = rng.integers(0, 256, (1, 9, 21, 14)).astype(np.uint8)
    result = crop_for_masks(network, model_card, pixels, (4, 20, 3))
    actual = GradCam(network, result.given).logits[:, *result.keep]
    model = SegmentationModel(model_card, Predictor(TorchRuntime(network), model_card.geometry, 2, 64))
    assert np.array_equal(actual.argmax(0), model.predict(pixels))
    with pytest.raises(BadOption, match=r"in the image of 9 x 21 x 14 voxels, counted from 0; got 4,21,3"):
        crop_for_masks(network, model_card, pixels, (4, 21, 3))
