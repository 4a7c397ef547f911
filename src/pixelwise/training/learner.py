"""One step of training: loss, gradient, update, averaged weights; and the state that continues it exactly.

Every random draw of a step is a function of (seed, step): the learner holds no generator state, so a state is
weights, averages, optimiser moments and counters.
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pixelwise.errors import BadOption
from pixelwise.networks.models import Network
from pixelwise.training.distillation_loss import Teacher
from pixelwise.training.fine_tuning import freeze_encoder, rate_factors
from pixelwise.training.losses import LossOptions, classification_loss, distance_loss, segmentation_loss
from pixelwise.training.optimisers import (
    OPTIMISERS,
    OptimiserName,
    load_state_tensors,
    parameter_groups,
    set_rate,
    state_tensors,
)
from pixelwise.training.schedule import Schedule, Shape, middle_of_step


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long and how fast to learn.

    `budget` is in seconds of the whole command: the clock decides when training ends and how far it has come, and
    `steps` is the number that is expected. `time_limit` (seconds) leaves the decision to `steps`, but the command ends
    by then. Without both `steps` alone decide. `validate_every` and `checkpoint_every` are in steps; with a budget they
    are what is expected, and the clock decides. `patience` is the number of validations without a better score after
    which training
    stops (0: never), counted from the middle of the schedule on, or from the end of the coarse beginning where that
    comes later (`PatchOptions`). `momentum` and `nesterov` are those of "sgd"; "adamw" has its own. `ema_fraction` is
    the share of all steps over which the averaged weights look back (one time constant); with 0 they are the weights of
    the last step. `keep` says which of the averaged weights become the model: those of the best validation, or the last
    ones, for which validation images choose nothing. `tune` chooses the thresholds of objects (`TargetOptions`) on
    validation images once the last step is done, and calibrates the probabilities on them. `threads` are those that a
    step computes with on the processor (0: all there are): small steps are slower when they are shared, and beside
    other work threads wait for each other.
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

    @property
    def time_given(self) -> float | None:
        """Seconds by which the command ends; None where the clock decides nothing."""
        return self.budget if self.budget is not None else self.time_limit

    def __post_init__(self) -> None:
        """Refuse values no training can work with."""
        for name in ("steps", "validate_every", "checkpoint_every", "learning_rate", "clip"):
            value = getattr(self, name)
            if not value > 0:
                raise BadOption(f"training.{name} above 0", f"{value}", f"Change training.{name}.")
        if self.threads < 0:
            raise BadOption("training.threads of at least 0", f"{self.threads}", "0 takes all there are.")
        if self.budget is not None and self.time_limit is not None:
            got = f"{self.budget} and {self.time_limit}"
            raise BadOption("training.budget or training.time_limit", got, "Leave one of them out (null).")
        for name, usual in (("warmup_share", 0.05), ("momentum", 0.99), ("ema_fraction", 0.02)):
            if not 0 <= getattr(self, name) < 1:
                raise BadOption(f"training.{name} in [0, 1)", f"{getattr(self, name)}", f"Try {usual}.")


@dataclass(frozen=True)
class StepResult:
    """`applied` is False when the loss or the gradient was not finite and the weights stayed as they were."""

    loss: float
    applied: bool


class Learner:
    """A network, its optimiser and the running average of its weights.

    Where the network has several heads (deep supervision), the loss is the mean of the losses of all heads, each
    against the same targets: Zhou et al. 2018 (arXiv 1807.10165), section 3.2.

    Parameters
    ----------
    network : Network
        Images (batch, channels, height, width) float32 -> logits (batch, classes, height', width').
    options : TrainingOptions
    loss : LossOptions
    device : str
        "cpu", "cuda" or "mps". With `options.precision` "bfloat16" the forward pass is in mixed precision: weights and
        the loss stay float32.
    layer_decay : float
        Factor of the learning rate per stage of the encoder (`TransferOptions`).
    frozen_steps : int
        The first step in which the encoder learns.
    teacher : Teacher, optional
        Half of the loss is then what it says of each batch.

    Attributes
    ----------
    expected_steps : int
        Steps of the whole training, as far as is known: the averaged weights look back over a share of them. It may be
        changed on the way where the clock decides how many there are.
    """

    def __init__(
        self,
        network: Network,
        options: TrainingOptions,
        loss: LossOptions,
        device: str,
        *,
        layer_decay: float = 1.0,
        frozen_steps: int = 0,
        teacher: Teacher | None = None,
    ) -> None:
        self.options, self.loss, self.device = options, loss, torch.device(device)
        self._frozen_steps, self._teacher = frozen_steps, teacher
        if teacher is not None:
            teacher.network.to(self.device)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = parameter_groups(network, options.weight_decay, rate_factors(network, layer_decay))
        self.network = network.to(self.device)  # before the optimiser, whose moments are where the weights are
        self.optimiser = OPTIMISERS[options.optimiser](
            groups, options.learning_rate, momentum=options.momentum, nesterov=options.nesterov
        )
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.schedule = Schedule(options.learning_rate, options.warmup_share, options.schedule)
        self.expected_steps = options.steps
        self.skipped = 0
        self._buffers = list(self.network.buffers())
        self._before = [b.clone() for b in self._buffers]
        # state_dict() shares memory with the network, so these lists stay true while it learns
        self._averaged = [v for v in self.average.state_dict().values() if v.is_floating_point()]
        self._followed = [v for v in self.network.state_dict().values() if v.is_floating_point()]

    def step(
        self,
        index: int,
        images: Tensor,
        targets: Tensor,
        weights: Tensor | None = None,
        distances: Tensor | None = None,
        *,
        progress: float | None = None,
    ) -> StepResult:
        """Learn from one batch.

        Parameters
        ----------
        index : int
            The number of the step, from 0; it decides the dropout mask, and whether the encoder learns.
        images : (batch, channels, height, width) float32
        targets : (batch, height', width') class map; 255 is ignored. A valid network's smaller output is
            compared with the centre of the targets. For logits (batch, classes) of whole images: (batch,) classes.
        weights : (batch, height', width') float32, optional
            Border term of the loss at each target pixel.
        distances : (batch, height', width') float32, optional
            What the last channel of the logits is compared with; the classes are those before it.
        progress : float, optional
            Share of the training that is done in the middle of this step; it decides the learning rate. By default
            that of step `index` of `options.steps`.
        """
        done = middle_of_step(index, self.options.steps) if progress is None else progress
        set_rate(self.optimiser, self.schedule.rate(done))
        torch.manual_seed(self.options.seed * 1_000_003 + index)  # dropout: a function of (seed, step)
        self.network.train()
        if self._frozen_steps:
            freeze_encoder(self.network, frozen=index < self._frozen_steps)
        self._remember_buffers()
        images = images.to(self.device).contiguous(memory_format=torch.channels_last)
        with self._autocast():
            heads = self.network.forward_heads(images)
        targets = targets.to(self.device)
        loss = torch.stack([self._measure(logits.float(), targets, weights, distances) for logits in heads]).mean()
        if self._teacher is not None:
            with torch.no_grad(), self._autocast():
                answer: Tensor = self._teacher.network(images).float()
            loss = self._teacher.mix(loss, heads, answer)
        value = float(loss.detach())
        if not math.isfinite(value):
            return self._skip(value)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip)
        if not bool(torch.isfinite(norm)):
            return self._skip(value)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self._average(index)
        self.skipped = 0
        return StepResult(value, applied=True)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return everything that changes while learning, as named groups of tensors."""
        return {
            "weights": dict(self.network.state_dict()),
            "average": dict(self.average.state_dict()),
            "optimiser": state_tensors(self.optimiser),
        }

    def load_tensors(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put back what `tensors` returned."""
        self.network.load_state_dict(dict(tensors["weights"]))
        self.average.load_state_dict(dict(tensors["average"]))
        load_state_tensors(self.optimiser, tensors["optimiser"])

    def _autocast(self) -> torch.autocast:
        mixed = self.options.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed)

    def _measure(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None, distances: Tensor | None = None
    ) -> Tensor:
        if logits.ndim == 2:
            return classification_loss(logits, targets, self.loss.label_smoothing)
        border = None if weights is None else centre(weights.to(logits.device), logits)
        targets = centre(targets, logits)
        if distances is None:
            return segmentation_loss(logits, targets, self.loss, border)
        classes = segmentation_loss(logits[:, :-1], targets, self.loss, border)
        truth = centre(distances.to(logits.device), logits)
        return classes + self.loss.distance * distance_loss(logits[:, -1], truth, targets)

    def _skip(self, loss: float) -> StepResult:
        """Leave weights, moments and batch statistics as they were before the step."""
        self.optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in zip(self._buffers, self._before, strict=True):
                buffer.copy_(before)
        self.skipped += 1
        return StepResult(loss, applied=False)

    def _remember_buffers(self) -> None:
        with torch.no_grad():
            for buffer, before in zip(self._buffers, self._before, strict=True):
                before.copy_(buffer)

    @torch.no_grad()
    def _average(self, index: int) -> None:
        window = self.options.ema_fraction * self.expected_steps
        # young averages look back over fewer steps, so that the first weights are soon forgotten
        decay = min(1 - 1 / max(window, 1.0), (1 + index) / (10 + index))
        for mine, theirs in zip(self._averaged, self._followed, strict=True):
            mine.lerp_(theirs, 1 - decay)


def centre(targets: Tensor, logits: Tensor) -> Tensor:
    """Cut the centre of `targets` (batch, h, w) that logits (batch, classes, h', w') speak of."""
    top = (targets.shape[1] - logits.shape[2]) // 2
    left = (targets.shape[2] - logits.shape[3]) // 2
    return targets[:, top : top + logits.shape[2], left : left + logits.shape[3]]
