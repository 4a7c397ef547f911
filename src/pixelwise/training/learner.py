"""The training step: forward pass, loss, gradient clipping, optimiser update and EMA weights.

All random numbers of a step depend on (seed, step) alone, so the training state consists of weights, EMA weights,
optimiser state and counters.
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pixelwise.device import find_device
from pixelwise.errors import BadOption
from pixelwise.networks.models import Network
from pixelwise.training.batch import Batch, SlotBatches, slot_places
from pixelwise.training.distillation_loss import Teacher
from pixelwise.training.fine_tuning import freeze_encoder, learning_rate_factors
from pixelwise.training.kept_predictions import PreviousModel
from pixelwise.training.losses import LossOptions, classification_loss, distance_loss, segmentation_loss
from pixelwise.training.optimisers import (
    OPTIMISERS,
    OptimiserName,
    load_state_tensors,
    parameter_groups,
    set_learning_rate,
    state_tensors,
)
from pixelwise.training.pairwise_loss import pairwise_loss
from pixelwise.training.schedule import Schedule, Shape, middle_of_step
from pixelwise.training.team import Team

MAX_SLOTS = 4096  # for the seeds of slots
STATISTICS_IMAGES = 100  # that the EMA of the statistics of batch normalisation covers (benchmarks/RECIPE.md)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Length, optimiser and learning-rate schedule of a training.

    `budget` is the wall-clock time of the whole command in seconds: time determines the progress and the end of the
    training, and `steps` is an estimate. With `time_limit` (seconds) the length is given by `steps`, but the command
    ends by then. Without both, `steps` alone determines the length. `validate_every` and `checkpoint_every` are in
    steps; with a budget they are estimates. `patience` is the number of validations without improvement after which
    training stops (0: never), counted from the middle of the schedule, or from the end of the low-resolution phase of
    progressive resizing if that is later (`PatchOptions`). `momentum` and `nesterov` apply to "sgd" only.
    `ema_fraction` is the time constant of the EMA weights as a fraction of all steps; with 0 they equal the weights of
    the last step. `keep` selects the EMA weights that are saved: those of the best validation, or the last ones, which
    are chosen without validation images. `slots` divides each batch into this many parts, a power of two, whose
    gradients are computed one after the other, or on several processes, and added (`training.team`): a batch then takes
    the memory of a part, and batch normalisation uses the statistics of a part. `tune` chooses the object thresholds
    (`TargetOptions`) and calibrates the probabilities on the validation images after the last step. `threads` is the
    number of CPU threads of a step (0: all): small steps are slower with many threads.
    """

    steps: int = 1000
    budget: float | None = None
    time_limit: float | None = None
    seed: int = 0
    threads: int = 0
    optimiser: OptimiserName = "adamw"
    momentum: float = 0.99
    nesterov: bool = True
    schedule: Shape = "cosine"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.05
    ema_fraction: float = 0.02
    clip: float = 5.0
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: int = 100
    checkpoint_every: int = 100
    patience: int = 10
    keep: Literal["best", "last"] = "best"
    tune: bool = True
    slots: int = 1

    @property
    def available_time(self) -> float | None:
        """Seconds by which the command ends; None without a budget or time limit."""
        return self.budget if self.budget is not None else self.time_limit

    def __post_init__(self) -> None:
        """Check the ranges of the values."""
        for name in ("steps", "validate_every", "checkpoint_every", "learning_rate", "clip"):
            value = getattr(self, name)
            if not value > 0:
                raise BadOption(f"training.{name} above 0", f"{value}", f"Change training.{name}.")
        if not 1 <= self.slots <= MAX_SLOTS or self.slots & (self.slots - 1):
            raise BadOption("training.slots of 1, 2, 4, 8, ...", f"{self.slots}", "Use a power of two.")
        if self.threads < 0:
            raise BadOption("training.threads of at least 0", f"{self.threads}", "0 uses all threads.")
        if self.budget is not None and self.time_limit is not None:
            got = f"{self.budget} and {self.time_limit}"
            raise BadOption("training.budget or training.time_limit", got, "Leave one of them out (null).")
        for name, default in (("warmup_share", 0.05), ("momentum", 0.99), ("ema_fraction", 0.02)):
            if not 0 <= getattr(self, name) < 1:
                raise BadOption(f"training.{name} in [0, 1)", f"{getattr(self, name)}", f"Try {default}.")


