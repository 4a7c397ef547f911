"""Where an encoder starts: `encoder_weights=` becomes tensors, and the plan follows what they were learned with.

The word is `imagenet` or `imagenet-v2` (fetched once, see `weights.store`), a .safetensors file, or a run of pixelwise.
Images are then brought to the scale that the weights know (`weights.scale`).
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
from pixelwise.networks.weights import WHICH_PADDING, Provenance, check_shortcut_padding, load_encoder, read_weights
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings
from pixelwise.workflow.weights.scale import find_scale
from pixelwise.workflow.weights.store import file_digest, obtain

RECORD = "weights"
PICKLED = (".pth", ".th", ".pt", ".ckpt", ".bin")


@dataclass(frozen=True, kw_only=True)
class EncoderStart:
    """Weights that an encoder starts from; `model_card` is that of our own model, where they come from one."""

    path: Path
    tensors: Mapping[str, Tensor]
    origin: Provenance
    model_card: ModelCard | None = None


def look_early(settings: Settings, progress: Progress) -> None:
    """Refuse what cannot be had before any other work; fetch published weights where the encoder is known already.

    Parameters
    ----------
    settings : Settings
        That are given.
    progress : Progress

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
            obtain(find_pretrained(word, str(encoder)), progress)
    elif word:
        _check_path(word)


def find_start(config: Config, progress: Progress) -> EncoderStart:
    """Find the weights that `transfer.encoder_weights` names.

    Raises
    ------
    BadOption
        The word is neither known nor a path, or nothing is published for this encoder.
    BadWeights, BadModel
        The file cannot be had, is damaged, or is made for another kind of network.
    """
    word, network = config.transfer.encoder_weights, config.network
    if word in PRETRAINED:
        published = find_pretrained(word, encoder_name(network))
        _check_strides(network, stride_first=False, path=None)
        path = obtain(published, progress)
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
    """Return the name of the encoder: that of a U-Net, or of the network that classifies."""
    return network.encoder if network.encoder != "plain" else network.name


def follow(config: Config, fingerprint: Any, settings: Settings, progress: Progress) -> tuple[Config, dict[str, Any]]:
    """Fit the plan to the weights of its encoder, and say in words what they are.

    Parameters
    ----------
    config : Config
    fingerprint : Fingerprint or PhotoFingerprint
    settings : Settings
        That are given; a normalisation among them stays.
    progress : Progress

    Returns
    -------
    Config
        With the normalisation of the weights, and the reasons.
    records : dict
        `weights.json` of the run folder, by its name; empty where the encoder starts from random weights.

    Raises
    ------
    BadOption, BadWeights, BadModel
        The weights cannot be had or do not fit: refused before any training.
    """
    if not config.transfer.encoder_weights:
        return config, {}
    start = find_start(config, progress)
    network = build(config.network)
    _load(network, config, start)
    how = _adaptation(config, start)
    licence = start.origin.licence or "nobody said; find out before you publish results"
    name = _describe_origin(config.transfer.encoder_weights, start.origin.source)
    whence = f"{name}, SHA-256 {start.origin.sha256}"
    reasons = {
        "transfer.encoder_weights": f"The encoder starts from {whence}. Licence: {licence}.",
        "transfer.first_convolution": how,
    }
    messages = [f"The encoder starts from {whence}.", f"Licence of these weights: {licence}."]
    values: dict[str, Any] = {}
    scale, why = find_scale(start.origin, start.model_card, config, fingerprint)
    if any(key.startswith("normalisation.") for key in settings.values):
        messages.append("Images are normalised as you have said, not as the weights were learned.")
    elif scale is None:
        messages.append(why)
    else:
        values = {f"normalisation.{name}": getattr(scale, name) for name in ("kind", "mean", "std")}
        reasons |= dict.fromkeys(values, why)
        messages.append(why)
    progress.message(*messages)
    facts = {"source": start.origin.source, "sha256": start.origin.sha256, "licence": licence, "adapted": how}
    return with_settings(config, values, reasons), {RECORD: facts}


