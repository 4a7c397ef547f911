"""Step times: how long a training step takes here, measured within a deadline and kept for the next run.

Steps grow from a small probe to full size, so that a slow candidate is never run at full size first, and measuring
stops where the next size would not fit into the time. What a clock-driven training needs to know is the order of
magnitude alone: width and patches follow from it, the end of the training does not.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from pixelwise.atomic_write import atomic_write_json
from pixelwise.errors import OutputFailed
from pixelwise.runtimes.cache import cache_folder, machine_facts
from pixelwise.workflow.config import Config

MEASURING_SHARE = 0.05  # of a budget
LEAST_SECONDS, MOST_SECONDS = 2.0, 20.0  # of measuring
RUNGS = (1 / 32, 1 / 8, 1 / 2, 1.0)  # of the pixels of a step: what is measured, one after the other
REPEATS = 3  # steps that are timed at each size, after one that warms up
COMES_WITH = 3.0  # steps that the next size costs: its first one is slower
CLEARLY = 2.0  # times a rival's seconds: in first steps and on the smallest size less says nothing
QUIET = 0.8  # of the processor time that the threads could have had: measured with less, nothing is kept
SLOWER = 1.3  # times what was kept: less is noise

Step = Callable[[], None]
MakeStep = Callable[[Config, float], tuple[Step, float]]


def measuring_seconds(budget: float | None) -> float:
    """Return the seconds that all measuring of a plan may take: a twentieth of the budget, from 2 to 20.

    >>> [measuring_seconds(budget) for budget in (30.0, 60.0, 3600.0, None)]
    [2.0, 3.0, 20.0, 20.0]
    """
    return MOST_SECONDS if budget is None else min(MOST_SECONDS, max(LEAST_SECONDS, MEASURING_SHARE * budget))


@runtime_checkable
class Probe(Protocol):
    """Tells the seconds of a training step."""

    def __call__(self, config: Config, rival: Config | None = None) -> float | None:
        """Return the seconds of a step.

        Parameters
        ----------
        config : Config
        rival : Config, optional
            Measured before: as soon as a step takes longer than one of the rival the answer is infinity.

        Returns
        -------
        float or None
            None where there is no time left to measure it.
        """
        ...


@dataclass
class StepTimes:
    """Measures training steps until a deadline.

    Parameters
    ----------
    make : callable
        (config, share) -> a function that makes one training step on about that share of the pixels, and the share
        that it really has.
    seconds : float
        That all measuring may take.
    keep : bool
        Look into the user's cache, and keep there what was measured on a quiet machine.
    clock, processor : callable
        Seconds of wall-clock time, and of processor time of this process.
    threads : int
        That the steps compute with.
    """

    make: MakeStep
    seconds: float
    keep: bool = False
    clock: Callable[[], float] = time.perf_counter
    processor: Callable[[], float] = time.process_time
    threads: int = 1
    spent: float = 0.0
    _known: dict[tuple[Any, ...], dict[float, float]] = field(default_factory=dict[tuple[Any, ...], dict[float, float]])
    _first: dict[tuple[Any, ...], float] = field(default_factory=dict[tuple[Any, ...], float])

    def __call__(self, config: Config, rival: Config | None = None) -> float | None:
        """Return the seconds of a step: see `Probe`."""
        key = _kind(config)
        if key not in self._known:
            if self._known and self.spent >= self.seconds:
                return None
            began, processor = self.clock(), self.processor()
            try:
                found = self._measure(config, None if rival is None else _kind(rival))
            finally:
                wall = self.clock() - began
                self.spent += wall
            if found is None:
                return math.inf
            if self.keep and self.processor() - processor >= QUIET * wall * self.threads:
                _keep(config, found)
            self._known[key] = found
        return _at_full_size(self._known[key])

    def _measure(self, config: Config, rival: tuple[Any, ...] | None) -> dict[float, float] | None:
        """Return the seconds by share of the pixels; None as soon as the rival is faster."""
        before = _kept(config) if self.keep else {}
        beaten_by, found = self._known.get(rival, {}) if rival else {}, dict[float, float]()
        began, place = self.clock(), 0
        for place, rung in enumerate(RUNGS):
            left = self.seconds - self.spent - (self.clock() - began)
            if found and COMES_WITH * _at_full_size(found) * rung > left:
                break
            step, share = self.make(config, rung)
            if share in found:
                continue
            first = self._time(step)
            self._first.setdefault(_kind(config), first)
            if rival in self._first and not place and first > CLEARLY * self._first[rival]:
                return None
            found[share] = min(self._repeat(step, left - first), first)
            if share in beaten_by and found[share] > beaten_by[share] * (1.0 if place else CLEARLY):
                return None
            if share in before:  # what was kept tells the rest, as much slower as this size is now
                times = found[share] / before[share]
                return {kept: value * (times if times > SLOWER else 1.0) for kept, value in before.items()}
        return found

    def _repeat(self, step: Step, left: float) -> float:
        """Return the fastest of some steps: other work makes them slower, never faster."""
        fastest, used = math.inf, 0.0
        for _ in range(REPEATS):
            seconds = self._time(step)
            fastest, used = min(fastest, seconds), used + seconds
            if used + seconds > left:
                break
        return fastest

    def _time(self, step: Step) -> float:
        began = self.clock()
        step()
        return self.clock() - began


def _at_full_size(found: Mapping[float, float]) -> float:
    """Return the seconds of a whole step, in proportion to the largest share that was measured."""
    share = max(found)
    return found[share] / share


def _kind(config: Config) -> tuple[Any, ...]:
    """Return what the time of a step depends on."""
    training = config.training
    return (
        *(config.network, config.patches, config.photos, config.loss, config.target.kind),
        *(training.optimiser, training.precision),
    )


def _place(config: Config) -> tuple[str, dict[str, Any]]:
    facts = {"step": [str(part) for part in _kind(config)], "machine": machine_facts()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32], facts


def _kept(config: Config) -> dict[float, float]:
    """Return what was kept of a config; empty where nothing was, or something else."""
    path = cache_folder() / "steps" / f"{_place(config)[0]}.json"
    try:
        found = json.loads(path.read_text("utf-8"))["seconds"]
        return {float(share): float(seconds) for share, seconds in found}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(config: Config, found: Mapping[float, float]) -> None:
    """Keep what was measured; a cache that cannot be written costs another measurement next time, nothing more."""
    name, facts = _place(config)
    patches, network = config.patches, config.network
    what = {
        "what": f"training step of {network.name}, base width {network.base}, {config.training.precision}",
        "patches": asdict(patches),
        "seconds": [[share, seconds] for share, seconds in found.items()],
    }
    try:
        atomic_write_json(cache_folder() / "steps" / f"{name}.json", what | facts)
    except OutputFailed:
        return
