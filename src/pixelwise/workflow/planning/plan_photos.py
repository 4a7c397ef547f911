"""The plan of a whole-image classification: photos, machine and time become a Config, every choice with its reason.

The numbers for small images are those of He et al. 2016 (section 4.2: crops out of a border of 4 pixels, mirroring,
batches of 128, SGD with momentum 0.9), with a schedule that rises and falls once instead of steps, Nesterov's momentum,
smoothed labels and averaged weights, which learn more in few passes.
"""

import math
from dataclasses import dataclass

import torch

from pixelwise.datasets.dataset import DataOptions, Labelling
from pixelwise.networks.architectures import build_classifier
from pixelwise.runtimes.machine import Machine
from pixelwise.sampling.image_fingerprint import ClassificationFingerprint
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.planning.choices import (
    DEFAULT_BUDGET,
    TrainingBudget,
    choose_precision,
    fill_time,
    propose_seconds,
    steps_for,
)
from pixelwise.workflow.planning.step_times import Probe
from pixelwise.workflow.presets import Choices
from pixelwise.workflow.settings import Settings, apply_settings

SMALL = 64  # pixels a side up to which photos are learned whole, by the nets made for CIFAR-10
SMALL_NETS = ("resnet20", "resnet32", "resnet44", "resnet56")
LARGE_NETS = ("resnet18", "resnet34")
SIDES = (64, 96, 128, 160, 192, 224)  # pixels a side that large photos are learned at
UNMEASURED = 1.0  # seconds: what is assumed of a step; the clock corrects it on the way
PASSES_BY_SIDE = 20  # over the training photos, wanted before a larger side is worth its time
PASSES_BY_DEPTH = 150  # wanted before a deeper network is
FEW_BATCHES = 8  # in a pass: smaller sets are learned in smaller batches
LEAST_BATCH = 8
# Batch in which the precisions are compared, small photos and large ones: emulated bfloat16 is ten times slower.
PROBED, PROBED_LARGE = 64, 16


@dataclass(frozen=True, kw_only=True)
class ClassificationPlanInputs:
    """What a plan stands on; `seconds_used` is the part of the budget that looking at the data has taken."""

    fingerprint: ClassificationFingerprint
    labelling: Labelling
    data: DataOptions
    machine: Machine
    seconds_used: float = 0.0


def make_photo_plan(
    ground: ClassificationPlanInputs, limit: TrainingBudget, seed: int, settings: Settings, probe: Probe
) -> Config:
    """Choose every setting; parameters as in `plan_masks.make_plan`.

    Raises
    ------
    BadOption
        The network that was asked for does not classify, or does not read a setting that was asked for.
    """
    config = apply_settings(Config(data=ground.data), settings, _task(ground, settings))
    _check_network(config)
    config = apply_settings(config, settings, _learning(config, len(ground.labelling.classes)))
    seeded: Choices = {"training.seed": (seed, "Every random draw is a function of it.")}
    config = apply_settings(config, settings, seeded)
    precision = choose_precision(_small_step(config), ground.machine.device, settings, probe)
    config = apply_settings(config, settings, precision)
    config, measured = _fit_to_time(config, ground, limit, settings, probe)
    epoch = max(1, math.ceil(ground.fingerprint.cases / config.photos.batch)), pluralise(config.photos.batch, "photo")
    return fill_time(config, limit, settings, measured=measured, used=ground.seconds_used, epoch=epoch)


def _small_step(config: Config) -> Config:
    """Return a config whose steps are quick enough to be measured in both precisions."""
    small = config.photos.side <= SMALL
    side = config.photos.side if small else SIDES[0]
    batch = min(PROBED if small else PROBED_LARGE, config.photos.batch)
    return with_settings(config, {"photos.batch": batch, "photos.side": side}, {})


def _task(ground: ClassificationPlanInputs, settings: Settings) -> Choices:
    """Choose the size of the photos, the batch and the network to begin with."""
    print_ = ground.fingerprint
    native = min(print_.heights[1], print_.widths[1])
    small = native <= SMALL
    median = f"Median photo {print_.heights[1]} x {print_.widths[1]}"
    if small:
        side, padding, area, batch = native, native // 8, 1.0, 128
        cut = f"Cut at random out of the photo with {pluralise(padding, 'pixel')} around it: an eighth of its side."
        whole = "No random resizing: in so few pixels every one counts."
    else:
        side = max(min(side for side in SIDES if side >= min(native, SIDES[-1])), SIDES[0])
        side, padding, area, batch = min(side, native), 0, 0.35, 64
        cut = "None: windows of random size are cut instead."
        whole = "A random window of at least this share of the area is cut and resized."
    given = settings.values.get("photos.side")
    side = given if isinstance(given, int) else side  # other kinds of values are refused when they are put
    shorter = max(native, side) if small else max(side, round(side * 8 / 7))
    batch, why = _batch(batch, print_.cases)
    mean, std, classes = print_.intensity_mean, print_.intensity_std, len(ground.labelling.classes)
    return {
        "network.name": (
            SMALL_NETS[0] if small else LARGE_NETS[0],
            f"{median}: {'a net made for small images' if small else 'a net made for photographs'}.",
        ),
        "network.base": (16, "Channels of the first stage: those of the paper."),
        "network.in_channels": (print_.channels, f"The images have {pluralise(print_.channels, 'channel')}."),
        "network.classes": (classes, f"{pluralise(classes, 'class folder')}."),
        "normalisation.kind": ("dataset", "One scale for all: how bright a photo is may tell its class."),
        "normalisation.mean": (tuple(_digits(value) for value in mean), f"Of {print_.measured} training photos."),
        "normalisation.std": (
            tuple(_digits(value) or 1.0 for value in std),
            f"Of {print_.measured} training photos.",
        ),
        "photos.side": (side, f"{median}."),
        "photos.shorter": (shorter, f"Prediction sees the middle {side} x {side} of a photo with this shorter side."),
        "photos.batch": (batch, why),
        "photos.padding": (padding, cut),
        "photos.smallest_area": (area, whole),
        "photos.flip": (True, "A mirrored photo shows the same class; letters and clock faces would not."),
    }


