"""Choices: what all planning shares, whatever the task: how long, each value with its reason, the user's own above."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pixelwise.errors import BadOption
from pixelwise.wording import counted
from pixelwise.workflow.config import Config, with_settings

WORTH_BFLOAT16 = 1.2  # times as fast as float32; less is not worth its coarser numbers
PRECISION_ROUNDS, PRECISION_SHARE = 3, 0.03  # measurements of each precision, and what those after the first may take
VALIDATIONS = 20
VALIDATION_SHARE = 0.06  # of the training time
CHECKPOINT_SECONDS = 60
DEFAULT_BUDGET = 600.0

Choices = dict[str, tuple[Any, str]]
Probe = Callable[[Config], float]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How long to train: at most one of the three is given; none of them means a proposed budget.

    `seconds` is wall-clock time of the whole command, `epochs` are passes over as many pixels as the training
    images have.
    """

    seconds: float | None = None
    steps: int | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        """Refuse two limits at once, and empty ones."""
        given = {n: v for n in ("seconds", "steps", "epochs") if (v := getattr(self, n)) is not None}
        if len(given) > 1:
            raise BadOption("one of --budget, --steps, --epochs", " and ".join(given), "Give one of them.")
        for name, value in given.items():
            if not value > 0:
                raise BadOption(f"{name} above 0", f"{value}", "Give a larger number.")


def put(config: Config, choices: Choices, fixed: Mapping[str, Any]) -> Config:
    """Note choices, the user's own ones above ours."""
    values = {key: fixed.get(key, value) for key, (value, _) in choices.items()}
    reasons = {key: "Set by you." if key in fixed else reason for key, (_, reason) in choices.items()}
    rest = {key: value for key, value in fixed.items() if key not in values}
    return with_settings(config, {**values, **rest}, {**reasons, **dict.fromkeys(rest, "Set by you.")})


def propose_seconds(limit: Limit) -> float | None:
    """Return the budget in seconds; None when steps or epochs decide."""
    if limit.steps is not None or limit.epochs is not None:
        return None
    return limit.seconds or DEFAULT_BUDGET


def steps_for(seconds: float, seconds_per_step: float) -> int:
    """Return the steps that fit into `seconds` with their validations."""
    return max(10, int(seconds * (1 - VALIDATION_SHARE) / seconds_per_step))


class Remembered:
    """A probe that measures each kind of step once: slow steps cost the time that is to be filled.

    Where a kind is measured again the fastest counts: other work on the machine makes steps slower, never faster.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._known: dict[tuple[Any, ...], float] = {}

    def __call__(self, config: Config) -> float:
        """Return what is known, or measure it."""
        return self._known[_kind(config)] if _kind(config) in self._known else self.again(config)

    def again(self, config: Config) -> float:
        """Measure, and return the least of all that was measured."""
        self._known[_kind(config)] = min(self._probe(config), self._known.get(_kind(config), math.inf))
        return self._known[_kind(config)]


def choose_precision(config: Config, device: str, fixed: Mapping[str, Any], probe: Remembered, limit: Limit) -> Choices:
    """Measure whether a step is clearly faster in bfloat16: processors without units for it emulate it slowly.

    One look can come while other work has the machine, and would be wrong for the whole run. So both precisions are
    measured in turns, back and forth, as often as a small part of the time allows, and of each the fastest counts.
    """
    if "training.precision" in fixed or device == "mps":
        return {"training.precision": ("float32", "bfloat16 is not tried on this device.")}
    kinds = [with_settings(config, {"training.precision": kind}, {}) for kind in ("float32", "bfloat16")]
    began = time.perf_counter()
    seconds = [probe(kind) for kind in kinds]
    round_, most = time.perf_counter() - began, PRECISION_SHARE * (propose_seconds(limit) or DEFAULT_BUDGET)
    for number in range(1, min(PRECISION_ROUNDS, 1 + int(most / max(round_, 1e-9)))):
        for place in (1, 0) if number % 2 else (0, 1):
            seconds[place] = probe.again(kinds[place])
    gain = seconds[0] / seconds[1]
    name = "bfloat16" if gain > WORTH_BFLOAT16 else "float32"
    why = f"A training step in bfloat16 was measured {gain:.2f} times as fast here"
    if name == "float32":
        why += f": too little to pay for its coarser numbers, which {WORTH_BFLOAT16} times would"
    return {"training.precision": (name, f"{why}.")}


def _kind(config: Config) -> tuple[Any, ...]:
    """Return what the time of a step depends on."""
    return config.network, config.patches, config.photos, config.loss, config.training


def fill_time(
    config: Config, limit: Limit, fixed: Mapping[str, Any], *, measured: float, used: float, epoch: tuple[int, str]
) -> Config:
    """Choose the number of steps, and how often to look and to save.

    Parameters
    ----------
    config : Config
    limit : Limit
    fixed : mapping
        The user's own choices.
    measured : float
        Seconds per training step.
    used : float
        Seconds of the budget that are spent already.
    epoch : (int, str)
        Steps of a pass over the data, and what a step takes of it, in words.
    """
    if "training.steps" in fixed and limit.seconds is None:
        limit = Limit(steps=config.training.steps)  # the user's own number is no start for a proposed budget
    seconds = propose_seconds(limit)
    choices: Choices = {}
    if seconds is not None:
        left = seconds - used
        steps, why = steps_for(left, measured), f"{left:.0f} s are left, at {measured:.3f} s a step, measured."
        end = ", where the learning rate reaches zero" if config.training.schedule != "constant" else ""
        choices["training.patience"] = (0, f"The time given is used to its end{end}.")
        choices["training.budget"] = (seconds, "The time given." if limit.seconds else "Proposed: none was given.")
    elif limit.steps is not None:
        steps, why = limit.steps, "The number given."
    else:
        steps = (limit.epochs or 1) * epoch[0]
        why = f"{counted(limit.epochs or 1, 'epoch')} of {counted(epoch[0], 'step')} of {epoch[1]}."
    config = put(config, {**choices, "training.steps": (steps, why)}, fixed)
    every = max(1, math.ceil(config.training.steps / VALIDATIONS))
    saved = max(1, min(every, round(CHECKPOINT_SECONDS / measured)))
    looks = counted(math.ceil(config.training.steps / every), "look")
    lost = saved * measured
    lost_words = f"at most about {lost:.0f} s" if lost >= 1 else "less than a second"
    rest: Choices = {
        "training.validate_every": (every, f"{looks} at the validation images."),
        "training.checkpoint_every": (saved, f"A stopped run loses {lost_words} of work."),
    }
    return put(config, rest, fixed)
