"""A graphics card that is not there: its decisions, with tensors in the memory of the processor."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from torch import Tensor

from pixelwise import device
from pixelwise.device import Device
from pixelwise.runtimes import cuda_graphs

CARD = Device(name="cuda", place="cpu", memory=24 * 2**30, bfloat16=True, graphs=True, collective="gloo")


@dataclass
class Card:
    """What the card was asked to do: shapes that were captured, and how often they were replayed."""

    captured: list[tuple[int, ...]] = field(default_factory=list)
    replayed: int = 0

    def record(self, forward: Callable[[Tensor], Tensor], batch: Tensor) -> Callable[[Tensor], Tensor]:
        """Stand for a captured graph: each replay overwrites the outputs of the one before."""
        self.captured.append(tuple(batch.shape))
        output = forward(batch).clone()

        def replay(batch: Tensor) -> Tensor:
            self.replayed += 1
            return output.copy_(forward(batch))

        return replay


def insert_card(monkeypatch: pytest.MonkeyPatch) -> Card:
    """Let this machine have a card, as far as decisions go."""
    card = Card()
    monkeypatch.setitem(device.DESCRIBE, "cuda", lambda: CARD)
    monkeypatch.setattr(cuda_graphs, "record_graph", card.record)
    return card
