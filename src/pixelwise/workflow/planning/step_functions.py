"""Training steps on random data, for measuring their time."""

import torch

from pixelwise.labels.regions import count_classes
from pixelwise.labels.targets import class_channels
from pixelwise.networks.architectures import build
from pixelwise.runtimes.machine import use_threads
from pixelwise.sampling.patches import scale_batch
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.choices import TrainingBudget, propose_seconds, threads_of_step
from pixelwise.workflow.planning.step_times import UNFINISHED_STEP, MakeStep, Step, StepTimes, measuring_seconds


def step_times(make: MakeStep, limit: TrainingBudget) -> StepTimes:
    """Return the timer of training steps, limited to its share of the time."""
    seconds = UNFINISHED_STEP * measuring_seconds(limit.time_limit or propose_seconds(limit))
    return StepTimes(make, seconds, keep=True, threads=torch.get_num_threads())


def make_patch_step(device: str) -> MakeStep:
    """Return a function that creates training steps on random patches."""

    def make(config: Config, share: float) -> tuple[Step, float]:
        with torch.device("meta"):
            geometry = build(config.network).geometry()
        full, reduced = config.patches, scale_batch(config.patches, share, geometry)
        size = reduced.batch, *reduced.size
        images = torch.randn(size[0], config.network.in_channels, *size[1:])
        regions = config.target.regions
        classes = count_classes(config.target) if regions else class_channels(config.target, config.network.classes)
        # a weight map costs almost nothing, a distance adds a loss term
        distance = config.target.kind == "distance"
        weights, distances = (torch.zeros(size), torch.rand(size)) if distance else (None, None)
        batch = Batch(images, torch.randint(classes, size, dtype=torch.uint8), weights, distances)
        threads = threads_of_step(config, torch.get_num_threads()) if device == "cpu" else 0
        return _make_step(config, device, batch, threads), reduced.pixels / full.pixels

    return make


def make_image_step(device: str) -> MakeStep:
    """Return a function that creates training steps on random images for classification."""

    def make(config: Config, share: float) -> tuple[Step, float]:
        classification, network = config.classification, config.network
        batch = max(min(2, classification.batch), round(classification.batch * share))
        images = torch.randn(batch, network.in_channels, classification.side, classification.side)
        step = _make_step(config, device, Batch(images, torch.randint(network.classes, (batch,))), 0)
        return step, batch / classification.batch

    return make


def _make_step(config: Config, device: str, batch: Batch, threads: int) -> Step:
    learner = Learner(build(config.network), config.training, config.loss, device)

    def step() -> None:
        with use_threads(config.training.threads or threads):
            learner.step(0, batch)

    return step
