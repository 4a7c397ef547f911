"""The plan: fingerprint, machine and time budget become a Config in which every choice bears its reason.

Rules follow nnU-Net's planning (patch from the median image, depth from the patch, foreground-aware patches) with
two changes: width and number of steps come from a time budget, and the speed is measured, not assumed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pixelwise.engine.machine import Machine
from pixelwise.errors import BadOption
from pixelwise.images.cases import DataOptions, Labelling
from pixelwise.images.fingerprint import Fingerprint
from pixelwise.networks.architectures import build
from pixelwise.workflow.config import Config, parse_assignments, with_settings

# Steps wanted in a budget of B seconds: 60 sqrt(B), that is 1,470 in ten minutes and 3,600 in an hour. Half of
# every longer budget so goes into more steps and half into a wider network.
STEPS_PER_ROOT_SECOND = 60
WIDTHS = (8, 12, 16, 24, 32, 48, 64)
GUESSED_WIDTH = 16  # measured first
WORTH_BFLOAT16 = 1.2  # times as fast as float32; less is not worth its coarser numbers
VALIDATIONS = 20
VALIDATION_SHARE = 0.06  # of the training time
CHECKPOINT_SECONDS = 60
DEFAULT_BUDGET = 600.0


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


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a plan stands on.

    `oriented` is the difference between upper and lower parts of the pictures (`measure_orientation`);
    `seconds_used` is the part of the budget that looking at the data has taken.
    """

    fingerprint: Fingerprint
    labelling: Labelling
    data: DataOptions
    machine: Machine
    oriented: float
    seconds_used: float = 0.0


Choices = dict[str, tuple[Any, str]]
Probe = Callable[[Config], float]


def make_plan(ground: Ground, limit: Limit, seed: int, overrides: Sequence[str], probe: Probe) -> Config:
    """Choose every setting.

    Parameters
    ----------
    ground : Ground
    limit : Limit
    seed : int
    overrides : sequence of "section.setting=value"
        The user's own choices; the other choices are made around them.
    probe : callable
        Config -> measured seconds per training step, everything included.

    Returns
    -------
    Config
        With a reason for each choice. `training.steps` fills the budget at the measured speed.
    """
    fixed = parse_assignments(overrides)
    config = Config(data=ground.data)
    for choose in (_task, _patches, _loss, _augmentation):
        config = _put(config, choose(ground, limit, config), fixed)
    config = _put(config, {"training.seed": (seed, "Every random draw is a function of it.")}, fixed)
    config = _put(config, _legal_patches(config), fixed)
    config = _put(config, _precision(config, ground, fixed, probe), fixed)
    return _fill_time(config, ground, limit, fixed, probe)


def propose_seconds(limit: Limit) -> float | None:
    """Return the budget in seconds; None when steps or epochs decide."""
    if limit.steps is not None or limit.epochs is not None:
        return None
    return limit.seconds or DEFAULT_BUDGET


def steps_for(seconds: float, seconds_per_step: float) -> int:
    """Return the steps that fit into `seconds` with their validations."""
    return max(10, int(seconds * (1 - VALIDATION_SHARE) / seconds_per_step))


def _put(config: Config, choices: Choices, fixed: Mapping[str, Any]) -> Config:
    """Note choices, the user's own ones above ours."""
    values = {key: fixed.get(key, value) for key, (value, _) in choices.items()}
    reasons = {key: "Set by you." if key in fixed else reason for key, (_, reason) in choices.items()}
    rest = {key: value for key, value in fixed.items() if key not in values}
    return with_settings(config, {**values, **rest}, {**reasons, **dict.fromkeys(rest, "Set by you.")})


