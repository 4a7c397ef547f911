"""Training task of segmentation: patches of images and masks, scored by the mean Dice, with training snapshots."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version

from torch import nn

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.records import has_background
from pixelwise.geometry.sizes import Geometry
from pixelwise.labels.targets import IGNORE, class_channels
from pixelwise.model_file.model_file import ModelCard, TrainedModel
from pixelwise.progress import Progress
from pixelwise.sampling.patches import PatchOptions, PatchSampler, scale_batch, smallest_share
from pixelwise.sampling.progressive_resizing import low_res_options
from pixelwise.sampling.volume_patches import VolumeSampler
from pixelwise.training.losses import balance
from pixelwise.training.team import Team
from pixelwise.workflow.fit.pacing import VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.fit.select.appearance import select_appearance
from pixelwise.workflow.fit.select.calibration import select_calibration
from pixelwise.workflow.fit.select.foreground_threshold import CHOSEN, is_membrane_like, select_foreground_threshold
from pixelwise.workflow.fit.select.min_area import may_choose, select_min_areas
from pixelwise.workflow.fit.select.object_thresholds import choose_weights, seconds_to_tune, select_object_thresholds
from pixelwise.workflow.fit.select.quantities import select_quantities
from pixelwise.workflow.fit.select.tta import COUNTS, TtaGain
from pixelwise.workflow.fit.select.validation_predictions import (
    ValidationPrediction,
    predict_validation,
    seconds_to_predict,
)
from pixelwise.workflow.fit.training_data import TrainingImage, count_classes, halve, read_training_images
from pixelwise.workflow.fit.validation import Validation, make_palette
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import validation_dice

# A forward pass in inference costs about a third of a training step on the same pixels.
FORWARD_PASSES_PER_STEP = 3.0
VOLUME_TILE = 128  # voxels: side of the valid region of a tile
MIN_SECONDS = 0.3  # for a selection on validation images; it is skipped with less
ROUNDING = 1e-12  # rounding error of the progress at the end of the low-resolution phase

# (predictions, model card, seconds or None) -> (model card with what was selected, note)
Select = Callable[[Sequence[ValidationPrediction], ModelCard, float | None], tuple[ModelCard, str]]


class SegmentationTask:
    """The training task of segmentation, with all images and targets in memory; see `training_task`."""

    def __init__(self, run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> None:
        self._run, self._dataset, self._geometry = run, dataset, geometry
        self._device, self._progress = device, progress
        config = run.config
        instance = config.target.kind != "classes" and dataset.labelling.task == "instance"
        self._tune_objects = config.training.tune and instance
        self._tuning_seconds = seconds_to_tune(config.training.available_time)
        # temperatures are those of a softmax
        self._calibrate = config.training.tune and not config.target.regions
        self._seconds = seconds_to_predict(config.training.available_time)
        self.score_name = validation_dice(config.target.kind)
        read = partial(
            read_training_images,
            dataset,
            normalisation=config.normalisation,
            target=config.target,
            progress=progress,
            spacing=config.patches.spacing,
        )
        images = read(cases=dataset.splits["train"], loss=config.loss)
        targets = [image.target for image in images]
        self.max_inputs = COUNTS[-1]
        self.loss = config.loss
        if config.loss.balanced:
            classes = class_channels(config.target, config.network.classes)
            self.loss = balance(config.loss, count_classes(targets, classes))
        patches = config.patches
        self.pass_steps = sum(t.size for t in targets) / patches.pixels
        self.smallest_share = smallest_share(patches)
        self._samplers = self._make_samplers(images)
        val_images = read(cases=dataset.splits["val"])
        background = has_background(dataset.labelling.task, dataset.labelling.classes)
        # areas are those of the grid of an image, and predictions here are at the spacing of the model
        resampled = bool(config.patches.spacing)
        free = background and not resampled and "class_areas" not in self._user_set
        self._choose_areas = config.training.tune and free
        truths = [image.target for image in val_images]
        self._choose_areas = self._choose_areas and may_choose(truths, config.target)
        images_only = config.network.dimensions == 2  # thin borders between regions were only studied in images
        threshold = config.training.tune and images_only and not set(CHOSEN) <= set(self._user_set)
        self._choose_threshold = threshold and is_membrane_like(truths, config.target, config.network.classes)
        self._reference = [*images, *val_images] if images_only else []
        self._validation = self._make_validation(val_images, device)

    def sampler_at(self, progress: float, share: float) -> PatchSampler:
        """Return the sampler of patches: at half the resolution at first, and smaller batches with a small `share`."""
        low_res = progress < self._run.config.patches.low_res_fraction - ROUNDING
        if (low_res, share) not in self._samplers:
            full = self._samplers[low_res, 1.0]
            options = scale_batch(full.options, share, self._geometry)
            self._samplers[low_res, share] = full.with_options(options)
        return self._samplers[low_res, share]

    def finish_seconds(self, validation: float) -> float:
        """Return the maximum seconds for the predictions, at least one validation, and for the selections."""
        selections = self._selections()
        prediction = max(validation, self._seconds or 0.0) if selections else 0.0
        return sum((seconds or 0.0 for seconds, _ in selections), prediction)

    @property
    def trivial_score(self) -> float:
        """The best mean Dice of a constant prediction."""
        return self._validation.trivial_score

    def begin(self) -> None:
        """Write the image and the ground truth of the training snapshots."""
        self._validation.start_snapshots()

    def score(self, network: nn.Module, team: Team) -> float:
        """Return the mean Dice on the validation images."""
        return self._validation.score(network, team)

    def measure_tta(self, network: nn.Module) -> list[TtaGain]:
        """Measure the gain of test-time augmentation on the validation images."""
        return self._validation.measure_tta(network)

    def write_snapshot(self, network: nn.Module, step: int) -> None:
        """Write a training snapshot."""
        self._validation.write_snapshot(network, step)

    def finish(self, models: Sequence[TrainedModel], seconds: float | None) -> TrainedModel:
        """Choose weights and thresholds, then calibrate the probabilities; validation images are predicted once."""
        selections = self._selections()
        if not selections:
            return models[0]
        models = models if self._tune_objects else models[:1]
        ends = None if seconds is None else time.monotonic() + seconds
        limits = [self._seconds, *(limit for limit, _ in selections)]
        allowed = allowed_seconds(ends, limits)
        if not _is_enough(allowed):
            return self._time_is_up(models[0])
        each = predict_validation(
            [network for network, _ in models],
            models[0][1],
            self._dataset,
            device=self._device,
            seconds=allowed,
            progress=self._progress,
        )
        index, note = choose_weights(each, models[0][1].target, allowed_seconds(ends, limits[1:]))
        (network, model_card), predictions = models[index], each[index]
        if note:
            model_card = replace(model_card, trained=model_card.trained | {"weights": note})
            self._progress.message(note)
        for number, (_, select) in enumerate(selections, 1):
            allowed = allowed_seconds(ends, limits[number:])
            if not _is_enough(allowed):
                return self._time_is_up((network, model_card))
            model_card, note = select(predictions, model_card, allowed)
            self._progress.message(note)
        return network, model_card

    def _time_is_up(self, model: TrainedModel) -> TrainedModel:
        self._progress.message("Time is up: the remaining thresholds stay as planned.")
        return model

    def _selections(self) -> list[tuple[float | None, Select]]:
        """Return the selections after training, in order, each with its time limit in seconds."""
        objects = partial(select_object_thresholds, user_set=self._user_set, progress=self._progress)
        # the foreground threshold of membrane-like images has the largest effect, and gets as much time as objects
        threshold = partial(select_foreground_threshold, user_set=self._user_set)
        appearance = partial(select_appearance, images=self._reference)
        each = None if self._seconds is None else self._seconds / 2
        short = None if each is None else max(MIN_SECONDS, each / 4)
        selections: list[tuple[bool, float | None, Select]] = [
            (self._tune_objects, self._tuning_seconds, objects),
            (self._choose_threshold, self._tuning_seconds, threshold),
            (self._choose_areas, each, select_min_areas),
            (self._calibrate, each, select_calibration),
            (self._calibrate, short, select_quantities),
            (self._calibrate and bool(self._reference), short, appearance),
        ]
        return [(seconds, select) for enabled, seconds, select in selections if enabled]

    @property
    def _user_set(self) -> list[str]:
        """Target options that the user has set."""
        prefix = "target."
        return [key.removeprefix(prefix) for key in self._run.config.user_set if key.startswith(prefix)]

    def model_card(self, score: float, step: int) -> ModelCard:
        """Return the metadata for prediction."""
        config, labelling = self._run.config, self._dataset.labelling
        return ModelCard(
            network=config.network,
            normalisation=config.normalisation,
            target=config.target,
            geometry=self._geometry,
            task=labelling.task,
            classes=labelling.classes,
            values=labelling.values,
            colours=labelling.colours,
            channels=self._dataset.channels,
            reading=self._dataset.reading,
            tile=512 if config.network.dimensions == 2 else VOLUME_TILE,
            tta=config.prediction.tta,
            intensity_range=tuple((float(low), float(high)) for low, high in self._run.fingerprint["intensity_range"]),
            spacing=self._spacing(),
            intensity_peaks=_pair(self._run.fingerprint.get("peaks")),
            trained={
                "pixelwise": version("pixelwise"),
                "data": self._dataset.root.name,
                "validation_dice": f"{score:.4f}",
                "step": str(step),
            },
        )

    def _spacing(self) -> tuple[float, ...] | None:
        """Return the spacing of the model card: of the images, or that to which volumes are resampled."""
        if self._run.config.network.dimensions == 3:
            return self._run.config.patches.spacing or None
        return _pair(self._run.fingerprint.get("spacing"))  # absent in older run folders

    def _make_samplers(self, images: Sequence[TrainingImage]) -> dict[tuple[bool, float], PatchSampler]:
        """Return the patch samplers by (low resolution, share of the batch size)."""
        patches = self._run.config.patches
        samplers: dict[tuple[bool, float], PatchSampler] = {(False, 1.0): self._sample(images, patches)}
        if patches.low_res_fraction:
            height, width = (self._geometry.valid_size(-(-side // 2)) for side in (patches.height, patches.width))
            counts = count_classes([image.target for image in images], IGNORE)
            halved = [halve(image, counts) for image in images]
            samplers[True, 1.0] = self._sample(halved, low_res_options(patches, height, width))
        return samplers

    def _sample(self, images: Sequence[TrainingImage], patches: PatchOptions) -> PatchSampler:
        config = self._run.config
        make = VolumeSampler if config.network.dimensions == 3 else PatchSampler
        return make(
            [image.pixels for image in images],
            [image.target for image in images],
            [image.scale for image in images],
            patches,
            config.augmentation,
            config.training.seed,
            margin=[self._geometry.along(axis).margin for axis in range(config.network.dimensions)],
            weights=[image.weights for image in images if image.weights is not None],
            distances=[image.distances for image in images if image.distances is not None],
        )

    def _computed_pixels(self) -> int:
        """Return the pixels of a step for which logits are computed: slices of the context alone are only read."""
        patches = self._run.config.patches
        if not patches.depth:
            return patches.pixels
        sides = enumerate(patches.size)
        return patches.batch * math.prod(side - 2 * self._geometry.along(axis).margin for axis, side in sides)

    def _make_validation(self, images: Sequence[TrainingImage], device: str) -> Validation:
        """Return the validation with as many pixels as its share of the training time allows."""
        steps = self._run.config.training.steps * VALIDATION_SHARE / VALIDATIONS
        pixels = max(int(steps * FORWARD_PASSES_PER_STEP * self._computed_pixels()), 64 * 1024)
        return make_validation(self._run, self._dataset, self._geometry, images, device, pixels)


def make_validation(
    run: Run, dataset: Dataset, geometry: Geometry, images: Sequence[TrainingImage], device: str, pixels: int
) -> Validation:
    """Return the validation of the networks of a run on at most about `pixels` of the images."""
    config, labelling = run.config, dataset.labelling
    regions = config.target.regions
    return Validation(
        images,
        config.network.classes,
        geometry,
        device,
        pixels,
        run.snapshots,
        make_palette(config.target.kind, labelling.colours),
        scored=len(labelling.classes) if regions else class_channels(config.target, config.network.classes),
        first=int(config.target.kind != "classes" or has_background(labelling.task, labelling.classes)),
        target=config.target,
    )


def allowed_seconds(ends: float | None, needed: Sequence[float | None]) -> float | None:
    """Return the seconds for the first of several pieces of work; None without a limit.

    Parameters
    ----------
    ends : float or None
        `time.monotonic()` at which all must be done.
    needed : sequence of float or None
        Seconds that each piece of work needs.
    """
    if ends is None or needed[0] is None:
        return None
    return share_of_rest(ends - time.monotonic(), needed)


def share_of_rest(seconds: float, needed: Sequence[float | None]) -> float:
    """Return the seconds for the first of several pieces of work: what it needs, or its share if there is less.

    >>> share_of_rest(10.0, [3.0, 1.0]), share_of_rest(2.0, [3.0, 1.0])
    (3.0, 1.5)
    """
    first, total = needed[0] or 0.0, sum(each or 0.0 for each in needed)
    return min(first, max(0.0, seconds) * first / max(total, 1e-9))


def _is_enough(seconds: float | None) -> bool:
    return seconds is None or seconds >= MIN_SECONDS


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))
