"""Registry of network architectures; to add one, write a builder and register its record.

A record lists the fields of `NetworkOptions` that its builder reads. Options that are set but not read by the network
raise an error instead of being ignored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from pixelwise.errors import BadOption, nearest
from pixelwise.networks.classifiers import cifar_resnet, plain, resnet, vgg
from pixelwise.networks.encoders import BOTTLENECK_DEPTH, RESNET_BLOCKS, VGG_COUNTS
from pixelwise.networks.models import Classifier, Network, Segmenter
from pixelwise.networks.options import NetworkOptions
from pixelwise.networks.segmenters import (
    attention_unet,
    resencunet,
    resunet,
    unet,
    unet2015,
    unetplusplus,
    vnet,
)
from pixelwise.networks.unet_on_encoder import ENCODERS

__all__ = [
    "ALWAYS_READ",
    "ARCHITECTURES",
    "CLASSIFIERS",
    "DEFAULTS",
    "ENCODERS",
    "SEGMENTERS",
    "Architecture",
    "NetworkOptions",
    "build",
    "build_classifier",
    "build_segmenter",
    "check_options",
    "options_read",
    "paper",
    "published_options",
    "published_size",
    "readers",
    "register",
    "summary",
    "with_defaults_where_unread",
]

Task = Literal["segmentation", "classification"]

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {option.name: option.default for option in fields(NetworkOptions) if option.name != "name"}
)
ALWAYS_READ = ("in_channels", "classes")  # determined by the data, so every network must read them


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A registered network: its builder, the options it reads, and its published form.

    Parameters
    ----------
    name : str
        Value of `NetworkOptions.name`.
    builder : callable
        NetworkOptions -> network, with randomly initialised weights.
    task : {"segmentation", "classification"}
        Whether the network returns logits for each pixel or for the whole image.
    reads : tuple of str
        Fields of `NetworkOptions` that the builder reads, besides `name`.
    encoders : mapping of str to tuple of str
        For networks with a replaceable encoder: each encoder, and the fields that are read with it instead of `reads`.
    paper : str
        Reference; empty if unknown.
    published : mapping of str to value
        Options of the published form that differ from the defaults; `inspect NAME` shows this form.
    parameters : int, optional
        Number of parameters of the published form, if given by the paper or its reference implementation.
    size : int
        Side in pixels of the images in the paper; 256 if it does not matter.

    Raises
    ------
    BadOption
        `reads`, `encoders` or `published` contains an unknown option, `in_channels` or `classes` is not read, or the
        published form sets an option that is not read.

    Examples
    --------
    >>> ARCHITECTURES["unet2015"].reads
    ('in_channels', 'classes', 'base', 'dropout', 'dimensions')
    >>> ARCHITECTURES["unet2015"].parameters
    31030658
    """

    name: str
    builder: Callable[[NetworkOptions], Network]
    reads: tuple[str, ...]
    task: Task = "segmentation"
    encoders: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    paper: str = ""
    published: Mapping[str, Any] = field(default_factory=dict[str, Any])
    parameters: int | None = None
    size: int = 256

    def __post_init__(self) -> None:
        """Validate the record."""
        for reads in (self.reads, *self.encoders.values()):
            for option in reads:
                if option not in DEFAULTS:
                    raise BadOption(f"options that {self.name} reads", f"`{option}`", nearest(option, list(DEFAULTS)))
            missing = [option for option in ALWAYS_READ if option not in reads]
            if missing:
                raise BadOption(f"{missing[0]} in `reads` of {self.name}", f"{', '.join(reads)}", "Add it.")
        unread = [option for option in self.published if option not in self.reads]
        if unread:
            hint = "Remove it from `published`, or add it to `reads`."
            raise BadOption(f"a published form of options that {self.name} reads", f"`{unread[0]}`", hint)

    @property
    def summary(self) -> str:
        """One-line description: the first line of the builder's docstring."""
        return (self.builder.__doc__ or self.name).strip().splitlines()[0]


ARCHITECTURES: dict[str, Architecture] = {}
SEGMENTERS: dict[str, Architecture] = {}
CLASSIFIERS: dict[str, Architecture] = {}


