"""The plugin for napari, against napari's own manifest library."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from bright import drawn_image, write_bright_model
from pixelwise.datasets.dataset import load_dataset
from pixelwise.errors import BadDataset, BadImage
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.napari_plugin import commands
from pixelwise.napari_plugin.commands import channels_first, learn, predict, write_marks
from pixelwise.server.marks.raster import IGNORE

MANIFEST = Path(commands.__file__).with_name("napari.yaml")


def test_the_manifest_names_functions_that_exist() -> None:
    contributions = yaml.safe_load(MANIFEST.read_text("utf-8"))["contributions"]
    found = {one["id"]: one["python_name"] for one in contributions["commands"]}
    for name in found.values():
        module, _, function = name.partition(":")
        assert module == commands.__name__
        assert callable(getattr(commands, function))
    assert {widget["command"] for widget in contributions["widgets"]} == set(found)


def test_napari_accepts_the_manifest() -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed: its pytest plugin would load into every test")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    assert {one.id for one in manifest.contributions.commands} == {"pixelwise.predict", "pixelwise.learn"}
    assert all(widget.autogenerate for widget in manifest.contributions.widgets)


def test_a_mask_is_that_of_the_model(tmp_path: Path) -> None:
    write_bright_model(tmp_path / "m.safetensors")
    image = drawn_image(2)
    expected = load_model_for_prediction(tmp_path / "m.safetensors").predict_pixels(image).labels
    found = predict(image[0], tmp_path / "m.safetensors")
    assert np.array_equal(found, expected)
    assert found.max() > 0


@pytest.mark.parametrize("shape", [(4, 5, 6), (2, 3, 4, 5), (7,)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises((BadImage, TypeError)):
        channels_first(np.zeros(shape))


def painted(side: int = 96) -> np.ndarray:
    """Four strokes of the background and four of objects."""
    marks = np.zeros((side, side), int)
    for number in range(4):
        marks[5:8, 10 + 20 * number : 20 + 20 * number] = 1
        marks[40:43, 10 + 20 * number : 20 + 20 * number] = 2
    return marks


def test_marks_are_a_data_set_with_some_held_out(tmp_path: Path) -> None:
    marks = painted()
    assert write_marks(drawn_image(0), marks, tmp_path / "set")
    dataset = load_dataset(tmp_path / "set", task="binary", ignore_index=IGNORE, allow_duplicates=True)
    masks = {case.split: np.asarray(dataset.read(case).labels) for case in dataset.cases}
    known = {split: mask != IGNORE for split, mask in masks.items()}
    assert not (known["train"] & known["val"]).any()
    assert np.array_equal(known["train"] | known["val"], marks > 0)
    assert all(np.array_equal(mask[known[split]], marks[known[split]] - 1) for split, mask in masks.items())


@pytest.mark.parametrize("values", [(1,), (2,), (1, 3)])
def test_too_few_classes(values: tuple[int, ...], tmp_path: Path) -> None:
    marks = np.zeros((96, 96), int)
    for value in values:
        marks[value] = value
    with pytest.raises(BadDataset, match="painted classes"):
        write_marks(drawn_image(0), marks, tmp_path / "set")


def test_few_strokes_are_all_learned(tmp_path: Path) -> None:
    marks = np.where(np.arange(96)[:, None] < 3, 1, np.where(np.arange(96)[:, None] > 92, 2, 0)) * np.ones(96, int)
    assert not write_marks(drawn_image(0), marks, tmp_path / "set")


@pytest.mark.slow
def test_painted_labels_are_learned(tmp_path: Path) -> None:
    image = drawn_image(0)
    marks = np.where(image[0] > 120, 2, np.where(image[0] < 60, 1, 0))
    marks[::3] = 0
    found = learn(image[0], marks, tmp_path / "run", minutes=0.3)
    assert found.shape == image[0].shape
    assert (tmp_path / "run" / "model.safetensors").is_file()
