"""State of a training, and its processor time, which distinguishes a busy machine from a slow one."""

import time
from dataclasses import dataclass, field

MIN_SECONDS = 1.0  # of a training, before its share of the processor is known
MIN_SHARE = 0.1  # assumed minimum share of the processor on a busy machine


@dataclass
class State:
    """The counters of a training, which a checkpoint stores with the tensors of the learner and the pacing.

    `seconds` is the time of the command, including that before a continuation; `cpu_seconds` (processor time of all
    threads) and `loop_seconds` (wall-clock time) are of the training loop; `slowest_validation` is in seconds.
    """

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    loop_seconds: float = 0.0
    slowest_validation: float = 0.0
    best: float = -1.0
    best_step: int = 0
    losses: list[float] = field(default_factory=list[float])
    skipped: int = 0
    rows: list[dict[str, float | int | None]] = field(default_factory=list[dict[str, float | int | None]])


class ProcessorMeter:
    """Meter that adds processor time and wall-clock time of this process to the state of a training.

    Parameters
    ----------
    state : State
        Its `cpu_seconds` and `loop_seconds` are increased.
    threads : int
        Number of threads of a step.
    """

    def __init__(self, state: State, threads: int) -> None:
        self._state, self._threads = state, threads
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def update(self) -> None:
        """Add the time since the last update."""
        cpu, wall = time.process_time(), time.monotonic()
        self._state.cpu_seconds += cpu - self._cpu
        self._state.loop_seconds += wall - self._wall
        self._cpu, self._wall = cpu, wall

    def wall_seconds(self, seconds: float) -> float:
        """Return the expected wall-clock time of work that takes `seconds` on an idle machine.

        The share of the processor is assumed to be 1 until it is known.
        """
        share = self.share()
        if share is None or self._state.loop_seconds < MIN_SECONDS:
            return seconds
        return seconds / max(MIN_SHARE, share)

    def share(self) -> float | None:
        """Return the processor time as a fraction of that available to the threads; None at the start."""
        self.update()
        available = self._state.loop_seconds * self._threads
        return min(1.0, self._state.cpu_seconds / available) if available > 0 else None