def register(architecture: Architecture) -> None:
    """Register a network, so that it can be built, trained and inspected by name.

    Raises
    ------
    BadOption
        The name is already registered.

    Examples
    --------
    >>> register(Architecture(name="unet", builder=unet, reads=("in_channels", "classes")))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    pixelwise.errors.BadOption: expected an unused network name; got `unet`, which is already registered...
    """
    if architecture.name in ARCHITECTURES:
        got = f"`{architecture.name}`, which is already registered"
        raise BadOption("an unused network name", got, "Choose another name.")
    ARCHITECTURES[architecture.name] = architecture
    (SEGMENTERS if architecture.task == "segmentation" else CLASSIFIERS)[architecture.name] = architecture


_HE = "He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition, arXiv 1512.03385"
_VGG = "Simonyan, Zisserman 2015, Very deep convolutional networks, arXiv 1409.1556"

_STAGED = ("in_channels", "classes", "depth", "base", "max_width", "normalisation", "dimensions")  # of most U-Nets
_RESIDUAL = ("shortcut", "shortcut_padding", "zero_init_residual")  # of ResNets
_ON_ENCODER = ("in_channels", "classes", "base", "normalisation", "upsampling", "encoder")
_ENCODER_FORM: dict[str, Any] = {"in_channels": 3, "base": 16}  # published form of U-Nets on an encoder

# Parameters of the networks of torchvision, 3 -> 1000
_RESNET_PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
_VGG_PARAMETERS = {11: 132_863_336, 13: 133_047_848, 16: 138_357_544, 19: 143_667_240}
_VGG_BN_PARAMETERS = {11: 132_868_840, 13: 133_053_736, 16: 138_365_992, 19: 143_678_248}


def _resnet_reads(depth: int) -> tuple[str, ...]:
    """Return the options of the residual blocks of a large ResNet; only bottlenecks read `stride_first`."""
    return ("stem", *_RESIDUAL, *(("stride_first",) if depth >= BOTTLENECK_DEPTH else ()))


def _unet_encoders() -> dict[str, tuple[str, ...]]:
    """Return the options of a U-Net on each encoder."""
    resnets = {f"resnet{depth}": (*_ON_ENCODER, "full_resolution", *_resnet_reads(depth)) for depth in RESNET_BLOCKS}
    return {name: resnets.get(name, _ON_ENCODER) for name in ENCODERS}


