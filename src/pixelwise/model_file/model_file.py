"""model.safetensors: a complete model, of one network or of an ensemble, in one file.

The file holds the weights as safetensors and the model card as JSON in its header: network options, classes,
normalisation, target, tile geometry. No code is loaded: the network is built from the registry of architectures, and
names, shapes and types in the header are checked before any tensor is read.
"""

import json
import math
import os
import stat
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
from pixelwise.labels.targets import TargetOptions
from pixelwise.labels.temperature_scaling import UNSCALED, Temperatures
from pixelwise.model_file.model_card import (
    ModelCard,
    invalid_model,
    no_duplicates,
    read_model_card_text,
    write_model_card_text,
)
from pixelwise.model_file.quantity_record import QuantityRecord
from pixelwise.networks.architectures import build, with_defaults_where_unread
from pixelwise.networks.ensemble import Ensemble
from pixelwise.networks.models import AnyNetwork, Classifier, Network

TrainedModel = tuple[torch.nn.Module, ModelCard]

MODEL_NAME = "model.safetensors"
HEADER_LIMIT = 16 * 2**20  # bytes; a base-64 U-Net needs 20 KB
TENSOR_LIMIT = 10_000
BYTES_LIMIT = 8 * 2**30
# Opening a pipe must not block; O_BINARY exists on Windows only.
_NOT_BLOCKING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def save_model(path: Path, network: torch.nn.Module, model_card: ModelCard) -> None:
    """Write weights and model card into one file, atomically.

    Raises
    ------
    BadModel
        A weight is not finite.
    OutputFailed
        The file cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise BadModel("finite weights", f"NaN or Inf in {name}", "Lower training.learning_rate.", path)
    atomic_write_bytes(path, save(tensors, {"pixelwise": write_model_card_text(model_card)}))


def find_model_file(path: Path | str) -> Path:
    """Return the path of the model file: `path` itself, or the one in a run folder.

    Raises
    ------
    BadModel
        The folder contains no model file.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    if not (path / MODEL_NAME).is_file():
        hint = "Use a finished run of `pixelwise train`."
        raise BadModel(f"a run folder with {MODEL_NAME}", "a folder without one", hint, path)
    return path / MODEL_NAME


def read_model_card(path: Path | str) -> ModelCard:
    """Read the model card without reading any tensor.

    Raises
    ------
    BadModel
        The file is missing, damaged, or not a model of pixelwise.
    """
    path = Path(path)
    return _parse_model_card(_read_header(path), path)


def save_ensemble(
    path: Path,
    members: Sequence[Path],
    target: TargetOptions,
    trained: Mapping[str, str],
    *,
    temperatures: Temperatures = UNSCALED,
    conformal_margin: float | None = None,
    quantities: QuantityRecord | None = None,
) -> ModelCard:
    """Write an ensemble into one model file, with the weights of its members under `member1.`, `member2.` and so on.

    Parameters
    ----------
    members : sequence of Path
        Model files of single networks, whose model cards may differ only in `trained`, `target`, `intensity_range`,
        `intensity_peaks`, `spacing`, the temperatures, `conformal_margin`, `quantities` and
        `appearance`.
    target : TargetOptions
        Of the ensemble.
    trained : mapping
        Training information for the model card of the ensemble.
    quantities : QuantityRecord, optional
        Of the ensemble.

    Raises
    ------
    BadModel
        A member is not a model of pixelwise, or differs from the first.
    OutputFailed
        The file cannot be written.
    """
    loaded = [load_network(member) for member in members]
    cards = [model_card for _, model_card in loaded]
    spacings = {card.spacing for card in cards}
    spacing = cards[0].spacing if len(spacings) == 1 else None  # folds differ if one image lacks the spacing
    shared = {"trained": dict(trained), "target": target, "intensity_range": _joint_range(cards), "spacing": spacing}
    shared["intensity_peaks"] = _joint_peaks(cards)
    shared |= {
        "temperature": temperatures.sure,
        "doubt_temperature": temperatures.doubt,
        "conformal_margin": conformal_margin,
        "quantities": quantities,
        "appearance": cards[0].appearance,  # every fold has measured all images, training and held out
    }
    model_card = replace(cards[0], **shared, members=len(members))
    for member, card in zip(members, cards, strict=True):
        if replace(card, **shared, members=len(members)) != model_card or card.target.kind != target.kind:
            raise BadModel("members with equal model cards", "a different one", "Train this member again.", member)
    save_model(path, Ensemble([network for network, _ in loaded], model_card.softmax_channels), model_card)
    return model_card


