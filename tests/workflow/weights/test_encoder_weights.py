"""Pretrained encoder weights: loading, normalisation and provenance."""

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadModel, BadOption, BadRun, BadWeights, Interrupted
from pixelwise.model_file.model_file import load_model, read_model_card, save_model
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.networks.options import ShortcutPadding
from pixelwise.networks.published import LICENCE, PRETRAINED
from pixelwise.networks.weight_names import published_names
from pixelwise.networks.weights import ORIGIN, Provenance
from pixelwise.progress import Progress
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.sampling.resize_crop import View
from pixelwise.training.checkpoint import newest_checkpoint
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.fit import loop as training
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings
from pixelwise.workflow.train import train
from pixelwise.workflow.weights.encoder_weights import apply_weights, check_weights_early, find_start
from pixelwise.workflow.weights.scale import find_scale
from served import Served, serve
from tiny import make_recipe

SMALL = (
    "network=unet", "encoder=resnet18", "network.base=4", "patches.height=64", "patches.width=64", "patches.batch=2",
    "training.precision=float32", "training.validate_every=2", "training.optimiser=adamw", "freeze=100%",
)  # fmt: skip
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "cells"
    write_demo(folder, train=4, val=2, test=1, size=64)
    return folder


def classifier() -> nn.Module:
    """A ResNet-18 with random weights and statistics."""
    torch.manual_seed(5)
    network = build(NetworkOptions(name="resnet18", in_channels=3, classes=7))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    return published_names(classifier())


