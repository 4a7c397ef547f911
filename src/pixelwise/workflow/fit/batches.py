"""Prefetched training batches, with a sampler that can change during the training."""

from collections.abc import Generator
from typing import Any

from pixelwise.sampling.patches import Sampler, prefetch
from pixelwise.workflow.fit.pacing import Pacing
from pixelwise.workflow.fit.training_task import TrainingBatch, TrainingTask

NO_END = 2**40  # the pacing ends the training


class Batches:
    """Batches of each step from the current sampler of the training task.

    A batch is a function of its sampler and its step; prefetched batches of another sampler are dropped.
    """

    def __init__(self, task: TrainingTask, pacing: Pacing) -> None:
        self._task, self._pacing = task, pacing
        self._sampler: Sampler[Any] | None = None
        self._drawn: Generator[Any, None, None] | None = None

    def next(self, step: int) -> TrainingBatch:
        """Return the batch of a step; steps must be consecutive."""
        sampler = self._task.sampler_at(self._pacing.progress(step), self._pacing.share)
        if sampler is not self._sampler or self._drawn is None:
            self.close()
            self._sampler, self._drawn = sampler, prefetch(sampler, step, NO_END)
        return next(self._drawn)

    def close(self) -> None:
        """Stop prefetching."""
        if self._drawn is not None:
            self._drawn.close()
        self._drawn = None
