"""Task planners: measure the data set and plan its training; one class per task."""

import math
import time
from typing import Any, Protocol, runtime_checkable

import torch

from pixelwise.datasets.dataset import DataOptions, Dataset
from pixelwise.labels.targets import class_channels
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import Machine, use_threads
from pixelwise.sampling.fingerprint import measure_fingerprint, measure_orientation
from pixelwise.sampling.image_fingerprint import measure_classification
from pixelwise.sampling.patches import scale_batch
from pixelwise.text import pluralise
from pixelwise.training.batch import Batch
from pixelwise.training.learner import Learner
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.choices import TrainingBudget, propose_seconds, threads_of_step
from pixelwise.workflow.planning.plan_masks import PlanInputs, make_plan
from pixelwise.workflow.planning.plan_photos import ClassificationPlanInputs, make_photo_plan
from pixelwise.workflow.planning.step_times import UNFINISHED_STEP, MakeStep, Step, StepTimes, measuring_seconds
from pixelwise.workflow.settings import Settings


@runtime_checkable
class TaskPlanner(Protocol):
    """Planner of one task: measures a data set and plans its training."""

    def measure(self, dataset: Dataset, data: DataOptions, progress: Progress, seconds: float | None = None) -> Any:
        """Return the fingerprint of the training cases, measured within `seconds`."""
        ...

    def plan(
        self,
        dataset: Dataset,
        fingerprint: Any,
        data: DataOptions,
        machine: Machine,
        limit: TrainingBudget,
        seed: int,
        settings: Settings,
        began: float,
    ) -> tuple[Config, float]:
        """Choose every setting; `began` is `time.monotonic()` at the start of the command.

        Returns
        -------
        Config
        float
            Seconds for measuring the machine.
        """
        ...

    def describe(self, config: Config) -> str:
        """Return a short description of network and steps."""
        ...


class SegmentationPlanner:
    """Planner of segmentation."""

    def measure(self, dataset: Dataset, data: DataOptions, progress: Progress, seconds: float | None = None) -> Any:
        """Return the fingerprint of the training images and masks."""
        return measure_fingerprint(dataset.part("train"), dataset.labelling, dataset.channels, progress, seconds)

    def plan(
        self,
        dataset: Dataset,
        fingerprint: Any,
        data: DataOptions,
        machine: Machine,
        limit: TrainingBudget,
        seed: int,
        settings: Settings,
        began: float,
    ) -> tuple[Config, float]:
        """Choose every setting; see `TaskPlanner.plan`."""
        inputs = PlanInputs(
            fingerprint=fingerprint,
            labelling=dataset.labelling,
            data=data,
            machine=machine,
            oriented=measure_orientation(dataset),
            seconds_used=time.monotonic() - began,
        )
        probe = step_times(machine.device, make_patch_step(machine.device), limit)
        return make_plan(inputs, limit, seed, settings, probe), probe.spent

    def describe(self, config: Config) -> str:
        """Describe network and patches."""
        patches, steps = config.patches, pluralise(config.training.steps, "step")
        low_res = f" ({patches.low_res_fraction:.0%} of them at half resolution)" if patches.low_res_fraction else ""
        return (
            f"{describe_network(config.network)}, {steps} of "
            f"{pluralise(patches.batch, 'patch')} of {patches.height} x {patches.width}{low_res}"
        )


class ClassificationPlanner:
    """Planner of image classification."""

    def measure(self, dataset: Dataset, data: DataOptions, progress: Progress, seconds: float | None = None) -> Any:
        """Return the fingerprint of the training images."""
        classes = len(dataset.labelling.classes)
        return measure_classification(dataset.part("train"), classes, dataset.channels, data.pages, progress)

    def plan(
        self,
        dataset: Dataset,
        fingerprint: Any,
        data: DataOptions,
        machine: Machine,
        limit: TrainingBudget,
        seed: int,
        settings: Settings,
        began: float,
    ) -> tuple[Config, float]:
        """Choose every setting; see `TaskPlanner.plan`."""
        inputs = ClassificationPlanInputs(
            fingerprint=fingerprint,
            labelling=dataset.labelling,
            data=data,
            machine=machine,
            seconds_used=time.monotonic() - began,
        )
        probe = step_times(machine.device, make_photo_step(machine.device), limit)
        return make_photo_plan(inputs, limit, seed, settings, probe), probe.spent

    def describe(self, config: Config) -> str:
        """Describe network and images."""
        photos, steps = config.photos, pluralise(config.training.steps, "step")
        return f"{config.network.name}, {steps} of {pluralise(photos.batch, 'image')} of {photos.side} x {photos.side}"


def describe_network(network: NetworkOptions) -> str:
    """Describe a segmentation network with its size as built: some networks have a fixed depth."""
    with torch.device("meta"):
        stride = build(network).geometry().total_stride
    if network.encoder != "plain":
        return f"{network.full_name} of total stride {stride}, decoder of base width {network.base}"
    return f"{network.name} of depth {stride.bit_length() - 1} and base width {network.base}"


def task_planner_of(task: str) -> TaskPlanner:
    """Return the planner of a task."""
    return ClassificationPlanner() if task == "classification" else SegmentationPlanner()


def step_times(device: str, make: MakeStep, limit: TrainingBudget) -> StepTimes:
    """Return the timer of training steps on a device, limited to its share of the time."""
    seconds = UNFINISHED_STEP * measuring_seconds(limit.time_limit or propose_seconds(limit))
    return StepTimes(make, seconds, keep=True, threads=torch.get_num_threads())


def make_patch_step(device: str) -> MakeStep:
    """Return a function that creates training steps on random patches."""

    def make(config: Config, share: float) -> tuple[Step, float]:
        with torch.device("meta"):
            geometry = build(config.network).geometry()
        full, reduced = config.patches, scale_batch(config.patches, share, geometry)
        size = reduced.batch, reduced.height, reduced.width
        images = torch.randn(size[0], config.network.in_channels, *size[1:])
        classes = class_channels(config.target, config.network.classes)
        # a weight map costs almost nothing, a distance adds a loss term
        maps = (torch.zeros(size), torch.rand(size)) if classes < config.network.classes else ()
        batch = Batch(images, torch.randint(classes, size, dtype=torch.uint8), *maps)
        threads = threads_of_step(config, torch.get_num_threads()) if device == "cpu" else 0
        return _make_step(config, device, batch, threads), math.prod(size) / (full.batch * full.height * full.width)

    return make


def make_photo_step(device: str) -> MakeStep:
    """Return a function that creates training steps on random images for classification."""

    def make(config: Config, share: float) -> tuple[Step, float]:
        photos, network = config.photos, config.network
        batch = max(min(2, photos.batch), round(photos.batch * share))
        images = torch.randn(batch, network.in_channels, photos.side, photos.side)
        step = _make_step(config, device, Batch(images, torch.randint(network.classes, (batch,))), 0)
        return step, batch / photos.batch

    return make


def _make_step(config: Config, device: str, batch: Batch, threads: int) -> Step:
    learner = Learner(build(config.network), config.training, config.loss, device)

    def step() -> None:
        with use_threads(config.training.threads or threads):
            learner.step(0, batch)

    return step
