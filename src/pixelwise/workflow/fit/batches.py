"""Prefetched training batches, with a sampler that can change during the training."""

from collections.abc import Generator
from dataclasses import dataclass

from pixelwise.sampling.patches import Sampler, prefetch
from pixelwise.training.batch import Batch, SlotBatches, slot_places
from pixelwise.training.team import Team
from pixelwise.workflow.fit.pacing import Pacing
from pixelwise.workflow.fit.training_task import TrainingTask

NO_END = 2**40  # the pacing ends the training


@dataclass(frozen=True)
class OwnSlots:
    """Draws the slots of this process, each by itself: so their bits do not depend on the number of processes.

    With one slot, the whole batch.
    """

    sampler: Sampler
    team: Team
    slots: int

    def batch(self, step: int) -> Batch | SlotBatches:
        """Draw the slots of one step."""
        if self.slots == 1:
            return self.sampler.batch(step)
        images = self.sampler.size
        places = [slot_places(images, slot, self.slots) for slot in self.team.own_slots(self.slots)]
        return SlotBatches(tuple(self.sampler.batch(step, own) if own else None for own in places), images)


class Batches:
    """Batches of each step from the current sampler of the training task; of them the slots of this process.

    A batch is a function of its sampler and its step; prefetched batches of another sampler are dropped.
    """

    def __init__(self, task: TrainingTask, pacing: Pacing, team: Team | None = None, slots: int = 1) -> None:
        self._task, self._pacing, self._team, self._slots = task, pacing, team or Team(), slots
        self._sampler: Sampler | None = None
        self._drawn: Generator[Batch | SlotBatches, None, None] | None = None

    def next(self, step: int) -> Batch | SlotBatches:
        """Return the batch of a step; steps must be consecutive."""
        sampler = self._task.sampler_at(self._pacing.progress(step), self._pacing.share)
        if sampler is not self._sampler or self._drawn is None:
            self.close()
            own = OwnSlots(sampler, self._team, self._slots)
            self._sampler, self._drawn = sampler, prefetch(own, step, NO_END)
        return next(self._drawn)

    def close(self) -> None:
        """Stop prefetching."""
        if self._drawn is not None:
            self._drawn.close()
        self._drawn = None