for _architecture in (
    Architecture(
        name="unet2015",
        builder=unet2015,
        reads=("in_channels", "classes", "base", "dropout", "dimensions"),
        paper="Ronneberger, Fischer, Brox 2015, U-Net, doi 10.1007/978-3-319-24574-4_28",
        published={"base": 64, "dropout": 0.5},
        parameters=31_030_658,
        size=572,
    ),
    Architecture(
        name="unet",
        builder=unet,
        reads=(*_STAGED, "upsampling", "dropout", "encoder"),
        encoders=_unet_encoders(),
        paper="after Ronneberger, Fischer, Brox 2015, U-Net, doi 10.1007/978-3-319-24574-4_28",
    ),
    Architecture(
        name="resunet",
        builder=resunet,
        reads=(*_STAGED, "upsampling"),
        paper="Zhang, Liu, Wang 2018, Road extraction by deep residual U-Net, doi 10.1109/LGRS.2018.2802944",
        published={"in_channels": 3, "classes": 1, "depth": 3, "base": 64},
        size=224,
    ),
    Architecture(
        name="resencunet",
        builder=resencunet,
        reads=_STAGED,
        paper="Isensee et al. 2024, nnU-Net revisited, arXiv 2404.09556",
        published={"base": 32, "depth": 6, "max_width": 512, "normalisation": "instance"},
    ),
    Architecture(
        name="unetplusplus",
        builder=unetplusplus,
        reads=(*_STAGED, "upsampling", "dropout", "deep_supervision"),
        paper="Zhou et al. 2018, UNet++: a nested U-Net architecture, arXiv 1807.10165",
        published={"in_channels": 3, "classes": 1, "base": 32, "normalisation": "none"},
        parameters=9_042_177,
    ),
    Architecture(
        name="attention_unet",
        builder=attention_unet,
        reads=(*_STAGED, "dropout", "gates"),
        paper="Oktay et al. 2018, Attention U-Net, arXiv 1804.03999",
        published={"base": 64},
    ),
    Architecture(
        name="vnet",
        builder=vnet,
        reads=_STAGED,
        paper="Milletari, Navab, Ahmadi 2016, V-Net, arXiv 1606.04797",
        published={"base": 16, "normalisation": "none", "dimensions": 3},
        parameters=65_175_314,
        size=128,
    ),
    *(
        Architecture(
            name=f"resnet{depth}",
            builder=resnet,
            task="classification",
            reads=("in_channels", "classes", *_resnet_reads(depth)),
            paper=_HE,
            published={"in_channels": 3, "classes": 1000},
            parameters=_RESNET_PARAMETERS[depth],
            size=224,
        )
        for depth in RESNET_BLOCKS
    ),
    *(
        Architecture(
            name=f"resnet{depth}",
            builder=cifar_resnet,
            task="classification",
            reads=("in_channels", "classes", "base", *_RESIDUAL),
            paper=_HE,
            published={"in_channels": 3, "classes": 10, "base": 16},
            size=32,
        )
        for depth in (20, 32, 44, 56, 110)
    ),
    *(
        Architecture(
            name=f"plain{depth}",
            builder=plain,
            task="classification",
            reads=("in_channels", "classes", "base"),
            paper=_HE,
            published={"in_channels": 3, "classes": 10, "base": 16},
            size=32,
        )
        for depth in (20, 32, 44)
    ),
    *(
        Architecture(
            name=f"vgg{depth}{norm}",
            builder=vgg,
            task="classification",
            reads=("in_channels", "classes"),
            paper=_VGG,
            published={"in_channels": 3, "classes": 1000},
            parameters=(_VGG_BN_PARAMETERS if norm else _VGG_PARAMETERS)[depth],
            size=224,
        )
        for depth in VGG_COUNTS
        for norm in ("", "_bn")
    ),
):
    register(_architecture)


def build(options: NetworkOptions) -> Network:
    """Build a registered network with randomly initialised weights.

    Raises
    ------
    BadOption
        The name is not registered (the nearest one is suggested), or an option is set that the network does not read.

    Examples
    --------
    >>> network = build(NetworkOptions(name="unet", depth=3, base=8))
    >>> network.geometry().total_stride
    8
    """
    check_options(options)
    return ARCHITECTURES[options.name].builder(options)


def build_segmenter(options: NetworkOptions) -> Segmenter:
    """Build a segmentation network.

    Raises
    ------
    BadOption
        The network is a classifier; or as in `build`.

    Examples
    --------
    >>> build_segmenter(NetworkOptions(name="unet2015", base=2)).geometry().output_size(572)
    388
    """
    network = build(options)
    if not isinstance(network, Segmenter):
        raise BadOption("a segmentation network", f"`{options.name}`", f"Use one of {', '.join(SEGMENTERS)}.")
    return network


def build_classifier(options: NetworkOptions) -> Classifier:
    """Build a classification network.

    Raises
    ------
    BadOption
        The network is a segmentation network; or as in `build`.

    Examples
    --------
    >>> import torch
    >>> network = build_classifier(NetworkOptions(name="resnet20", base=2, in_channels=3, classes=5)).eval()
    >>> network(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 5])
    """
    network = build(options)
    if not isinstance(network, Classifier):
        raise BadOption("a classification network", f"`{options.name}`", f"Use one of {', '.join(CLASSIFIERS)}.")
    return network


def options_read(options: NetworkOptions) -> tuple[str, ...]:
    """Return the fields of `NetworkOptions` that a network reads, besides `name`.

    Only the names of the network and the encoder matter.

    Raises
    ------
    BadOption
        The network or the encoder is not registered; the nearest one is suggested.

    Examples
    --------
    >>> options_read(NetworkOptions(name="vgg16"))
    ('in_channels', 'classes')
    >>> "depth" in options_read(NetworkOptions(name="unet"))
    True
    >>> "depth" in options_read(NetworkOptions(name="unet", encoder="resnet18"))
    False
    """
    if options.name not in ARCHITECTURES:
        raise BadOption("a registered network", f"`{options.name}`", nearest(options.name, list(ARCHITECTURES)))
    architecture = ARCHITECTURES[options.name]
    encoder = options.encoder
    if not architecture.encoders or encoder == DEFAULTS["encoder"]:
        return architecture.reads
    if encoder not in architecture.encoders:
        hint = nearest(encoder, [DEFAULTS["encoder"], *architecture.encoders])
        raise BadOption("a registered encoder", f"`{encoder}`", hint)
    return architecture.encoders[encoder]


