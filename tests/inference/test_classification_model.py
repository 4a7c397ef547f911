"""Classification of images of any shape, size and type; segmentation and classification models are not mixed up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from pixelwise.errors import BadImage, BadModel
from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.inference.load import open_model
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.model_file.model_file import load_model, save_model
from pixelwise.networks.architectures import build
from pixelwise.sampling.resize_crop import View
from tiny import make_photo_recipe, write_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_model(tmp_path / "model.safetensors", make_photo_recipe())
    return tmp_path / "model.safetensors"


def photo(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape).astype(np.uint8)


def test_probabilities_are_those_of_the_network_itself(path: Path, rng: np.random.Generator) -> None:
    network, model_card = load_model(path)
    pixels = photo(rng, 3, 16, 16)
    mean = torch.tensor(model_card.normalisation.mean)[:, None, None]
    std = torch.tensor(model_card.normalisation.std)[:, None, None]
    with torch.inference_mode():
        expected = functional.softmax(network((torch.from_numpy(pixels).float() - mean)[None] / std), 1)[0].numpy()
    model = load_classification_model(path)
    result = model.probabilities(pixels)
    assert np.allclose(result, expected, atol=1e-5)
    assert result.sum() == pytest.approx(1, abs=1e-5)
    assert model.predict(pixels) == int(expected.argmax())
    assert model.model_card.classes[model.predict(pixels)] in ("disc", "square", "stripes")


def test_arrays_of_every_usual_shape(path: Path, rng: np.random.Generator) -> None:
    model = load_classification_model(path)
    pixels = photo(rng, 3, 16, 16)
    first = model.probabilities(pixels)
    assert np.array_equal(first, model.probabilities(np.moveaxis(pixels, 0, -1)))
    assert np.array_equal(first, model.predict_pixels(pixels))
    gray = photo(rng, 16, 16)
    assert np.allclose(model.probabilities(gray), model.probabilities(np.stack([gray] * 3)))
    deep = pixels.astype(np.uint16) * 257
    assert np.allclose(model.probabilities(deep), first, atol=1e-4)
    assert np.allclose(model.probabilities(pixels.astype(np.float64)), first, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 300), (16, 17), (211, 97)])
def test_any_size(path: Path, rng: np.random.Generator, size: tuple[int, int]) -> None:
    result = load_classification_model(path).probabilities(photo(rng, 3, *size))
    assert result.shape == (3,)
    assert np.isfinite(result).all()


def test_a_batch_gives_the_probabilities_of_single_images(path: Path, rng: np.random.Generator) -> None:
    model = load_classification_model(path)
    photos = [photo(rng, 3, 16 + index, 30 - index) for index in range(5)]
    batched = model.predict_batch([model.look(pixels) for pixels in photos])
    alone = np.stack([model.probabilities(pixels) for pixels in photos])
    assert np.allclose(batched, alone, atol=1e-5)


def test_the_network_input_is_the_centre_crop(tmp_path: Path, rng: np.random.Generator) -> None:
    model_card = replace(make_photo_recipe(), view=View(side=8, shorter=16))
    write_model(tmp_path / "model.safetensors", model_card)
    model = load_classification_model(tmp_path / "model.safetensors")
    pixels = photo(rng, 3, 16, 20)
    other = pixels.copy()
    other[:, :4], other[:, -4:], other[:, :, :6], other[:, :, -6:] = 0, 0, 0, 0
    assert np.array_equal(model.look(pixels), model.look(other))
    assert model.look(pixels).shape == (3, 8, 8)
    other[:, 4, 6] += 100
    assert not np.array_equal(model.look(pixels), model.look(other))


def test_mirrored_is_the_mean_of_both_logits(path: Path, rng: np.random.Generator) -> None:
    plain, mirrored = load_classification_model(path), load_classification_model(path, mirrored=True)
    pixels = photo(rng, 3, 16, 16)
    flipped = np.ascontiguousarray(pixels[:, :, ::-1])
    logs = (np.log(plain.probabilities(pixels)) + np.log(plain.probabilities(flipped))) / 2
    expected = np.exp(logs) / np.exp(logs).sum()
    assert np.allclose(mirrored.probabilities(pixels), expected, atol=1e-5)
    assert np.allclose(mirrored.probabilities(pixels), mirrored.probabilities(flipped), atol=1e-6)


def test_images_that_do_not_fit_are_rejected(path: Path, rng: np.random.Generator) -> None:
    model = load_classification_model(path)
    with pytest.raises(
        BadImage, match=r"expected \(height, width\), \(3, height, width\) or .* got shape \(5, 16, 16\)"
    ):
        model.predict(photo(rng, 5, 16, 16))
    with pytest.raises(BadImage, match="expected one axis of channels"):
        model.predict(photo(rng, 3, 16, 3))
    with pytest.raises(BadImage, match=r"expected 3 channels, as in training; got 2"):
        model.look(photo(rng, 2, 16, 16))
    with pytest.raises(BadImage, match="expected an image with pixels"):
        model.predict(photo(rng, 3, 0, 16))
    (warning,) = model.warnings(photo(rng, 3, 16, 16) / 255)
    assert "another scale?" in warning
    assert model.warnings(photo(rng, 3, 16, 16)) == ()
    assert model.warnings(photo(rng, 3, 16, 16).astype(np.uint16) * 257) == ()


def test_each_loader_rejects_the_other_task(path: Path, tmp_path: Path) -> None:
    assert isinstance(open_model(path), ClassificationModel)
    with pytest.raises(BadModel, match="expected a segmentation model; got a classification model"):
        load_model_for_prediction(path)
    write_model(tmp_path / "masks.safetensors")
    assert open_model(tmp_path / "masks.safetensors").model_card.task == "binary"
    with pytest.raises(BadModel, match="expected a classification model; got one of the task binary"):
        load_classification_model(tmp_path / "masks.safetensors")
    with pytest.raises(BadModel, match="Use a finished run of `pixelwise train`"):
        open_model(tmp_path.parent)


def test_the_file_is_checked_against_its_task(tmp_path: Path) -> None:
    model_card = make_photo_recipe()
    for spoiled in (replace(model_card, view=None), replace(model_card, task="binary")):
        path = tmp_path / "spoiled.safetensors"
        save_model(path, build(model_card.network), spoiled)
        with pytest.raises(BadModel, match=r"a network resnet20 for the task|invalid or contradictory"):
            load_model(path)
