"""Choices: what all planning shares, whatever the task: how long, each value with its reason, the user's own above."""

import math
from dataclasses import dataclass

from pixelwise.errors import BadOption
from pixelwise.runtimes.machine import has_bfloat16_units
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.fit.pacing import CHECKPOINT_SECONDS, VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.planning.step_times import Probe
from pixelwise.workflow.presets import Choices
from pixelwise.workflow.settings import Settings, apply_settings

WORTH_BFLOAT16 = 1.2  # times as fast as float32; less is not worth its coarser numbers
DEFAULT_BUDGET = 600.0
WORK_PER_THREAD = 2**20  # pixels of a step times base width: less is done faster by fewer threads


@dataclass(frozen=True, kw_only=True)
class TrainingBudget:
    """How long to train: at most one of the first three is given; none of them means a proposed budget.

    `seconds` is wall-clock time of the whole command, `epochs` are passes over as many pixels as the training
    images have. `time_limit` (seconds of the whole command) is the latest end of a training with `steps` or `epochs`.
    """

    seconds: float | None = None
    steps: int | None = None
    epochs: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        """Refuse two limits at once, and empty ones."""
        given = {n: v for n in ("seconds", "steps", "epochs") if (v := getattr(self, n)) is not None}
        if len(given) > 1:
            raise BadOption("one of --budget, --steps, --epochs", " and ".join(given), "Give one of them.")
        if self.time_limit is not None and not {"steps", "epochs"} & set(given):
            hint = "Give --budget alone, or --steps beside the limit."
            raise BadOption("--time-limit with --steps or --epochs", f"{self.time_limit:.0f} s without", hint)
        for name, value in {
            **given,
            **({"time_limit": self.time_limit} if self.time_limit is not None else {}),
        }.items():
            if not value > 0:
                raise BadOption(f"{name} above 0", f"{value}", "Give a larger number.")


def threads_of_step(config: Config, available: int) -> int:
    """Return how many threads a training step on patches is shared by on a processor.

    Small steps are slower on two threads than on one, and twice as slow beside other work: measured
    (benchmarks/RECIPE.md).
    """
    patches = config.patches
    work = patches.batch * patches.height * patches.width * config.network.base
    return max(1, min(available, round(work / WORK_PER_THREAD)))


def propose_seconds(limit: TrainingBudget) -> float | None:
    """Return the budget in seconds; None when steps or epochs decide."""
    if limit.steps is not None or limit.epochs is not None:
        return None
    return limit.seconds or DEFAULT_BUDGET


def steps_for(seconds: float, seconds_per_step: float) -> int:
    """Return the steps that fit into `seconds` with their validations."""
    return max(10, int(seconds * (1 - VALIDATION_SHARE) / seconds_per_step))


def choose_precision(config: Config, device: str, settings: Settings, probe: Probe) -> Choices:
    """Measure whether a step is clearly faster in bfloat16, where the device has units for it.

    `probe` drops bfloat16 as soon as one of its steps takes longer than one in float32.
    """
    if "training.precision" in settings.values or device == "mps":
        return {"training.precision": ("float32", "bfloat16 is not tried on this device.")}
    if not has_bfloat16_units(device):
        why = "This processor has no units for bfloat16, and emulates it slowly: it is not tried."
        return {"training.precision": ("float32", why)}
    plain, half = (with_settings(config, {"training.precision": kind}, {}) for kind in ("float32", "bfloat16"))
    seconds, rival = probe(plain), probe(half, rival=plain)
    if seconds is None or rival is None:
        return {"training.precision": ("float32", "There was no time to measure bfloat16.")}
    gain = seconds / rival
    if gain == 0:
        return {"training.precision": ("float32", "A training step in bfloat16 was measured to be slower here.")}
    name = "bfloat16" if gain > WORTH_BFLOAT16 else "float32"
    why = f"A training step in bfloat16 was measured {gain:.2f} times as fast here"
    if name == "float32":
        why += f": too little to pay for its coarser numbers, which {WORTH_BFLOAT16} times would"
    return {"training.precision": (name, f"{why}.")}


def fill_time(
    config: Config, limit: TrainingBudget, settings: Settings, *, measured: float, used: float, epoch: tuple[int, str]
) -> Config:
    """Choose the number of steps, and how often to look and to save.

    Parameters
    ----------
    config : Config
    limit : Limit
    settings : Settings
        That are given.
    measured : float
        Seconds per training step.
    used : float
        Seconds of the budget that are spent already.
    epoch : (int, str)
        Steps of a pass over the data, and what a step takes of it, in words.
    """
    if "training.steps" in settings.values and limit.seconds is None:
        limit = TrainingBudget(steps=config.training.steps)  # the user's own number is no start for a proposed budget
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
        why = f"{pluralise(limit.epochs or 1, 'epoch')} of {pluralise(epoch[0], 'step')} of {epoch[1]}."
    if limit.time_limit is not None:
        choices["training.time_limit"] = (limit.time_limit, "The latest end given.")
    config = apply_settings(config, settings, {**choices, "training.steps": (steps, why)})
    every = max(1, math.ceil(config.training.steps / VALIDATIONS))
    saved = max(1, min(every, round(CHECKPOINT_SECONDS / measured)))
    looks = pluralise(math.ceil(config.training.steps / every), "look")
    lost = saved * measured
    lost_words = f"at most about {lost:.0f} s" if lost >= 1 else "less than a second"
    rest: Choices = {
        "training.validate_every": (every, f"{looks} at the validation images."),
        "training.checkpoint_every": (saved, f"A stopped run loses {lost_words} of work."),
    }
    return apply_settings(config, settings, rest)
