"""A classifier of another library becomes a run folder, so that every verb takes it as one that was trained here.

What its file of tensors does not say is said by the user: the network, the classes, the scale of the images and, of
ResNets with shortcut A, where their zero channels are.
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
from pixelwise.networks.weights import WHICH_PADDING, Provenance, check_shortcut_padding, load_network
from pixelwise.runtimes.machine import look_at_machine
from pixelwise.sampling.resize_crop import View
from pixelwise.sampling.whole_images import ClassificationOptions
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.environment import describe_environment
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings, apply_settings

PADDING = "network.shortcut_padding"
WHITE = 255.0  # of 8-bit images: what means and deviations in 0...1 are multiplied by; 16 bits are brought to it
PHOTOGRAPH = 224  # side from which a photo is first brought to a shorter side of 8/7 of it, as for ImageNet


def write_imported_model(
    folder: Path,
    tensors: Mapping[str, Tensor],
    origin: Provenance,
    classes: Sequence[str],
    settings: Settings,
) -> Run:
    """Write a run folder with a complete model of imported weights.

    Parameters
    ----------
    folder : Path
        New or empty.
    tensors : mapping of str to Tensor
        All weights of a classifier, under the names of any known library.
    origin : Origin
        Its mean and std become the scale of the images; its shortcut_padding is what was said (`stated_padding`).
    classes : sequence of str
        Names in the order of the network's outputs.
    settings : Settings
        That are given; the name of the network is needed, everything else is as published.

    Raises
    ------
    BadOption
        The network does not classify, or something that the file cannot say is missing.
    BadWeights
        The weights are those of another network, or of a convention that nobody said.
    OutputFailed
        The folder is taken or cannot be written.
    """
    run = Run(folder)
    run.check_free()
    config = _plan(origin, classes, settings)
    network = build_classifier(config.network)
    hint = f"Add {PADDING}=both or {PADDING}=end. {WHICH_PADDING}"
    own, stated = config.network.shortcut_padding, origin.shortcut_padding
    check_shortcut_padding(network, own, stated, hint, origin.source)
    load_network(network, tensors, first_convolution=None, path=origin.source)
    save_model(run.model_path, network, _recipe(config, network, origin, classes))
    run.begin(config, _records(config, origin, classes))
    return run


def stated_padding(settings: Settings) -> ShortcutPadding | Literal[""]:
    """Return what the settings say of the zero channels of shortcuts A, "" when nothing.

    Examples
    --------
    >>> stated_padding(Settings.parse(["network=resnet20", "network.shortcut_padding=both"]))
    'both'
    """
    stated = {key: value for key, value in settings.values.items() if key == PADDING}
    return with_settings(Config(), stated, {}).network.shortcut_padding if stated else ""


def refuse_settings_of_a_model(settings: Settings) -> None:
    """Refuse all settings that weights alone have no place for.

    Raises
    ------
    BadOption
        There is one; the message names it.
    """
    other = [key for key in settings.values if key != PADDING]
    if other:
        hint = "Give --classes too, to make a complete model, or leave it out."
        raise BadOption(f"{PADDING} alone where no model is made", f"`{other[0]}`", hint)


def _plan(origin: Provenance, classes: Sequence[str], settings: Settings) -> Config:
    """Return the config of the model: as published, the classes and the scale that were given, and the settings."""
    name = str(settings.values.get("network.name", ""))
    if name not in CLASSIFIERS:
        got = f"`{name}`" if name else "none"
        raise BadOption("network= with a network for whole images", got, nearest(name, list(CLASSIFIERS)))
    if not origin.mean and "normalisation.kind" not in settings.values:
        hint = "Give what images were normalised with: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 (in 0...1)."
        raise BadOption("--mean and --std beside --classes", "neither", hint)
    side = published_size(name)
    shorter = round(side * 8 / 7) if side >= PHOTOGRAPH else side
    config = Config(
        data=DataOptions(task="classification"),
        network=published_options(name),
        photos=ClassificationOptions(side=side, shorter=shorter),
    )
    values: dict[str, Any] = {"network.classes": len(classes)}
    reasons = {"network.classes": f"{pluralise(len(classes), 'name')} in --classes."}
    if "normalisation.kind" not in settings.values:
        scale = {"kind": "dataset", "mean": _times(origin.mean), "std": _times(origin.std)}
        values |= {"network.in_channels": len(origin.mean)}
        values |= {f"normalisation.{key}": value for key, value in scale.items()}
        reasons |= dict.fromkeys(values.keys() - reasons.keys(), "From --mean and --std, for values of 0 to 255.")
    return apply_settings(with_settings(config, values, reasons), settings)


def _times(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(value * WHITE for value in values)


def _recipe(config: Config, network: Classifier, origin: Provenance, classes: Sequence[str]) -> ModelCard:
    """Return what prediction needs besides the weights; no training says how bright its images were."""
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
        tile=config.photos.side,
        intensity_range=((0.0, WHITE),) * channels,
        trained={
            "pixelwise": version("pixelwise"),
            "encoder_weights": origin.source,
            "encoder_weights_sha256": origin.sha256,
            "encoder_weights_licence": _licence(origin),
        },
        view=View(side=config.photos.side, shorter=config.photos.shorter),
    )


def _records(config: Config, origin: Provenance, classes: Sequence[str]) -> dict[str, Any]:
    """Return the JSON records of the run: nothing was learned here, and no image belongs to any part."""
    seed = config.training.seed
    return {
        "splits": {"parts": {"train": [], "val": [], "test": []}, "groups": {}, "seed": seed},
        "environment": describe_environment(look_at_machine("cpu"), seed),
        "weights": {"source": origin.source, "sha256": origin.sha256, "licence": _licence(origin)},
        "understood": {
            "data": "",
            "told": [f"Nothing was learned here: the weights come from {origin.source}, SHA-256 {origin.sha256}."],
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
    return origin.licence or "nobody said; find out before you publish results"
