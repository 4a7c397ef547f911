"""Preparation: what a task does between the folder that was understood and the plan; one class per task."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pixelwise.engine.machine import Machine
from pixelwise.engine.task import Learner, make_fabric
from pixelwise.images.cases import DataOptions, Dataset
from pixelwise.images.fingerprint import measure_fingerprint
from pixelwise.images.photo_fingerprint import measure_photos
from pixelwise.labels.targets import class_channels
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.progress import Progress
from pixelwise.wording import counted
from pixelwise.workflow.config import Config
from pixelwise.workflow.planning.choices import Limit, propose_seconds
from pixelwise.workflow.planning.plan_masks import Ground, make_plan
from pixelwise.workflow.planning.plan_photos import PhotoGround, make_photo_plan
from pixelwise.workflow.training.material import measure_orientation

WARM_UP, PROBE_STEPS = 2, 5
PROBE_SECONDS = 5.0  # slow steps are measured fewer times, three times at least
PROBE_SHARE = 0.1  # of a budget: steps that are slow for it are measured once
Draw = Callable[[Config], tuple[Tensor, ...]]  # what `Learner.step` takes after the number of the step


@runtime_checkable
class Preparation(Protocol):
    """Measures a data set and plans its training."""

    def measure(self, dataset: Dataset, data: DataOptions, progress: Progress) -> Any:
        """Return the fingerprint of the training cases, a record of plain values."""
        ...

    def plan(
        self,
        dataset: Dataset,
        fingerprint: Any,
        data: DataOptions,
        machine: Machine,
        limit: Limit,
        seed: int,
        overrides: Sequence[str],
        began: float,
    ) -> Config:
        """Choose every setting; `began` is `time.monotonic()` when the command began."""
        ...

    def describe(self, config: Config) -> str:
        """Say in a few words what a step is made of, for people."""
        ...


class MaskPreparation:
    """Of segmentation."""

    def measure(self, dataset: Dataset, data: DataOptions, progress: Progress) -> Any:
        """Return the fingerprint of the training images and masks."""
        return measure_fingerprint(dataset.part("train"), dataset.labelling, dataset.channels, progress)

    def plan(
        self,
        dataset: Dataset,
        fingerprint: Any,
        data: DataOptions,
        machine: Machine,
        limit: Limit,
        seed: int,
        overrides: Sequence[str],
        began: float,
    ) -> Config:
        """Plan patches, network and steps."""
        ground = Ground(
            fingerprint=fingerprint,
            labelling=dataset.labelling,
            data=data,
            machine=machine,
            oriented=measure_orientation(dataset),
            seconds_used=time.monotonic() - began,
        )
        return make_plan(
            ground, limit, seed, overrides, lambda c: seconds_per_step(c, machine.device, _draw_patches, limit)
        )

    def describe(self, config: Config) -> str:
        """Name network and patches."""
        patches, steps = config.patches, counted(config.training.steps, "step")
        coarse = f" ({patches.coarse_share:.0%} of them at half the resolution)" if patches.coarse_share else ""
        return (
            f"{describe_network(config.network)}, {steps} of "
            f"{counted(patches.batch, 'patch')} of {patches.height} x {patches.width}{coarse}"
        )


class PhotoPreparation:
    """Of whole-image classification."""

    def measure(self, dataset: Dataset, data: DataOptions, progress: Progress) -> Any:
        """Return the fingerprint of the training photos."""
        classes = len(dataset.labelling.classes)
        return measure_photos(dataset.part("train"), classes, dataset.channels, data.pages, progress)

    def plan(
        self,
        dataset: Dataset,
        fingerprint: Any,
        data: DataOptions,
        machine: Machine,
        limit: Limit,
        seed: int,
        overrides: Sequence[str],
        began: float,
    ) -> Config:
        """Plan size, network and steps."""
        ground = PhotoGround(
            fingerprint=fingerprint,
            labelling=dataset.labelling,
            data=data,
            machine=machine,
            seconds_used=time.monotonic() - began,
        )
        return make_photo_plan(
            ground, limit, seed, overrides, lambda c: seconds_per_step(c, machine.device, _draw_photos, limit)
        )

    def describe(self, config: Config) -> str:
        """Name network and photos."""
        photos, steps = config.photos, counted(config.training.steps, "step")
        return f"{config.network.name}, {steps} of {counted(photos.batch, 'photo')} of {photos.side} x {photos.side}"


def describe_network(network: NetworkOptions) -> str:
    """Name a network for masks with its size: what it was built with, whatever of the options it reads."""
    with torch.device("meta"):
        stride = build(network).geometry().total_stride
    if network.encoder != "plain":
        return f"{network.full_name} of total stride {stride}, decoder of base width {network.base}"
    return f"{network.name} of depth {stride.bit_length() - 1} and base width {network.base}"


def preparation_of(task: str) -> Preparation:
    """Return the preparation of a task."""
    return PhotoPreparation() if task == "classification" else MaskPreparation()


def seconds_per_step(config: Config, device: str, draw: Draw, limit: Limit) -> float:
    """Measure a training step of `config` on random input: the median after some steps of warming up.

    Where steps are slow for the budget, the second one alone counts: measuring must not eat up what it measures for.
    """
    most = PROBE_SHARE * (propose_seconds(limit) or math.inf)
    learner = Learner(
        build(config.network), config.training, config.loss, make_fabric(device, config.training.precision)
    )
    batch = draw(config)
    seconds: list[float] = []
    for index in range(WARM_UP + PROBE_STEPS):
        start = time.perf_counter()
        learner.step(index, *batch)
        seconds.append(time.perf_counter() - start)
        if (index >= WARM_UP + 2 and sum(seconds) > PROBE_SECONDS) or (index and sum(seconds) > most):
            break
    counted = sorted(seconds[min(WARM_UP, len(seconds) - 1) :])
    return counted[len(counted) // 2]


def _draw_patches(config: Config) -> tuple[Tensor, ...]:
    patches, channels = config.patches, config.network.classes
    size = patches.batch, patches.height, patches.width
    images = torch.randn(size[0], config.network.in_channels, *size[1:])
    classes = class_channels(config.target, channels)
    # weights cost next to nothing, a distance is another loss
    maps = (torch.zeros(size), torch.rand(size)) if classes < channels else ()
    return images, torch.randint(classes, size, dtype=torch.uint8), *maps


def _draw_photos(config: Config) -> tuple[Tensor, ...]:
    photos, network = config.photos, config.network
    images = torch.randn(photos.batch, network.in_channels, photos.side, photos.side)
    return images, torch.randint(network.classes, (photos.batch,))
