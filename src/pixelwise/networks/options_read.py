"""Which options a network reads; options that are set but not read raise an error instead of being ignored."""

from dataclasses import replace
from typing import Any

from pixelwise.errors import BadOption, nearest
from pixelwise.networks.options import NetworkOptions
from pixelwise.networks.registry import ARCHITECTURES, DEFAULTS


def options_read(options: NetworkOptions) -> tuple[str, ...]:
    """Return the fields of `NetworkOptions` that a network reads, besides `name`.

    Only the names of the network and the encoder matter.

    Raises
    ------
    BadOption
        The network or the encoder is not registered; the nearest one is suggested.

    Examples
    --------
    >>> from pixelwise.networks.architectures import options_read
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
    >>> from pixelwise.networks.architectures import check_options
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
    >>> from pixelwise.networks.architectures import with_defaults_where_unread
    >>> small = with_defaults_where_unread(NetworkOptions(name="unet2015", base=4, depth=2))
    >>> small.base, small.depth
    (4, 4)
    """
    return replace(options, **{option: DEFAULTS[option] for option in _unread(options, options_read(options))})


def readers(option: str) -> list[str]:
    """Return the networks that read an option as text, with the encoders if it depends on them.

    Examples
    --------
    >>> from pixelwise.networks.architectures import readers
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


def _unread(options: NetworkOptions, reads: tuple[str, ...]) -> list[str]:
    """Return the options that differ from their defaults and are not read."""
    return [name for name, default in DEFAULTS.items() if name not in reads and getattr(options, name) != default]


def _plain(value: Any) -> str:
    """Return a value as written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)
