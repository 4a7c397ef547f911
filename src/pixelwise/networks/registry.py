"""Registry of networks: a record lists the options that a builder reads, and the published form of its network.

`architectures` registers the networks of this package; import it to have them all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from pixelwise.errors import BadOption, nearest
from pixelwise.networks.models import Network
from pixelwise.networks.options import NetworkOptions

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
    >>> from pixelwise.networks.architectures import ARCHITECTURES
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
    >>> from pixelwise.networks.architectures import ARCHITECTURES
    >>> register(ARCHITECTURES["unet"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    pixelwise.errors.BadOption: expected an unused network name; got `unet`, which is already registered...
    """
    if architecture.name in ARCHITECTURES:
        got = f"`{architecture.name}`, which is already registered"
        raise BadOption("an unused network name", got, "Choose another name.")
    ARCHITECTURES[architecture.name] = architecture
    (SEGMENTERS if architecture.task == "segmentation" else CLASSIFIERS)[architecture.name] = architecture


def published_size(name: str) -> int:
    """Return the side of the images in the paper of a registered network.

    Examples
    --------
    >>> from pixelwise.networks.architectures import published_size
    >>> published_size("unet2015")
    572
    """
    return ARCHITECTURES[name].size


def paper(name: str) -> str:
    """Return the reference of a registered network; empty if unknown.

    Examples
    --------
    >>> from pixelwise.networks.architectures import paper
    >>> paper("attention_unet")
    'Oktay et al. 2018, Attention U-Net, arXiv 1804.03999'
    """
    return ARCHITECTURES[name].paper


def summary(name: str) -> str:
    """Return the one-line description of a registered network.

    Examples
    --------
    >>> from pixelwise.networks.architectures import summary
    >>> summary("unet2015")
    'U-Net of 2015: valid convolutions, cropped skips, 572 -> 388.'
    """
    return ARCHITECTURES[name].summary