@pytest.fixture
def server(published: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Publishes our ResNet-18 in the place of torchvision's, as a .pth file."""
    buffer = io.BytesIO()
    torch.save(published, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    name = f"resnet18-{digest[:8]}.pth"
    with serve({f"/{name}": buffer.getvalue()}) as served:
        entry = replace(PRETRAINED["imagenet"]["resnet18"], url=f"{served.root}/{name}", sha256=digest)
        monkeypatch.setitem(PRETRAINED["imagenet"], "resnet18", entry)
        yield served


class Listener(Progress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


def learn(data: Path, out: Path, *more: str, progress: Progress | None = None, **limits: object) -> Run:
    limits = limits or {"steps": 2}
    return train(data, out=out, overrides=(*SMALL, *more), progress=progress or Progress(), **limits)


def holds(run: Run, tensors: dict[str, Tensor]) -> bool:
    """Whether the run's encoder, which stayed frozen, is the published one with the first kernel summed."""
    found = load_model(run.model_path)[0].state_dict()
    expected = dict(tensors, **{"conv1.weight": tensors["conv1.weight"].sum(1, keepdim=True)})
    return all(torch.equal(found[f"encoder.{n}"], value) for n, value in expected.items() if not n.startswith("fc."))


def test_published_weights_from_the_server_to_the_model_file(
    server: Served, data: Path, tmp_path: Path, published: dict[str, Tensor]
) -> None:
    listener = Listener()
    run = learn(data, tmp_path / "run", "encoder_weights=imagenet", progress=listener)
    entry = PRETRAINED["imagenet"]["resnet18"]
    assert holds(run, published)
    # gray: the mean of red, green and blue, in values of 8-bit files
    model_card = read_model_card(run.model_path)
    assert model_card.normalisation.kind == "dataset"
    assert model_card.normalisation.mean == pytest.approx((255 * sum(IMAGENET["mean"]) / 3,), rel=1e-5)
    assert model_card.normalisation.std == pytest.approx((255 * sum(IMAGENET["std"]) / 3,), rel=1e-5)
    assert model_card.trained["encoder_weights"] == "torchvision resnet18, IMAGENET1K_V1"
    assert model_card.trained["encoder_weights_licence"] == LICENCE
    assert model_card.trained["encoder_weights_sha256"] == entry.sha256
    whence = f"torchvision resnet18, IMAGENET1K_V1, SHA-256 {entry.sha256}"
    assert f"The encoder is initialised from {whence}." in listener.messages
    assert f"Licence of these weights: {LICENCE}." in listener.messages
    reasons = run.config.reasons
    assert reasons["transfer.encoder_weights"] == f"The encoder is initialised from {whence}. Licence: {LICENCE}."
    assert reasons["transfer.first_convolution"] == "sum: from the 3 channels of the weights to 1."
    assert "0 to 255 is scaled to 0 to 1, minus 0.449, divided by 0.226" in reasons["normalisation.kind"]
    again = learn(data, tmp_path / "again", "encoder_weights=imagenet")
    assert holds(again, published)
    assert len(server.asked) == 1


def test_without_encoder_weights_the_encoder_is_random_and_nothing_is_downloaded(
    server: Served, data: Path, tmp_path: Path, published: dict[str, Tensor]
) -> None:
    """The control of the test above."""
    run = learn(data, tmp_path / "run")
    assert not holds(run, published)
    assert server.asked == []
    assert not any(key.startswith("encoder") for key in read_model_card(run.model_path).trained)


def test_a_continuation_needs_the_weights_no_more(
    server: Served, data: Path, tmp_path: Path, published: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: training.Training, lesson: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "_one_step", stop)
        with pytest.raises(Interrupted):
            learn(data, tmp_path / "run", "encoder_weights=imagenet")
    checkpoint, _ = newest_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.step == 0
    server.close()
    shutil.rmtree(tmp_path / "cache")
    shutil.copytree(tmp_path / "run", tmp_path / "twin")
    run = train(data, out=tmp_path / "run", resume=True, progress=Progress())
    assert holds(run, published)
    assert read_model_card(run.model_path).trained["encoder_weights_licence"] == LICENCE
    # control: without its checkpoint the twin would have to load them again
    shutil.rmtree(tmp_path / "twin" / "checkpoints")
    with pytest.raises(BadWeights, match="no connection"):
        train(data, out=tmp_path / "twin", resume=True, progress=Progress())


def test_nothing_to_fetch_is_refused_before_the_data_is_read(server: Served, tmp_path: Path) -> None:
    """The data folder does not exist: the weights are checked first."""
    server.close()
    with pytest.raises(BadWeights, match="no connection"):
        learn(tmp_path / "absent", tmp_path / "run", "encoder_weights=imagenet")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (["encoder_weights=imagnet"], r"`imagnet`, which does not exist\. Did you mean `imagenet`\?"),
        (["encoder_weights=imagenet", "encoder=plain"], "got `plain`. Available: resnet18"),
        (["encoder_weights=imagenet", "network=resnet20"], "got `resnet20`"),
        (["encoder_weights=imagenet-v2", "encoder=vgg16"], "Available: resnet50"),
    ],
)
def test_unknown_weights_are_rejected_early(words: list[str], got: str) -> None:
    with pytest.raises(BadOption, match=got):
        check_weights_early(Settings.parse(words), Progress())


def test_pickled_files_are_sent_to_the_importer(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(b"x")
    with pytest.raises(BadWeights, match="can contain code") as caught:
        check_weights_early(Settings.parse([f"encoder_weights={tmp_path / 'x.pth'}"]), Progress())
    assert f"pixelwise import-weights {tmp_path / 'x.pth'}" in caught.value.hint


def test_a_file_that_does_not_fit_is_refused_with_the_list(
    data: Path, tmp_path: Path, published: dict[str, Tensor]
) -> None:
    short = {name: value for name, value in published.items() if not name.startswith("layer4.1")}
    save_file(short, tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match=r"10 missing: layer4\.1\.conv1\.weight \(512, 512, 3, 3\)"):
        learn(data, tmp_path / "run", f"encoder_weights={tmp_path / 'x.safetensors'}")
    assert not (tmp_path / "run").exists()


def test_the_file_that_was_given_is_named_beside_its_origin(
    data: Path, tmp_path: Path, published: dict[str, Tensor]
) -> None:
    origin = Provenance(source="torchvision resnet18", sha256="0" * 64)
    save_file(published, tmp_path / "r18b.safetensors", {ORIGIN: json.dumps(asdict(origin))})
    listener = Listener()
    learn(data, tmp_path / "run", f"encoder_weights={tmp_path / 'r18b.safetensors'}", progress=listener)
    assert (
        f"The encoder is initialised from r18b.safetensors (torchvision resnet18), SHA-256 {'0' * 64}."
        in listener.messages
    )


def config(**values: object) -> Config:
    settings = {"network.encoder": "resnet18", "network.base": 4, **values}
    return with_settings(Config(), settings, {})


def write_photos_run(folder: Path, normalisation: Normalisation, **network: object) -> Path:
    """Write a classification run as training does."""
    options = NetworkOptions(**{"name": "resnet18", "in_channels": 3, "classes": 2, **network})
    torch.manual_seed(1)
    model = build(options)
    model_card = replace(
        make_recipe(),
        network=options,
        normalisation=normalisation,
        geometry=model.geometry(),
        task="classification",
        channels=3,
        intensity_range=((0.0, 255.0),) * 3,
        view=View(side=32, shorter=32),
        trained={"data": "photos"},
    )
    folder.mkdir()
    save_model(folder / "model.safetensors", model, model_card)
    return folder


def test_a_classification_run_initialises_the_encoder_of_a_unet(data: Path, tmp_path: Path) -> None:
    scale = Normalisation(kind="dataset", mean=(90.0, 100.0, 110.0), std=(40.0, 50.0, 60.0))
    photos = write_photos_run(tmp_path / "photos", scale)
    run = learn(data, tmp_path / "run", f"encoder_weights={photos}")
    network, model_card = load_model(run.model_path)
    source = load_model(photos / "model.safetensors")[0].state_dict()
    assert torch.equal(network.state_dict()["encoder.layer4.1.conv2.weight"], source["encoder.layer4.1.conv2.weight"])
    assert model_card.normalisation.mean == pytest.approx((100.0,))
    assert model_card.normalisation.std == pytest.approx((50.0,))
    assert model_card.trained["encoder_weights"] == "a resnet18 of pixelwise, trained on photos"
    whence = "photos (a resnet18 of pixelwise, trained on photos)"
    assert run.config.reasons["transfer.encoder_weights"].startswith(
        f"The encoder is initialised from {whence}, SHA-256 "
    )
    assert model_card.trained["encoder_weights_licence"] == "yours: trained with pixelwise on photos"
    # changed since: a continuation from the start would begin elsewhere
    shutil.rmtree(run.checkpoints)
    shutil.rmtree(photos)
    write_photos_run(tmp_path / "photos", Normalisation())
    with pytest.raises(BadRun, match="the initial encoder weights of the run"):
        train(data, out=run.folder, resume=True, progress=Progress())


def test_a_licence_goes_on_from_run_to_run(tmp_path: Path) -> None:
    photos = write_photos_run(tmp_path / "photos", Normalisation())
    network, model_card = load_model(photos / "model.safetensors")
    trained = {"data": "photos", "encoder_weights_licence": "non-commercial"}
    save_model(photos / "model.safetensors", network, replace(model_card, trained=trained))
    start = find_start(config(**{"transfer.encoder_weights": str(photos)}), Progress())
    assert start.origin.licence == "non-commercial"


def test_equal_shapes_with_another_meaning_are_refused(tmp_path: Path) -> None:
    photos = write_photos_run(tmp_path / "photos", Normalisation(), name="resnet50", stride_first=True)
    weights = {"transfer.encoder_weights": str(photos), "network.encoder": "resnet50"}
    with pytest.raises(BadWeights, match=r"the strides of the pretrained network; got network\.stride_first=false"):
        find_start(config(**weights), Progress())
    find_start(config(**weights, **{"network.stride_first": True}), Progress())  # control
    imagenet = {"transfer.encoder_weights": "imagenet", "network.encoder": "resnet50", "network.stride_first": True}
    with pytest.raises(BadWeights, match="the strides of the pretrained network"):
        find_start(config(**imagenet), Progress())


def test_a_run_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="a folder without one"):
        find_start(config(**{"transfer.encoder_weights": str(tmp_path)}), Progress())


class Print:
    """The intensities of a fingerprint."""

    def __init__(self, dtype: str, channels: int = 3, high: float = 255.0) -> None:
        self.dtype, self.intensity_range = dtype, ((0.0, high),) * channels
        self.intensity_mean, self.intensity_std = (0.3 * high,) * channels, (0.1 * high,) * channels


KNOWN = Provenance(source="x", sha256="0", **IMAGENET)


@pytest.mark.parametrize(
    ("found", "mean", "std"),
    [
        (Print("uint8", high=180.0), (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        (Print("uint16", high=4000.0), (1940.0, 1824.0, 1624.0), (916.0, 896.0, 900.0)),
        (Print("float32", high=1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (Print("uint8", 1), (255 * 0.449,), (255 * 0.226,)),
        (Print("uint8", 4), (123.675, 116.28, 103.53, 76.5), (58.395, 57.12, 57.375, 25.5)),
        (Print("uint8", 2), (123.675, 116.28), (58.395, 57.12)),
    ],
    ids=["8 bits", "12 of 16 bits", "0 to 1", "gray", "a fourth of its own", "two"],
)
def test_images_are_normalised_as_in_pretraining(found: Print, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    settings = config(**{"network.in_channels": len(found.intensity_range)})
    scale, messages = find_scale(KNOWN, None, settings, found)
    assert scale is not None
    assert scale.mean == pytest.approx(mean, rel=1e-5)
    assert scale.std == pytest.approx(std, rel=1e-5)
    assert "as in pretraining" in messages


def test_the_scale_is_the_one_that_everybody_uses() -> None:
    """(pixel / 255 - mean) / std, as torchvision's transforms compute it."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 11), dtype=np.uint8)
    scale, _ = find_scale(KNOWN, None, config(**{"network.in_channels": 3}), Print("uint8"))
    assert scale is not None
    mean, std = (np.array(IMAGENET[name])[:, None, None] for name in ("mean", "std"))
    np.testing.assert_allclose(intensity_scale(pixels, scale).apply(pixels), (pixels / 255 - mean) / std, atol=2e-6)


def test_a_file_that_does_not_say_its_scale_leaves_the_plans() -> None:
    scale, messages = find_scale(Provenance(source="x"), None, config(), Print("uint8", 1))
    assert scale is None
    assert "normalisation.kind=dataset" in messages


def test_a_given_normalisation_is_kept(data: Path, tmp_path: Path, published: dict[str, Tensor]) -> None:
    save_file(published, tmp_path / "x.safetensors", KNOWN.to_metadata())
    listener, words = Listener(), (f"encoder_weights={tmp_path / 'x.safetensors'}", "normalisation.kind=image")
    run = learn(data, tmp_path / "run", *words, progress=listener)
    assert read_model_card(run.model_path).normalisation == Normalisation(kind="image")
    assert "Images are normalised as you set it, not as in the pretraining of the weights." in listener.messages
    # a plan that is followed keeps its scale too, and loads the weights again
    twin = train(data, out=tmp_path / "twin", config=run.config_path, progress=Progress())
    assert read_model_card(twin.model_path).normalisation == Normalisation(kind="image")
    assert holds(twin, published)


def small_resnet(path: Path, padding: ShortcutPadding) -> Config:
    settings = {"network.encoder": "plain", "network.name": "resnet20", "network.in_channels": 3}
    return config(**settings, **{"network.shortcut_padding": padding, "transfer.encoder_weights": str(path)})


@pytest.mark.parametrize(
    ("stated", "own", "fits"), [("both", "both", True), ("end", "both", False), ("", "end", False)]
)
def test_shortcut_padding_must_match_the_weights(tmp_path: Path, stated: str, own: ShortcutPadding, fits: bool) -> None:
    """Shapes are equal: the convention is only in the header of the file, or in the model card of a run."""
    path = tmp_path / "r20.safetensors"
    torch.manual_seed(1)
    network = build(NetworkOptions(name="resnet20", in_channels=3, base=4))
    save_file(published_names(network), path, replace(KNOWN, shortcut_padding=stated).to_metadata())
    if fits:
        apply_weights(small_resnet(path, own), Print("uint8"), Settings(), Progress())
        return
    with pytest.raises(BadWeights, match=r"network\.shortcut_padding"):
        apply_weights(small_resnet(path, own), Print("uint8"), Settings(), Progress())


def test_a_run_says_where_its_shortcuts_pad(tmp_path: Path) -> None:
    photos = write_photos_run(tmp_path / "photos", Normalisation(), name="resnet20", base=4, shortcut_padding="both")
    apply_weights(small_resnet(photos, "both"), Print("uint8"), Settings(), Progress())
    with pytest.raises(BadWeights) as caught:
        apply_weights(small_resnet(photos, "end"), Print("uint8"), Settings(), Progress())
    assert "network.shortcut_padding=both" in caught.value.hint