def _batch(usual: int, cases: int) -> tuple[int, str]:
    """Return the photos of a step, and why."""
    if usual * FEW_BATCHES <= cases:
        return usual, "Usual for this size: its gradient is steady, and it is taken often enough."
    batch = LEAST_BATCH
    while 2 * batch * FEW_BATCHES <= cases:
        batch *= 2
    photos = pluralise(cases, "photo")
    return batch, f"About {FEW_BATCHES} steps for a pass over {photos}, at least {LEAST_BATCH} photos each."


def _digits(value: float) -> float:
    """Keep six digits, wherever the point is: photos may hold values from 0 to 1, or to 65,535."""
    return float(f"{value:.6g}")


def _learning(config: Config, classes: int) -> Choices:
    """Choose optimiser, rates and loss."""
    batch = config.photos.batch
    rate = round(0.2 * batch / 128, 6)
    return {
        "training.optimiser": ("sgd", "Generalises better than AdamW here: measured on a part of CIFAR-10."),
        "training.momentum": (0.9, "He et al. 2016."),
        "training.nesterov": (True, "Looks ahead: a little faster at no cost."),
        "training.learning_rate": (rate, f"The peak: 0.2 for a batch of 128, in proportion for {batch}."),
        "training.warmup_share": (0.15, "The rate rises over this share of the steps, then falls to zero."),
        "training.weight_decay": (5e-4, "Of the kernels alone; usual with this rate."),
        "loss.label_smoothing": (0.1, f"Few photos for {classes} classes: keeps the network from being too sure."),
    }


def _check_network(config: Config) -> None:
    with torch.device("meta"):
        build_classifier(config.network)


def _fit_to_time(
    config: Config, ground: ClassificationPlanInputs, limit: TrainingBudget, settings: Settings, probe: Probe
) -> tuple[Config, float]:
    """Choose the side and the depth that the time allows, and return the measured seconds per step with them."""
    left = (propose_seconds(limit) or DEFAULT_BUDGET) - ground.seconds_used
    small = config.photos.side <= SMALL
    if not small and "photos.side" not in settings.values:
        config = _largest_side(config, ground, left, settings, probe)
    nets = SMALL_NETS if small else LARGE_NETS
    measured = _measured(probe, config)
    passes = _passes(left, measured, config, ground, limit)
    if "network.name" in settings.values or config.network.name != nets[0]:
        return config, measured
    for name in reversed(nets[1:]):
        # the time of a residual network goes with its number of layers
        expected = measured * int(name[6:]) / int(nets[0][6:])
        if _passes(left, expected, config, ground, limit) < PASSES_BY_DEPTH:
            continue
        deeper = with_settings(config, {"network.name": name}, {})
        seconds = probe(deeper) or expected
        passes = _passes(left, seconds, deeper, ground, limit)
        why = f"The deepest of {', '.join(nets)} that sees each photo {PASSES_BY_DEPTH} times: {passes:.0f} times."
        return apply_settings(deeper, settings, {"network.name": (name, why)}), seconds
    why = f"{config.reasons['network.name']} Each photo is seen {passes:.0f} times."
    return apply_settings(config, settings, {"network.name": (nets[0], why)}), measured


def _largest_side(
    config: Config, ground: ClassificationPlanInputs, left: float, settings: Settings, probe: Probe
) -> Config:
    """Learn large photos at the largest side at which the time is enough for some passes over them."""
    sides = [side for side in SIDES if side < config.photos.side] + [config.photos.side]
    first = with_settings(config, {"photos.side": sides[0]}, {})
    seconds = _measured(probe, first)
    fitting = [
        side for side in sides if _passes(left, seconds * (side / sides[0]) ** 2, config, ground) >= PASSES_BY_SIDE
    ]
    side = fitting[-1] if fitting else sides[0]
    passes = _passes(left, seconds * (side / sides[0]) ** 2, config, ground)
    why = f"The largest of {', '.join(map(str, sides))} with about {PASSES_BY_SIDE} passes in the time: {passes:.1f}."
    shorter = max(side, round(side * 8 / 7))
    seen = f"Prediction sees the middle {side} x {side} of a photo with this shorter side."
    return apply_settings(config, settings, {"photos.side": (side, why), "photos.shorter": (shorter, seen)})


def _measured(probe: Probe, config: Config) -> float:
    """Return the seconds of a step; where there is no time to measure it, in proportion to those of a small one."""
    seconds = probe(config)
    if seconds is not None:
        return seconds
    small = _small_step(config)
    pixels = (one.photos.batch * one.photos.side**2 for one in (config, small))
    return (probe(small) or UNMEASURED) * next(pixels) / next(pixels)


def _passes(
    left: float, seconds: float, config: Config, ground: ClassificationPlanInputs, limit: TrainingBudget | None = None
) -> float:
    """Return how often each photo is seen: as often as was asked for with `limit`, else as the time allows."""
    if limit and limit.epochs:
        return float(limit.epochs)
    steps = (limit.steps if limit else None) or steps_for(left, seconds)
    return steps * config.photos.batch / ground.fingerprint.cases
