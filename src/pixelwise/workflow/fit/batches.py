"""Batches drawn ahead of time, until what is drawn changes on the way."""

from collections.abc import Generator
from typing import Any

from pixelwise.sampling.patches import Sampler, prefetch
from pixelwise.workflow.fit.pacing import Pacing
from pixelwise.workflow.fit.training_task import TrainingBatch, TrainingTask

NO_END = 2**40  # the pacing decides where the batches end


class Batches:
    """Draws the batch of each step with the sampler that the course names for that moment.

    A batch is a function of its sampler and its step, so that what was drawn ahead for another sampler is dropped.
    """

    def __init__(self, course: TrainingTask, pacing: Pacing) -> None:
        self._course, self._pacing = course, pacing
        self._sampler: Sampler[Any] | None = None
        self._drawn: Generator[Any, None, None] | None = None

    def next(self, step: int) -> TrainingBatch:
        """Return the batch of a step; steps come in order."""
        sampler = self._course.sampler_at(self._pacing.progress(step), self._pacing.share)
        if sampler is not self._sampler or self._drawn is None:
            self.close()
            self._sampler, self._drawn = sampler, prefetch(sampler, step, NO_END)
        return next(self._drawn)

    def close(self) -> None:
        """Stop drawing."""
        if self._drawn is not None:
            self._drawn.close()
        self._drawn = None
