"""Inspection of a model on an image: figure and JSON record."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pixelwise.errors import BadImage, BadModel, BadOption, OutputFailed
from pixelwise.explain import crop
from pixelwise.explain.activations import Gating, Stage
from pixelwise.explain.crop import crop_for_masks
from pixelwise.io.read import read_image, write_image
from pixelwise.model_file.model_file import load_model, save_model
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.progress import Progress
from pixelwise.sampling.resize_crop import View
from pixelwise.workflow.inspect import inspect
from pixelwise.workflow.inspection.attribution import AttributionRequest
from pixelwise.workflow.inspection.image import InspectedImage
from pixelwise.workflow.inspection.maps import rows_of
from tiny import make_recipe, write_model


@pytest.fixture
def image(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A bright square of 8 x 8 on noise, 40 rows and 52 columns."""
    pixels = rng.integers(0, 60, (1, 40, 52)).astype(np.uint8)
    pixels[0, 10:18, 20:28] = 250
    write_image(tmp_path / "images" / "square.png", pixels)
    return tmp_path / "images" / "square.png"


def look(tmp_path: Path, image: Path, question: AttributionRequest | None = None, **model_card: Any) -> InspectedImage:
    path = tmp_path / "model.safetensors"
    write_model(path, make_recipe(**model_card))
    out = tmp_path / "seen.png"
    found = inspect(path, image=image, grad_cam=question, out=out, progress=Progress())
    assert isinstance(found, InspectedImage)
    return found


def test_one_picture_and_the_facts(tmp_path: Path, image: Path) -> None:
    before = sorted(image.parent.iterdir())
    found = look(tmp_path, image)
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    stages = {stage["name"]: stage for stage in value["stages"]}
    assert list(stages) == ["encoder 1", "encoder 2", "encoder 3", "skip 2", "decoder 2", "skip 1", "decoder 1"]
    assert (stages["encoder 3"]["channels"], stages["encoder 3"]["size"], stages["encoder 3"]["stride"]) == (
        16,
        [10, 13],
        4,
    )
    for stage in stages.values():
        deviation = np.array(stage["deviation"])
        assert (np.diff(deviation[stage["most_varied"]]) <= 0).all()
        assert stage["dead"] == (deviation == 0).sum()
    assert value["size"] == [40, 52]
    assert sum(value["predicted"].values()) == pytest.approx(1)
    assert [one["stage"] for one in value["grad_cam"]] == ["encoder 3", "decoder 1"]
    assert value["picture"] == str(tmp_path / "seen.png")
    text = found.to_text()
    for word in ("encoder 3", "10 x 13", "decoder 1", str(tmp_path / "seen.png")):
        assert word in text
    picture = read_image(tmp_path / "seen.png").pixels
    assert picture.shape[2] == 1650
    assert sorted(image.parent.iterdir()) == before, "nothing is written beside the user's images"


def test_attributions_for_a_pixel_and_a_class(tmp_path: Path, image: Path) -> None:
    found = look(
        tmp_path, image, AttributionRequest(class_name="road", pixel=(12, 50), stage="decoder 2"), task="multiclass"
    )
    value = found.to_json()
    assert (value["class"], value["pixel"]) == ("road", [12, 50])
    assert "road at row 12, column 50 (probability " in value["caption"]
    assert [one["stage"] for one in value["grad_cam"]] == ["decoder 2"]


def test_the_most_frequent_class_is_the_default(tmp_path: Path, image: Path) -> None:
    value = look(tmp_path, image, task="multiclass").to_json()
    shares = {name: share for name, share in value["predicted"].items() if name != "sky"}
    assert value["class"] == max(shares, key=lambda name: shares[name])
    count = round(value["predicted"][value["class"]] * 40 * 52)
    assert f"{count:,} pixels predicted as this class" in value["caption"]


def test_a_class_that_is_not_predicted_uses_all_pixels(tmp_path: Path, image: Path) -> None:
    model_card = make_recipe()
    network = build(model_card.network)
    with torch.no_grad():
        network.head.layer.bias.copy_(torch.tensor([1e4, 0.0]))  # type: ignore[union-attr,operator]
    save_model(tmp_path / "model.safetensors", network, model_card)
    found = inspect(
        tmp_path / "model.safetensors",
        image=image,
        grad_cam=AttributionRequest(class_name="object"),
        out=tmp_path / "seen.png",
        progress=Progress(),
    )
    assert "object, over all pixels, because it is not predicted" in found.to_json()["caption"]


@pytest.mark.parametrize("name", ["unet2015", "unetplusplus", "attention_unet"])
def test_other_networks_are_drawn_too(tmp_path: Path, image: Path, name: str) -> None:
    found = look(tmp_path, image, name=name)
    assert found.picture.stat().st_size > 20_000
    assert bool(found.gates) == (name == "attention_unet")
    text = found.to_text()
    assert ("Attention gate coefficients" in text) == bool(found.gates)
    for gate in found.gates:
        least, mean, most = (f"{fold(gate.coefficients):.2f}" for fold in (np.min, np.mean, np.max))
        (line,) = (line for line in text.splitlines() if line.split()[-3:] == [least, mean, most])
        assert line.strip().startswith(gate.name)