def start_encoder(network: Network, run: Run, progress: Progress) -> bool:
    """Load the weights that the run's encoder starts from, if it has any; return whether it has.

    Raises
    ------
    BadRun
        They have changed since the run began.
    """
    config = run.config
    if not config.transfer.encoder_weights:
        return False
    start = find_start(config, progress)
    began = run.read_json(f"{RECORD}.json").get("sha256")
    if start.origin.sha256 != began:
        got = f"others, {start.origin.sha256}"
        raise BadRun(f"the weights that the run began with, SHA-256 {began}", got, "Train anew.", start.path)
    _load(network, config, start)
    return True


def trained_from(run: Run) -> dict[str, str]:
    """Return what the model file says of the weights that its encoder started from."""
    if not run.config.transfer.encoder_weights:
        return {}
    record = run.read_json(f"{RECORD}.json")
    return {
        "encoder_weights": str(record["source"]),
        "encoder_weights_sha256": str(record["sha256"]),
        "encoder_weights_licence": str(record["licence"]),
    }


def _describe_origin(word: str, source: str) -> str:
    """Name what the user gave and, where that is a file or a run, also what its header says of its origin."""
    given = Path(word).name
    if word in PRETRAINED or source in ("", given):
        return source or given
    return f"{given} ({source})"


def _load(network: Network, config: Config, start: EncoderStart) -> None:
    how = config.transfer.first_convolution
    own, stated = config.network.shortcut_padding, start.origin.shortcut_padding
    hint = (
        f"Run `pixelwise import-weights {start.path} --out FILE.safetensors network.shortcut_padding=both` "
        f"(or =end), and give that file. {WHICH_PADDING}"
    )
    check_shortcut_padding(network, own, stated, hint, start.path)
    load_encoder(network, start.tensors, first_convolution=how, path=start.path)


def _adaptation(config: Config, start: EncoderStart) -> str:
    """Say what became of the first convolution."""
    channels = config.network.in_channels
    source = start.model_card.channels if start.model_card else len(start.origin.mean) or 3
    if source == channels:
        return f"The weights take {pluralise(channels, 'channel')}, as the images have: nothing to adapt."
    how = choose_adaptation(source, channels, config.transfer.first_convolution)
    return f"{how}: from the {pluralise(source, 'channel')} of the weights to {channels}."


def _start_from_model(path: Path, network: NetworkOptions) -> EncoderStart:
    """Take the encoder of a model of ours, where it means the same thing."""
    model, model_card = load_network(path)
    theirs = model_card.network
    _check_strides(network, stride_first=theirs.stride_first, path=path)
    plain = network.encoder == theirs.encoder == "plain" and network.name not in CLASSIFIERS
    if plain and network.normalisation != theirs.normalisation:
        hint = f"Set network.normalisation={theirs.normalisation}."
        raise BadWeights("an encoder with the same normalisation", theirs.normalisation, hint, path)
    trained = model_card.trained
    own = f"yours: learned by pixelwise from {trained.get('data', 'your data')}"
    origin = Provenance(
        source=f"a {encoder_name(theirs)} of pixelwise, learned from {trained.get('data', 'unknown data')}",
        licence=trained.get("encoder_weights_licence", own),
        sha256=file_digest(path),
        shortcut_padding=theirs.shortcut_padding,
    )
    return EncoderStart(path=path, tensors=model.state_dict(), origin=origin, model_card=model_card)


def _check_strides(network: NetworkOptions, *, stride_first: bool, path: Path | None) -> None:
    """Refuse weights whose shapes fit but whose strides stand elsewhere (V1 and V1.5)."""
    if network.stride_first != stride_first and encoder_name(network) in ("resnet50", "resnet101", "resnet152"):
        got = f"network.stride_first={str(network.stride_first).lower()}"
        hint = (
            f"Set network.stride_first={str(stride_first).lower()}: the weights have equal shapes and another meaning."
        )
        raise BadWeights("strides where the weights had them", got, hint, path)


def _check_path(word: str) -> None:
    path = Path(word)
    if path.suffix.lower() in PICKLED and path.is_file():
        hint = f"Run `pixelwise import-weights {word}` once, and give the .safetensors file that it writes."
        raise BadWeights("weights as safetensors", f"a {path.suffix} file, which can hold programs", hint, path)
    if not path.exists():
        expected = "encoder_weights= as a known word, a .safetensors file or a run folder"
        raise BadOption(expected, f"`{word}`, and nothing is there", nearest(word, list(PRETRAINED)))


def _is_ours(path: Path) -> bool:
    with safe_open(path, framework="pt") as file:
        return "pixelwise" in (file.metadata() or {})
