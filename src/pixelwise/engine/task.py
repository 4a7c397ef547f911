"""One step of training: loss, gradient, update, averaged weights; and the state that continues it exactly.

Every random draw of a step is a function of (seed, step): the learner holds no generator state, so a state is
weights, averages, optimiser moments and counters (Lightning Fabric brings devices and precision).
"""

import logging
import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pixelwise.errors import BadOption
from pixelwise.scoring.losses import LossOptions, segmentation_loss

# The averaged weights look back over this share of all steps (one time constant).
AVERAGE_SHARE = 0.02


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long and how fast to learn.

    `budget` is in seconds of the whole command (None: `steps` alone decide); `validate_every`,
    `checkpoint_every` are in steps; `patience` is the number of validations without a better score after which
    training stops (0: never), counted from the middle of the schedule on.
    """

    steps: int = 1000
    budget: float | None = None
    seed: int = 0
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.05
    clip: float = 5.0
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: int = 100
    checkpoint_every: int = 100
    patience: int = 10

    def __post_init__(self) -> None:
        """Refuse values no training can work with."""
        for name in ("steps", "validate_every", "checkpoint_every", "learning_rate", "clip"):
            value = getattr(self, name)
            if not value > 0:
                raise BadOption(f"training.{name} above 0", f"{value}", f"Change training.{name}.")
        if not 0 <= self.warmup_share < 1:
            raise BadOption("training.warmup_share in [0, 1)", f"{self.warmup_share}", "Try 0.05.")


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then a cosine that reaches zero at the last step.

    A schedule can be stretched on the way: progress runs linearly from `anchor_progress` at step `anchor` to 1 at
    step `steps`, so that the rate stays continuous and still ends at zero.
    """

    steps: int
    peak: float
    warmup_share: float
    anchor: int = 0
    anchor_progress: float = 0.0

    def progress(self, step: int) -> float:
        """Return the share of the schedule done before `step`, in [0, 1]."""
        share = (step - self.anchor) / max(1, self.steps - self.anchor)
        return min(1.0, self.anchor_progress + (1 - self.anchor_progress) * share)

    def rate(self, step: int) -> float:
        """Return the learning rate of `step` (0-based)."""
        # the half step keeps the first rate above zero and the last one close to it
        done = min(1.0, self.progress(step) + 0.5 / max(1, self.steps))
        if done < self.warmup_share:
            return self.peak * done / self.warmup_share
        return self.peak * 0.5 * (1 + math.cos(math.pi * (done - self.warmup_share) / (1 - self.warmup_share)))

    def stretched(self, step: int, steps: int) -> "Schedule":
        """Return the schedule that goes on from `step` and ends at `steps` instead."""
        return Schedule(steps, self.peak, self.warmup_share, step, self.progress(step))


def make_fabric(device: str, precision: str) -> Fabric:
    """Return the Fabric for one device ("cpu", "cuda", "mps") and "float32" or "bfloat16" arithmetic."""
    for name in ("lightning.fabric", "lightning_fabric"):  # the plan tells the precision already
        logging.getLogger(name).setLevel(logging.WARNING)
    kind = "bf16-mixed" if precision == "bfloat16" else "32-true"
    return Fabric(accelerator=device, devices=1, precision=kind)


@dataclass(frozen=True)
class StepResult:
    """`applied` is False when the loss or the gradient was not finite and the weights stayed as they were."""

    loss: float
    applied: bool


class Learner:
    """A network, its optimiser and the running average of its weights.

    Parameters
    ----------
    network : nn.Module
        Images (batch, channels, height, width) float32 -> logits (batch, classes, height', width').
    options : TrainingOptions
    loss : LossOptions
    fabric : Fabric
        Device and precision.
    """

    def __init__(self, network: nn.Module, options: TrainingOptions, loss: LossOptions, fabric: Fabric) -> None:
        self.options, self.loss, self.fabric = options, loss, fabric
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(
            _decay_groups(network, options.weight_decay), lr=options.learning_rate, fused=True
        )
        self.network = network.to(fabric.device)
        self._module, self.optimiser = fabric.setup(self.network, optimiser)
        self.average = deepcopy(self.network).eval().requires_grad_(False)
        self.schedule = Schedule(options.steps, options.learning_rate, options.warmup_share)
        self.skipped = 0
        self._buffers = list(self.network.buffers())
        self._before = [b.clone() for b in self._buffers]
        # state_dict() shares memory with the network, so these lists stay true while it learns
        self._averaged = [v for v in self.average.state_dict().values() if v.is_floating_point()]
        self._followed = [v for v in self.network.state_dict().values() if v.is_floating_point()]

    def step(self, index: int, images: Tensor, targets: Tensor) -> StepResult:
        """Learn from one batch.

        Parameters
        ----------
        index : int
            The number of the step, from 0; it decides the learning rate and the dropout mask.
        images : (batch, channels, height, width) float32
        targets : (batch, height', width') class map; 255 is ignored. A valid network's smaller output is
            compared with the centre of the targets.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(index)
        torch.manual_seed(self.options.seed * 1_000_003 + index)  # dropout: a function of (seed, step)
        self.network.train()
        self._remember_buffers()
        images = images.to(self.fabric.device).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self._module(images)
        loss = segmentation_loss(logits.float(), centre(targets.to(self.fabric.device), logits), self.loss)
        value = float(loss.detach())
        if not math.isfinite(value):
            return self._skip(value)
        self.fabric.backward(loss)
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
        moments = {
            f"{index}.{name}": value
            for index, state in self.optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }
        return {
            "weights": dict(self.network.state_dict()),
            "average": dict(self.average.state_dict()),
            "optimiser": moments,
        }

    def load_tensors(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Put back what `tensors` returned."""
        self.network.load_state_dict(dict(tensors["weights"]))
        self.average.load_state_dict(dict(tensors["average"]))
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors["optimiser"].items():
            index, name = key.split(".", 1)
            if value.ndim:
                # the fused update walks through memory: moments must lie there as their parameter does
                value = torch.empty_like(parameters[int(index)]).copy_(value)
            state.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})

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
        window = AVERAGE_SHARE * self.options.steps
        # young averages look back over fewer steps, so that the first weights are soon forgotten
        decay = min(1 - 1 / max(window, 1.0), (1 + index) / (10 + index))
        for mine, theirs in zip(self._averaged, self._followed, strict=True):
            mine.lerp_(theirs, 1 - decay)


def centre(targets: Tensor, logits: Tensor) -> Tensor:
    """Cut the centre of `targets` (batch, h, w) that logits (batch, classes, h', w') speak of."""
    top = (targets.shape[1] - logits.shape[2]) // 2
    left = (targets.shape[2] - logits.shape[3]) // 2
    return targets[:, top : top + logits.shape[2], left : left + logits.shape[3]]


def _decay_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Decay the kernels alone: shrinking biases and normalisation scales does not regularise anything."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
