"""The pairwise loss: pixels that look alike have the same class, so that boundaries lie on edges of the image.

It needs no labels, so it says where objects end between the strokes of a sparse annotation.
"""

import itertools
from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

DISTANCES = 1, 2, 4
"""How far the two pixels of a pair are apart, along each axis and each diagonal."""

WINDOW = 15
"""Side of the window in which differences of intensity are averaged: what is an edge depends on the surroundings."""


def pairwise_loss(
    logits: Float[Tensor, "batch classes *size"], images: Float[Tensor, "batch channels *size"]
) -> Float[Tensor, ""]:
    """Return the mean probability that two pixels of a pair have different classes, weighted by how alike they look.

    The Potts energy of a conditional random field, relaxed to probabilities, which a network can be trained by (Tang et
    al. 2018, arXiv 1803.09569; Obukhov et al. 2019, arXiv 1906.04651). A pair weighs exp(-d^2 / 2 s^2): d^2 is the
    squared difference of its pixels over all channels, s^2 the mean one of adjacent pixels in their surroundings, not
    in the image as in GrabCut (Rother et al. 2004), so that the edge of a dim object beside a bright one counts, too.

    Parameters
    ----------
    logits : (batch, classes, *size) float
    images : (batch, channels, *size) float
        Of the same size; any scale of intensities.

    Examples
    --------
    >>> image = torch.zeros(1, 1, 16, 16)
    >>> image[..., 8:] = 1.0
    >>> on_edge, beside = torch.zeros(1, 2, 16, 16), torch.zeros(1, 2, 16, 16)
    >>> on_edge[:, 1], beside[:, 1] = -9, -9
    >>> on_edge[:, 1, :, 8:], beside[:, 1, :, 5:] = 9, 9
    >>> bool(pairwise_loss(on_edge, image) < pairwise_loss(beside, image))
    True
    """
    probabilities, scale = logits.softmax(1), _usual_difference(images)
    energy, weights = logits.new_zeros(()), logits.new_zeros(())
    for offset in _offsets(logits.ndim - 2):
        if any(abs(step) >= side for step, side in zip(offset, logits.shape[2:], strict=True)):
            continue
        weight = _likeness(images, scale, offset)
        first, second = _pair(probabilities, offset)
        energy = energy + (weight * (1 - (first * second).sum(1))).sum()
        weights = weights + weight.sum()
    return energy / weights.clamp_min(1e-12)


@cache
def _offsets(axes: int) -> tuple[tuple[int, ...], ...]:
    """Return the offsets of pairs: half of the directions, because a pair has no order."""
    directions = [offset for offset in itertools.product((-1, 0, 1), repeat=axes) if offset > (0,) * axes]
    return tuple(tuple(distance * step for step in offset) for distance in DISTANCES for offset in directions)


def _pair(values: Tensor, offset: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the values of the first and of the second pixel of all pairs (batch, channels, *size)."""
    first = second = values
    for axis, step in enumerate(offset, values.ndim - len(offset)):
        length = values.shape[axis] - abs(step)
        first, second = first.narrow(axis, max(0, -step), length), second.narrow(axis, max(0, step), length)
    return first, second


@torch.no_grad()
def _likeness(images: Tensor, scale: Tensor, offset: Sequence[int]) -> Tensor:
    """Return the weight of each pair (batch, *size)."""
    (first, second), around = _pair(images, offset), torch.stack(_pair(scale, offset)).mean(0)
    return torch.exp(-(first - second).square().sum(1) / (2 * around[:, 0]).clamp_min(1e-12))


@torch.no_grad()
def _usual_difference(images: Tensor) -> Tensor:
    """Return the squared difference of adjacent pixels over all channels (batch, 1, *size), a mean of the window."""
    axes = range(2, images.ndim)
    mean = torch.stack([_difference(images, axis) for axis in axes]).mean(0)
    for axis in axes:  # one after the other: the window is a box
        mean = _mean_along(mean, axis)
    return mean


def _difference(images: Tensor, axis: int) -> Tensor:
    last = images.narrow(axis, images.shape[axis] - 1, 1)
    return images.diff(dim=axis, append=last).square().sum(1, keepdim=True)


def _mean_along(values: Tensor, axis: int) -> Tensor:
    """Return the mean of a window along one axis; outside of `values` nothing counts."""
    lines = values.movedim(axis, -1)
    flat = lines.reshape(-1, 1, lines.shape[-1])
    means = functional.avg_pool1d(flat, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
    return means.reshape(lines.shape).movedim(-1, axis)
