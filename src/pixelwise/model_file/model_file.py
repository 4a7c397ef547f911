"""model.safetensors: one file that is a complete model, of one network or of an ensemble.

Weights as safetensors, and in the same file's header, as one JSON string, the recipe: network options, classes,
normalisation, target, tile geometry. Nothing in it is ever executed: the network is built from a closed registry, and
names, shapes and types are compared with the header before any tensor is read.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.errors import BadModel, PixelwiseError
from pixelwise.labels.targets import TargetOptions, class_channels
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures
from pixelwise.model_file.model_card import (
    ModelCard,
    broken,
    no_duplicates,
    read_model_card_text,
    write_model_card_text,
)
from pixelwise.networks.architectures import build, with_defaults_where_unread
from pixelwise.networks.ensemble import Ensemble
from pixelwise.networks.models import Classifier, Network, Trained

MODEL_NAME = "model.safetensors"
HEADER_LIMIT = 16 * 2**20  # bytes; a base-64 U-Net needs 20 KB
TENSOR_LIMIT = 10_000
BYTES_LIMIT = 8 * 2**30
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


def save_model(path: Path, network: torch.nn.Module, model_card: ModelCard) -> None:
    """Write weights and recipe into one file, whole or not at all.

    Raises
    ------
    BadModel
        A weight is not finite: such a model is never written.
    OutputFailed
        The place cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise BadModel("finite weights", f"NaN or Inf in {name}", "Lower training.learning_rate.", path)
    atomic_write_bytes(path, save(tensors, {"pixelwise": write_model_card_text(model_card)}))


