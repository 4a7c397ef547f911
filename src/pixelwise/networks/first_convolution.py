"""Stem adaptation: fit the first convolution of pretrained weights to another number of channels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pixelwise.errors import BadOption
from pixelwise.text import pluralise

FirstConvolution = Literal["auto", "sum", "repeat", "rgb+zero"]


def choose_adaptation(source: int, channels: int, method: FirstConvolution) -> FirstConvolution:
    """Resolve "auto" for `source` to `channels` channels.

    One channel uses the sum; four from three keep red, green and blue exact, because the fourth is usually another
    band; any other number repeats.

    Examples
    --------
    >>> choose_adaptation(3, 1, "auto"), choose_adaptation(3, 4, "auto"), choose_adaptation(3, 2, "auto")
    ('sum', 'rgb+zero', 'repeat')
    """
    if method != "auto":
        return method
    if channels == 1:
        return "sum"
    return "rgb+zero" if (source, channels) == (3, 4) else "repeat"


def adapt_first_convolution(weight: Tensor, channels: int, method: FirstConvolution = "auto") -> Tensor:
    """Adapt the kernel of the first convolution to another number of channels.

    Parameters
    ----------
    weight : Tensor (out, source channels, ...)
        The pretrained kernel.
    channels : int
        Number of image channels; if equal, the kernel is returned unchanged.
    method : {"auto", "sum", "repeat", "rgb+zero"}
        sum: every channel gets the sum over the source channels, divided by `channels`. repeat: the source channels
        cyclically, times source / channels. Both keep the output for images with equal channels. rgb+zero: the source
        channels unchanged, zeros for the rest.

    Raises
    ------
    BadOption
        "rgb+zero" with fewer channels than the kernel.

    Examples
    --------
    >>> weight = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    >>> adapt_first_convolution(weight, 1).flatten().tolist()
    [6.0]
    >>> adapt_first_convolution(weight, 4).flatten().tolist()
    [1.0, 2.0, 3.0, 0.0]
    """
    source = weight.shape[1]
    if source == channels:
        return weight
    method = choose_adaptation(source, channels, method)
    if method == "sum":
        total = weight.sum(1, keepdim=True) / channels
        return total.expand(-1, channels, *weight.shape[2:]).contiguous()
    if method == "repeat":
        return weight[:, [i % source for i in range(channels)]] * (source / channels)
    if channels < source:
        hint = "Use transfer.first_convolution=sum or repeat."
        expected = f"at least {pluralise(source, 'channel')} for transfer.first_convolution=rgb+zero"
        raise BadOption(expected, f"{channels}", hint)
    rest = weight.new_zeros(weight.shape[0], channels - source, *weight.shape[2:])
    return torch.cat([weight, rest], dim=1)


def adapt_statistics(
    values: Sequence[float], channels: int, method: FirstConvolution, fallback: Sequence[float]
) -> tuple[float, ...]:
    """Adapt means or standard deviations per channel to another number of channels, like the kernel.

    Parameters
    ----------
    values : sequence of float
        Statistics of the pretrained channels.
    channels : int
        Number of image channels.
    method : {"auto", "sum", "repeat", "rgb+zero"}
        As for `adapt_first_convolution`.
    fallback : sequence of float
        Statistics of the images, for additional channels.

    Examples
    --------
    >>> adapt_statistics([1.0, 2.0, 3.0], 1, "auto", [9.0])
    (2.0,)
    >>> adapt_statistics([1.0, 2.0, 3.0], 4, "auto", [9.0, 9.0, 9.0, 9.0])
    (1.0, 2.0, 3.0, 9.0)
    """
    if len(values) == channels:
        return tuple(values)
    method = choose_adaptation(len(values), channels, method)
    if method == "sum":
        return (sum(values) / len(values),) * channels
    if method == "repeat":
        return tuple(values[i % len(values)] for i in range(channels))
    return (*values, *fallback[len(values) :])
