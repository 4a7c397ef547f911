"""Loading of pretrained weights from safetensors, with strict checks.

If a tensor is missing, unexpected or of another shape, it is listed in the error and nothing is loaded.
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
from pixelwise.networks.weight_names import Tensors, pixelwise_names
from pixelwise.text import list_first

HEADER_LIMIT = 16 * 2**20  # bytes
TENSOR_LIMIT = 10_000
BYTES_LIMIT = 8 * 2**30
MAX_LISTED = 10  # tensors listed in a message before the rest is counted
ORIGIN = "pixelwise_origin"
BATCH_COUNTER = ".num_batches_tracked"  # missing in old files, and only used with a momentum of None

# Hint on how to find the right value.
PADDING_HINT = (
    "akamaster/pytorch_resnet_cifar10 uses both, pixelwise end by default; with the wrong one the accuracy on "
    "labelled images is about that of guessing."
)

_NOT_ENCODER = ("head.", "decoder.", "classification_head.")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Origin of weights, stored in the header of their file.

    Attributes
    ----------
    source, licence : str
        Free text; empty if unknown.
    sha256 : str
        Of the original file.
    mean, std : tuple of float
        Normalisation of the training images per channel, in 0...1; empty if unknown.
    shortcut_padding : {"", "end", "both"}
        For ResNets with shortcut A: `NetworkOptions.shortcut_padding` in training; empty if unknown.

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
    """Read the tensors of a safetensors file, with their original names, and their provenance.

    Raises
    ------
    BadWeights
        The file is not safetensors, damaged or too large, or a value is not finite.

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
        raise _broken(path, f"an unreadable file ({error})") from error
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
    """Load all weights of a network, with the names of any supported library.

    Parameters
    ----------
    network : Segmenter or Classifier
        Its weights are replaced.
    tensors : mapping of str to Tensor
        As `read_weights` returns them.
    first_convolution : {"auto", "sum", "repeat", "rgb+zero"} or None
        See `adapt_first_convolution`; None requires an equal number of channels.
    path : Path, optional
        For messages.

    Raises
    ------
    BadWeights
        Names or shapes differ; they are listed, and nothing is loaded.
    BadOption
        The first convolution cannot be adapted in this way.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network, other = (build(NetworkOptions(name="resnet20", base=2)) for _ in range(2))
    >>> load_network(network, other.state_dict())
    >>> torch.equal(network.head.linear.weight, other.head.linear.weight)
    True
    """
    kernels = _image_kernels(network.encoder, "encoder.")
    _load(network, pixelwise_names(network, tensors), kernels, first_convolution, path)


