"""Import of a classifier of another library as a run folder, which all commands accept.

The user provides what the weights file does not contain: network, classes, normalisation and, for ResNets with
shortcut A, the position of their zero channels.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadOption, nearest
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import save_model
from pixelwise.networks.architectures import CLASSIFIERS, build_classifier, published_options, published_size
from pixelwise.networks.models import Classifier
from pixelwise.networks.options import ShortcutPadding
from pixelwise.networks.weights import PADDING_HINT, Provenance, check_shortcut_padding, load_network
from pixelwise.runtimes.machine import detect_machine
from pixelwise.sampling.resize_crop import View
from pixelwise.sampling.whole_images import ClassificationOptions
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.environment import describe_environment
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings, apply_settings
from pixelwise.workflow.weights.encoder_weights import UNKNOWN_LICENCE

PADDING = "network.shortcut_padding"
WHITE = 255.0  # maximum of 8-bit images, scales mean and std from 0...1; 16-bit images are rescaled to it
IMAGENET_SIDE = 224  # from this input side on, images are first resized to a shorter side of 8/7 of it


def write_imported_model(
    folder: Path, tensors: Mapping[str, Tensor], origin: Provenance, classes: Sequence[str], settings: Settings
) -> Run:
    """Write a run folder with a complete model of imported weights.

    Parameters
    ----------
    folder : Path
        New or empty.
    tensors : mapping of str to Tensor
        All weights of a classifier, under the names of any known library.
    origin : Provenance
        Its mean and std normalise the images; its shortcut_padding comes from `given_padding`.
    classes : sequence of str
        Names in the order of the network's outputs.
    settings : Settings
        Given by the user; the name of the network is required, everything else defaults to the published form.

    Raises
    ------
    BadOption
        The network is no classifier, or required information is missing.
    BadWeights
        The weights belong to another network, or the shortcut padding is unknown.
    OutputFailed
        The folder is not empty or cannot be written.
    """
    run = Run(folder)
    run.check_free()
    config = _plan(origin, classes, settings)
    network = build_classifier(config.network)
    hint = f"Add {PADDING}=both or {PADDING}=end. {PADDING_HINT}"
    padding, stated = config.network.shortcut_padding, origin.shortcut_padding
    check_shortcut_padding(network, padding, stated, hint, origin.source)
    load_network(network, tensors, first_convolution=None, path=origin.source)
    save_model(run.model_path, network, _model_card(config, network, origin, classes))
    run.begin(config, _records(config, origin, classes))
    return run


def given_padding(settings: Settings) -> ShortcutPadding | Literal[""]:
    """Return the given padding of the zero channels of shortcuts A, "" if not given.

    Examples
    --------
    >>> given_padding(Settings.parse(["network=resnet20", "network.shortcut_padding=both"]))
    'both'
    """
    stated = {key: value for key, value in settings.values.items() if key == PADDING}
    return with_settings(Config(), stated, {}).network.shortcut_padding if stated else ""


def check_weights_settings(settings: Settings) -> None:
    """Reject settings that apply to complete models only.

    Raises
    ------
    BadOption
        One of them is given.
    """
    other = [key for key in settings.values if key != PADDING]
    if other:
        hint = "Add --classes to import a complete model, or remove this setting."
        raise BadOption(f"no other setting than {PADDING} for weights alone", f"`{other[0]}`", hint)


def _plan(origin: Provenance, classes: Sequence[str], settings: Settings) -> Config:
    """Return the published config with the given classes, normalisation and settings."""
    name = str(settings.values.get("network.name", ""))
    if name not in CLASSIFIERS:
        got = f"`{name}`" if name else "none"
        raise BadOption("network= with a classification network", got, nearest(name, list(CLASSIFIERS)))
    if not origin.mean and "normalisation.kind" not in settings.values:
        hint = "Add the normalisation of the images in 0...1: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225."
        raise BadOption("--mean and --std with --classes", "neither", hint)
    side = published_size(name)
    shorter = round(side * 8 / 7) if side >= IMAGENET_SIDE else side
    config = Config(
        data=DataOptions(task="classification"),
        network=published_options(name),
        classification=ClassificationOptions(side=side, shorter=shorter),
    )
    values: dict[str, Any] = {"network.classes": len(classes)}
    reasons = {"network.classes": f"{pluralise(len(classes), 'name')} in --classes."}
    if "normalisation.kind" not in settings.values:
        scale = {"kind": "dataset", "mean": _to_8bit(origin.mean), "std": _to_8bit(origin.std)}
        values |= {"network.in_channels": len(origin.mean)}
        values |= {f"normalisation.{key}": value for key, value in scale.items()}
        reasons |= dict.fromkeys(values.keys() - reasons.keys(), "From --mean and --std, for values of 0 to 255.")
    return apply_settings(with_settings(config, values, reasons), settings)


def _to_8bit(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(value * WHITE for value in values)


def _model_card(config: Config, network: Classifier, origin: Provenance, classes: Sequence[str]) -> ModelCard:
    """Return the model card; the intensity range of the training images is assumed to be 8-bit."""
    channels = config.network.in_channels
    return ModelCard(
        network=config.network,
        normalisation=config.normalisation,
        target=TargetOptions(),
        geometry=network.geometry(),
        task="classification",
        classes=tuple(classes),
        values=(),
        colours=(),
        channels=channels,
        tile=config.classification.side,
        intensity_range=((0.0, WHITE),) * channels,
        trained={
            "pixelwise": version("pixelwise"),
            "encoder_weights": origin.source,
            "encoder_weights_sha256": origin.sha256,
            "encoder_weights_licence": _licence(origin),
        },
        view=View(side=config.classification.side, shorter=config.classification.shorter),
    )


def _records(config: Config, origin: Provenance, classes: Sequence[str]) -> dict[str, Any]:
    """Return the JSON records of the run, without data and splits."""
    seed = config.training.seed
    return {
        "splits": {"cases": {"train": [], "val": [], "test": []}, "groups": {}, "seed": seed},
        "environment": describe_environment(detect_machine("cpu"), seed),
        "weights": {"source": origin.source, "sha256": origin.sha256, "licence": _licence(origin)},
        "understood": {
            "data": "",
            "messages": [f"Imported without training: the weights come from {origin.source}, SHA-256 {origin.sha256}."],
            "problems": [],
            "cases": {"train": 0, "val": 0, "test": 0},
            "task": "classification",
            "classes": list(classes),
            "channels": config.network.in_channels,
            "ignore_index": None,
            "coded_by_colour": False,
        },
    }


def _licence(origin: Provenance) -> str:
    return origin.licence or UNKNOWN_LICENCE
