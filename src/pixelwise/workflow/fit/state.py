"""The counters of a training."""

from dataclasses import dataclass, field


@dataclass
class State:
    """The counters of a training: with the learner's tensors and the pacing, all that a continuation needs.

    `seconds` are of the command, with its earlier parts; `cpu_seconds` (processor time of all threads) and
    `loop_seconds` (wall-clock time) are of the training loop; `slowest_look` is the longest validation.
    """

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    loop_seconds: float = 0.0
    slowest_look: float = 0.0
    best: float = -1.0
    best_step: int = 0
    losses: list[float] = field(default_factory=list[float])
    skipped: int = 0
    rows: list[dict[str, float | int | None]] = field(default_factory=list[dict[str, float | int | None]])