@dataclass(frozen=True)
class StepResult:
    """Loss of a step; `applied` is False if loss or gradient was not finite and the weights are unchanged."""

    loss: float
    applied: bool


class Learner:
    """A network with its optimiser and the exponential moving average (EMA) of its weights.

    With deep supervision the loss is the mean of the losses of all heads against the same targets: Zhou et al. 2018
    (arXiv 1807.10165), section 3.2.

    Parameters
    ----------
    network : Network
        Images (batch, channels, height, width) float32 -> logits (batch, classes, height', width'); volumes likewise,
        with a depth before the height.
    device : str
        "cpu", "cuda" or "mps". With `options.precision` "bfloat16" the forward pass uses mixed precision: weights and
        loss stay float32.
    layer_decay : float
        Layer-wise learning-rate decay of the encoder (`FineTuningOptions`).
    unfreeze_step : int
        The first step in which the encoder is trained.
    teacher : Teacher, optional
        For distillation: half of the loss is then the distillation loss.
    team : Team, optional
        The processes that share the slots of each batch; by default this one alone.

    Attributes
    ----------
    expected_steps : int
        Expected number of steps, which sets the time constant of the EMA. May be updated during training if a time
        budget determines the length.
    """

    def __init__(
        self,
        network: Network,
        options: TrainingOptions,
        loss: LossOptions,
        device: str,
        *,
        layer_decay: float = 1.0,
        unfreeze_step: int = 0,
        teacher: Teacher | PreviousModel | None = None,
        team: Team | None = None,
    ) -> None:
        self.team = team or Team()
        self.team.own_slots(options.slots)  # refuses numbers that do not fit
        self.options, self.loss, self.device = options, loss, torch.device(find_device(device).place)
        self._frozen_steps, self._teacher = unfreeze_step, teacher
        if teacher is not None:
            teacher.network.to(self.device)
        volumes = network.dimensions == 3
        self._layout = torch.channels_last_3d if volumes else torch.channels_last  # the fast one for convolutions
        network = network.to(memory_format=self._layout)  # type: ignore[call-overload]
        groups = parameter_groups(network, options.weight_decay, learning_rate_factors(network, layer_decay))
        self.network = network.to(self.device)  # before the optimiser, which creates its state on the same device
        self.optimiser = OPTIMISERS[options.optimiser](
            groups, options.learning_rate, momentum=options.momentum, nesterov=options.nesterov
        )
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.schedule = Schedule(options.learning_rate, options.warmup_share, options.schedule)
        self.expected_steps = options.steps
        self.skipped = 0
        self._buffers = list(self.network.buffers())
        self._saved_buffers = [b.clone() for b in self._buffers]
        # state_dict() shares memory with the network, so these lists stay valid during training
        statistics = {name for name, _ in self.network.named_buffers()}
        average, current = self.average.state_dict(), self.network.state_dict()
        pairs = [(name, average[name], value) for name, value in current.items() if value.is_floating_point()]
        self._weights = [(mean, value) for name, mean, value in pairs if name not in statistics]
        self._statistics = [(mean, value) for name, mean, value in pairs if name in statistics]

    def step(self, index: int, batch: Batch | SlotBatches, *, progress: float | None = None) -> StepResult:
        """Train on one batch.

        Parameters
        ----------
        index : int
            The number of the step, from 0; determines the dropout mask, and whether the encoder is frozen.
        batch : Batch or SlotBatches
            A whole batch, or the slots of this process.
        progress : float, optional
            Completed fraction of the training in the middle of this step; determines the learning rate. By default
            that of step `index` of `options.steps`.
        """
        progress = middle_of_step(index, self.options.steps) if progress is None else progress
        set_learning_rate(self.optimiser, self.schedule.rate(progress))
        torch.manual_seed(self.options.seed * 1_000_003 + index)  # dropout depends on (seed, step) alone
        self.network.train()
        if self._frozen_steps:
            freeze_encoder(self.network, frozen=index < self._frozen_steps)
        self._save_buffers()
        if isinstance(batch, Batch) and self.options.slots == 1:
            value = self._backward(batch)
        else:
            value = self._add_slots(index, self._own_slots(batch))
        if not math.isfinite(value):
            return self._skip(value)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        if not bool(torch.isfinite(norm)):
            return self._skip(value)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._update_ema(index, batch.images if isinstance(batch, SlotBatches) else len(batch.images))
        self.skipped = 0
        return StepResult(value, applied=True)

    def _own_slots(self, batch: Batch | SlotBatches) -> SlotBatches:
        """Return the slots of this process."""
        if isinstance(batch, SlotBatches):
            return batch
        own = (slot_of(batch, slot, self.options.slots) for slot in self.team.own_slots(self.options.slots))
        return SlotBatches(tuple(part if len(part.images) else None for part in own), len(batch.images))

    def _add_slots(self, index: int, batch: SlotBatches) -> float:
        """Compute the gradient of a batch slot by slot; return its loss.

        Running statistics of batch normalisation become the mean of those after each slot.
        """
        own = self.team.own_slots(self.options.slots)
        parameters = [value for value in self.network.parameters() if value.requires_grad]
        statistics = [buffer for buffer in self._buffers if buffer.is_floating_point()]
        total = self.team.total(
            self._slot(index, slot, part, batch.images, parameters, statistics)
            for slot, part in zip(own, batch.parts, strict=True)
        )
        with torch.no_grad():
            for (name, buffer), saved in zip(self.network.named_buffers(), self._saved_buffers, strict=True):
                if name.endswith("num_batches_tracked"):
                    buffer.copy_(saved + 1)
        values = [*parameters, *statistics]
        parts = total[1:].split([value.numel() for value in values])
        with torch.no_grad():
            for value, part in zip(parameters, parts, strict=False):
                # in the layout of the weights: fused optimisers assume that they are the same
                value.grad = torch.empty_like(value).copy_(part.view_as(value))
            for buffer, part in zip(statistics, parts[len(parameters) :], strict=True):
                buffer.copy_(part.view_as(buffer))
        return float(total[0])

    def _slot(
        self,
        index: int,
        slot: int,
        part: Batch | None,
        images: int,
        parameters: list[nn.Parameter],
        statistics: list[Tensor],
    ) -> Tensor:
        """Return loss, gradients and running statistics of a slot as one vector, weighted by its share of the batch."""
        self._restore_buffers()
        self.optimiser.zero_grad(set_to_none=True)
        share = 0.0 if part is None else len(part.images) / images
        torch.manual_seed((self.options.seed * 1_000_003 + index) * MAX_SLOTS + slot + 1)  # for dropout
        value = 0.0 if part is None else self._backward(part)
        vector = torch.cat(
            [
                torch.tensor([value], device=self.device),
                *((torch.zeros_like(p) if p.grad is None else p.grad).detach().reshape(-1) for p in parameters),
                *(buffer.detach().reshape(-1) for buffer in statistics),
            ]
        )
        self.optimiser.zero_grad(set_to_none=True)
        return vector * share

    def _backward(self, batch: Batch) -> float:
        """Compute the loss of a batch and, if it is finite, its gradient; return the loss."""
        images = batch.images.to(self.device).contiguous(memory_format=self._layout)
        with self._autocast():
            heads = self.network.forward_heads(images)
        maps = batch.targets.to(self.device), batch.weights, batch.distances
        loss = torch.stack([self._compute_loss(logits.float(), images, *maps) for logits in heads]).mean()
        if self._teacher is not None:
            with torch.no_grad(), self._autocast():
                teacher_logits: Tensor = self._teacher.network(images).float()
            loss = self._teacher.combine_losses(loss, heads, teacher_logits, maps[0])
        value = float(loss.detach())
        if math.isfinite(value):
            loss.backward()
        return value

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return weights, EMA weights and optimiser state as named groups of tensors."""
        return {
            "weights": dict(self.network.state_dict()),
            "average": dict(self.average.state_dict()),
            "optimiser": state_tensors(self.optimiser),
        }

    def load_tensors(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore the result of `tensors`."""
        self.network.load_state_dict(dict(tensors["weights"]))
        self.average.load_state_dict(dict(tensors["average"]))
        load_state_tensors(self.optimiser, tensors["optimiser"])

    def _autocast(self) -> torch.autocast:
        mixed = self.options.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed)

    def _compute_loss(
        self,
        logits: Tensor,
        images: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        distances: Tensor | None = None,
    ) -> Tensor:
        if logits.ndim == 2:
            return classification_loss(logits, targets, self.loss.label_smoothing)
        border = None if weights is None else centre(weights.to(logits.device), logits)
        targets = centre(targets, logits)
        classes = logits if distances is None else logits[:, :-1]
        loss = segmentation_loss(classes, targets, self.loss, border)
        if self.loss.pairwise:
            shown = torch.stack([centre(channel, logits) for channel in images.unbind(1)], 1)
            loss = loss + self.loss.pairwise * pairwise_loss(classes, shown)
        if distances is None:
            return loss
        truth = centre(distances.to(logits.device), logits)
        return loss + self.loss.distance * distance_loss(logits[:, -1], truth, targets)

    def _skip(self, loss: float) -> StepResult:
        """Discard the step: restore the batch statistics; weights and optimiser state are unchanged."""
        self.optimiser.zero_grad(set_to_none=True)
        self._restore_buffers()
        self.skipped += 1
        return StepResult(loss, applied=False)

    def _restore_buffers(self) -> None:
        with torch.no_grad():
            for buffer, saved in zip(self._buffers, self._saved_buffers, strict=True):
                buffer.copy_(saved)

    def _save_buffers(self) -> None:
        with torch.no_grad():
            for buffer, saved in zip(self._buffers, self._saved_buffers, strict=True):
                saved.copy_(buffer)

    @torch.no_grad()
    def _update_ema(self, index: int, images: int) -> None:
        """Update the EMA weights, and the statistics of batch normalisation over at least `STATISTICS_IMAGES` images.

        Statistics of the last few images of a small batch are those of their kinds alone (Wu & Johnson 2021, arXiv
        2105.07576, section 3: "Precise BatchNorm").
        """
        window = self.options.ema_fraction * self.expected_steps
        longer = max(window, STATISTICS_IMAGES / images) if window else 0.0
        for pairs, steps in ((self._weights, window), (self._statistics, longer)):
            # a smaller decay in the first steps reduces the influence of the initial weights
            decay = min(1 - 1 / max(steps, 1.0), (1 + index) / (10 + index))
            for mean, value in pairs:
                mean.lerp_(value, 1 - decay)


def slot_of(batch: Batch, slot: int, slots: int) -> Batch:
    """Return one of `slots` parts of a batch, which differ by at most one image.

    Examples
    --------
    >>> batch = Batch(torch.zeros(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64))
    >>> [len(slot_of(batch, slot, 2).images) for slot in range(2)]
    [2, 3]
    """
    places = slot_places(len(batch.images), slot, slots)
    part = slice(places.start, places.stop)
    return Batch(
        batch.images[part],
        batch.targets[part],
        None if batch.weights is None else batch.weights[part],
        None if batch.distances is None else batch.distances[part],
        batch.samples[part],
    )


def centre(targets: Tensor, logits: Tensor) -> Tensor:
    """Crop the centre of `targets` (batch, *size) to the size of logits (batch, classes, *smaller_size)."""
    for axis, side in enumerate(logits.shape[2:], 1):
        targets = targets.narrow(axis, (targets.shape[axis] - side) // 2, side)
    return targets
