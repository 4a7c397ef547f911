"""Pretrained encoder weights for fine-tuning: `encoder_weights=` is loaded, and the plan is adapted to them.

The value is `imagenet` or `imagenet-v2` (downloaded once, see `weights.store`), a .safetensors file, or a run folder.
Images are normalised as in pretraining (`weights.scale`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from pixelwise.errors import BadOption, BadRun, BadWeights, nearest
from pixelwise.model_file.model_file import ModelCard, find_model_file, load_network
from pixelwise.networks.architectures import CLASSIFIERS, NetworkOptions, build
from pixelwise.networks.first_convolution import choose_adaptation
from pixelwise.networks.models import Network
from pixelwise.networks.published import PRETRAINED, find_pretrained
from pixelwise.networks.weights import PADDING_HINT, Provenance, check_shortcut_padding, load_encoder, read_weights
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings
from pixelwise.workflow.weights.scale import find_scale
from pixelwise.workflow.weights.store import fetch_weights, file_digest

RECORD = "weights"
UNKNOWN_LICENCE = "unknown; check it before you publish results"
PICKLED = (".pth", ".th", ".pt", ".ckpt", ".bin")


@dataclass(frozen=True, kw_only=True)
class EncoderStart:
    """Initial weights of an encoder; `model_card` is set if they come from a pixelwise model."""

    path: Path
    tensors: Mapping[str, Tensor]
    origin: Provenance
    model_card: ModelCard | None = None


def check_weights_early(settings: Settings, progress: Progress) -> None:
    """Check `transfer.encoder_weights` before any other work; download published weights if the encoder is given.

    Parameters
    ----------
    settings : Settings
        Given by the user.

    Raises
    ------
    BadOption, BadWeights, OutputFailed
        See `find_start`.
    """
    given = settings.values
    word = str(given.get("transfer.encoder_weights", "") or "")
    if word in PRETRAINED:
        encoder = given.get("network.encoder") or given.get("network.name")
        if encoder:
            fetch_weights(find_pretrained(word, str(encoder)), progress)
    elif word:
        _check_path(word)


def find_start(config: Config, progress: Progress) -> EncoderStart:
    """Load the weights of `transfer.encoder_weights`.

    Raises
    ------
    BadOption
        The value is neither a known name nor a path, or no weights are published for this encoder.
    BadWeights, BadModel
        The file cannot be downloaded, is damaged, or belongs to another kind of network.
    """
    word, network = config.transfer.encoder_weights, config.network
    if word in PRETRAINED:
        published = find_pretrained(word, encoder_name(network))
        _check_strides(network, stride_first=False, path=None)
        path = fetch_weights(published, progress)
        tensors, origin = read_weights(path)
        return EncoderStart(path=path, tensors=tensors, origin=origin)
    _check_path(word)
    path = find_model_file(word)
    tensors, origin = read_weights(path)
    if Path(word).is_dir() or _is_ours(path):
        return _start_from_model(path, network)
    known = origin if origin.sha256 else Provenance(source=path.name, sha256=file_digest(path))
    return EncoderStart(path=path, tensors=tensors, origin=known)


def encoder_name(network: NetworkOptions) -> str:
    """Return the encoder of a segmentation network, or the name of a classification network."""
    return network.encoder if network.encoder != "plain" else network.name


def apply_weights(
    config: Config, fingerprint: Any, settings: Settings, progress: Progress
) -> tuple[Config, dict[str, Any]]:
    """Adapt the plan to the pretrained encoder weights, and report their source.

    Parameters
    ----------
    settings : Settings
        Given by the user; a normalisation among them is kept.

    Returns
    -------
    Config
        With the normalisation of the weights, and the reasons.
    records : dict
        `weights.json` of the run folder, by its name; empty for random initialisation.

    Raises
    ------
    BadOption, BadWeights, BadModel
        The weights are not available or do not fit.
    """
    if not config.transfer.encoder_weights:
        return config, {}
    start = find_start(config, progress)
    network = build(config.network)
    _load(network, config, start)
    adaptation = _describe_adaptation(config, start)
    licence = start.origin.licence or UNKNOWN_LICENCE
    name = _describe_origin(config.transfer.encoder_weights, start.origin.source)
    source = f"{name}, SHA-256 {start.origin.sha256}"
    reasons = {
        "transfer.encoder_weights": f"The encoder is initialised from {source}. Licence: {licence}.",
        "transfer.first_convolution": adaptation,
    }
    messages = [f"The encoder is initialised from {source}.", f"Licence of these weights: {licence}."]
    values: dict[str, Any] = {}
    scale, reason = find_scale(start.origin, start.model_card, config, fingerprint)
    if any(key.startswith("normalisation.") for key in settings.values):
        messages.append("Images are normalised as you set it, not as in the pretraining of the weights.")
    elif scale is None:
        messages.append(reason)
    else:
        values = {f"normalisation.{name}": getattr(scale, name) for name in ("kind", "mean", "std")}
        reasons |= dict.fromkeys(values, reason)
        messages.append(reason)
    progress.message(*messages)
    facts = {"source": start.origin.source, "sha256": start.origin.sha256, "licence": licence, "adapted": adaptation}
    return with_settings(config, values, reasons), {RECORD: facts}


def load_encoder_weights(network: Network, run: Run, progress: Progress) -> bool:
    """Load the pretrained encoder weights of a run; return whether it has any.

    Raises
    ------
    BadRun
        They have changed since the start of the run.
    """
    config = run.config
    if not config.transfer.encoder_weights:
        return False
    start = find_start(config, progress)
    recorded = run.read_json(f"{RECORD}.json").get("sha256")
    if start.origin.sha256 != recorded:
        expected = f"the initial encoder weights of the run, SHA-256 {recorded}"
        raise BadRun(expected, f"other weights, {start.origin.sha256}", "Start a new training.", start.path)
    _load(network, config, start)
    return True


def encoder_weights_record(run: Run) -> dict[str, str]:
    """Return the entries of the model card about the initial encoder weights."""
    if not run.config.transfer.encoder_weights:
        return {}
    record = run.read_json(f"{RECORD}.json")
    return {
        "encoder_weights": str(record["source"]),
        "encoder_weights_sha256": str(record["sha256"]),
        "encoder_weights_licence": str(record["licence"]),
    }


def _describe_origin(word: str, source: str) -> str:
    """Return the given name or path, and the provenance in the header if it differs."""
    given = Path(word).name
    if word in PRETRAINED or source in ("", given):
        return source or given
    return f"{given} ({source})"


def _load(network: Network, config: Config, start: EncoderStart) -> None:
    padding, stated = config.network.shortcut_padding, start.origin.shortcut_padding
    hint = (
        f"Run `pixelwise import-weights {start.path} --out FILE.safetensors network.shortcut_padding=both` "
        f"(or =end), and use that file. {PADDING_HINT}"
    )
    check_shortcut_padding(network, padding, stated, hint, start.path)
    first_convolution = config.transfer.first_convolution
    load_encoder(network, start.tensors, first_convolution=first_convolution, path=start.path)


def _describe_adaptation(config: Config, start: EncoderStart) -> str:
    """Describe the adaptation of the first convolution."""
    channels = config.network.in_channels
    source = start.model_card.channels if start.model_card else len(start.origin.mean) or 3
    if source == channels:
        return f"Weights and images have {pluralise(channels, 'channel')}: no adaptation."
    method = choose_adaptation(source, channels, config.transfer.first_convolution)
    return f"{method}: from the {pluralise(source, 'channel')} of the weights to {channels}."


def _start_from_model(path: Path, network: NetworkOptions) -> EncoderStart:
    """Return the encoder weights of a pixelwise model."""
    model, model_card = load_network(path)
    pretrained = model_card.network
    _check_strides(network, stride_first=pretrained.stride_first, path=path)
    plain = network.encoder == pretrained.encoder == "plain" and network.name not in CLASSIFIERS
    if plain and network.normalisation != pretrained.normalisation:
        hint = f"Set network.normalisation={pretrained.normalisation}."
        raise BadWeights("an encoder with the same normalisation", pretrained.normalisation, hint, path)
    trained = model_card.trained
    licence = f"yours: trained with pixelwise on {trained.get('data', 'your data')}"
    origin = Provenance(
        source=f"a {encoder_name(pretrained)} of pixelwise, trained on {trained.get('data', 'unknown data')}",
        licence=trained.get("encoder_weights_licence", licence),
        sha256=file_digest(path),
        shortcut_padding=pretrained.shortcut_padding,
    )
    return EncoderStart(path=path, tensors=model.state_dict(), origin=origin, model_card=model_card)


def _check_strides(network: NetworkOptions, *, stride_first: bool, path: Path | None) -> None:
    """Reject weights of the other ResNet version (V1, V1.5), whose shapes fit but whose strides differ."""
    if network.stride_first != stride_first and encoder_name(network) in ("resnet50", "resnet101", "resnet152"):
        got = f"network.stride_first={str(network.stride_first).lower()}"
        hint = f"Set network.stride_first={str(stride_first).lower()}: the weights of both versions have equal shapes."
        raise BadWeights("the strides of the pretrained network", got, hint, path)


def _check_path(word: str) -> None:
    path = Path(word)
    if path.suffix.lower() in PICKLED and path.is_file():
        hint = f"Run `pixelwise import-weights {word}` once, and use the .safetensors file that it writes."
        raise BadWeights("weights as safetensors", f"a {path.suffix} file, which can contain code", hint, path)
    if not path.exists():
        expected = "encoder_weights= as a known name, a .safetensors file or a run folder"
        raise BadOption(expected, f"`{word}`, which does not exist", nearest(word, list(PRETRAINED)))


def _is_ours(path: Path) -> bool:
    with safe_open(path, framework="pt") as file:
        return "pixelwise" in (file.metadata() or {})
