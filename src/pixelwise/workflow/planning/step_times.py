"""Measurement of the time of a training step within a deadline, with a cache for later runs.

Step sizes grow from a small probe to full size, so that a slow candidate is never run at full size first, and the
measurement stops when the next size does not fit into the time. A clock-driven training needs only the order of
magnitude: width and patches follow from it, the end of the training does not.
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
UNFINISHED_STEP = 0.75  # of that time: a step in progress at the deadline is finished
MIN_SECONDS, MAX_SECONDS = 2.0, 20.0  # for measuring
SIZES = (1 / 32, 1 / 8, 1 / 2, 1.0)  # fractions of the pixels of a step, measured in this order
REPEATS = 3  # timed steps at each size, after a warm-up step
STEPS_PER_SIZE = 3.0  # cost of the next size in steps: the first one is slower
CLEARLY = 2.0  # slowdown against the baseline: smaller ones are not reliable in first steps and at the smallest size
QUIET = 0.8  # minimum fraction of the processor time of the threads for a measurement to be cached
SMALL_SHARE = 0.125  # of the pixels: half of a step of one such size is assumed not to grow with them
LARGE_SHARE = 0.5  # of the pixels: the largest one of a measurement that needs no other
SLOWER = 1.3  # slowdown against the cached time: smaller ones are noise

Step = Callable[[], None]
MakeStep = Callable[[Config, float], tuple[Step, float]]


def measuring_seconds(budget: float | None) -> float:
    """Return the seconds for all measurements of a plan: a twentieth of the budget, from 2 to 20.

    >>> [measuring_seconds(budget) for budget in (30.0, 60.0, 3600.0, None)]
    [2.0, 3.0, 20.0, 20.0]
    """
    return MAX_SECONDS if budget is None else min(MAX_SECONDS, max(MIN_SECONDS, MEASURING_SHARE * budget))


@runtime_checkable
class Probe(Protocol):
    """Function that returns the seconds of a training step."""

    def __call__(self, config: Config, baseline: Config | None = None) -> float | None:
        """Return the seconds of a step.

        Parameters
        ----------
        baseline : Config, optional
            Measured before: the result is infinity as soon as a step takes longer than one of the baseline.

        Returns
        -------
        float or None
            None without time for a measurement.
        """
        ...


@dataclass
class StepTimes:
    """Timer of training steps with a deadline.

    Parameters
    ----------
    make : callable
        (config, share) -> a function that runs one training step on about that fraction of the pixels, and the exact
        fraction.
    seconds : float
        Limit for all measurements.
    keep : bool
        Use the user's cache, and store measurements from an idle machine in it.
    clock, processor : callable
        Seconds of wall-clock time, and of processor time of this process.
    threads : int
        Number of threads of a step.
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

    def __call__(self, config: Config, baseline: Config | None = None) -> float | None:
        """Return the seconds of a step: see `Probe`."""
        key = _kind(config)
        if key not in self._known:
            if self._known and self.spent >= self.seconds:
                return None
            began, processor = self.clock(), self.processor()
            try:
                times = self._measure(config, None if baseline is None else _kind(baseline))
            finally:
                wall = self.clock() - began
                self.spent += wall
            if times is None:
                return math.inf
            if self.keep and self.processor() - processor >= QUIET * wall * self.threads:
                _write_cache(config, times)
            self._known[key] = times
        return _estimate(self._known[key], 1.0)

    def _measure(self, config: Config, baseline: tuple[Any, ...] | None) -> dict[float, float] | None:
        """Return the seconds by fraction of the pixels; None as soon as the baseline is faster."""
        cached = _read_cache(config) if self.keep else {}
        baseline_times, times = self._known.get(baseline, {}) if baseline else {}, dict[float, float]()
        began = self.clock()
        for index, size in enumerate(SIZES):
            left = self.seconds - self.spent - (self.clock() - began)
            if times and STEPS_PER_SIZE * _estimate(times, size) > left:
                break
            step, share = self.make(config, size)
            if share in times:
                continue
            first = self._time(step)
            self._first.setdefault(_kind(config), first)
            if baseline in self._first and not index and first > CLEARLY * self._first[baseline]:
                return None
            times[share] = min(self._repeat(step, left - first), first)
            if share in baseline_times and times[share] > baseline_times[share] * (1.0 if index else CLEARLY):
                return None
            if share in cached and max(cached) >= LARGE_SHARE:  # scale the cached times by the slowdown at this size
                slowdown = times[share] / cached[share]
                return {key: value * (slowdown if slowdown > SLOWER else 1.0) for key, value in cached.items()}
        return times

    def _repeat(self, step: Step, left: float) -> float:
        """Return the fastest of several steps: other processes only make them slower."""
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


def _estimate(times: Mapping[float, float], share: float) -> float:
    """Return the seconds of a step with a fraction of the pixels, from those of one or more fractions.

    A part of a step takes as long whatever its size (the optimiser, calls), which is much of a small one: the two
    largest fractions tell both parts. Of one small fraction it is assumed to be half (benchmarks/RECIPE.md).

    >>> _estimate({0.125: 2.0}, 1.0), _estimate({0.125: 2.0, 0.25: 3.0}, 1.0)
    (9.0, 9.0)
    """
    largest = max(times)
    smaller = max((other for other in times if other < largest), default=0.0)
    fixed = times[largest] / 2 if largest <= SMALL_SHARE else 0.0
    slope = (times[largest] - times.get(smaller, fixed)) / (largest - smaller)
    return times[largest] + max(0.0, slope) * (share - largest)


def _kind(config: Config) -> tuple[Any, ...]:
    """Return the settings that determine the time of a step."""
    training = config.training
    return (
        *(config.network, config.patches, config.classification, config.loss, config.target.kind),
        *(training.optimiser, training.precision),
    )


def _cache_key(config: Config) -> tuple[str, dict[str, Any]]:
    facts = {"step": [str(value) for value in _kind(config)], "machine": machine_facts()}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32], facts


def _read_cache(config: Config) -> dict[float, float]:
    """Return the cached times of a config; empty if there are none or they are damaged."""
    path = cache_folder() / "steps" / f"{_cache_key(config)[0]}.json"
    try:
        times = json.loads(path.read_text("utf-8"))["seconds"]
        return {float(share): float(seconds) for share, seconds in times}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_cache(config: Config, times: Mapping[float, float]) -> None:
    """Cache the measured times; do nothing if the cache cannot be written."""
    name, facts = _cache_key(config)
    patches, network = config.patches, config.network
    record = {
        "what": f"training step of {network.name}, base width {network.base}, {config.training.precision}",
        "patches": asdict(patches),
        "seconds": [[share, seconds] for share, seconds in times.items()],
    }
    try:
        atomic_write_json(cache_folder() / "steps" / f"{name}.json", record | facts)
    except OutputFailed:
        return
