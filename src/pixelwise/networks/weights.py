"""Weights learned elsewhere: read from safetensors, and loaded only where they fit.

Nothing keeps its random start unsaid: a tensor that is missing, unexpected or of another shape is named, and nothing is
loaded.
"""

import json
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pixelwise.errors import BadWeights
from pixelwise.geometry.layer_graph import LayerSpec
from pixelwise.networks.encoders import FullResolutionEncoder
from pixelwise.networks.first_convolution import FirstConvolution, adapt_first_convolution
from pixelwise.networks.models import Network
from pixelwise.networks.options import ShortcutPadding
from pixelwise.networks.residual import PaddedIdentity
from pixelwise.networks.weight_names import Tensors, our_names

HEADER_LIMIT = 16 * 2**20  # bytes
TENSOR_LIMIT = 10_000
BYTES_LIMIT = 8 * 2**30
NAMED = 10  # tensors that a message lists before it counts the rest
ORIGIN = "pixelwise_origin"
COUNTER = ".num_batches_tracked"  # old files lack it, and only a momentum of None reads it

# How to find out, for messages.
WHICH_PADDING = (
    "akamaster/pytorch_resnet_cifar10 has both, pixelwise has end by default; with the wrong one the accuracy on "
    "labelled images is about that of guessing."
)

