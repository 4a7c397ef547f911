"""Each process draws the slots that it computes, and the bits of a slot do not depend on who draws it."""

import numpy as np
import torch

from pixelwise.sampling.augment import Augmentation
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.sampling.patches import PatchOptions, PatchSampler
from pixelwise.training.batch import Batch, SlotBatches
from pixelwise.training.team import Team
from pixelwise.workflow.fit.batches import OwnSlots


class Counting(PatchSampler):
    """A sampler that counts the patches that it draws."""

    drawn = 0

    def batch(self, step: int, chosen: range | None = None) -> Batch:
        drawn = super().batch(step, chosen)
        self.drawn += len(drawn.images)
        return drawn


def make(batch: int) -> Counting:
    rng = np.random.default_rng(0)
    image, target = rng.integers(0, 256, (1, 60, 60)).astype(np.uint8), rng.integers(0, 3, (60, 60)).astype(np.uint8)
    options, scale = PatchOptions(height=16, width=16, batch=batch), intensity_scale(image, Normalisation())
    return Counting([image], [target], [scale], options, Augmentation(), 0)


def parts(sampler: PatchSampler, rank: int, size: int, slots: int) -> list[Batch | None]:
    drawn = OwnSlots(sampler, Team(rank, size), slots).batch(5)
    assert isinstance(drawn, SlotBatches)
    assert drawn.images == sampler.size
    return list(drawn.parts)


def test_the_slots_of_all_processes_are_those_of_one() -> None:
    whole = parts(make(7), 0, 1, 4)
    several = [part for rank in range(2) for part in parts(make(7), rank, 2, 4)]
    assert [len(part.images) for part in whole if part] == [1, 2, 2, 2]
    for one, other in zip(whole, several, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.targets, other.targets)


def test_a_process_draws_nothing_for_the_others() -> None:
    sampler = make(8)
    parts(sampler, 1, 2, 4)
    assert sampler.drawn == 4


def test_slots_without_an_image_are_not_drawn() -> None:
    assert [part is None for part in parts(make(2), 0, 1, 4)] == [True, False, True, False]


def test_one_slot_is_the_whole_batch() -> None:
    drawn = OwnSlots(make(3), Team(), 1).batch(5)
    assert isinstance(drawn, Batch)
    assert torch.equal(drawn.images, make(3).batch(5).images)
