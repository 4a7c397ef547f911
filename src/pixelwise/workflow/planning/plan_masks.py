"""Plan a segmentation training: derive a Config with reasons from fingerprint, machine and time budget.

The rules follow nnU-Net's planning (patch from the median image, depth from the patch, foreground-aware patches) with
two changes: width and number of steps follow from a time budget, and the speed is measured, not assumed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pixelwise.datasets.dataset import DataOptions, Labelling
from pixelwise.datasets.records import has_background
from pixelwise.errors import BadOption
from pixelwise.labels.split_regions import is_filled_by_regions
from pixelwise.labels.targets import target_channels
from pixelwise.networks.architectures import build, check_options, readers
from pixelwise.runtimes.machine import Machine
from pixelwise.sampling.fingerprint import Fingerprint
from pixelwise.sampling.patches import LARGE_VOLUME, PatchOptions, scale_batch
from pixelwise.sampling.volume_fingerprint import VolumeFingerprint
from pixelwise.text import pluralise
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.planning import volumes
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

# Target number of steps in a budget of B seconds: 60 sqrt(B), or 1,470 in ten minutes and 3,600 in an hour. A longer
# budget is used half for more steps and half for a wider network.
STEPS_PER_ROOT_SECOND = 60
SHARES = (1.0, 0.5, 0.25, 0.125)  # fractions of 4 x 256 x 256 pixels per step if time is short (benchmarks/RECIPE.md)
PATCH_SIZE = {"patches.depth", "patches.height", "patches.width", "patches.batch"}
RATES = {
    "muon": (8e-3, "Faster than 0.002 on scenes, defects and nuclei, and no worse on edges (measured)."),
    "sgd": (1e-2, "The learning rate of nnU-Net for SGD with momentum 0.99."),
}
LAYER_DECAY = 0.5
LOW_RES_FRACTION = 0.5
# Split of membrane-like regions where there is no time to choose one: it raises V_rand of a weak model most
MEMBRANE_SPLIT = {"foreground_threshold": 0.7, "split_threshold": 0.9, "split_depth": 7}
DISTANCE_SEED = 0.3


@dataclass(frozen=True, kw_only=True)
class PlanInputs:
    """The inputs of a plan.

    `oriented` is the difference between the upper and lower halves of the images (`measure_orientation`);
    `seconds_used` is the time already spent on the data; `view` has the dimensions in which a network sees volumes, and
    the reason, if they were measured (`race`).
    """

    fingerprint: Fingerprint
    labelling: Labelling
    data: DataOptions
    machine: Machine
    oriented: float
    seconds_used: float = 0.0
    view: tuple[float, str] | None = None

    @property
    def volumes(self) -> bool:
        """Whether the images are volumes."""
        return isinstance(self.fingerprint, VolumeFingerprint)


def make_plan(inputs: PlanInputs, limit: TrainingBudget, seed: int, settings: Settings, probe: Probe) -> Config:
    """Choose every setting.

    Parameters
    ----------
    settings : Settings
        Given settings; all others are planned.
    probe : Probe
        Measures the seconds of a training step.

    Returns
    -------
    Config
        With a reason for each choice. `training.steps` fills the budget at the measured speed.
    """
    config = apply_settings(Config(data=inputs.data), settings)
    for choose in (_task, _follow_target, _patches, _loss, _augmentation, _optimiser, _rates):
        config = apply_settings(config, settings, choose(inputs, limit, config))
    check_options(config.network)
    _check_dimensions(inputs, config)
    _check_view(inputs, config)
    seeded: Choices = {"training.seed": (seed, "The random seed.")}
    config = apply_settings(config, settings, seeded)
    fitted, without_preset = _fit_patches(config, inputs, settings), settings.without_preset
    config = apply_settings(config, without_preset, fitted)
    settled = settings.with_planned({key: value for key, (value, _) in fitted.items()})
    config = apply_settings(config, settled, _precision(config, inputs, settled, probe))
    return apply_settings(_fill_time(config, inputs, limit, settled, probe), without_preset, fitted)


def _check_dimensions(inputs: PlanInputs, config: Config) -> None:
    """Raise `BadOption` if the network is not one of as many dimensions as the data, or an option is for the others."""
    expected, name = (3 if inputs.volumes else 2), config.network.full_name
    if config.network.dimensions != expected:
        kind = "volumes" if inputs.volumes else "images"
        got = f"network.dimensions={config.network.dimensions} of {name}"
        hint = f"Omit network.dimensions, or use one of: {', '.join(readers('dimensions'))}."
        raise BadOption(f"a network of {expected} dimensions for {kind}", got, hint)
    patches = config.patches
    if inputs.volumes and patches.low_res_fraction:
        got = f"{patches.low_res_fraction} for volumes"
        raise BadOption("patches.low_res_fraction for images", got, "Omit it, or set it to 0.")
    if not inputs.volumes and (patches.depth or patches.spacing or patches.dimensions not in (0.0, 2.0)):
        got = f"depth={patches.depth}, spacing={list(patches.spacing)}, dimensions={patches.dimensions:g} for images"
        raise BadOption("patches.depth, .spacing and .dimensions for volumes", got, "Omit them.")


def _check_view(inputs: PlanInputs, config: Config) -> None:
    """Raise `BadOption` if the network does not see volumes in the dimensions that are set."""
    patches, name = config.patches, config.network.full_name
    if patches.dimensions in (2.0, 3.0) and config.network.context:
        got = f"network.context={config.network.context} and dimensions={patches.dimensions:g}"
        raise BadOption("network.context with dimensions=2.5", got, "Omit one of them.")
    if inputs.volumes and patches.dimensions < 3 and config.network.slice_axis is None:
        hint = f"Use dimensions=3, or one of: {', '.join(readers('kernels'))}."
        raise BadOption(f"a network within slices for dimensions={patches.dimensions:g}", name, hint)
    if patches.dimensions == 2.5 and not config.network.context:
        hint = f"Use dimensions=2 or 3, or one of: {', '.join(readers('context'))}."
        raise BadOption("a network that sees neighbouring slices", f"{name} without network.context", hint)


def _task(inputs: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    fingerprint, labels = inputs.fingerprint, inputs.labelling
    kind, why = "classes", f"{labels.task}: {pluralise(len(labels.classes), 'class')}."
    if labels.task == "instance":
        touching = fingerprint.touching_share
        kind, decoding = "components", "connected components are enough"
        if touching > 0.01:
            # On crowded nuclei an additional distance ("distance") does not help: validation mean AP 0.425 instead of
            # 0.439 after 600 steps with base 16, thresholds tuned for both; a step takes 10 % longer.
            kind, decoding = "boundary", "a boundary class and a seeded watershed separate them"
        if config.target.separate:
            kind = "components"
            width = pluralise(config.target.separate, "pixel of background is", "pixels of background are")
            decoding = f"{width} inserted between them"
        why = f"{touching:.0%} of the objects have a neighbour within 2 pixels: {decoding}."
    diameter = fingerprint.object_diameter[0]
    area = math.pi / 6 * diameter**3 if inputs.volumes else math.pi / 4 * diameter**2
    smallest = max(0, round(0.1 * area)) if kind != "classes" else 0
    area_why = "A tenth of the area of a small (5th percentile) training object." if smallest else "Nothing is removed."
    return {
        "target.kind": (kind, why),
        "target.min_area": (smallest, area_why),
        **_regions(labels),
        "network.name": ("unet", "A U-Net with padded convolutions: the output has the size of the input."),
        "network.in_channels": (fingerprint.channels, f"The images have {pluralise(fingerprint.channels, 'channel')}."),
        "network.normalisation": (
            "batch",
            "Can be fused into convolutions after training and keeps tiled prediction exact.",
        ),
        **_normalisation(inputs),
    }


def _regions(labels: Labelling) -> Choices:
    """Choose the regions of the target, and of the loss: those of the data set."""
    regions = labels.regions
    if not regions:
        return {}
    why = "The regions of the data set (--regions), in the order in which masks are written."
    members = tuple(region.classes for region in regions)
    return {
        "target.regions": (members, why),
        "target.region_names": (tuple(region.name for region in regions), why),
        "target.region_classes": (tuple(region.written for region in regions), why),
        "target.region_thresholds": ((0.5,) * len(regions), "As likely inside as outside."),
        "loss.regions": (members, "Those of the target: binary cross-entropy and Dice per region."),
    }


def _normalisation(inputs: PlanInputs) -> Choices:
    if isinstance(inputs.fingerprint, VolumeFingerprint):
        return volumes.choose_normalisation(inputs.fingerprint)
    why = "Each image is normalised to mean 0 and standard deviation 1, regardless of its exposure."
    return {"normalisation.kind": ("image", why)}


def _follow_target(inputs: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    """Choose the settings that depend on the kind of target."""
    channels, kind = target_channels(config.target, len(inputs.labelling.classes)), config.target.kind
    choices: Choices = {"network.classes": (channels, f"Channels of the target `{kind}`.")}
    if kind == "distance":
        why = "Predicted distances are too low where the network is uncertain; on nuclei 0.3 finds most objects."
        choices["target.seed_threshold"] = (DISTANCE_SEED, why)
    if kind == "classes" and _is_membrane_like(inputs):
        why = "Regions with thin borders: gaps in a border are closed by a watershed (RESULTS.md, the first minutes)."
        choices |= {f"target.{name}": (value, why) for name, value in MEMBRANE_SPLIT.items()}
    return choices


def _is_membrane_like(inputs: PlanInputs) -> bool:
    """Return whether the foreground of a binary task fills most of the images in many regions."""
    found = inputs.fingerprint
    if inputs.volumes:  # thin borders between regions were only studied in images
        return False
    regions = found.objects_per_case[1] * found.cases
    return inputs.labelling.task == "binary" and is_filled_by_regions(found.class_shares[1], regions)


def _patches(inputs: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    fingerprint = inputs.fingerprint
    if isinstance(fingerprint, VolumeFingerprint):
        return volumes.choose_patches(fingerprint, inputs.machine, config, inputs.view)
    largest = 512 if inputs.machine.device != "cpu" else 256
    median = (fingerprint.heights[1], fingerprint.widths[1])
    height, width = (min(largest, math.ceil(side / 16) * 16) for side in median)
    # at least 8 pixels at the coarsest stage, enough for 3 x 3 kernels
    depth = max(1, min(4, int(math.log2(min(height, width) / 8))))
    batch = max(4, min(16, round(4 * 256 * 256 / (height * width))))
    if inputs.machine.device == "cuda":
        batch = 16
    rare = min((s for s in fingerprint.class_shares[1:] if s > 0), default=0.5)
    share = 0.5 if rare < 0.01 else 0.33 if rare < 0.3 else 0.0
    return {
        "patches.height": (height, f"Median image {median[0]} x {median[1]}, at most {largest} on this device."),
        "patches.width": (width, f"Median image {median[0]} x {median[1]}, at most {largest} on this device."),
        "patches.batch": (batch, f"About {batch * height * width / 1e6:.2f} megapixels per step."),
        "patches.foreground_share": (share, f"The rarest class has {rare:.2%} of the pixels."),
        "network.depth": (depth, _describe_depth(depth, min(height, width))),
    }


def _describe_depth(depth: int, side: int) -> str:
    """Return the reason for the depth."""
    return f"{side} pixels halved {pluralise(depth, 'time')} are {side >> depth}."


def _fit_patches(config: Config, inputs: PlanInputs, settings: Settings) -> Choices:
    """Adjust the patch size to valid sizes of the network; sizes of the user are kept, those of a preset adjusted.

    For valid convolutions the border is added to a planned patch. A patch of a preset that is larger than the largest
    image on all sides shrinks to the size that covers it.
    """
    with torch.device("meta"):
        geometry = build(config.network).geometry()
    choices: Choices = {}
    if "patches.low_res_fraction" not in settings.values:
        choices["patches.low_res_fraction"] = _low_res_fraction(inputs, geometry.margin)
    largest = {"height": inputs.fingerprint.heights[2], "width": inputs.fingerprint.widths[2]}
    if isinstance(inputs.fingerprint, VolumeFingerprint):
        largest = {"depth": inputs.fingerprint.depths[2], **largest}
    for axis, (name, image) in enumerate(largest.items()):
        along = geometry.along(axis)
        key, size = f"patches.{name}", getattr(config.patches, name)
        target = min(size, image + 2 * along.margin) if key in settings.values else size + 2 * along.margin
        if key in settings.without_preset.values or (target == size and along.is_valid(size)):
            continue
        valid = along.valid_size(target)
        if target < size:
            why = f"The output of {along.output_size(valid)} pixels covers the largest image, which has {image}."
        elif along.margin:
            why = f"The output has {along.output_size(valid)} pixels, the border {along.margin} on each side."
        else:
            why = f"The next valid size of {config.network.name} after {size}."
        choices[key] = (valid, why)
    return choices


def _low_res_fraction(inputs: PlanInputs, margin: int) -> tuple[float, str]:
    """Return the fraction of the training at half the resolution, and the reason."""
    if inputs.volumes:
        return 0.0, "None for volumes: patches show most of a small volume, and little would remain of thin structures."
    if margin:
        return 0.0, "None: the output of a patch of half the size would be small."
    if _is_membrane_like(inputs):
        return 0.0, "None: gaps in the thin borders between regions are not visible at half the resolution."
    return LOW_RES_FRACTION, "Progressive resizing: at half the resolution a step covers four times the image area."


def _shrink_patches(
    config: Config, measured: float, allowed: float, settings: Settings, probe: Probe
) -> tuple[Config, float]:
    """Reduce the pixels per step if even the smallest width is too slow.

    Returns
    -------
    Config
    float
        Seconds per step with it.
    """
    shares = [share for share in SHARES if not _loses_context(config.patches, share)]
    share = next((share for share in shares if share * measured <= TOLERATED * allowed), shares[-1])
    if share == 1.0:
        return config, measured
    with torch.device("meta"):
        geometry = build(config.network).geometry()
    smaller = scale_batch(config.patches, share, geometry)
    size = " x ".join(map(str, (config.patches.batch, *config.patches.size)))
    why = f"A step of {size} would take {measured:.2f} s, the target is {allowed:.2f} s"
    why = f"{why}: many small steps are better than a few large ones."
    names = ("depth", "height", "width", "batch") if smaller.depth else ("height", "width", "batch")
    choices: Choices = {f"patches.{name}": (getattr(smaller, name), why) for name in names}
    # the strides of volumes are a table of `depth` rows, and their patches keep twice the total stride
    if smaller.height < config.patches.height and config.network.depth > 1 and not smaller.depth:
        depth = config.network.depth - 1
        choices["network.depth"] = (depth, _describe_depth(depth, min(smaller.height, smaller.width)))
    config = apply_settings(config, settings, choices)
    return config, probe(config) or share * measured


def _loses_context(patches: PatchOptions, share: float) -> bool:
    """Return whether a step of a fraction of the voxels needs smaller patches, of volumes that are small already."""
    return patches.depth > 0 and max(patches.size) <= LARGE_VOLUME and share < 1 and patches.batch * share < 1


def _loss(inputs: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    labels, shares = inputs.labelling, inputs.fingerprint.class_shares
    background = config.target.kind != "classes" or has_background(labels.task, labels.classes)
    class_name = labels.classes[0] if labels.classes else "the first class"
    why_background = "Class 0 is the background." if background else f"`{class_name}` is not a background."
    rarer = labels.task == "binary" and shares[0] < shares[1]
    if rarer:
        why_background = "Class 0 is rarer and harder to segment: its Dice is included."
    weights, why = ((), "None: regions overlap.") if config.loss.regions else _class_weights(shares, background)
    if config.loss.balanced:
        weights, why = (), "Computed from the training targets: see balanced."
    return {
        "loss.class_weights": (weights, why),
        "loss.cross_entropy": (1.0, "The sum of cross-entropy and Dice is the most robust choice across data sets."),
        "loss.dice": (1.0, "See cross_entropy."),
        "loss.dice_background": (rarer or not background, why_background),
    }


def _class_weights(shares: Sequence[float], background: bool) -> tuple[tuple[float, ...], str]:
    """Return class weights for data without a background; otherwise Dice and foreground patches balance the classes."""
    rarest = min((share for share in shares if share > 0), default=0.0)
    if background or rarest == 0.0:
        why = "None: Dice weights classes equally, and patches are drawn for rare ones"
        return (), f"{why}; the rarest has {rarest:.2%}."
    roots = [share**-0.5 if share > 0 else 0.0 for share in shares]
    mean = sum(roots) / sum(root > 0 for root in roots)
    weights = tuple(round(root / mean, 3) if root else 1.0 for root in roots)
    return weights, f"Square roots of the inverse frequencies, mean 1: the rarest class has {rarest:.2%}."


def _optimiser(inputs: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    if config.transfer.encoder_weights:
        return {"training.optimiser": ("adamw", "Changes pretrained weights more gently than Muon.")}
    return {"training.optimiser": ("muon", "Needs half the steps of AdamW on scenes and on defects (measured).")}


def _rates(inputs: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    """Choose learning rate and schedule for the optimiser, and layer-wise decay for a pretrained encoder."""
    optimiser = config.training.optimiser
    choices: Choices = {"training.learning_rate": RATES[optimiser]} if optimiser in RATES else {}
    if optimiser == "muon":
        why = "With Muon better than cosine on scenes, and no worse on edges (measured)."
        choices["training.schedule"] = ("linear", why)
    if config.transfer.encoder_weights:
        why = "Layer-wise learning-rate decay for the pretrained encoder: slowest at the finest stages."
        choices["transfer.layer_decay"] = (LAYER_DECAY, why)
    return choices


def _augmentation(inputs: PlanInputs, limit: TrainingBudget, config: Config) -> Choices:
    if isinstance(inputs.fingerprint, VolumeFingerprint):
        stored = inputs.fingerprint.voxel_size
        spacing = config.patches.spacing or (stored[1] if stored else ())
        return volumes.choose_augmentation(inputs.fingerprint, spacing, config.network.slice_axis)
    if inputs.oriented > 0.25:
        why = f"Classes in upper and lower halves differ by {inputs.oriented:.0%}: the images have an orientation."
        return {"augmentation.rotation": (10.0, why), "augmentation.upside_down": (False, why)}
    why = f"Classes in upper and lower halves differ by only {inputs.oriented:.0%}: no orientation."
    return {"augmentation.rotation": (180.0, why), "augmentation.upside_down": (True, why)}


def _precision(config: Config, inputs: PlanInputs, settings: Settings, probe: Probe) -> Choices:
    width = {"network.base": settings.values.get("network.base", GUESSED_WIDTH)}
    return choose_precision(with_settings(config, width, {}), inputs.machine.device, settings, probe)


def _fill_time(config: Config, inputs: PlanInputs, limit: TrainingBudget, settings: Settings, probe: Probe) -> Config:
    """Choose the width and the number of steps."""
    seconds = propose_seconds(limit)
    steps = STEPS_PER_ROOT_SECOND * math.sqrt(seconds or DEFAULT_BUDGET)
    allowed = (seconds or DEFAULT_BUDGET) / steps
    width, measured = find_widest(config, settings, probe, allowed)
    config = apply_settings(config, settings, {"network.base": (width, describe_width(measured, allowed))})
    if inputs.machine.device == "cpu" and not PATCH_SIZE & set(settings.values):
        config, measured = _shrink_patches(config, measured, allowed, settings, probe)
    if inputs.machine.device == "cpu":
        threads = threads_of_step(config, inputs.machine.threads)
        why = f"Of {pluralise(inputs.machine.threads, 'thread')}: fewer threads are faster for small steps."
        config = apply_settings(config, settings, {"training.threads": (threads, why)})
    area = config.patches.pixels
    epoch = max(1, math.ceil(inputs.fingerprint.pixels / area)), pluralise(area, "pixel")
    return fill_time(config, limit, settings, measured=measured, used=inputs.seconds_used, epoch=epoch)