def _task(ground: Ground, limit: Limit, config: Config) -> Choices:
    print_, labels = ground.fingerprint, ground.labelling
    kind, classes, why = "classes", len(labels.classes), f"{labels.task}: {len(labels.classes)} classes."
    if labels.task == "instance":
        touching = print_.touching_share
        kind, classes = ("boundary", 3) if touching > 0.01 else ("components", 2)
        decoding = (
            "a boundary class and a seeded watershed separate them"
            if kind == "boundary"
            else ("connected components are enough")
        )
        why = f"{touching:.0%} of the objects have a neighbour at most 2 pixels away: {decoding}."
    smallest = max(0, round(0.1 * math.pi / 4 * print_.object_diameter[0] ** 2)) if kind != "classes" else 0
    area_why = "A tenth of the area of a small (5th percentile) training object." if smallest else "Nothing is dropped."
    return {
        "target.kind": (kind, why),
        "target.min_area": (smallest, area_why),
        "network.name": ("unet", "A padded U-Net: as many pixels out as in."),
        "network.in_channels": (print_.channels, f"The images have {print_.channels} channel(s)."),
        "network.classes": (classes, f"Channels of the target `{kind}`."),
        "network.normalisation": (
            "batch",
            "Can be folded away after training and keeps tiled prediction exact.",
        ),
        "normalisation.kind": (
            "image",
            "Each image is brought to mean 0 and deviation 1, whatever its exposure.",
        ),
    }


def _patches(ground: Ground, limit: Limit, config: Config) -> Choices:
    print_, seconds = ground.fingerprint, propose_seconds(limit)
    most = 512 if ground.machine.device != "cpu" else 256 if seconds is None or seconds >= 240 else 160
    median = (print_.heights[1], print_.widths[1])
    height, width = (min(most, math.ceil(side / 16) * 16) for side in median)
    # 8 pixels at the bottom still leave a 3 x 3 kernel something to look at
    depth = max(1, min(4, int(math.log2(min(height, width) / 8))))
    batch = max(4, min(16, round(4 * 256 * 256 / (height * width))))
    if ground.machine.device == "cuda":
        batch = 16
    rare = min((s for s in print_.class_shares[1:] if s > 0), default=0.5)
    share = 0.5 if rare < 0.01 else 0.33 if rare < 0.3 else 0.0
    return {
        "patches.height": (height, f"Median image {median[0]} x {median[1]}, at most {most} here."),
        "patches.width": (width, f"Median image {median[0]} x {median[1]}, at most {most} here."),
        "patches.batch": (batch, f"About {batch * height * width / 1e6:.2f} megapixels a step."),
        "patches.foreground_share": (share, f"The rarest class holds {rare:.2%} of the pixels."),
        "network.depth": (
            depth,
            f"{min(height, width)} pixels halved {depth} times leave {min(height, width) >> depth}.",
        ),
    }


def _legal_patches(config: Config) -> Choices:
    """Bring the patch to sizes that the network takes: valid ones need room for their margin."""
    with torch.device("meta"):
        geometry = build(config.network).geometry()
    choices: Choices = {}
    for name in ("height", "width"):
        size = getattr(config.patches, name)
        if not geometry.is_legal(size):
            why = f"The next size after {size} that {config.network.name} takes."
            choices[f"patches.{name}"] = (geometry.legal_size(size), why)
    return choices


def _loss(ground: Ground, limit: Limit, config: Config) -> Choices:
    rarest = min((share for share in ground.fingerprint.class_shares if share > 0), default=0.0)
    why = f"None: Dice counts classes alike, and patches are drawn for the rare ones; the rarest holds {rarest:.2%}."
    return {
        "loss.class_weights": ((), why),
        "loss.cross_entropy": (
            1.0,
            "Cross-entropy and Dice together are the most robust choice over data sets.",
        ),
        "loss.dice": (1.0, "See cross_entropy."),
    }


def _augmentation(ground: Ground, limit: Limit, config: Config) -> Choices:
    if ground.oriented > 0.25:
        why = f"Classes above and below differ by {ground.oriented:.0%}: the pictures have an up, which stays up."
        return {"augmentation.rotation": (10.0, why), "augmentation.upside_down": (False, why)}
    why = f"Classes above and below differ by {ground.oriented:.0%} only: no direction is special."
    return {"augmentation.rotation": (180.0, why), "augmentation.upside_down": (True, why)}


