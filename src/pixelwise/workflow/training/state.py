"""The counters of a training."""

from dataclasses import dataclass, field


@dataclass
class State:
    """The counters of a training: with the learner's tensors, all that an exact continuation needs."""

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0
    losses: list[float] = field(default_factory=list[float])
    skipped: int = 0
    rows: list[dict[str, float | int | None]] = field(default_factory=list[dict[str, float | int | None]])
