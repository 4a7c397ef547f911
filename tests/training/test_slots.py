"""A batch in slots: the gradient is the mean of those of its parts, whatever process computes them."""

import copy
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor

from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.training.batch import Batch, SlotBatches
from pixelwise.training.learner import Learner, TrainingOptions, slot_of
from pixelwise.training.losses import LossOptions
from pixelwise.training.team import Team, tree_sum


def make_learner(slots: int, team: Team | None = None, norm: str = "batch") -> Learner:
    torch.manual_seed(0)
    network = build(NetworkOptions(base=4, depth=2, dropout=0.2, normalisation=norm))
    return Learner(network, TrainingOptions(steps=20, slots=slots), LossOptions(), "cpu", team=team)


def make_batch(seed: int, count: int = 8) -> Batch:
    images = torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed))
    return Batch(images, (images[:, 0] > 0).to(torch.uint8))


def state(learner: Learner) -> dict[str, Tensor]:
    return {f"{g}.{n}": v.clone() for g, group in learner.tensors().items() for n, v in group.items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Recorded(Team):
    """One of several processes, of which the others are computed here too: what they send is recorded in turn."""

    def __init__(self, rank: int, size: int, sent: dict[int, Tensor]) -> None:
        super().__init__(rank, size)
        self._sent = sent

    def total(self, own: Iterable[Tensor]) -> Tensor:
        if self.rank not in self._sent:
            self._sent[self.rank] = tree_sum(own)
        sent = [self._sent[rank] for rank in sorted(self._sent)]
        return tree_sum(sent) if len(sent) == self.size else sent[0]  # the others are not computed yet


@pytest.mark.parametrize("size", [2, 4])
def test_the_weights_do_not_depend_on_the_number_of_processes(size: int) -> None:
    alone = make_learner(4)
    several = [make_learner(4) for _ in range(size)]
    for step in range(5):
        alone.step(step, make_batch(step))
        sent: dict[int, Tensor] = {}
        for rank, learner in enumerate(several):  # what each sends
            probe = copy.deepcopy(learner)
            probe.team = Recorded(rank, size, sent)
            probe.step(step, make_batch(step))
        for rank, learner in enumerate(several):
            learner.team = Recorded(rank, size, sent)
            learner.step(step, make_batch(step))
    assert all(same(state(alone), state(learner)) for learner in several)


def test_control_averages_over_processes_are_other_bits() -> None:
    slots, whole = make_learner(4), make_learner(1)
    for step in range(5):
        slots.step(step, make_batch(step))
        whole.step(step, make_batch(step))
    assert not same(state(slots), state(whole))


def test_without_batch_statistics_and_dropout_slots_are_gradient_accumulation() -> None:
    torch.manual_seed(0)
    network = build(NetworkOptions(base=4, depth=2, normalisation="none"))
    # the loss of a batch must be a mean over its images: cross-entropy alone
    options = LossOptions(dice=0.0)
    learners = [
        Learner(copy.deepcopy(network), TrainingOptions(steps=20, slots=slots), options, "cpu") for slots in (1, 4)
    ]
    losses = [learner.step(0, make_batch(0)).loss for learner in learners]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    one, four = (learner.tensors()["optimiser"] for learner in learners)
    for name in one:
        if name.endswith("exp_avg"):
            assert torch.allclose(one[name], four[name], rtol=1e-3, atol=1e-7)


def test_running_statistics_are_the_mean_of_those_of_the_slots() -> None:
    learner = make_learner(2)
    before = copy.deepcopy(learner.network)
    learner.step(0, make_batch(0))
    expected: list[dict[str, Tensor]] = []
    for slot in range(2):
        part = copy.deepcopy(before).train()
        part.forward_heads(slot_of(make_batch(0), slot, 2).images.contiguous(memory_format=torch.channels_last))
        expected.append(dict(part.named_buffers()))
    first = next(name for name in expected[0] if name.endswith("running_mean"))  # before any dropout
    mean = (expected[0][first] + expected[1][first]) / 2
    assert torch.allclose(dict(learner.network.named_buffers())[first], mean, atol=1e-6)
    counts = [v for n, v in learner.network.named_buffers() if n.endswith("num_batches_tracked")]
    assert counts
    assert all(int(count) == 1 for count in counts)


def test_a_slot_that_is_not_finite_changes_nothing() -> None:
    learner = make_learner(4)
    learner.step(0, make_batch(0))
    before = state(learner)
    bad = make_batch(1)
    bad.images[7] = float("nan")  # in the last slot
    result = learner.step(1, bad)
    assert not result.applied
    assert same(before, state(learner))


def test_slots_that_were_drawn_alone_are_those_of_the_batch() -> None:
    cut, drawn = make_learner(4), make_learner(4)
    for step in range(3):
        batch = make_batch(step, count=7)
        parts = tuple(slot_of(batch, slot, 4) for slot in range(4))
        results = cut.step(step, batch), drawn.step(step, SlotBatches(parts, 7))
        assert results[0] == results[1]
    assert same(state(cut), state(drawn))


def test_batches_smaller_than_the_slots_have_empty_ones() -> None:
    learner = make_learner(4, norm="none")
    result = learner.step(0, make_batch(0, count=3))
    assert result.applied
    sizes = [len(slot_of(make_batch(0, count=3), slot, 4).images) for slot in range(4)]
    assert sum(sizes) == 3


def test_a_larger_step_fits_where_only_a_part_does() -> None:
    """Slots see a part of the batch each: the peak of the activations is that of a part."""
    seen: list[int] = []
    learner = make_learner(4)
    learner.network.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    forward = learner.network.forward_heads
    learner.network.forward_heads = lambda images: (seen.append(len(images)), forward(images))[1]  # type: ignore[method-assign]
    learner.step(0, make_batch(0))
    assert set(seen) == {2}


@pytest.mark.parametrize("slots", [0, 3, -2, 8192])
def test_other_numbers_of_slots_are_refused(slots: int) -> None:
    with pytest.raises(BadOption, match=r"training\.slots"):
        TrainingOptions(slots=slots)


def test_slots_that_processes_cannot_share_are_refused() -> None:
    with pytest.raises(BadOption, match=r"training\.slots"):
        make_learner(2, Team(0, 4))
