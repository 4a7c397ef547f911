"""The first convolution of published weights, fitted to images with another number of channels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from pixelwise.errors import BadOption
from pixelwise.text import pluralise

FirstConvolution = Literal["auto", "sum", "repeat", "rgb+zero"]


def choose_adaptation(source: int, channels: int, how: FirstConvolution) -> FirstConvolution:
    """Return what "auto" means from `source` to `channels` channels.

    One channel takes the sum; four from three keep red, green and blue exact, because the fourth is mostly another
    band; any other number repeats.
    """
    if how != "auto":
        return how
    if channels == 1:
        return "sum"
    return "rgb+zero" if (source, channels) == (3, 4) else "repeat"


def adapt_first_convolution(weight: Tensor, channels: int, how: FirstConvolution = "auto") -> Tensor:
    """Fit a kernel that takes an image to another number of channels.

    Parameters
    ----------
    weight : Tensor (out, source channels, ...)
    channels : int
        Of our images; an equal number returns the kernel as it is.
    how : {"auto", "sum", "repeat", "rgb+zero"}
        sum: every channel gets the sum over the source channels, divided by the number of ours. repeat: the channels in
        turn, times source / channels. Both answer an image of equal channels as the source does one of as many.
        rgb+zero: the source channels exact, zeros for the rest, which therefore say nothing at first.

    Raises
    ------
    BadOption
        "rgb+zero" for fewer channels than the kernel has.
    """
    source = weight.shape[1]
    if source == channels:
        return weight
    how = choose_adaptation(source, channels, how)
    if how == "sum":
        total = weight.sum(1, keepdim=True) / channels
        return total.expand(-1, channels, *weight.shape[2:]).contiguous()
    if how == "repeat":
        return weight[:, [i % source for i in range(channels)]] * (source / channels)
    if channels < source:
        hint = "Use transfer.first_convolution=sum or repeat."
        expected = f"at least {pluralise(source, 'channel')} for transfer.first_convolution=rgb+zero"
        raise BadOption(expected, f"{channels}", hint)
    rest = weight.new_zeros(weight.shape[0], channels - source, *weight.shape[2:])
    return torch.cat([weight, rest], dim=1)


def adapt_statistics(
    values: Sequence[float], channels: int, how: FirstConvolution, own: Sequence[float]
) -> tuple[float, ...]:
    """Fit means or deviations per channel to another number of channels, as the kernel is.

    Parameters
    ----------
    values : sequence of float
        Of the weights' channels.
    channels : int
    how : {"auto", "sum", "repeat", "rgb+zero"}
    own : sequence of float
        Those of our own images, for channels that the weights do not know.
    """
    if len(values) == channels:
        return tuple(values)
    how = choose_adaptation(len(values), channels, how)
    if how == "sum":
        return (sum(values) / len(values),) * channels
    if how == "repeat":
        return tuple(values[i % len(values)] for i in range(channels))
    return (*values, *own[len(values) :])
