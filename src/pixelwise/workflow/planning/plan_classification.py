"""Plan an image classification training: derive a Config with reasons from fingerprint, machine and time budget.

The settings for small images are those of He et al. 2016 (section 4.2: random crops with 4 pixels of padding,
horizontal flips, batch size 128, SGD with momentum 0.9), with a one-cycle schedule instead of steps, Nesterov
momentum, label smoothing and EMA weights, which improve short trainings.
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

SMALL = 64  # side in pixels up to which whole images are used, with the networks made for CIFAR-10
SMALL_NETS = ("resnet20", "resnet32", "resnet44", "resnet56")
LARGE_NETS = ("resnet18", "resnet34")
SIDES = (64, 96, 128, 160, 192, 224)  # candidate sides for large images, in pixels
UNMEASURED = 1.0  # assumed seconds of a step; the clock corrects it during training
EPOCHS_BY_SIDE = 20  # required for a larger side
EPOCHS_BY_DEPTH = 150  # required for a deeper network
MIN_BATCHES = 8  # per epoch: smaller data sets use smaller batches
MIN_BATCH = 8
# Batch sizes for comparing precisions, for small and large images: emulated bfloat16 is ten times slower.
PROBED, PROBED_LARGE = 64, 16


@dataclass(frozen=True, kw_only=True)
class ClassificationPlanInputs:
    """The inputs of a plan; `seconds_used` is the time already spent on the data."""

    fingerprint: ClassificationFingerprint
    labelling: Labelling
    data: DataOptions
    machine: Machine
    seconds_used: float = 0.0


def make_classification_plan(
    inputs: ClassificationPlanInputs, limit: TrainingBudget, seed: int, settings: Settings, probe: Probe
) -> Config:
    """Choose every setting; parameters as in `plan_masks.make_plan`.

    Raises
    ------
    BadOption
        The requested network is not a classifier, or does not read a requested setting.
    """
    config = apply_settings(Config(data=inputs.data), settings, _task(inputs, settings))
    _check_network(config)
    config = apply_settings(config, settings, _learning(config, len(inputs.labelling.classes)))
    seeded: Choices = {"training.seed": (seed, "The random seed.")}
    config = apply_settings(config, settings, seeded)
    precision = choose_precision(_small_step(config), inputs.machine.device, settings, probe)
    config = apply_settings(config, settings, precision)
    config, measured = _fit_to_time(config, inputs, limit, settings, probe)
    epoch = (
        max(1, math.ceil(inputs.fingerprint.cases / config.classification.batch)),
        pluralise(config.classification.batch, "image"),
    )
    return fill_time(config, limit, settings, measured=measured, used=inputs.seconds_used, epoch=epoch)


def _small_step(config: Config) -> Config:
    """Return a config with steps that are small enough to be measured in both precisions."""
    small = config.classification.side <= SMALL
    side = config.classification.side if small else SIDES[0]
    batch = min(PROBED if small else PROBED_LARGE, config.classification.batch)
    return with_settings(config, {"classification.batch": batch, "classification.side": side}, {})


def _task(inputs: ClassificationPlanInputs, settings: Settings) -> Choices:
    """Choose the image size, the batch size and the smallest network."""
    fingerprint = inputs.fingerprint
    native = min(fingerprint.heights[1], fingerprint.widths[1])
    small = native <= SMALL
    median = f"Median image {fingerprint.heights[1]} x {fingerprint.widths[1]}"
    if small:
        side, padding, area, batch = native, native // 8, 1.0, 128
        cut = f"Random crop of the image with {pluralise(padding, 'pixel')} of padding: an eighth of its side."
        whole = "No random resizing of small images."
    else:
        side = max(min(side for side in SIDES if side >= min(native, SIDES[-1])), SIDES[0])
        side, padding, area, batch = min(side, native), 0, 0.35, 64
        cut = "None: random resized crops are used instead."
        whole = "Random resized crops of at least this fraction of the area."
    user_side = settings.values.get("classification.side")
    side = user_side if isinstance(user_side, int) else side  # other types are rejected when they are applied
    shorter = max(native, side) if small else max(side, round(side * 8 / 7))
    batch, why = _batch(batch, fingerprint.cases)
    mean, std, classes = fingerprint.intensity_mean, fingerprint.intensity_std, len(inputs.labelling.classes)
    return {
        "network.name": (
            SMALL_NETS[0] if small else LARGE_NETS[0],
            f"{median}: {'a network for small images' if small else 'a network for photographs'}.",
        ),
        "network.base": (16, "Channels of the first stage, as in the paper."),
        "network.in_channels": (fingerprint.channels, f"The images have {pluralise(fingerprint.channels, 'channel')}."),
        "network.classes": (classes, f"{pluralise(classes, 'class folder')}."),
        "normalisation.kind": ("dataset", "One scale for all images: brightness may depend on the class."),
        "normalisation.mean": (tuple(_digits(value) for value in mean), f"Of {fingerprint.measured} training images."),
        "normalisation.std": (
            tuple(_digits(value) or 1.0 for value in std),
            f"Of {fingerprint.measured} training images.",
        ),
        "classification.side": (side, f"{median}."),
        "classification.shorter": (
            shorter,
            f"Prediction uses the central {side} x {side} crop of an image with this shorter side.",
        ),
        "classification.batch": (batch, why),
        "classification.padding": (padding, cut),
        "classification.smallest_area": (area, whole),
        "classification.flip": (
            True,
            "A mirrored image shows the same class, except for example letters and clock faces.",
        ),
    }


def _batch(usual: int, cases: int) -> tuple[int, str]:
    """Return the batch size and the reason."""
    if usual * MIN_BATCHES <= cases:
        return usual, "Usual for this image size."
    batch = MIN_BATCH
    while 2 * batch * MIN_BATCHES <= cases:
        batch *= 2
    images = pluralise(cases, "image")
    return batch, f"About {MIN_BATCHES} steps per epoch of {images}, at least {MIN_BATCH} images each."


def _digits(value: float) -> float:
    """Round to six significant digits: images may have values up to 1 or up to 65,535."""
    return float(f"{value:.6g}")


def _learning(config: Config, classes: int) -> Choices:
    """Choose optimiser, learning rate and loss."""
    batch = config.classification.batch
    rate = round(0.2 * batch / 128, 6)
    return {
        "training.optimiser": ("sgd", "Generalises better than AdamW on a subset of CIFAR-10 (measured)."),
        "training.momentum": (0.9, "He et al. 2016."),
        "training.nesterov": (True, "Slightly faster at no cost."),
        "training.learning_rate": (rate, f"The peak: 0.2 for a batch size of 128, in proportion for {batch}."),
        "training.warmup_share": (0.15, "The learning rate rises over this fraction of the steps, then falls to zero."),
        "training.weight_decay": (5e-4, "For the kernels only; usual with this learning rate."),
        "loss.label_smoothing": (0.1, f"Reduces overconfidence with few images for {classes} classes."),
    }


def _check_network(config: Config) -> None:
    with torch.device("meta"):
        build_classifier(config.network)


def _fit_to_time(
    config: Config, inputs: ClassificationPlanInputs, limit: TrainingBudget, settings: Settings, probe: Probe
) -> tuple[Config, float]:
    """Choose the image side and the network depth for the time; also return the measured seconds per step."""
    left = (propose_seconds(limit) or DEFAULT_BUDGET) - inputs.seconds_used
    small = config.classification.side <= SMALL
    if not small and "classification.side" not in settings.values:
        config = _largest_side(config, inputs, left, settings, probe)
    nets = SMALL_NETS if small else LARGE_NETS
    measured = _measured(probe, config)
    epochs = _epochs(left, measured, config, inputs, limit)
    if "network.name" in settings.values or config.network.name != nets[0]:
        return config, measured
    for name in reversed(nets[1:]):
        # the step time of a residual network is proportional to its number of layers
        expected = measured * int(name[6:]) / int(nets[0][6:])
        if _epochs(left, expected, config, inputs, limit) < EPOCHS_BY_DEPTH:
            continue
        deeper = with_settings(config, {"network.name": name}, {})
        seconds = probe(deeper) or expected
        epochs = _epochs(left, seconds, deeper, inputs, limit)
        why = f"The deepest of {', '.join(nets)} with at least {EPOCHS_BY_DEPTH} epochs: {epochs:.0f}."
        return apply_settings(deeper, settings, {"network.name": (name, why)}), seconds
    why = f"{config.reasons['network.name']} The training has {epochs:.0f} epochs."
    return apply_settings(config, settings, {"network.name": (nets[0], why)}), measured


def _largest_side(
    config: Config, inputs: ClassificationPlanInputs, left: float, settings: Settings, probe: Probe
) -> Config:
    """Choose the largest side for large images that leaves time for enough epochs."""
    sides = [side for side in SIDES if side < config.classification.side] + [config.classification.side]
    first = with_settings(config, {"classification.side": sides[0]}, {})
    seconds = _measured(probe, first)
    fitting = [
        side for side in sides if _epochs(left, seconds * (side / sides[0]) ** 2, config, inputs) >= EPOCHS_BY_SIDE
    ]
    side = fitting[-1] if fitting else sides[0]
    epochs = _epochs(left, seconds * (side / sides[0]) ** 2, config, inputs)
    why = f"The largest of {', '.join(map(str, sides))} with about {EPOCHS_BY_SIDE} epochs in the time: {epochs:.1f}."
    shorter = max(side, round(side * 8 / 7))
    view = f"Prediction uses the central {side} x {side} crop of an image with this shorter side."
    return apply_settings(
        config, settings, {"classification.side": (side, why), "classification.shorter": (shorter, view)}
    )


def _measured(probe: Probe, config: Config) -> float:
    """Return the seconds of a step; without time to measure it, extrapolate from a small one."""
    seconds = probe(config)
    if seconds is not None:
        return seconds
    small = _small_step(config)
    pixels, small_pixels = (c.classification.batch * c.classification.side**2 for c in (config, small))
    return (probe(small) or UNMEASURED) * pixels / small_pixels


def _epochs(
    left: float, seconds: float, config: Config, inputs: ClassificationPlanInputs, limit: TrainingBudget | None = None
) -> float:
    """Return the number of epochs: as requested by `limit`, else as the time allows."""
    if limit and limit.epochs:
        return float(limit.epochs)
    steps = (limit.steps if limit else None) or steps_for(left, seconds)
    return steps * config.classification.batch / inputs.fingerprint.cases