def test_objects_have_the_classes_of_their_target(tmp_path: Path, image: Path) -> None:
    value = look(tmp_path, image, AttributionRequest(class_name="boundary"), task="instance").to_json()
    assert list(value["predicted"]) == ["background", "interior", "boundary"]


def write_photo_model(path: Path) -> None:
    options = NetworkOptions(name="resnet20", base=4, in_channels=1, classes=3)
    model_card = make_recipe("multiclass")
    network = build(options)
    view = View(side=32, shorter=32)
    model_card = replace(model_card, network=options, geometry=network.geometry(), task="classification", view=view)
    save_model(path, network, model_card)


def test_a_classification_model(tmp_path: Path, image: Path) -> None:
    write_photo_model(tmp_path / "model.safetensors")
    how: dict[str, Any] = {"image": image, "out": tmp_path / "seen.png", "progress": Progress()}
    found = inspect(tmp_path / "model.safetensors", grad_cam=AttributionRequest(class_name="tree"), **how)
    value = found.to_json()
    assert [stage["name"] for stage in value["stages"]] == ["encoder 1", "encoder 2", "encoder 3"]
    assert (value["class"], value["size"]) == ("tree", [32, 32])
    assert sum(value["predicted"].values()) == pytest.approx(1)
    with pytest.raises(BadOption, match=r"no --pixel for a classification model; got --pixel 1,2"):
        inspect(tmp_path / "model.safetensors", grad_cam=AttributionRequest(pixel=(1, 2)), **how)


def test_a_large_image_is_cropped_around_the_pixel(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crop, "MAX_SIDE", 16)
    value = look(tmp_path, image, AttributionRequest(pixel=(39, 51))).to_json()
    assert (value["origin"], value["size"]) == ([24, 36], [16, 16])


def test_attributions_in_the_picture_is_that_of_the_region_alone(tmp_path: Path, image: Path) -> None:
    """Control: the same question about another pixel gives other weights."""
    one, other = (
        look(tmp_path, image, AttributionRequest(class_name="object", pixel=place)) for place in ((12, 22), (35, 45))
    )
    assert not np.array_equal(one.attributions[0].weights, other.attributions[0].weights)
    network, model_card = load_model(tmp_path / "model.safetensors")
    seen = crop_for_masks(network, model_card, read_image(image).pixels)
    assert (one.stages[0].maps.shape[1:], seen.given.shape[1:]) == ((40, 52), (40, 52))


def test_what_cannot_be_answered_is_refused(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(BadOption, match=r"got `objct`. Did you mean `object`\? Known: background, object"):
        look(tmp_path, image, AttributionRequest(class_name="objct"))
    with pytest.raises(BadOption, match=r"a pixel in the image of 40 rows and 52 columns, counted from 0; got 40,0"):
        look(tmp_path, image, AttributionRequest(pixel=(40, 0)))
    with pytest.raises(BadOption, match=r"expected a stage of the network; got `decoder 9`"):
        look(tmp_path, image, AttributionRequest(stage="decoder 9"))
    with pytest.raises(OutputFailed, match=r"expected a path outside the image folder; got one inside it"):
        inspect(path, image=image, out=image.parent / "seen.png", progress=Progress())
    monkeypatch.chdir(image.parent)
    with pytest.raises(OutputFailed, match="Choose another --out"):
        inspect(path, image=image.name, progress=Progress())
    assert len(list(image.parent.iterdir())) == 1
    with pytest.raises(BadImage, match=r"none\.png"):
        inspect(path, image=tmp_path / "none.png", out=tmp_path / "x" / "seen.png", progress=Progress())
    with pytest.raises(BadModel, match=r"a run folder with model\.safetensors"):
        inspect(image.parent, image=image, out=tmp_path / "seen.png", progress=Progress())
    with pytest.raises(BadOption, match="expected a model and an image for Grad-CAM; got no image"):
        inspect(path, grad_cam=AttributionRequest(class_name="object"), progress=Progress())


def test_odd_letters_in_names_are_drawn(tmp_path: Path, image: Path) -> None:
    """A dollar sign is no formula, and letters that the font lacks are no warning (which would fail this test)."""
    odd = image.with_name("a$b$ 细胞.png")
    image.rename(odd)
    assert look(tmp_path, odd).picture.is_file()


def test_stages_are_arranged_as_a_u() -> None:
    def stage(name: str, stride: int) -> Stage:
        return Stage(name, name.split()[0], stride, np.zeros((1, 2, 2), np.float32))  # type: ignore[arg-type]

    first, second, deepest = stage("encoder 1", 1), stage("encoder 2", 2), stage("encoder 3", 4)
    skips, blocks = [stage("skip x0,1", 1), stage("skip x0,2", 1)], [stage("decoder x0,1", 1), stage("decoder x0,2", 1)]
    right, gate = stage("decoder 2", 2), Gating("gate 2", 2, np.zeros((2, 2), np.float32))
    rows = rows_of([first, second, deepest, *skips, right, *blocks], [gate])
    assert [(row.encoder, row.gate, row.skip, row.decoder) for row in rows] == [
        (first, None, skips[0], blocks[0]),
        (None, None, skips[1], blocks[1]),
        (second, gate, None, right),
        (deepest, None, None, None),
    ]