def load_encoder(
    network: Network, tensors: Tensors, *, first_convolution: FirstConvolution = "auto", path: Path | str | None = None
) -> None:
    """Load the weights of the encoder of a network; heads and decoders in `tensors` are ignored.

    Parameters and errors as for `load_network`. The `full_resolution` block keeps its random initialisation, because no
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
    named = {n: value for n, value in pixelwise_names(network, tensors).items() if not n.startswith(_NOT_ENCODER)}
    encoder_tensors = {n.removeprefix("encoder."): value for n, value in named.items()}
    if any(n.startswith("inner.") for n in encoder_tensors):  # a pixelwise model with the full-resolution skip
        encoder_tensors = {
            n.removeprefix("inner."): value for n, value in encoder_tensors.items() if not n.startswith("block.")
        }
    _load(target, encoder_tensors, _image_kernels(target, ""), first_convolution, path)


def check_shortcut_padding(
    network: Network, padding: ShortcutPadding, weights_padding: str, hint: str, path: Path | str | None = None
) -> None:
    """Check that the weights were trained with the `shortcut_padding` of the network, which shapes do not show.

    Parameters
    ----------
    network : Segmenter or Classifier
        Networks without shortcut A always pass.
    padding : {"end", "both"}
        `NetworkOptions.shortcut_padding` of `network`.
    weights_padding : {"", "end", "both"}
        That of the weights; empty if unknown.
    hint : str
        How to specify it.
    path : Path, optional
        For messages.

    Raises
    ------
    BadWeights
        They differ, or `weights_padding` is empty.

    Examples
    --------
    >>> from pixelwise.networks.architectures import NetworkOptions, build
    >>> network = build(NetworkOptions(name="resnet20", base=2))
    >>> check_shortcut_padding(network, "end", "both", "")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    pixelwise.errors.BadWeights: expected weights trained with network.shortcut_padding=end, ...
    """
    if not any(isinstance(module, PaddedIdentity) for module in network.modules()) or weights_padding == padding:
        return
    if not weights_padding:
        requirement = "weights with a known shortcut_padding (zero channels of the parameter-free shortcut A)"
        raise BadWeights(requirement, "weights without it: no tensor shows it", hint, path)
    requirement = f"weights trained with network.shortcut_padding={padding}, like the network"
    hint = f"Set network.shortcut_padding={weights_padding}: shapes are equal, but the meaning is not."
    raise BadWeights(requirement, f"weights trained with {weights_padding}", hint, path)


def lacks_projections(tensors: Tensors) -> bool:
    """Return whether the weights are those of a ResNet with parameter-free shortcuts, or without shortcuts.

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
    tensors: Tensors,
    image_kernels: Collection[str],
    method: FirstConvolution | None,
    path: Path | str | None,
) -> None:
    """Load `tensors` into `module`, or list the mismatches; `image_kernels` are the kernels that may be adapted."""
    expected: dict[str, Tensor] = module.state_dict()
    fitted = {
        name: _fit(tensors[name], value, method) if method is not None and name in image_kernels else tensors[name]
        for name, value in expected.items()
        if name in tensors
    }
    missing = [n for n in expected if n not in tensors and not n.endswith(BATCH_COUNTER)]
    unexpected = [n for n in tensors if n not in expected]
    misshapen = [n for n, value in fitted.items() if _kind(value) != _kind(expected[n])]
    mismatches = [
        _listed("missing", [f"{n} {_kind(expected[n])}" for n in missing]),
        _listed("unexpected", [f"{n} {_kind(tensors[n])}" for n in unexpected]),
        _listed("of another shape", [f"{n} {_kind(tensors[n])} instead of {_kind(expected[n])}" for n in misshapen]),
    ]
    if any(mismatches):
        requirement = f"weights with the {len(expected)} tensors of the {type(module).__name__}"
        hint = "Choose the network that the weights were trained for. Nothing was loaded."
        raise BadWeights(requirement, "; ".join(filter(None, mismatches)), hint, path)
    module.load_state_dict({name: fitted.get(name, value) for name, value in expected.items()})


def _image_kernels(encoder: Any, prefix: str) -> set[str]:
    """Return the names of the kernels applied to the image: in the finest stage, with its number of channels."""
    channels = next(spec.in_channels for spec in encoder.layer_graph() if isinstance(spec, LayerSpec))
    first = {id(kernel) for module in encoder.parts()[0] for kernel in module.parameters()}
    return {
        f"{prefix}{name}"
        for name, kernel in encoder.named_parameters()
        if id(kernel) in first and kernel.ndim >= 4 and kernel.shape[1] == channels
    }


def _fit(weight: Tensor, expected: Tensor, method: FirstConvolution) -> Tensor:
    """Adapt a kernel that differs only in the image channels."""
    if weight.ndim == expected.ndim and weight.shape[0] == expected.shape[0] and weight.shape[2:] == expected.shape[2:]:
        return adapt_first_convolution(weight, expected.shape[1], method)
    return weight


def _listed(label: str, items: Sequence[str]) -> str:
    return f"{len(items)} {label}: {list_first(list(items), MAX_LISTED)}" if items else ""


def _kind(tensor: Tensor) -> str:
    """Return the shape as text, with a note for integers (counters)."""
    shape = f"({', '.join(str(side) for side in tensor.shape)})"
    return shape if tensor.is_floating_point() else f"{shape} of integers"


def _check_size(path: Path) -> None:
    """Check type and size of a file before anything is allocated."""
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
    """Read the provenance from a header; external files have none."""
    if ORIGIN not in metadata:
        return Provenance()
    try:
        return TypeAdapter(Provenance).validate_python(json.loads(metadata[ORIGIN]))
    except ValueError as error:
        raise _broken(path, "a header with invalid provenance") from error


def _broken(path: Path, got: str) -> BadWeights:
    hint = "Use a .safetensors file; `pixelwise import-weights` converts a .pth file."
    return BadWeights("weights as safetensors", got, hint, path)
