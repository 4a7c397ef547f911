"""The course of whole-image classification: random parts of photos, scored by the share of right ones."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.special import softmax
from torch import nn

from pixelwise.datasets.dataset import Case, Dataset, read_pixels
from pixelwise.geometry.sizes import Geometry
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_file import ModelCard, load_network, save_model
from pixelwise.parallel import cores
from pixelwise.progress import Progress
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.sampling.normalise import Scale, intensity_scale
from pixelwise.sampling.resize_crop import View, fit, middle
from pixelwise.sampling.whole_images import ClassificationSampler
from pixelwise.workflow.config import Config
from pixelwise.workflow.fit.pacing import VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.fit.select.calibration import LEAST_WRONG_PHOTOS, fit_temperatures
from pixelwise.workflow.fit.select.tta import TtaGain, TtaResult, compare
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import validation_score

STEPS_PER_LOOK = 3.0  # a forward pass in inference costs about a third of a training step on the same photos
LEAST_LOOKED_AT = 256  # photos: the share of right ones among fewer says little
FITTING_SECONDS = 0.5  # of a budget, to find a temperature
TOGETHER = 64  # photos that are validated at once


@dataclass(frozen=True)
class ClassifiedImage:
    """One photo in memory: fitted pixels (channels, rows, columns) in their own type, its class, its scale."""

    pixels: np.ndarray
    index: int
    scale: Scale


class ClassificationTask:
    """Reads the photos into memory, draws parts of them, and looks at validation photos.

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
        self._run, self._dataset, self._geometry, self._device = run, dataset, geometry, device
        self._progress = progress
        config = run.config
        self.score_name = validation_score(dataset.labelling.task, config.target.kind)
        self.most_inputs = 2
        prints = _read(dataset.part("train"), dataset.channels, config, progress)
        self.loss = config.loss
        self.pass_steps = len(prints) / config.photos.batch
        sampler = ClassificationSampler(
            [photo.pixels for photo in prints],
            [photo.index for photo in prints],
            [photo.scale for photo in prints],
            config.photos,
            config.training.seed,
        )
        self._samplers = {1.0: sampler}
        looked_at = _some(dataset.part("val"), config)
        self._validation = _read(looked_at, dataset.channels, config, progress)

    def sampler_at(self, progress: float, share: float) -> ClassificationSampler:
        """Return what draws batches of photos, alike at every step, and fewer of them where time is short."""
        if share not in self._samplers:
            whole = self._run.config.photos.batch
            batch = max(min(2, whole), round(whole * share))  # batch normalisation needs more than one
            self._samplers[share] = self._samplers[1.0].with_batch(batch)
        return self._samplers[share]

    def finish_seconds(self, look: float) -> float:
        """Return the seconds of one look and of finding a temperature."""
        return look + FITTING_SECONDS

    @property
    def trivial_score(self) -> float:
        """The share of the most frequent class."""
        classes = np.array([photo.index for photo in self._validation])
        return float(np.bincount(classes).max() / len(classes))

    def begin(self) -> None:
        """Write nothing: a class has no picture to compare with."""

    def score(self, network: nn.Module) -> float:
        """Return the share of right photos among those that are looked at."""
        runtime = TorchRuntime(network, self._device)
        right = sum(int((runtime(seen).argmax(1) == truth).sum()) for seen, truth in self._looks())
        return right / len(self._validation)

    def averages(self, network: nn.Module) -> list[TtaGain]:
        """Measure what the average over a photo and its mirror image brings."""
        runtime = TorchRuntime(network, self._device)
        runtime(next(self._looks())[0])  # the first pass is slower than the others
        plain, both = TtaResult("", []), TtaResult("--symmetries", [])
        for seen, truth in self._looks():
            began = time.perf_counter()
            logits = runtime(seen)
            between = time.perf_counter()
            mirrored = runtime(np.ascontiguousarray(seen[:, :, :, ::-1]))
            plain.seconds += between - began
            both.seconds += time.perf_counter() - began
            for tally, said in ((plain, logits), (both, logits + mirrored)):
                tally.rows += [np.array([right, 1.0]) for right in said.argmax(1) == truth]
        return compare({1: plain, 2: both}, lambda row: float(row[0] / row[1]))

    def _looks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield validation photos as the network takes them, some at a time, with their classes."""
        side = self._run.config.photos.side
        for start in range(0, len(self._validation), TOGETHER):
            some = self._validation[start : start + TOGETHER]
            seen = np.stack([photo.scale.apply(middle(photo.pixels, side, side)) for photo in some])
            yield seen, np.array([photo.index for photo in some])

    def finish(self, model: Path, rival: tuple[nn.Module, ModelCard] | None, seconds: float | None) -> bool:
        """Calibrate the probabilities: the validations measure what counts, and classes need no thresholds."""
        if self._run.config.training.tune:
            network, model_card = load_network(model)
            runtime = TorchRuntime(network, self._device)
            seen = [(softmax(runtime(photos).astype(np.float64), axis=1), truth) for photos, truth in self._looks()]
            probabilities, truth = (np.concatenate(column) for column in zip(*seen, strict=True))
            found = fit_temperatures(probabilities, truth, np.arange(len(truth)), LEAST_WRONG_PHOTOS)
            messages = found.to_text("validation photos")
            trained = model_card.trained | {"calibration": messages}
            save_model(model, network, found.into(replace(model_card, trained=trained)))
            self._progress.message(messages)
        return False

    def picture(self, network: nn.Module, step: int) -> None:
        """Write nothing: see `begin`."""

    def model_card(self, score: float, step: int) -> ModelCard:
        """Return everything that prediction needs besides the weights."""
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
            tile=config.photos.side,
            intensity_range=tuple((float(low), float(high)) for low, high in self._run.fingerprint["intensity_range"]),
            trained={
                "pixelwise": version("pixelwise"),
                "data": self._dataset.root.name,
                "validation_accuracy": f"{score:.4f}",
                "step": str(step),
            },
            view=View(side=config.photos.side, shorter=config.photos.shorter),
        )


def _some(cases: Sequence[Case], config: Config) -> list[Case]:
    """Take evenly spaced cases, so that every class is among them, as many as their share of the time allows."""
    allowed = config.training.steps * VALIDATION_SHARE / VALIDATIONS * STEPS_PER_LOOK * config.photos.batch
    count = min(len(cases), max(LEAST_LOOKED_AT, int(allowed)))
    return [cases[index * len(cases) // count] for index in range(count)]


def _read(cases: Sequence[Case], channels: int, config: Config, progress: Progress) -> list[ClassifiedImage]:
    """Read and fit photos, in order; decoding runs in threads, because image libraries release Python's lock."""

    def read(case: Case) -> ClassifiedImage:
        pixels = fit(read_pixels(case.image, channels, config.data.pages).pixels, config.photos.shorter)
        return ClassifiedImage(pixels, case.class_index or 0, intensity_scale(pixels, config.normalisation))

    with ThreadPoolExecutor(cores()) as pool:
        return list(progress.track(pool.map(read, cases), "reading", len(cases)))
