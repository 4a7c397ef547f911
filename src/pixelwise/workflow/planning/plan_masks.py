"""The plan: fingerprint, machine and time budget become a Config in which every choice bears its reason.

Rules follow nnU-Net's planning (patch from the median image, depth from the patch, foreground-aware patches) with
two changes: width and number of steps come from a time budget, and the speed is measured, not assumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pixelwise.datasets.dataset import DataOptions, Labelling
from pixelwise.datasets.records import has_background
from pixelwise.labels.split_regions import is_filled_by_regions
from pixelwise.labels.targets import target_channels
from pixelwise.networks.architectures import build, check_options
from pixelwise.runtimes.machine import Machine
from pixelwise.sampling.fingerprint import Fingerprint
from pixelwise.sampling.patches import part_of_step
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.planning.choices import (
    DEFAULT_BUDGET,
    TrainingBudget,
    choose_precision,
    fill_time,
    propose_seconds,
    threads_of_step,
)
from pixelwise.workflow.planning.step_times import Probe
from pixelwise.workflow.planning.widths import GUESSED_WIDTH, TOLERATED, describe_width, find_widest
from pixelwise.workflow.presets import Choices
from pixelwise.workflow.settings import Settings, apply_settings

# Steps wanted in a budget of B seconds: 60 sqrt(B), that is 1,470 in ten minutes and 3,600 in an hour. Half of
# every longer budget so goes into more steps and half into a wider network.
STEPS_PER_ROOT_SECOND = 60
SHARES = (1.0, 0.5, 0.25, 0.125)  # of 4 x 256 x 256 pixels a step, where time is short (benchmarks/RECIPE.md)
PATCH_SIZE = {"patches.height", "patches.width", "patches.batch"}
RATES = {
    "muon": (8e-3, "Learns faster than 0.002 on scenes, defects and nuclei, and no worse on edges: measured."),
    "sgd": (1e-2, "What nnU-Net gives gradient descent with momentum 0.99."),
}
LOWER_RATE = 0.5
COARSE_SHARE = 0.5
DISTANCE_SEED = 0.3


@dataclass(frozen=True, kw_only=True)
class PlanInputs:
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


def make_plan(ground: PlanInputs, limit: TrainingBudget, seed: int, settings: Settings, probe: Probe) -> Config:
    """Choose every setting.

    Parameters
    ----------
    ground : Ground
    limit : Limit
    seed : int
    settings : Settings
        That are given; everything else is chosen around them.
    probe : Probe
        Measures the seconds of a training step.

    Returns
    -------
    Config
        With a reason for each choice. `training.steps` fills the budget at the measured speed.
    """
    config = apply_settings(Config(data=ground.data), settings)  # what is given decides about the rest
    for choose in (_task, _follow_target, _patches, _loss, _augmentation, _optimiser, _rates):
        config = apply_settings(config, settings, choose(ground, limit, config))
    check_options(config.network)
    seeded: Choices = {"training.seed": (seed, "Every random draw is a function of it.")}
    config = apply_settings(config, settings, seeded)
    fitted, own = _fit_patches(config, ground, settings), settings.without_preset
    config = apply_settings(config, own, fitted)
    settled = settings.with_planned({key: value for key, (value, _) in fitted.items()})
    config = apply_settings(config, settled, _precision(config, ground, settled, probe))
    return apply_settings(_fill_time(config, ground, limit, settled, probe), own, fitted)


def _task(ground: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    print_, labels = ground.fingerprint, ground.labelling
    kind, why = "classes", f"{labels.task}: {pluralise(len(labels.classes), 'class')}."
    if labels.task == "instance":
        touching = print_.touching_share
        kind, decoding = "components", "connected components are enough"
        if touching > 0.01:
            # On crowded nuclei a distance beside it ("distance") won nothing: validation mean AP 0.425 instead of 0.439
            # after 600 steps of base 16, thresholds tuned for both; and a step took a tenth longer.
            kind, decoding = "boundary", "a boundary class and a seeded watershed separate them"
        if config.target.separate:
            kind = "components"
            width = pluralise(config.target.separate, "pixel of background is", "pixels of background are")
            decoding = f"{width} cut between them"
        why = f"{touching:.0%} of the objects have a neighbour at most 2 pixels away: {decoding}."
    smallest = max(0, round(0.1 * math.pi / 4 * print_.object_diameter[0] ** 2)) if kind != "classes" else 0
    area_why = "A tenth of the area of a small (5th percentile) training object." if smallest else "Nothing is dropped."
    return {
        "target.kind": (kind, why),
        "target.min_area": (smallest, area_why),
        "network.name": ("unet", "A padded U-Net: as many pixels out as in."),
        "network.in_channels": (print_.channels, f"The images have {pluralise(print_.channels, 'channel')}."),
        "network.normalisation": (
            "batch",
            "Can be folded away after training and keeps tiled prediction exact.",
        ),
        "normalisation.kind": (
            "image",
            "Each image is brought to mean 0 and deviation 1, whatever its exposure.",
        ),
    }


def _follow_target(ground: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    """Choose what depends on the kind of target, whoever chose that."""
    channels, kind = target_channels(config.target, len(ground.labelling.classes)), config.target.kind
    choices: Choices = {"network.classes": (channels, f"Channels of the target `{kind}`.")}
    if kind == "distance":
        why = "Networks say depths too low where they are not sure; on nuclei 0.3 found most objects."
        choices["target.seed_threshold"] = (DISTANCE_SEED, why)
    return choices


def _patches(ground: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    print_ = ground.fingerprint
    most = 512 if ground.machine.device != "cpu" else 256
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
        "network.depth": (depth, _describe_depth(depth, min(height, width))),
    }


def _describe_depth(depth: int, side: int) -> str:
    """Say what the depth makes of a patch."""
    return f"{side} pixels halved {pluralise(depth, 'time')} leave {side >> depth}."


def _fit_patches(config: Config, ground: PlanInputs, settings: Settings) -> Choices:
    """Bring the patch to sizes that the network takes; those that are given stand, but for a recipe's.

    A valid network puts out less than it reads: a planned patch gets its margin on top. A recipe's patch that would
    reach beyond the largest image on all sides shrinks to what covers it.
    """
    with torch.device("meta"):
        geometry = build(config.network).geometry()
    choices: Choices = {}
    if "patches.low_res_fraction" not in settings.values:
        choices["patches.low_res_fraction"] = _coarse_share(ground, geometry.margin)
    largest = {"height": ground.fingerprint.heights[2], "width": ground.fingerprint.widths[2]}
    for name, image in largest.items():
        key, size = f"patches.{name}", getattr(config.patches, name)
        wanted = min(size, image + 2 * geometry.margin) if key in settings.values else size + 2 * geometry.margin
        if key in settings.without_preset.values or (wanted == size and geometry.is_legal(size)):
            continue
        legal = geometry.legal_size(wanted)
        if wanted < size:
            why = f"{legal} in, {geometry.output_size(legal)} out cover the largest image, which has {image}."
        elif geometry.margin:
            why = f"{geometry.output_size(legal)} pixels out, with {geometry.margin} more that are read on each side."
        else:
            why = f"The next size after {size} that {config.network.name} takes."
        choices[key] = (legal, why)
    return choices


def _coarse_share(ground: PlanInputs, margin: int) -> tuple[float, str]:
    """Say how much of the training begins at half the resolution."""
    print_, binary = ground.fingerprint, ground.labelling.task == "binary"
    if margin:
        return 0.0, "None: a patch of half the side would put out little."
    if binary and is_filled_by_regions(print_.class_shares[1], print_.objects_per_case[1] * print_.cases):
        return 0.0, "None: lines part the areas, and gaps in them do not show at half the resolution."
    return COARSE_SHARE, "At half the resolution four times as much of the images is seen in the same time."


def _shrink_patches(
    config: Config, measured: float, allowed: float, settings: Settings, probe: Probe
) -> tuple[Config, float]:
    """Let steps see fewer pixels where even the narrowest network is too slow: many steps teach more than large ones.

    Returns
    -------
    Config
    float
        Seconds per step with it.
    """
    share = next((share for share in SHARES if share * measured <= TOLERATED * allowed), SHARES[-1])
    if share == 1.0:
        return config, measured
    with torch.device("meta"):
        geometry = build(config.network).geometry()
    part = part_of_step(config.patches, share, geometry)
    size = f"{config.patches.batch} x {config.patches.height} x {config.patches.width}"
    why = f"A step of {size} would take {measured:.2f} s, where {allowed:.2f} s are wanted"
    why = f"{why}: many small steps teach more than a few large ones."
    choices: Choices = {f"patches.{name}": (getattr(part, name), why) for name in ("height", "width", "batch")}
    if part.height < config.patches.height and config.network.depth > 1:
        depth = config.network.depth - 1
        choices["network.depth"] = (depth, _describe_depth(depth, min(part.height, part.width)))
    smaller = apply_settings(config, settings, choices)
    return smaller, probe(smaller) or share * measured


def _loss(ground: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    labels, shares = ground.labelling, ground.fingerprint.class_shares
    background = config.target.kind != "classes" or has_background(labels.task, labels.classes)
    ground_name = labels.classes[0] if labels.classes else "the first class"
    why_background = "Class 0 is the background." if background else f"`{ground_name}` is a class like the others."
    rarer = labels.task == "binary" and shares[0] < shares[1]
    if rarer:
        why_background = "Class 0 is the rarer one, and harder to find: its Dice counts too."
    weights, why = _class_weights(shares, background)
    if config.loss.balanced:
        weights, why = (), "Found from the training targets: see balanced."
    return {
        "loss.class_weights": (weights, why),
        "loss.cross_entropy": (
            1.0,
            "Cross-entropy and Dice together are the most robust choice over data sets.",
        ),
        "loss.dice": (1.0, "See cross_entropy."),
        "loss.dice_background": (rarer or not background, why_background),
    }


def _class_weights(shares: Sequence[float], background: bool) -> tuple[tuple[float, ...], str]:
    """Weight the classes of a scene; where there is a background, Dice and the choice of patches do it."""
    rarest = min((share for share in shares if share > 0), default=0.0)
    if background or rarest == 0.0:
        why = "None: Dice counts classes alike, and patches are drawn for the rare ones"
        return (), f"{why}; the rarest holds {rarest:.2%}."
    roots = [share**-0.5 if share > 0 else 0.0 for share in shares]
    mean = sum(roots) / sum(root > 0 for root in roots)
    weights = tuple(round(root / mean, 3) if root else 1.0 for root in roots)
    return weights, f"Square roots of the inverse shares, 1 in the mean: the rarest class holds {rarest:.2%}."


def _optimiser(ground: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    if config.transfer.encoder_weights:
        return {"training.optimiser": ("adamw", "Changes what an encoder has learned more gently than Muon.")}
    return {"training.optimiser": ("muon", "Learns in half the steps of AdamW: measured on scenes and on defects.")}


def _rates(ground: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    """Fit the learning rates to the optimiser, whoever chose that, and to what the encoder brings along."""
    optimiser = config.training.optimiser
    choices: Choices = {"training.learning_rate": RATES[optimiser]} if optimiser in RATES else {}
    if optimiser == "muon":
        why = "With Muon better than a cosine on scenes, and no worse on edges: measured."
        choices["training.schedule"] = ("linear", why)
    if config.transfer.encoder_weights:
        why = "The encoder has learned already: its stages learn more slowly, the finest ones most."
        choices["transfer.layer_decay"] = (LOWER_RATE, why)
    return choices


def _augmentation(ground: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    if ground.oriented > 0.25:
        why = f"Classes above and below differ by {ground.oriented:.0%}: the pictures have an up, which stays up."
        return {"augmentation.rotation": (10.0, why), "augmentation.upside_down": (False, why)}
    why = f"Classes above and below differ by {ground.oriented:.0%} only: no direction is special."
    return {"augmentation.rotation": (180.0, why), "augmentation.upside_down": (True, why)}


def _precision(config: Config, ground: PlanInputs, settings: Settings, probe: Probe) -> Choices:
    width = {"network.base": settings.values.get("network.base", GUESSED_WIDTH)}
    return choose_precision(with_settings(config, width, {}), ground.machine.device, settings, probe)


def _fill_time(config: Config, ground: PlanInputs, limit: TrainingBudget, settings: Settings, probe: Probe) -> Config:
    """Choose the width and the number of steps."""
    seconds = propose_seconds(limit)
    wanted = STEPS_PER_ROOT_SECOND * math.sqrt(seconds or DEFAULT_BUDGET)
    allowed = (seconds or DEFAULT_BUDGET) / wanted
    width, measured = find_widest(config, settings, probe, allowed)
    config = apply_settings(config, settings, {"network.base": (width, describe_width(measured, allowed))})
    if ground.machine.device == "cpu" and not PATCH_SIZE & set(settings.values):
        config, measured = _shrink_patches(config, measured, allowed, settings, probe)
    if ground.machine.device == "cpu":
        threads = threads_of_step(config, ground.machine.threads)
        why = f"Of {pluralise(ground.machine.threads, 'thread')}: smaller steps are done faster by fewer of them."
        config = apply_settings(config, settings, {"training.threads": (threads, why)})
    area = config.patches.batch * config.patches.height * config.patches.width
    epoch = max(1, math.ceil(ground.fingerprint.pixels / area)), pluralise(area, "pixel")
    return fill_time(config, limit, settings, measured=measured, used=ground.seconds_used, epoch=epoch)
