"""Segmentation of arrays of all usual shapes, and errors for others."""

from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import BadImage, BadModel, BadOption
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from tiny import make_recipe, write_model, write_run


def load(tmp_path: Path, task: str = "binary", channels: int = 1, tile: int | None = None) -> SegmentationModel:
    path = tmp_path / "model.safetensors"
    write_model(path, make_recipe(task, channels))
    return load_model_for_prediction(path, tile=tile)


@pytest.mark.parametrize("shape", [(37, 53), (1, 37, 53), (37, 53, 1)])
def test_the_usual_shapes_of_gray_images(tmp_path: Path, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    image = rng.integers(0, 256, (37, 53)).astype(np.uint8)
    model = load(tmp_path)
    expected = model.predict(image)
    assert expected.shape == (37, 53)
    assert np.array_equal(model.predict(image.reshape(shape)), expected)


def test_colour_in_both_orders_and_gray_for_a_colour_model(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (3, 20, 30)).astype(np.uint8)
    model = load(tmp_path, channels=3)
    assert np.array_equal(model.predict(image), model.predict(np.moveaxis(image, 0, 2)))
    gray = image[0]
    assert np.array_equal(model.predict(gray), model.predict(np.stack([gray] * 3)))


def test_shapes_that_do_not_fit_are_rejected(tmp_path: Path) -> None:
    model = load(tmp_path, channels=3)
    with pytest.raises(
        BadImage, match=r"expected \(height, width\), \(3, height, width\) or .*; got shape \(5, 9, 9\)"
    ):
        model.predict(np.zeros((5, 9, 9), np.uint8))
    with pytest.raises(BadImage, match=r"got shape \(3, 9, 3\), where the first or last axis could be"):
        model.predict(np.zeros((3, 9, 3), np.uint8))
    with pytest.raises(BadImage, match=r"expected 3 channels, as in training; got 5"):
        model.predict_pixels(np.zeros((5, 9, 9), np.uint8))


def test_probabilities_add_up_and_decide_the_mask(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    model = load(tmp_path, "multiclass")
    probabilities = model.probabilities(image)
    assert probabilities.shape == (3, 40, 50)
    assert np.allclose(probabilities.sum(0), 1, atol=2e-3)  # kept in 16 bits
    clear = np.sort(probabilities, axis=0)[-1] - np.sort(probabilities, axis=0)[-2] > 1e-2
    assert np.array_equal(model.predict(image)[clear], probabilities.argmax(0)[clear])


def test_tiles_give_the_mask_of_the_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (150, 130)).astype(np.uint8)
    whole, tiled = load(tmp_path, tile=1000), load(tmp_path, tile=32)
    assert whole.tiles((150, 130)) == 1
    assert tiled.tiles((150, 130)) == 25
    assert (whole.predict(image) != tiled.predict(image)).mean() <= 1e-4


def test_one_pixel_and_constant_images_are_predicted(tmp_path: Path) -> None:
    model = load(tmp_path, "instance")
    assert model.predict(np.array([[7]], np.uint16)).shape == (1, 1)
    assert model.predict(np.full((9, 300), 7.5, np.float32)).shape == (9, 300)


def test_another_intensity_scale_gives_a_warning(tmp_path: Path, rng: np.random.Generator) -> None:
    model = load(tmp_path)
    ones = rng.random((1, 20, 20)).astype(np.float32)
    (warning,) = model.predict_pixels(ones).warnings
    assert "another scale?" in warning
    assert model.predict_pixels((ones * 255).astype(np.uint8)).warnings == ()


def test_folders_and_devices(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert load_model_for_prediction(run.folder).model_card.task == "binary"
    run.model_path.unlink()
    with pytest.raises(BadModel, match=r"got a folder without one\. Use a finished run of `pixelwise train`"):
        load_model_for_prediction(run.folder)
    write_model(run.model_path)
    with pytest.raises(BadOption, match="expected a device of this machine; got `tpu`"):
        load_model_for_prediction(run.folder, device="tpu")
