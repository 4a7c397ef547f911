"""When a shape is recorded, kept and dropped; recording itself needs a CUDA device, and is tested where one is."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pixelwise.runtimes.cuda_graphs import KEPT, CudaGraphRunner, Forward


class Recorder:
    """Stands in for CUDA: counts the calls of the network, the recordings and the replays."""

    def __init__(self, factor: float = 1.0, fails: bool = False) -> None:
        self.factor, self.fails = factor, fails
        self.called, self.recorded, self.replayed = 0, 0, 0

    def forward(self, batch: Tensor) -> Tensor:
        self.called += 1
        return 2 * batch

    def record(self, forward: Forward, batch: Tensor) -> Forward:
        self.recorded += 1
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")

        def replay(batch: Tensor) -> Tensor:
            self.replayed += 1
            return 2 * self.factor * batch

        return replay

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.called, self.recorded, self.replayed


def compute(replayed: Callable[[Tensor], Tensor], *sides: int) -> None:
    for side in sides:
        batch = torch.rand(1, 1, side, side)
        assert torch.equal(replayed(batch), 2 * batch)


def test_a_shape_is_recorded_the_third_time_and_replayed_from_then_on() -> None:
    seen = Recorder()
    replayed = CudaGraphRunner(seen.forward, seen.record)
    compute(replayed, 8, 8, 4)
    assert seen.counts == (3, 0, 0)
    compute(replayed, 8)
    assert seen.counts == (4, 1, 1), "recorded, and asked once whether it says the same"
    compute(replayed, 8, 8)
    assert seen.counts == (4, 1, 3)


def test_few_shapes_are_kept_and_the_one_used_last_is_among_them() -> None:
    seen = Recorder()
    replayed = CudaGraphRunner(seen.forward, seen.record)
    for side in range(1, KEPT + 1):
        compute(replayed, side, side, side)
    compute(replayed, 1)
    compute(replayed, KEPT + 1, KEPT + 1, KEPT + 1)  # drops 2, the one that was not used for longest
    called = seen.called
    compute(replayed, 1, KEPT + 1)
    assert seen.called == called
    compute(replayed, 2)
    assert seen.called == called + 1


@pytest.mark.parametrize("seen", [Recorder(fails=True), Recorder(factor=1.5), Recorder(factor=float("nan"))])
def test_a_recording_that_fails_or_says_something_else_is_never_used(seen: Recorder) -> None:
    replayed = CudaGraphRunner(seen.forward, seen.record)
    compute(replayed, 8, 8, 8, 8, 8, 4, 4, 4)
    assert (seen.called, seen.recorded) == (8, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recorded_network_says_what_it_says() -> None:
    convolution = torch.nn.Conv2d(1, 2, 3, padding=1).cuda()
    replayed = CudaGraphRunner(convolution)
    with torch.inference_mode():
        for _ in range(6):
            batch = torch.rand(2, 1, 16, 16, device="cuda")
            assert torch.allclose(replayed(batch), convolution(batch), atol=1e-3)