def find_model_file(path: Path | str) -> Path:
    """Return the model file that a path stands for: itself, or the one in a run folder.

    Raises
    ------
    BadModel
        The folder holds none.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if not (path / MODEL_NAME).is_file():
        hint = "Give a run that `pixelwise train` has finished."
        raise BadModel(f"a run folder with {MODEL_NAME}", "a folder without one", hint, path)
    return path / MODEL_NAME


def read_model_card(path: Path | str) -> ModelCard:
    """Read the recipe alone; no tensor is touched.

    Raises
    ------
    BadModel
        The file is missing, is no model of pixelwise, or is damaged.
    """
    path = Path(path)
    return _recipe(_header(path), path)


def save_ensemble(
    path: Path,
    members: Sequence[Path],
    target: TargetOptions,
    trained: Mapping[str, str],
    *,
    temperatures: Temperatures = UNSCALED,
    conformal_margin: float | None = None,
) -> ModelCard:
    """Write one model file that holds several: the weights of each under `member1.`, `member2.` and so on.

    Parameters
    ----------
    path : Path
    members : sequence of Path
        Model files of single networks, whose recipes differ in `trained`, `target`, `intensity_range`, `spacing`,
        the temperatures and `conformal_margin` alone.
    target : TargetOptions
        Of the ensemble.
    trained : mapping
        What the recipe of the ensemble says of its training.
    temperatures : Temperatures
    conformal_margin : float, optional
        Of the ensemble.

    Raises
    ------
    BadModel
        A member is no model of ours, or another kind of model than the first.
    OutputFailed
        The place cannot be written.
    """
    loaded = [load_network(member) for member in members]
    model_cards = [model_card for _, model_card in loaded]
    spacings = {model_card.spacing for model_card in model_cards}
    spacing = model_cards[0].spacing if len(spacings) == 1 else None  # some folds may lack the image that says nothing
    own = {"trained": dict(trained), "target": target, "intensity_range": _widest(model_cards), "spacing": spacing}
    own |= {
        "temperature": temperatures.sure,
        "doubt_temperature": temperatures.doubt,
        "conformal_margin": conformal_margin,
    }
    model_card = replace(model_cards[0], **own, members=len(members))
    for member, one in zip(members, model_cards, strict=True):
        if replace(one, **own, members=len(members)) != model_card or one.target.kind != target.kind:
            raise BadModel("members that are built and used alike", "one with another recipe", "Train it anew.", member)
    save_model(path, Ensemble([network for network, _ in loaded], _classes(model_card)), model_card)
    return model_card


def load_network(path: Path | str) -> tuple[Network, ModelCard]:
    """Build and load a model file of a single network, in evaluation mode.

    Raises
    ------
    BadModel
        As in `load_model`, and for an ensemble.
    """
    network, model_card = load_model(path)
    if isinstance(network, Ensemble):
        hint = "Give one of its folds, such as RUN/folds/1."
        raise BadModel("a model of one network", f"an ensemble of {model_card.members}", hint, path)
    return network, model_card


def load_model(path: Path | str) -> tuple[Trained, ModelCard]:
    """Build the network of a model file, or the ensemble, and load its weights, in evaluation mode.

    Raises
    ------
    BadModel
        The file is not a model of pixelwise; the reason is told in one line.
    """
    path = Path(path)
    header = _header(path)
    model_card = _recipe(header, path)
    with torch.device("meta"):
        network = _build(model_card, path)
    _compare(network, header, path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise broken(path, f"damaged contents ({error})") from error
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise broken(path, f"NaN or Inf in {name}")
    network.load_state_dict(tensors, assign=True)
    return network.eval(), model_card


def _header(path: Path) -> dict[str, Any]:
    """Read and check the JSON header: 8 bytes of length, little-endian, then the JSON."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise broken(path, "a file of another kind" if size else "an empty file")
            header = json.loads(file.read(length), object_pairs_hook=no_duplicates)
    except OSError as error:
        raise broken(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise broken(path, "a file of another kind") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise broken(path, "a safetensors file without a recipe")
    if len(header) > TENSOR_LIMIT or size > BYTES_LIMIT:
        raise broken(path, f"{len(header)} tensors in {size} bytes")
    return header


def _recipe(header: dict[str, Any], path: Path) -> ModelCard:
    text = header["__metadata__"].get("pixelwise")
    if not isinstance(text, str):
        raise broken(path, "a safetensors file without a recipe of pixelwise")
    return read_model_card_text(text, path)


def _classes(model_card: ModelCard) -> int:
    """Return how many channels of the logits share a soft-max."""
    return class_channels(model_card.target, model_card.network.classes)


def _widest(model_cards: Sequence[ModelCard]) -> tuple[tuple[float, float], ...]:
    """Join the intensities that the members were trained on, channel by channel."""
    each = zip(*(model_card.intensity_range for model_card in model_cards), strict=True)
    return tuple((min(low for low, _ in ranges), max(high for _, high in ranges)) for ranges in each)


def _build(model_card: ModelCard, path: Path) -> Trained:
    try:
        options = with_defaults_where_unread(model_card.network)  # older files hold options that were set and not read
        network = build(options)
        members = [build(options) for _ in range(model_card.members)] if model_card.members > 1 else []
    except PixelwiseError as error:
        raise broken(path, str(error)) from error
    if network.geometry() != model_card.geometry:
        raise broken(path, "a tile geometry that is not the network's")
    if isinstance(network, Classifier) != (model_card.view is not None and model_card.task == "classification"):
        raise broken(path, f"a network {model_card.network.name} for the task {model_card.task}")
    return Ensemble(members, _classes(model_card)) if members else network


def _compare(network: Trained, header: dict[str, Any], path: Path) -> None:
    """Refuse unknown, missing and misshapen tensors by the header alone."""
    expected = network.state_dict()
    found = {name: facts for name, facts in header.items() if name != "__metadata__"}
    strange = sorted(set(found) ^ set(expected))
    if strange:
        kind = "unknown" if strange[0] in found else "missing"
        raise broken(path, f"{len(strange)} unknown or missing tensors, such as {kind} {strange[0]}")
    for name, value in expected.items():
        facts = found[name]
        if not isinstance(facts, dict) or facts.get("shape") != list(value.shape):
            raise broken(path, f"{name} of another shape than {tuple(value.shape)}")
        if _TYPES.get(str(facts.get("dtype"))) != value.dtype:
            raise broken(path, f"{name} of type {facts.get('dtype')}")
