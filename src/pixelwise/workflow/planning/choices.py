"""Planning for all tasks: training length, precision and number of threads."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

from pixelwise.datasets.dataset import DataOptions, Dataset
from pixelwise.errors import BadOption
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import Machine, has_bfloat16_units
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.fit.pacing import CHECKPOINT_SECONDS, VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.planning.step_times import Probe
from pixelwise.workflow.presets import Choices
from pixelwise.workflow.settings import Settings, apply_settings

MIN_BFLOAT16_SPEEDUP = 1.2  # over float32; a smaller one is not worth the lower precision
DEFAULT_BUDGET = 600.0
WORK_PER_THREAD = 2**20  # pixels of a step times base width: fewer threads are faster for less


@dataclass(frozen=True, kw_only=True)
class TrainingBudget:
    """The training length: at most one of the first three is given; without any the budget is `DEFAULT_BUDGET`.

    `seconds` is wall-clock time of the whole command; an epoch has as many pixels as the training images. `time_limit`
    (seconds of the whole command) is the latest end of a training with `steps` or `epochs`.
    """

    seconds: float | None = None
    steps: int | None = None
    epochs: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        """Raise BadOption for conflicting or non-positive limits."""
        given = {n: v for n in ("seconds", "steps", "epochs") if (v := getattr(self, n)) is not None}
        if len(given) > 1:
            raise BadOption("one of --budget, --steps, --epochs", " and ".join(given), "Give one of them.")
        if self.time_limit is not None and not {"steps", "epochs"} & set(given):
            hint = "Give --budget instead, or add --steps."
            raise BadOption("--time-limit with --steps or --epochs", f"{self.time_limit:.0f} s without", hint)
        for name, value in {
            **given,
            **({"time_limit": self.time_limit} if self.time_limit is not None else {}),
        }.items():
            if not value > 0:
                raise BadOption(f"{name} above 0", f"{value}", "Give a larger number.")


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What a plan is made for: a data set and its fingerprint, a machine, a limit, and given settings.

    Attributes
    ----------
    data : DataOptions
        As given.
    settings : Settings
        Given settings; all others are planned.
    began : float
        `time.monotonic()` at the start of the command.
    progress : Progress
        For what planning measures.
    """

    dataset: Dataset
    fingerprint: Any
    data: DataOptions
    machine: Machine
    limit: TrainingBudget
    seed: int
    settings: Settings
    began: float
    progress: Progress = field(default_factory=Progress)

    @property
    def seconds_used(self) -> float:
        """Seconds since the start of the command."""
        return time.monotonic() - self.began


def threads_of_step(config: Config, available: int) -> int:
    """Return the number of threads for a training step on patches on a CPU.

    Small steps are slower on two threads than on one, and twice as slow on a busy machine (benchmarks/RECIPE.md).
    """
    return max(1, min(available, round(config.patches.pixels * config.network.base / WORK_PER_THREAD)))


def refuse_limits(config: Config, limit: TrainingBudget) -> None:
    """Raise BadOption for a training length that differs from that of a complete plan, which would win in silence."""
    training = config.training
    known = {"--budget": training.budget, "--steps": training.steps, "--time-limit": training.time_limit}
    given = {
        "--budget": limit.seconds,
        "--steps": limit.steps,
        "--epochs": limit.epochs,
        "--time-limit": limit.time_limit,
    }
    for name, value in given.items():
        if value is not None and value != known.get(name):
            hint = "Leave it out, or change the plan: training.steps=N without a budget, or training.budget=SECONDS."
            expected = f"the length of the plan of --config, {pluralise(training.steps, 'step')}"
            raise BadOption(expected, f"{name} {value:g}", hint)


def propose_seconds(limit: TrainingBudget) -> float | None:
    """Return the budget in seconds; None with a number of steps or epochs."""
    if limit.steps is not None or limit.epochs is not None:
        return None
    return limit.seconds or DEFAULT_BUDGET


def steps_for(seconds: float, seconds_per_step: float) -> int:
    """Return the number of steps that fit into `seconds`, including validations."""
    return max(10, int(seconds * (1 - VALIDATION_SHARE) / seconds_per_step))


def choose_precision(config: Config, device: str, settings: Settings, probe: Probe) -> Choices:
    """Choose mixed precision if a step is clearly faster in bfloat16, on devices with bfloat16 units.

    `probe` stops measuring bfloat16 as soon as one of its steps is slower than in float32.
    """
    if "training.precision" in settings.values or device == "mps":
        return {"training.precision": ("float32", "bfloat16 is not measured on this device.")}
    if not has_bfloat16_units(device):
        why = "This processor has no bfloat16 units and would emulate it slowly."
        return {"training.precision": ("float32", why)}
    plain, half = (with_settings(config, {"training.precision": kind}, {}) for kind in ("float32", "bfloat16"))
    seconds, half_seconds = probe(plain), probe(half, baseline=plain)
    if seconds is None or half_seconds is None:
        return {"training.precision": ("float32", "There was no time to measure bfloat16.")}
    gain = seconds / half_seconds
    if gain == 0:
        return {"training.precision": ("float32", "A training step in bfloat16 is slower on this machine.")}
    name = "bfloat16" if gain > MIN_BFLOAT16_SPEEDUP else "float32"
    why = f"A training step in bfloat16 was measured to be {gain:.2f} times as fast as in float32"
    if name == "float32":
        why += f": below {MIN_BFLOAT16_SPEEDUP}, too little for the lower precision"
    return {"training.precision": (name, f"{why}.")}


def fill_time(
    config: Config, limit: TrainingBudget, settings: Settings, *, measured: float, used: float, epoch: tuple[int, str]
) -> Config:
    """Choose the number of steps, and the intervals of validations and checkpoints.

    Parameters
    ----------
    measured : float
        Seconds per training step.
    used : float
        Seconds of the budget that are already used.
    epoch : (int, str)
        Steps per epoch, and the content of a step as text.
    """
    if "training.steps" in settings.values and limit.seconds is None:
        limit = TrainingBudget(steps=config.training.steps)  # no default budget if the user sets the steps
    seconds = propose_seconds(limit)
    choices: Choices = {}
    if seconds is not None:
        left = seconds - used
        steps, why = steps_for(left, measured), f"{left:.0f} s remain, at a measured {measured:.3f} s per step."
        end = ", when the learning rate reaches zero" if config.training.schedule != "constant" else ""
        choices["training.patience"] = (0, f"The training uses the whole budget{end}.")
        choices["training.budget"] = (seconds, "Set by you." if limit.seconds else "The default.")
    elif limit.steps is not None:
        steps, why = limit.steps, "Set by you."
    else:
        steps = (limit.epochs or 1) * epoch[0]
        why = f"{pluralise(limit.epochs or 1, 'epoch')} of {pluralise(epoch[0], 'step')} of {epoch[1]}."
    if limit.time_limit is not None:
        choices["training.time_limit"] = (limit.time_limit, "Set by you.")
    config = apply_settings(config, settings, {**choices, "training.steps": (steps, why)})
    every = max(1, math.ceil(config.training.steps / VALIDATIONS))
    saved = max(1, min(every, round(CHECKPOINT_SECONDS / measured)))
    validations = pluralise(math.ceil(config.training.steps / every), "validation")
    lost = saved * measured
    loss = f"at most about {lost:.0f} s" if lost >= 1 else "less than a second"
    intervals: Choices = {
        "training.validate_every": (every, f"{validations} in total."),
        "training.checkpoint_every": (saved, f"A stopped run loses {loss} of work."),
    }
    return apply_settings(config, settings, intervals)
