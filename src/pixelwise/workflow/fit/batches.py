"""Prefetched training batches, with a sampler that can change during the training."""

from collections.abc import Generator

from pixelwise.sampling.patches import Sampler, prefetch
from pixelwise.training.batch import Batch
from pixelwise.workflow.fit.pacing import Pacing
from pixelwise.workflow.fit.training_task import TrainingTask

NO_END = 2**40  # the pacing ends the training


class Batches:
    """Batches of each step from the current sampler of the training task.

    A batch is a function of its sampler and its step; prefetched batches of another sampler are dropped.
    """

    def __init__(self, task: TrainingTask, pacing: Pacing) -> None:
        self._task, self._pacing = task, pacing
        self._sampler: Sampler | None = None
        self._drawn: Generator[Batch, None, None] | None = None

    def next(self, step: int) -> Batch:
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