def check_options(options: NetworkOptions) -> None:
    """Check that all options that differ from their defaults are read by the network.

    Raises
    ------
    BadOption
        An option is not read; the message lists the options of the network and the networks that read the option. Or as
        in `options_read`.

    Examples
    --------
    >>> check_options(NetworkOptions(name="unet", depth=6))
    >>> check_options(NetworkOptions(name="plain20", depth=6))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    pixelwise.errors.BadOption: expected options that plain20 reads (in_channels, classes, base); got network.depth=6...
    """
    reads = options_read(options)
    unread = _unread(options, reads)
    if not unread:
        return
    name = options.full_name if "encoder" in reads else options.name
    got = " and ".join(f"network.{option}={_plain(getattr(options, option))}" for option in unread)
    hints = (
        f"Leave network.{option} at its default, {_plain(DEFAULTS[option])}, or choose a network that reads it: "
        f"{', '.join(readers(option))}."
        for option in unread
    )
    raise BadOption(f"options that {name} reads ({', '.join(reads)})", got, " ".join(hints))


def with_defaults_where_unread(options: NetworkOptions) -> NetworkOptions:
    """Return `options` with all options that the network does not read reset to their defaults.

    For options that were not set for this network: those of a plan, of an old file, or of a test over all networks.

    Raises
    ------
    BadOption
        As in `options_read`.

    Examples
    --------
    >>> small = with_defaults_where_unread(NetworkOptions(name="unet2015", base=4, depth=2))
    >>> small.base, small.depth
    (4, 4)
    """
    return replace(options, **{option: DEFAULTS[option] for option in _unread(options, options_read(options))})


def readers(option: str) -> list[str]:
    """Return the networks that read an option as text, with the encoders if it depends on them.

    Examples
    --------
    >>> readers("gates")
    ['attention_unet']
    >>> readers("stride_first")
    ['unet with encoder=resnet50|resnet101|resnet152', 'resnet50', 'resnet101', 'resnet152']
    """
    result: list[str] = []
    for name, architecture in ARCHITECTURES.items():
        on = [encoder for encoder, reads in architecture.encoders.items() if option in reads]
        if option in architecture.reads:
            result.append(name if len(on) == len(architecture.encoders) else f"{name} without an encoder")
        elif on:
            result.append(f"{name} with encoder={'|'.join(on)}")
    return result


def published_options(name: str, encoder: str = "plain") -> NetworkOptions:
    """Return the options of the published form of a network, optionally on an encoder.

    Examples
    --------
    >>> published_options("resnet50").classes
    1000
    """
    changes = ARCHITECTURES[name].published if encoder == "plain" else _ENCODER_FORM
    return replace(NetworkOptions(name=name, encoder=encoder), **changes)


def published_size(name: str) -> int:
    """Return the side of the images in the paper of a registered network.

    Examples
    --------
    >>> published_size("unet2015")
    572
    """
    return ARCHITECTURES[name].size


def paper(name: str) -> str:
    """Return the reference of a registered network; empty if unknown.

    Examples
    --------
    >>> paper("attention_unet")
    'Oktay et al. 2018, Attention U-Net, arXiv 1804.03999'
    """
    return ARCHITECTURES[name].paper


def summary(name: str) -> str:
    """Return the one-line description of a registered network.

    Examples
    --------
    >>> summary("unet2015")
    'U-Net of 2015: valid convolutions, cropped skips, 572 -> 388.'
    """
    return ARCHITECTURES[name].summary


def _unread(options: NetworkOptions, reads: tuple[str, ...]) -> list[str]:
    """Return the options that differ from their defaults and are not read."""
    return [name for name, default in DEFAULTS.items() if name not in reads and getattr(options, name) != default]


def _plain(value: Any) -> str:
    """Return a value as written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)
