"""Training task of segmentation: patches of images and masks, scored by the mean Dice, with training snapshots."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from torch import nn

from pixelwise.datasets.dataset import Dataset
from pixelwise.datasets.records import has_background
from pixelwise.geometry.sizes import Geometry
from pixelwise.labels.targets import IGNORE, class_channels
from pixelwise.model_file.model_file import ModelCard
from pixelwise.progress import Progress
from pixelwise.sampling.patches import PatchOptions, PatchSampler, scale_batch, smallest_share
from pixelwise.sampling.progressive_resizing import low_res_options
from pixelwise.training.losses import balance
from pixelwise.workflow.fit.pacing import VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.fit.select.calibration import calibrate_model
from pixelwise.workflow.fit.select.foreground_threshold import (
    CHOSEN,
    choose_foreground_threshold_of_model,
    is_membrane_like,
)
from pixelwise.workflow.fit.select.min_area import choose_min_areas_of_model, may_choose
from pixelwise.workflow.fit.select.object_thresholds import Candidate, seconds_to_tune, tune_model
from pixelwise.workflow.fit.select.tta import COUNTS, TtaGain
from pixelwise.workflow.fit.select.validation_predictions import seconds_to_predict
from pixelwise.workflow.fit.training_data import TrainingImage, count_classes, halve, read_training_images
from pixelwise.workflow.fit.validation import Validation, make_palette
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import validation_score

# A forward pass in inference costs about a third of a training step on the same pixels.
FORWARD_PASSES_PER_STEP = 3.0
MIN_SECONDS = 0.3  # for a selection on validation images; it is skipped with less
ROUNDING = 1e-12  # rounding error of the progress at the end of the low-resolution phase

Choose = Callable[[Path, Candidate | None, float | None], tuple[str, bool]]


class SegmentationTask:
    """The training task of segmentation, with all images and targets in memory.

    Parameters
    ----------
    run : Run
    dataset : Dataset
    geometry : Geometry
        Of the network.
    device : str
    progress : Progress
    """

    def __init__(self, run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> None:
        self._run, self._dataset, self._geometry = run, dataset, geometry
        self._device, self._progress = device, progress
        config = run.config
        instance = config.target.kind != "classes" and dataset.labelling.task == "instance"
        self._tune_objects = config.training.tune and instance
        self._tuning_seconds = seconds_to_tune(config.training.available_time)
        self._calibrate, self._seconds = config.training.tune, seconds_to_predict(config.training.available_time)
        self.score_name = validation_score(dataset.labelling.task, config.target.kind)
        read = config.normalisation, config.target, progress
        images = read_training_images(dataset, dataset.part("train"), *read, config.loss)
        targets = [image.target for image in images]
        self.max_inputs = COUNTS[-1]
        self.loss = config.loss
        if config.loss.balanced:
            classes = class_channels(config.target, config.network.classes)
            self.loss = balance(config.loss, count_classes(targets, classes))
        patches = config.patches
        self.pass_steps = sum(t.size for t in targets) / (patches.batch * patches.height * patches.width)
        self.smallest_share = smallest_share(patches)
        self._samplers = self._make_samplers(images)
        val_images = read_training_images(dataset, dataset.part("val"), *read)
        background = has_background(dataset.labelling.task, dataset.labelling.classes)
        self._choose_areas = config.training.tune and background and "class_areas" not in self._user_set
        truths = [image.target for image in val_images]
        self._choose_areas = self._choose_areas and may_choose(truths, config.target)
        threshold = config.training.tune and not set(CHOSEN) <= set(self._user_set)
        self._choose_threshold = threshold and is_membrane_like(truths, config.target, config.network.classes)
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
        """Return the maximum seconds for selections and calibration, at least one validation for each."""
        return sum((max(validation, seconds or 0.0) for seconds, _ in self._choices()), 0.0)

    @property
    def trivial_score(self) -> float:
        """The best mean Dice of a constant prediction."""
        return self._validation.trivial_score

    def begin(self) -> None:
        """Write the image and the ground truth of the training snapshots."""
        self._validation.start_snapshots()

    def score(self, network: nn.Module) -> float:
        """Return the mean Dice on the validation images."""
        return self._validation.score(network)

    def measure_tta(self, network: nn.Module) -> list[TtaGain]:
        """Measure the gain of test-time augmentation on the validation images."""
        return self._validation.measure_tta(network)

    def write_snapshot(self, network: nn.Module, step: int) -> None:
        """Write a training snapshot."""
        self._validation.write_snapshot(network, step)

    def finish(self, model: Path, candidate: Candidate | None, seconds: float | None) -> bool:
        """Choose weights and thresholds on validation images, then calibrate the probabilities."""
        ends = None if seconds is None else time.monotonic() + seconds
        choices, won = self._choices(), False
        for index, (limit, choose) in enumerate(choices):
            each = None if ends is None else share_of_rest(ends - time.monotonic(), [s for s, _ in choices[index:]])
            if each is not None and each < MIN_SECONDS:
                self._progress.message("Time is up: the remaining thresholds stay as planned.")
                break
            message, replaced = choose(model, candidate, each if limit is not None else None)
            self._progress.message(message)
            won = won or replaced
        return won

    def _choices(self) -> list[tuple[float | None, Choose]]:
        """Return the selections after training, in order, each with its time limit in seconds."""
        tuning: list[tuple[float | None, Choose]] = [(self._tuning_seconds, self._tune)] if self._tune_objects else []
        # the foreground threshold of membrane-like images has the largest effect, and gets as much time as objects
        choose_threshold = partial(choose_foreground_threshold_of_model, user_set=self._user_set)
        others = (
            (self._choose_threshold, self._tuning_seconds, choose_threshold),
            (self._choose_areas, self._seconds, choose_min_areas_of_model),
            (self._calibrate, self._seconds, calibrate_model),
        )
        return tuning + [(seconds, self._as_choice(find)) for enabled, seconds, find in others if enabled]

    def _as_choice(self, find: Callable[..., str]) -> Choose:
        """Return `find` on the validation images as a function with the signature `Choose`."""

        def choose(model: Path, candidate: Candidate | None, seconds: float | None) -> tuple[str, bool]:
            options = {"device": self._device, "seconds": seconds, "progress": self._progress}
            return find(model, self._dataset, **options), False

        return choose

    @property
    def _user_set(self) -> list[str]:
        """Target options that the user has set."""
        prefix = "target."
        return [key.removeprefix(prefix) for key in self._run.config.user_set if key.startswith(prefix)]

    def _tune(self, model: Path, candidate: Candidate | None, seconds: float | None) -> tuple[str, bool]:
        """Choose weights and object thresholds, except those that the user has set."""
        data = self._dataset
        return tune_model(
            model, candidate, data, self._user_set, device=self._device, seconds=seconds, progress=self._progress
        )

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
            tile=512,
            tta=config.prediction.tta,
            intensity_range=tuple((float(low), float(high)) for low, high in self._run.fingerprint["intensity_range"]),
            spacing=_pair(self._run.fingerprint.get("spacing")),  # absent in older run folders
            trained={
                "pixelwise": version("pixelwise"),
                "data": self._dataset.root.name,
                "validation_dice": f"{score:.4f}",
                "step": str(step),
            },
        )

    def _make_samplers(self, images: Sequence[TrainingImage]) -> dict[tuple[bool, float], PatchSampler]:
        """Return the patch samplers by (low resolution, share of the batch size)."""
        patches = self._run.config.patches
        samplers = {(False, 1.0): self._sample(images, patches)}
        if patches.low_res_fraction:
            height, width = (self._geometry.valid_size(-(-side // 2)) for side in (patches.height, patches.width))
            counts = count_classes([image.target for image in images], IGNORE)
            halved = [halve(image, counts) for image in images]
            samplers[True, 1.0] = self._sample(halved, low_res_options(patches, height, width))
        return samplers

    def _sample(self, images: Sequence[TrainingImage], patches: PatchOptions) -> PatchSampler:
        config = self._run.config
        return PatchSampler(
            [image.pixels for image in images],
            [image.target for image in images],
            [image.scale for image in images],
            patches,
            config.augmentation,
            config.training.seed,
            margin=self._geometry.margin,
            weights=[image.weights for image in images if image.weights is not None],
            distances=[image.distances for image in images if image.distances is not None],
        )

    def _make_validation(self, images: Sequence[TrainingImage], device: str) -> Validation:
        """Return the validation with as many pixels as its share of the training time allows."""
        config, labelling = self._run.config, self._dataset.labelling
        steps = config.training.steps * VALIDATION_SHARE / VALIDATIONS
        pixels = int(
            steps * FORWARD_PASSES_PER_STEP * config.patches.batch * config.patches.height * config.patches.width
        )
        return Validation(
            images,
            config.network.classes,
            self._geometry,
            device,
            max(pixels, 64 * 1024),
            self._run.snapshots,
            make_palette(config.target.kind, labelling.colours),
            scored=class_channels(config.target, config.network.classes),
            first=int(config.target.kind != "classes" or has_background(labelling.task, labelling.classes)),
        )


def share_of_rest(seconds: float, needed: Sequence[float | None]) -> float:
    """Return the seconds for the first of several selections: what it needs, or its share if there is less for all.

    >>> share_of_rest(10.0, [3.0, 1.0]), share_of_rest(2.0, [3.0, 1.0])
    (3.0, 1.5)
    """
    first, total = needed[0] or 0.0, sum(each or 0.0 for each in needed)
    return min(first, max(0.0, seconds) * first / max(total, 1e-9))


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))
