"""Import of a classifier as a run folder; missing information is required."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_peer import make_peer
from pixelwise.errors import BadOption, BadRun, BadWeights, OutputFailed, PixelwiseError
from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.model_file.model_file import read_model_card
from pixelwise.networks.weights import read_weights
from pixelwise.progress import Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.import_weights import ImportResult, import_weights
from pixelwise.workflow.report import report
from pixelwise.workflow.train import train

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
CLASSES = ("cat", "dog", "emu")
WORDS = ("network=resnet20", "network.shortcut_padding=both", "network.base=4")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint as akamaster/pytorch_resnet_cifar10 writes them, of a narrow network."""
    tensors = make_peer(both_sides=True, base=4, classes=3).state_dict()
    path = tmp_path / "r20.th"
    torch.save({"state_dict": {f"module.{name}": value for name, value in tensors.items()}, "best_prec1": 91.7}, path)
    return path


def bring(weights: Path, words: tuple[str, ...] = WORDS, **more: object) -> ImportResult:
    known = {"classes": CLASSES, "mean": MEAN, "std": STD, "out": weights.parent / "run"}
    return import_weights(weights, overrides=words, progress=Progress(), **{**known, **more})  # type: ignore[arg-type]


def test_probabilities_equal_those_of_the_original_network(weights: Path) -> None:
    found = bring(weights, licence="CC0")
    assert (found.path, found.origin.shortcut_padding) == (weights.parent / "run", "both")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    scaled = (torch.tensor(pixels) / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        expected = make_peer(both_sides=True, base=4, classes=3)(scaled[None]).softmax(1)[0].numpy()
    model = load_classification_model(found.path)
    assert isinstance(model, ClassificationModel)
    np.testing.assert_allclose(model.probabilities(pixels), expected, atol=1e-5)
    model_card = read_model_card(found.path / "model.safetensors")
    assert (model_card.classes, model_card.network.shortcut_padding) == (CLASSES, "both")
    assert model_card.trained["encoder_weights_licence"] == "CC0"
    # control: with the other convention, the same file gives other results
    other = bring(weights, (*WORDS, "network.shortcut_padding=end"), out=weights.parent / "other")
    assert np.abs(load_classification_model(other.path).probabilities(pixels) - expected).max() > 0.01


def test_other_verbs_take_the_run(weights: Path, tmp_path: Path) -> None:
    drawn = np.random.default_rng(1)
    for name in CLASSES:
        for number in range(3):
            path = tmp_path / "photos" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    run = bring(weights).path
    scores = evaluate(run, tmp_path / "photos", progress=Progress())
    assert (scores["split"], len(scores["cases"])) == ("val", 9)
    assert "r20.th" in report(run, progress=Progress()).read_text("utf-8")
    with pytest.raises(BadRun, match="the original train cases of the run"):  # nothing is learned over the weights
        train(tmp_path / "photos", out=run, resume=True, progress=Progress())


@pytest.mark.parametrize(
    ("words", "more", "error", "got"),
    [
        (WORDS[:1] + WORDS[2:], {}, BadWeights, "no tensor shows it"),
        (WORDS[1:], {}, BadOption, "network= with a classification network; got none"),
        (("network=resnet21",), {}, BadOption, "got `resnet21`"),
        (("network=unet",), {}, BadOption, "got `unet`"),
        (WORDS, {"mean": (), "std": ()}, BadOption, "--mean and --std"),
        (WORDS, {"classes": CLASSES[:2]}, BadWeights, r"head\.linear\.weight"),
        (WORDS, {"mean": (0.5,), "std": (0.2,)}, BadWeights, r"encoder\.conv1\.weight"),
        ((*WORDS, "network.shortcut_padding=left"), {}, BadOption, "got `left`"),
        (("network=resnet32", *WORDS[1:]), {}, BadWeights, "missing"),
    ],
)
def test_missing_information_is_required(
    weights: Path, words: tuple[str, ...], more: dict[str, object], error: type[PixelwiseError], got: str
) -> None:
    with pytest.raises(error, match=got):
        bring(weights, words, **more)
    assert not (weights.parent / "run").exists()


def test_the_message_names_the_setting(weights: Path) -> None:
    with pytest.raises(BadWeights) as caught:
        bring(weights, WORDS[:1] + WORDS[2:])
    assert "network.shortcut_padding=both" in caught.value.hint


def test_a_folder_that_is_taken_is_left_alone(weights: Path) -> None:
    bring(weights)
    with pytest.raises(OutputFailed):
        bring(weights)


def test_a_scale_of_the_images_own_needs_no_mean(weights: Path) -> None:
    found = bring(weights, (*WORDS, "normalisation.kind=image"), mean=(), std=())
    assert read_model_card(found.path / "model.safetensors").normalisation.kind == "image"


class Listener(Progress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


@pytest.mark.parametrize("padding", ["", "both", "end"])
def test_the_shortcut_padding_is_stored_in_the_header(weights: Path, padding: str) -> None:
    listener, words = Listener(), (f"network.shortcut_padding={padding}",) if padding else ()
    import_weights(weights, out=weights.parent / "w.safetensors", overrides=words, progress=listener)
    assert read_weights(weights.parent / "w.safetensors")[1].shortcut_padding == padding
    assert any("network.shortcut_padding" in sentence for sentence in listener.messages)


def test_weights_alone_have_no_place_for_other_settings(weights: Path) -> None:
    with pytest.raises(BadOption, match=r"got `network\.name`"):
        import_weights(weights, out=weights.parent / "w.safetensors", overrides=WORDS, progress=Progress())