def load_network(path: Path | str) -> tuple[Network, ModelCard]:
    """Load a model file of a single network, in evaluation mode.

    Raises
    ------
    BadModel
        As in `load_model`, or the file holds an ensemble.
    """
    network, model_card = load_model(path)
    if isinstance(network, Ensemble):
        hint = "Use one of its folds, such as RUN/folds/1."
        raise BadModel("a model of one network", f"an ensemble of {model_card.members}", hint, path)
    return network, model_card


def load_model(path: Path | str) -> tuple[AnyNetwork, ModelCard]:
    """Load a network or an ensemble from a model file, in evaluation mode.

    Raises
    ------
    BadModel
        The file is not a valid model of pixelwise.
    """
    path = Path(path)
    header = _read_header(path)
    model_card = _parse_model_card(header, path)
    with torch.device("meta"):
        network = _build(model_card, path)
    _check_tensors(network, header, path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise invalid_model(path, f"damaged contents ({error})") from error
    for name, value in tensors.items():
        if not all(map(math.isfinite, (end.item() for end in value.aminmax()))):  # NaN comes out as well; no copies
            raise invalid_model(path, f"NaN or Inf in {name}")
        if name.endswith("running_var") and bool((value < 0).any()):
            raise invalid_model(path, f"a negative variance in {name}")
    network.load_state_dict(tensors, assign=True)
    return network.eval(), model_card


def _read_header(path: Path) -> dict[str, Any]:
    """Read and check the JSON header: 8 bytes of length, little-endian, then the JSON."""
    try:
        size = path.stat().st_size
        with os.fdopen(os.open(path, _NOT_BLOCKING), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise invalid_model(path, "a pipe, device or folder")
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise invalid_model(path, "a file of another kind" if size else "an empty file")
            header = json.loads(file.read(length), object_pairs_hook=no_duplicates)
    except OSError as error:
        raise invalid_model(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise invalid_model(path, "a file of another kind") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise invalid_model(path, "a safetensors file without a model card")
    if len(header) > TENSOR_LIMIT or size > BYTES_LIMIT:
        raise invalid_model(path, f"{len(header)} tensors in {size} bytes")
    return header


def _parse_model_card(header: dict[str, Any], path: Path) -> ModelCard:
    text = header["__metadata__"].get("pixelwise")
    if not isinstance(text, str):
        raise invalid_model(path, "a safetensors file without a pixelwise model card")
    return read_model_card_text(text, path)


def _joint_range(cards: Sequence[ModelCard]) -> tuple[tuple[float, float], ...]:
    """Return the intensity range of all members, per channel."""
    channels = zip(*(card.intensity_range for card in cards), strict=True)
    return tuple((min(low for low, _ in ranges), max(high for _, high in ranges)) for ranges in channels)


def _joint_peaks(cards: Sequence[ModelCard]) -> tuple[float, float] | None:
    """Return the lowest and highest peak of all members; None if one is unknown."""
    known = [card.intensity_peaks for card in cards if card.intensity_peaks is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if len(known) == len(cards) else None


def _build(model_card: ModelCard, path: Path) -> AnyNetwork:
    try:
        options = with_defaults_where_unread(model_card.network)  # older files contain options that have no effect
        network = build(options)
        members = [build(options) for _ in range(model_card.members)] if model_card.members > 1 else []
    except PixelwiseError as error:
        raise invalid_model(path, str(error)) from error
    if network.geometry() != model_card.geometry:
        raise invalid_model(path, "a tile geometry that does not match the network")
    if isinstance(network, Classifier) != (model_card.view is not None and model_card.task == "classification"):
        raise invalid_model(path, f"a network {model_card.network.name} for the task {model_card.task}")
    return Ensemble(members, model_card.softmax_channels) if members else network


def _check_tensors(network: AnyNetwork, header: dict[str, Any], path: Path) -> None:
    """Check the names, shapes and types of the tensors in the header."""
    expected = network.state_dict()
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    mismatched = sorted(set(entries) ^ set(expected))
    if mismatched:
        kind = "unknown" if mismatched[0] in entries else "missing"
        raise invalid_model(path, f"{len(mismatched)} unknown or missing tensors, such as {kind} {mismatched[0]}")
    for name, value in expected.items():
        entry = entries[name]
        if not isinstance(entry, dict) or entry.get("shape") != list(value.shape):
            raise invalid_model(path, f"{name} of another shape than {tuple(value.shape)}")
        if _TYPES.get(str(entry.get("dtype"))) != value.dtype:
            raise invalid_model(path, f"{name} of type {entry.get('dtype')}")
