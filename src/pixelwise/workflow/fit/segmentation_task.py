"""The course of segmentation: patches of images and masks, scored by the mean Dice, with a film of the learning."""

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
from pixelwise.sampling.patches import PatchOptions, PatchSampler, part_of_step
from pixelwise.sampling.progressive_resizing import coarse_options
from pixelwise.training.losses import balance
from pixelwise.workflow.fit.pacing import VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.fit.select.calibration import calibrate_model
from pixelwise.workflow.fit.select.foreground_threshold import (
    CHOSEN,
    choose_foreground_threshold_of_model,
    is_membrane_like,
)
from pixelwise.workflow.fit.select.min_area import choose_min_areas_of_model, may_choose
from pixelwise.workflow.fit.select.object_thresholds import seconds_to_tune, tune_model
from pixelwise.workflow.fit.select.tta import COUNTS, TtaGain
from pixelwise.workflow.fit.select.validation_predictions import seconds_to_look
from pixelwise.workflow.fit.training_data import TrainingImage, count_classes, halve, read_training_images
from pixelwise.workflow.fit.validation import Validation, make_palette
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import validation_score

# A forward pass in inference costs about a third of a training step on the same pixels.
STEPS_PER_LOOK = 3.0
LEAST_SECONDS = 0.3  # for a choice on validation images; with less it is left out
ROUNDING = 1e-12  # of a share of the training: the last coarse step ends where its share does

Choose = Callable[[Path, tuple[nn.Module, ModelCard] | None, float | None], tuple[str, bool]]


