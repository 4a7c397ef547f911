"""Training task of image classification: random crops of images, scored by accuracy."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from scipy.special import softmax
from torch import nn

from pixelwise.datasets.dataset import Case, Dataset
from pixelwise.datasets.splitting.subsets import evenly_spaced
from pixelwise.geometry.sizes import Geometry
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_file import ModelCard, TrainedModel
from pixelwise.parallel import parallel_map
from pixelwise.progress import Progress
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Scale, intensity_scale
from pixelwise.sampling.resize_crop import View, centre_crop, resize_shorter_side
from pixelwise.sampling.whole_images import ClassificationSampler
from pixelwise.training.team import Team
from pixelwise.workflow.config import Config
from pixelwise.workflow.fit.pacing import VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.fit.select.calibration import select_image_calibration
from pixelwise.workflow.fit.select.tta import TtaGain, TtaResult, compare
from pixelwise.workflow.run import Run

FORWARD_PASSES_PER_STEP = 3.0  # a forward pass in inference costs about a third of a training step on the same images
MIN_VALIDATION_IMAGES = 256  # the accuracy on fewer is too uncertain
FITTING_SECONDS = 0.5  # of a budget, for temperature scaling
BATCH = 64  # images per validation batch


@dataclass(frozen=True)
class ClassifiedImage:
    """One image in memory: resized pixels (channels, rows, columns) in their original dtype, class and scale."""

    pixels: np.ndarray
    index: int
    scale: Scale


class ClassificationTask:
    """The training task of image classification, with all images in memory; see `training_task`."""

    def __init__(self, run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> None:
        self._run, self._dataset, self._geometry, self._device = run, dataset, geometry, device
        self._progress = progress
        config = run.config
        self.score_name = "accuracy"
        self.max_inputs = 2
        self.smallest_share = 0.0
        images = _read(dataset, dataset.splits["train"], config, progress)
        self.loss = config.loss
        self.pass_steps = len(images) / config.classification.batch
        sampler = ClassificationSampler(
            [image.pixels for image in images],
            [image.index for image in images],
            [image.scale for image in images],
            config.classification,
            config.training.seed,
        )
        self._samplers = {1.0: sampler}
        subset = _subset(dataset.splits["val"], config)
        self._validation = _read(dataset, subset, config, progress)

    def sampler_at(self, progress: float, share: float) -> ClassificationSampler:
        """Return the sampler of batches; `share` reduces the batch size."""
        if share not in self._samplers:
            planned = self._run.config.classification.batch
            batch = max(min(2, planned), round(planned * share))  # batch normalisation needs more than one
            self._samplers[share] = self._samplers[1.0].with_batch(batch)
        return self._samplers[share]

    def finish_seconds(self, validation: float) -> float:
        """Return the seconds of one validation and of temperature scaling."""
        return validation + FITTING_SECONDS

    @property
    def trivial_score(self) -> float:
        """The frequency of the most frequent class."""
        classes = np.array([image.index for image in self._validation])
        return float(np.bincount(classes).max() / len(classes))

    def begin(self) -> None:
        """Do nothing: classification has no training snapshots."""

    def score(self, network: nn.Module, team: Team) -> float:
        """Return the accuracy on the validation images."""
        runtime = TorchRuntime(network, self._device)
        own = self._batches(team.rank, team.size)
        correct = sum(int((runtime(batch).argmax(1) == truth).sum()) for batch, truth in own)
        return int(team.count(np.array([correct], np.int64))[0]) / len(self._validation)

    def measure_tta(self, network: nn.Module) -> list[TtaGain]:
        """Measure the gain of test-time augmentation with the horizontal flip."""
        runtime = TorchRuntime(network, self._device)
        runtime(next(self._batches())[0])  # warm-up
        plain, both = TtaResult("", []), TtaResult("--symmetries", [])
        for batch, truth in self._batches():
            began = time.perf_counter()
            logits = runtime(batch)
            between = time.perf_counter()
            flipped = runtime(np.ascontiguousarray(batch[:, :, :, ::-1]))
            plain.seconds += between - began
            both.seconds += time.perf_counter() - began
            for result, total in ((plain, logits), (both, logits + flipped)):
                result.rows += [np.array([correct, 1.0]) for correct in total.argmax(1) == truth]
        return compare({1: plain, 2: both}, lambda rows: rows[:, 0] / rows[:, 1])

    def _batches(self, first: int = 0, every: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield batches of validation images as network input, with their classes: number `first`, then each n-th."""
        side = self._run.config.classification.side
        for start in range(first * BATCH, len(self._validation), every * BATCH):
            images = self._validation[start : start + BATCH]
            batch = np.stack([image.scale.apply(centre_crop(image.pixels, side, side)) for image in images])
            yield batch, np.array([image.index for image in images])

    def finish(self, models: Sequence[TrainedModel], seconds: float | None) -> TrainedModel:
        """Calibrate the probabilities of the best weights; classification has no thresholds."""
        network, model_card = models[0]
        if self._run.config.training.tune:
            runtime = TorchRuntime(network, self._device)
            batches = [(softmax(runtime(batch).astype(np.float64), axis=1), truth) for batch, truth in self._batches()]
            probabilities, truth = (np.concatenate(column) for column in zip(*batches, strict=True))
            model_card, note = select_image_calibration(probabilities, truth, model_card)
            self._progress.message(note)
        return network, model_card

    def write_snapshot(self, network: nn.Module, step: int) -> None:
        """Do nothing: see `begin`."""

    def model_card(self, score: float, step: int) -> ModelCard:
        """Return the metadata for prediction."""
        config = self._run.config
        return ModelCard(
            network=config.network,
            normalisation=config.normalisation,
            target=TargetOptions(),
            geometry=self._geometry,
            task="classification",
            classes=self._dataset.labelling.classes,
            values=(),
            colours=(),
            channels=self._dataset.channels,
            reading=self._dataset.reading,
            tile=config.classification.side,
            intensity_range=tuple((float(low), float(high)) for low, high in self._run.fingerprint["intensity_range"]),
            trained={
                "pixelwise": version("pixelwise"),
                "data": self._dataset.root.name,
                "validation_accuracy": f"{score:.4f}",
                "step": str(step),
            },
            view=View(side=config.classification.side, shorter=config.classification.shorter),
        )


def _subset(cases: Sequence[Case], config: Config) -> list[Case]:
    """Return as many evenly spaced cases as the time for validation allows, so that all classes are represented."""
    allowed = (
        config.training.steps * VALIDATION_SHARE / VALIDATIONS * FORWARD_PASSES_PER_STEP * config.classification.batch
    )
    return evenly_spaced(cases, max(MIN_VALIDATION_IMAGES, int(allowed)))


def _read(dataset: Dataset, cases: Sequence[Case], config: Config, progress: Progress) -> list[ClassifiedImage]:
    """Read and resize images, in order; decoding runs in threads, because it releases the global interpreter lock."""

    def read(case: Case) -> ClassifiedImage:
        pixels = resize_shorter_side(dataset.read_image(case).pixels, config.classification.shorter)
        return ClassifiedImage(pixels, case.class_index or 0, intensity_scale(pixels, config.normalisation))

    return list(progress.track(parallel_map(read, cases), "reading", len(cases)))
