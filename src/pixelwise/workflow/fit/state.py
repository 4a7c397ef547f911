"""The counters of a training, and how much of the processor it got: a busy machine is told apart from a slow one."""

import time
from dataclasses import dataclass, field

LEAST_SECONDS = 1.0  # of a training, from which its share of the processor is known
LEAST_SHARE = 0.1  # of the processor: what a training is expected to get however busy the machine is


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


class ProcessorMeter:
    """Adds processor time and wall-clock time of this process to the counters of a training.

    Parameters
    ----------
    state : State
        Its `cpu_seconds` and `loop_seconds` grow, whatever earlier parts of a continued training have left there.
    threads : int
        That steps compute with.
    """

    def __init__(self, state: State, threads: int) -> None:
        self._state, self._threads = state, threads
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def update(self) -> None:
        """Add what has passed since the last update."""
        cpu, wall = time.process_time(), time.monotonic()
        self._state.cpu_seconds += cpu - self._cpu
        self._state.loop_seconds += wall - self._wall
        self._cpu, self._wall = cpu, wall

    def wall_seconds(self, seconds: float) -> float:
        """Return how long work takes that needs so many seconds of a processor that is not shared.

        Until enough time has passed to know its share, the process is taken to be alone.
        """
        share = self.share()
        if share is None or self._state.loop_seconds < LEAST_SECONDS:
            return seconds
        return seconds / max(LEAST_SHARE, share)

    def share(self) -> float | None:
        """Return the processor time as a share of what the threads could have had; None before any time has passed."""
        self.update()
        could = self._state.loop_seconds * self._threads
        return min(1.0, self._state.cpu_seconds / could) if could > 0 else None