_NOT_ENCODER = ("head.", "decoder.", "classification_head.")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where weights come from; it travels in the header of the file.

    Attributes
    ----------
    source, licence : str
        For people; empty when nobody said.
    sha256 : str
        Of the file they came in.
    mean, std : tuple of float
        Per channel, in 0...1: what images were normalised with when the weights were learned. Empty: not known.
    shortcut_padding : {"", "end", "both"}
        Of ResNets with shortcut A: `NetworkOptions.shortcut_padding` of the network they were learned with; empty when
        nobody said.

    Examples
    --------
    >>> Provenance(source="torchvision resnet18", mean=(0.5,)).to_metadata().keys()
    dict_keys(['pixelwise_origin'])
    """

    source: str = ""
    licence: str = ""
    sha256: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    shortcut_padding: Literal["", "end", "both"] = ""

    def to_metadata(self) -> dict[str, str]:
        """Return the entry of a safetensors header."""
        return {ORIGIN: json.dumps(asdict(self))}


def read_weights(path: Path) -> tuple[dict[str, Tensor], Provenance]:
    """Read a safetensors file of weights with names as they stand there, and what its header says of their origin.

    Raises
    ------
    BadWeights
        It is not a safetensors file, it is damaged or too large, or a value is not finite.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from safetensors.torch import save_file
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "weights.safetensors"
    ...     save_file({"fc.bias": torch.zeros(3)}, path, Provenance(source="mine").to_metadata())
    ...     tensors, origin = read_weights(path)
    >>> tensors["fc.bias"].shape, origin.source
    (torch.Size([3]), 'mine')
    """
    _check_size(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) > TENSOR_LIMIT:
                raise _broken(path, f"{len(names)} tensors")
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise _broken(path, f"a file that cannot be read as such ({error})") from error
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise _broken(path, f"NaN or Inf in {name}")
    return tensors, _origin(metadata, path)


def load_network(
    network: Network,
    tensors: Tensors,
    *,
    first_convolution: FirstConvolution | None = "auto",
    path: Path | str | None = None,
) -> None:
    """Load all weights of a network, from names of any known library.

    Parameters
    ----------
    network : Segmenter or Classifier
        Its weights are replaced.
    tensors : mapping of str to Tensor
        As `read_weights` returns them.
    first_convolution : {"auto", "sum", "repeat", "rgb+zero"} or None
        See `adapt_first_convolution`; None refuses another number of channels.
    path : Path, optional
        For messages.

    Raises
    ------
    BadWeights
        Names or shapes differ; they are listed, and nothing was loaded.
    BadOption
        The first convolution cannot be adapted that way.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network, other = (build(NetworkOptions(name="resnet20", base=2)) for _ in range(2))
    >>> load_network(network, other.state_dict())
    >>> torch.equal(network.head.linear.weight, other.head.linear.weight)
    True
    """
    kernels = _image_kernels(network.encoder, "encoder.")
    _load(network, our_names(network, tensors), kernels, first_convolution, path)


def load_encoder(
    network: Network, tensors: Tensors, *, first_convolution: FirstConvolution = "auto", path: Path | str | None = None
) -> None:
    """Load the weights of a network's encoder; heads and decoders in `tensors` are left aside.

    Parameters and errors as for `load_network`. A block on the image itself (`full_resolution`) keeps its own start: no
    published network has one.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> two, five = (build(NetworkOptions(name="resnet20", base=2, classes=classes)) for classes in (2, 5))
    >>> load_encoder(two, five.state_dict())
    >>> torch.equal(two.encoder.conv1.weight, five.encoder.conv1.weight)
    True
    """
    encoder: Any = network.encoder
    target: Any = encoder.inner if isinstance(encoder, FullResolutionEncoder) else encoder
    named = {n: value for n, value in our_names(network, tensors).items() if not n.startswith(_NOT_ENCODER)}
    found = {n.removeprefix("encoder."): value for n, value in named.items()}
    if any(n.startswith("inner.") for n in found):  # a model of ours with the full-resolution skip
        found = {n.removeprefix("inner."): value for n, value in found.items() if not n.startswith("block.")}
    _load(target, found, _image_kernels(target, ""), first_convolution, path)


def check_shortcut_padding(
    network: Network, own: ShortcutPadding, stated: str, hint: str, path: Path | str | None = None
) -> None:
    """Refuse weights whose shapes fit, but whose shortcuts A put their zero channels elsewhere, or nobody said where.

    Parameters
    ----------
    network : Segmenter or Classifier
        One without shortcuts A fits always.
    own : {"end", "both"}
        `NetworkOptions.shortcut_padding` of `network`.
    stated : {"", "end", "both"}
        That of the weights; empty when nobody said.
    hint : str
        How to say it.
    path : Path, optional
        For messages.

    Raises
    ------
    BadWeights
        They differ, or `stated` is empty.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network = build(NetworkOptions(name="resnet20", base=2))
    >>> check_shortcut_padding(network, "end", "both", "")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    pixelwise.errors.BadWeights: expected weights learned with network.shortcut_padding=end, ...
    """
    if not has_padded_shortcuts(network) or stated == own:
        return
    if not stated:
        what = "weights that say where their shortcuts without parameters (A) have the zero channels"
        raise BadWeights(what, "weights that do not: no tensor shows it", hint, path)
    what = f"weights learned with network.shortcut_padding={own}, as the network has it"
    hint = f"Set network.shortcut_padding={stated}: the weights have equal shapes and another meaning."
    raise BadWeights(what, f"weights learned with {stated}", hint, path)


def has_padded_shortcuts(network: nn.Module) -> bool:
    """Tell whether a network has shortcuts A that add channels, so that `shortcut_padding` matters.

    Examples
    --------
    >>> has_padded_shortcuts(nn.Sequential(PaddedIdentity(2, 4, 2, "end")))
    True
    """
    return any(isinstance(module, PaddedIdentity) for module in network.modules())


def lacks_projections(tensors: Tensors) -> bool:
    """Tell whether the weights are those of a ResNet whose shortcuts have none: shortcut A, or none at all.

    `tensors` have the names of torchvision or akamaster/pytorch_resnet_cifar10.

    Examples
    --------
    >>> kernel = torch.zeros(1)
    >>> lacks_projections({"layer2.0.conv1.weight": kernel})
    True
    >>> lacks_projections({"layer2.0.conv1.weight": kernel, "layer2.0.downsample.0.weight": kernel})
    False
    """
    projects = any(".downsample." in name or ".shortcut." in name for name in tensors)
    return "layer2.0.conv1.weight" in tensors and not projects


def _load(
    module: nn.Module,
    found: Tensors,
    takes_image: Collection[str],
    how: FirstConvolution | None,
    path: Path | str | None,
) -> None:
    """Load `found` into `module`, or list what does not fit; `takes_image` are the kernels that may be adapted."""
    expected: dict[str, Tensor] = module.state_dict()
    fitted = {
        name: _fit(found[name], value, how) if how is not None and name in takes_image else found[name]
        for name, value in expected.items()
        if name in found
    }
    missing = [n for n in expected if n not in found and not n.endswith(COUNTER)]
    unexpected = [n for n in found if n not in expected]
    misshapen = [n for n, value in fitted.items() if _kind(value) != _kind(expected[n])]
    complaints = [
        _listed("missing", [f"{n} {_kind(expected[n])}" for n in missing]),
        _listed("unexpected", [f"{n} {_kind(found[n])}" for n in unexpected]),
        _listed("of another shape", [f"{n} {_kind(found[n])} where {_kind(expected[n])} fits" for n in misshapen]),
    ]
    if any(complaints):
        what = f"weights with the {len(expected)} tensors of the {type(module).__name__}"
        hint = "Choose the network that the weights were made for. Nothing was loaded."
        raise BadWeights(what, "; ".join(filter(None, complaints)), hint, path)
    module.load_state_dict({name: fitted.get(name, value) for name, value in expected.items()})


def _image_kernels(encoder: Any, prefix: str) -> set[str]:
    """Return the names of the kernels that take the image: in the finest part, with as many channels as it has."""
    channels = next(step.in_channels for step in encoder.layer_graph() if isinstance(step, LayerSpec))
    first = {id(kernel) for part in encoder.parts()[0] for kernel in part.parameters()}
    return {
        f"{prefix}{name}"
        for name, kernel in encoder.named_parameters()
        if id(kernel) in first and kernel.ndim >= 4 and kernel.shape[1] == channels
    }


def _fit(found: Tensor, expected: Tensor, how: FirstConvolution) -> Tensor:
    """Adapt a kernel that differs in the channels of the image alone."""
    if found.ndim == expected.ndim and found.shape[0] == expected.shape[0] and found.shape[2:] == expected.shape[2:]:
        return adapt_first_convolution(found, expected.shape[1], how)
    return found


def _listed(what: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    rest = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return f"{len(items)} {what}: {', '.join(items[:NAMED])}{rest}"


def _kind(tensor: Tensor) -> str:
    """Return the shape as text; whole numbers, which only counters are, say so."""
    shape = f"({', '.join(str(side) for side in tensor.shape)})"
    return shape if tensor.is_floating_point() else f"{shape} of whole numbers"


def _check_size(path: Path) -> None:
    """Refuse what is no safetensors file, or too large, before anything is allocated."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise _broken(path, (error.strerror or str(error)).lower()) from error
    length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 and start[8:] == b"{" else 0
    if not 2 <= length <= size - 8:
        raise _broken(path, "a file of another kind" if size else "an empty file")
    if length > HEADER_LIMIT or size > BYTES_LIMIT:
        raise _broken(path, f"{size} bytes, {length} of them in the header")


def _origin(metadata: Mapping[str, str], path: Path) -> Provenance:
    """Read the origin out of a header; files of others have none."""
    if ORIGIN not in metadata:
        return Provenance()
    try:
        return TypeAdapter(Provenance).validate_python(json.loads(metadata[ORIGIN]))
    except ValueError as error:
        raise _broken(path, "a header whose origin cannot be read") from error


def _broken(path: Path, got: str) -> BadWeights:
    hint = "Give a .safetensors file; `pixelwise import-weights` makes one of a .pth file."
    return BadWeights("weights as safetensors", got, hint, path)