class SegmentationTask:
    """Reads images and masks into memory, draws patches of them, and looks at validation images.

    Parameters
    ----------
    run : Run
    dataset : Dataset
    geometry : Geometry
        Of the network that learns.
    device : str
    progress : Progress
    """

    def __init__(self, run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> None:
        self._run, self._dataset, self._geometry = run, dataset, geometry
        self._device, self._progress = device, progress
        config = run.config
        self._tuned = config.training.tune and config.target.kind != "classes" and dataset.labelling.task == "instance"
        self._seconds = seconds_to_tune(config.training.time_given)
        self._calibrated, self._looking = config.training.tune, seconds_to_look(config.training.time_given)
        self.score_name = validation_score(dataset.labelling.task, config.target.kind)
        read = config.normalisation, config.target, config.data.pages, progress
        pieces = read_training_images(dataset, dataset.part("train"), *read, config.loss)
        targets = [piece.target for piece in pieces]
        self.most_inputs = COUNTS[-1]
        self.loss = config.loss
        if config.loss.balanced:
            classes = class_channels(config.target, config.network.classes)
            self.loss = balance(config.loss, count_classes(targets, classes))
        patches = config.patches
        self.pass_steps = sum(t.size for t in targets) / (patches.batch * patches.height * patches.width)
        self._samplers = self._make_samplers(pieces)
        validating = read_training_images(dataset, dataset.part("val"), *read)
        ground = has_background(dataset.labelling.task, dataset.labelling.classes)
        self._areas = config.training.tune and ground and "class_areas" not in self._fixed
        truths = [piece.target for piece in validating]
        self._areas = self._areas and may_choose(truths, config.target)
        self._parted = config.training.tune and not set(CHOSEN) <= set(self._fixed)
        self._parted = self._parted and is_membrane_like(truths, config.target, config.network.classes)
        self._validation = self._make_validation(validating, device)

    def sampler_at(self, progress: float, share: float) -> PatchSampler:
        """Return what draws patches: of half the resolution in the coarse beginning, and fewer where time is short."""
        coarse = progress < self._run.config.patches.low_res_fraction - ROUNDING
        if (coarse, share) not in self._samplers:
            whole = self._samplers[coarse, 1.0]
            options = part_of_step(whole.options, share, self._geometry)
            self._samplers[coarse, share] = whole.with_options(options)
        return self._samplers[coarse, share]

    def finish_seconds(self, look: float) -> float:
        """Return the seconds that choosing and calibrating may take, each of them one look at least."""
        return sum((max(look, seconds or 0.0) for seconds, _ in self._choices()), 0.0)

    @property
    def trivial_score(self) -> float:
        """The best mean Dice of one class everywhere."""
        return self._validation.trivial_score

    def begin(self) -> None:
        """Write the image and the truth of the film."""
        self._validation.start_film()

    def score(self, network: nn.Module) -> float:
        """Return the mean Dice on the validation images that are looked at."""
        return self._validation.score(network)

    def averages(self, network: nn.Module) -> list[TtaGain]:
        """Measure what averages over turned inputs bring on the validation images that are looked at."""
        return self._validation.averages(network)

    def picture(self, network: nn.Module, step: int) -> None:
        """Write a frame of the film."""
        self._validation.film(network, step)

    def finish(self, model: Path, rival: tuple[nn.Module, ModelCard] | None, seconds: float | None) -> bool:
        """Choose weights and thresholds on validation images, then calibrate the probabilities on them."""
        ends = None if seconds is None else time.monotonic() + seconds
        choices, won = self._choices(), False
        for place, (most, choose) in enumerate(choices):
            each = None if ends is None else share_of_rest(ends - time.monotonic(), [s for s, _ in choices[place:]])
            if each is not None and each < LEAST_SECONDS:
                self._progress.message("Time is up: what could still be chosen on validation images stays as planned.")
                break
            messages, replaced = choose(model, rival, each if most is not None else None)
            self._progress.message(messages)
            won = won or replaced
        return won

    def _choices(self) -> list[tuple[float | None, Choose]]:
        """Return what is chosen when training ends, in order, each with the seconds it may take."""
        found: list[tuple[float | None, Choose]] = [(self._seconds, self._tune)] if self._tuned else []
        # how membranes part areas decides more than all other choices: it may take as long as thresholds of objects
        wanted = (
            (self._parted, self._seconds, partial(choose_foreground_threshold_of_model, fixed=self._fixed)),
            (self._areas, self._looking, choose_min_areas_of_model),
            (self._calibrated, self._looking, calibrate_model),
        )
        return found + [(seconds, self._choosing(find)) for asked, seconds, find in wanted if asked]

    def _choosing(self, find: Callable[..., str]) -> Choose:
        """Return `find` on the run's validation images in the form of a choice."""

        def choose(model: Path, rival: tuple[nn.Module, ModelCard] | None, seconds: float | None) -> tuple[str, bool]:
            pages = self._run.config.data.pages
            options = {"device": self._device, "seconds": seconds, "progress": self._progress}
            return find(model, self._dataset, pages, **options), False

        return choose

    @property
    def _fixed(self) -> list[str]:
        """Options of the target that the user has set."""
        prefix = "target."
        return [key.removeprefix(prefix) for key in self._run.config.user_set if key.startswith(prefix)]

    def _tune(self, model: Path, rival: tuple[nn.Module, ModelCard] | None, seconds: float | None) -> tuple[str, bool]:
        """Choose weights and thresholds of objects, but those that the user has set."""
        pages = self._run.config.data.pages
        return tune_model(
            model,
            rival,
            self._dataset,
            pages,
            self._fixed,
            device=self._device,
            seconds=seconds,
            progress=self._progress,
        )

    def model_card(self, score: float, step: int) -> ModelCard:
        """Return everything that prediction needs besides the weights."""
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

    def _make_samplers(self, pieces: Sequence[TrainingImage]) -> dict[tuple[bool, float], PatchSampler]:
        """Return what draws patches of the pieces, and of halved ones where the plan says so, by (coarse, share)."""
        patches = self._run.config.patches
        samplers = {(False, 1.0): self._sample(pieces, patches)}
        if patches.low_res_fraction:
            height, width = (self._geometry.legal_size(-(-side // 2)) for side in (patches.height, patches.width))
            counts = count_classes([piece.target for piece in pieces], IGNORE)
            halved = [halve(piece, counts) for piece in pieces]
            samplers[True, 1.0] = self._sample(halved, coarse_options(patches, height, width))
        return samplers

    def _sample(self, pieces: Sequence[TrainingImage], patches: PatchOptions) -> PatchSampler:
        config = self._run.config
        return PatchSampler(
            [piece.pixels for piece in pieces],
            [piece.target for piece in pieces],
            [piece.scale for piece in pieces],
            patches,
            config.augmentation,
            config.training.seed,
            margin=self._geometry.margin,
            weights=[piece.weights for piece in pieces if piece.weights is not None],
            distances=[piece.distances for piece in pieces if piece.distances is not None],
        )

    def _make_validation(self, pieces: Sequence[TrainingImage], device: str) -> Validation:
        """Let the looks at the validation images cost their share of the training time, and no more."""
        config, labelling = self._run.config, self._dataset.labelling
        steps = config.training.steps * VALIDATION_SHARE / VALIDATIONS
        pixels = int(steps * STEPS_PER_LOOK * config.patches.batch * config.patches.height * config.patches.width)
        return Validation(
            pieces,
            config.network.classes,
            self._geometry,
            device,
            max(pixels, 64 * 1024),
            self._run.film,
            make_palette(config.target.kind, labelling.colours),
            scored=class_channels(config.target, config.network.classes),
            first=int(config.target.kind != "classes" or has_background(labelling.task, labelling.classes)),
        )


def share_of_rest(seconds: float, wanted: Sequence[float | None]) -> float:
    """Return the seconds for the first of several choices: what it wants, or its share where there is less for all.

    >>> share_of_rest(10.0, [3.0, 1.0]), share_of_rest(2.0, [3.0, 1.0])
    (3.0, 1.5)
    """
    first, total = wanted[0] or 0.0, sum(each or 0.0 for each in wanted)
    return min(first, max(0.0, seconds) * first / max(total, 1e-9))


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))
