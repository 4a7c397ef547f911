"""Random patches for training: where they are cut, and a thread that cuts them ahead of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from torch import Tensor

from pixelwise.errors import BadOption


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """Size and number of the patches of a training step.

    Attributes
    ----------
    height, width : int
        Pixels.
    batch : int
        Patches per step.
    foreground_share : float
        The last round(share * batch) patches of a batch are centred on a pixel of a rare class.
    """

    height: int = 256
    width: int = 256
    batch: int = 8
    foreground_share: float = 0.33

    def __post_init__(self) -> None:
        for name in ("height", "width", "batch"):
            if getattr(self, name) < 1:
                raise BadOption(
                    f"patches.{name} of at least 1", str(getattr(self, name)), "Give a larger number."
                )
        if not 0.0 <= self.foreground_share <= 1.0:
            raise BadOption(
                "patches.foreground_share between 0 and 1", str(self.foreground_share), "Give a share."
            )


class Sample(NamedTuple):
    """Which patch was drawn: its number in the training (step * batch + place), case and top left corner."""

    number: int
    case: int
    row: int
    column: int


class Batch(NamedTuple):
    """Patches of one step: images float32 (b, c, h, w), targets uint8 (b, h, w), and where they come from."""

    images: Float32[Tensor, "batch channels height width"]
    targets: UInt8[Tensor, "batch height width"]
    samples: tuple[Sample, ...]
