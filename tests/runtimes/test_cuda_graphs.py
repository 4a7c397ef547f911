"""When shapes are captured, kept and dropped; capturing itself is tested on CUDA devices only."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pixelwise.runtimes.cuda_graphs import MAX_GRAPHS, CudaGraphRunner, Forward


class Recorder:
    """Test double of CUDA graphs that counts calls of the network, captures and replays."""

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


def test_a_shape_is_captured_at_the_third_call_and_then_replayed() -> None:
    recorder = Recorder()
    replayed = CudaGraphRunner(recorder.forward, recorder.record)
    compute(replayed, 8, 8, 4)
    assert recorder.counts == (3, 0, 0)
    compute(replayed, 8)
    assert recorder.counts == (4, 1, 1), "captured, and replayed once for comparison"
    compute(replayed, 8, 8)
    assert recorder.counts == (4, 1, 3)


def test_the_least_recently_used_shape_is_dropped() -> None:
    recorder = Recorder()
    replayed = CudaGraphRunner(recorder.forward, recorder.record)
    for side in range(1, MAX_GRAPHS + 1):
        compute(replayed, side, side, side)
    compute(replayed, 1)
    compute(replayed, MAX_GRAPHS + 1, MAX_GRAPHS + 1, MAX_GRAPHS + 1)  # drops 2, the least recently used
    called = recorder.called
    compute(replayed, 1, MAX_GRAPHS + 1)
    assert recorder.called == called
    compute(replayed, 2)
    assert recorder.called == called + 1


@pytest.mark.parametrize("recorder", [Recorder(fails=True), Recorder(factor=1.5), Recorder(factor=float("nan"))])
def test_a_capture_that_fails_or_differs_is_not_used(recorder: Recorder) -> None:
    replayed = CudaGraphRunner(recorder.forward, recorder.record)
    compute(replayed, 8, 8, 8, 8, 8, 4, 4, 4)
    assert (recorder.called, recorder.recorded) == (8, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_network_gives_the_same_output() -> None:
    convolution = torch.nn.Conv2d(1, 2, 3, padding=1).cuda()
    replayed = CudaGraphRunner(convolution)
    with torch.inference_mode():
        for _ in range(6):
            batch = torch.rand(2, 1, 16, 16, device="cuda")
            assert torch.allclose(replayed(batch), convolution(batch), atol=1e-3)