def _precision(config: Config, ground: Ground, fixed: Mapping[str, Any], probe: Probe) -> Choices:
    """Measure whether a step is clearly faster in bfloat16: processors without units for it emulate it slowly."""
    if "training.precision" in fixed or ground.machine.device == "mps":
        return {"training.precision": ("float32", "bfloat16 is not tried on this device.")}
    width = {"network.base": fixed.get("network.base", GUESSED_WIDTH)}
    kinds = ("float32", "bfloat16")
    seconds = [probe(with_settings(config, {**width, "training.precision": kind}, {})) for kind in kinds]
    gain = seconds[0] / seconds[1]
    name = "bfloat16" if gain > WORTH_BFLOAT16 else "float32"
    return {"training.precision": (name, f"A training step in bfloat16 was measured {gain:.2f} times as fast here.")}


def _fill_time(config: Config, ground: Ground, limit: Limit, fixed: Mapping[str, Any], probe: Probe) -> Config:
    """Choose width, learning rate and the number of steps."""
    seconds = propose_seconds(limit)
    wanted = STEPS_PER_ROOT_SECOND * math.sqrt(seconds or DEFAULT_BUDGET)
    allowed = (seconds or DEFAULT_BUDGET) / wanted
    width, measured = _widest(config, fixed, probe, allowed)
    why = f"The widest of {WIDTHS} with a step under {allowed:.2f} s; measured {measured:.3f} s."
    choices: Choices = {"network.base": (width, why)}
    if seconds is not None:
        left = seconds - ground.seconds_used
        steps, why = (
            steps_for(left, measured),
            f"{left:.0f} s are left, at {measured:.3f} s a step, measured.",
        )
        choices["training.patience"] = (0, "The time given is used to its end, where the learning rate reaches zero.")
        choices["training.budget"] = (
            seconds,
            "The time given." if limit.seconds else "Proposed: none was given.",
        )
    elif limit.steps is not None:
        steps, why = limit.steps, "The number given."
    else:
        area = config.patches.batch * config.patches.height * config.patches.width
        epoch = max(1, math.ceil(ground.fingerprint.pixels / area))
        steps, why = (limit.epochs or 1) * epoch, f"{limit.epochs} epochs of {epoch} steps of {area} pixels."
    choices["training.steps"] = (steps, why)
    config = _put(config, choices, fixed)
    steps = config.training.steps
    every = max(1, math.ceil(steps / VALIDATIONS))
    saved = max(1, min(every, round(CHECKPOINT_SECONDS / measured)))
    rest: Choices = {
        "training.validate_every": (every, f"{VALIDATIONS} looks at the validation images."),
        "training.checkpoint_every": (
            saved,
            f"A stopped run loses at most about {saved * measured:.0f} s of work.",
        ),
    }
    return _put(config, rest, fixed)


def _widest(config: Config, fixed: Mapping[str, Any], probe: Probe, allowed: float) -> tuple[int, float]:
    """Return the widest network whose step stays under `allowed` seconds, and its measured seconds per step."""
    if "network.base" in fixed:
        return fixed["network.base"], probe(config)
    guess = GUESSED_WIDTH
    seconds = {guess: probe(with_settings(config, {"network.base": guess}, {}))}
    # between linear (memory-bound) and quadratic (arithmetic-bound) in the width
    fitting = [w for w in WIDTHS if seconds[guess] * (w / guess) ** 1.6 <= allowed] or [WIDTHS[0]]
    for width in reversed(fitting):
        if width not in seconds:
            seconds[width] = probe(with_settings(config, {"network.base": width}, {}))
        if seconds[width] <= 1.15 * allowed:
            return width, seconds[width]
    narrowest = fitting[0]
    return narrowest, seconds[narrowest]
