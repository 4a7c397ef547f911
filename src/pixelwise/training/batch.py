"""Batch: what one training step reads, for every task."""

from typing import Any, NamedTuple

from jaxtyping import Float32, Integer
from torch import Tensor


class Batch(NamedTuple):
    """Images of one training step with their targets; volumes have a depth before the height.

    Attributes
    ----------
    images : (batch, channels, height, width) float32
        Normalised.
    targets : (batch, height, width) uint8, or (batch,) int64
        Class maps, where 255 is ignored, or the class of each image. A network with a smaller output is compared with
        the centre of the maps.
    weights : (batch, height, width) float32, optional
        Border term of the loss at each target pixel.
    distances : (batch, height, width) float32, optional
        Target of the last channel of the logits; the channels before it are the classes.
    samples : tuple
        Where each image comes from: a `PatchLocation`, or the index of an image.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64))
    >>> batch.images.shape[0], batch.weights is None
    (2, True)
    """

    images: Float32[Tensor, "batch channels *size"]
    targets: Integer[Tensor, "batch *target_size"]
    weights: Float32[Tensor, "batch *target_size"] | None = None
    distances: Float32[Tensor, "batch *target_size"] | None = None
    samples: tuple[Any, ...] = ()


class SlotBatches(NamedTuple):
    """The parts of a batch that one process computes, and how many images the whole batch has.

    Attributes
    ----------
    parts : tuple of Batch
        One per slot of the process, in order; None for a slot without an image.
    images : int
        Of all slots of all processes.
    """

    parts: tuple[Batch | None, ...]
    images: int


def slot_places(images: int, slot: int, slots: int) -> range:
    """Return the places in a batch of one of `slots` parts, which differ by at most one image.

    Examples
    --------
    >>> slot_places(5, 0, 2), slot_places(5, 1, 2)
    (range(0, 2), range(2, 5))
    """
    return range(slot * images // slots, (slot + 1) * images // slots)
