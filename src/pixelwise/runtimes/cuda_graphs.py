"""CUDA graphs: what a network does to a batch of one shape is recorded once, and then started as a whole.

A U-Net starts a hundred kernels and more per batch. Where tiles are small, or the device is fast, the processor takes
longer to start them than the device to compute them; a recorded graph is one start. A recording is used only when it
says what the network says on the batch it was made with; where it cannot be made, the network goes on as it is.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
Recorder = Callable[[Forward, Tensor], Forward]

KEPT = 4  # recorded shapes: each keeps its activations on the device
AGREEMENT = 1e-2  # of the largest output, for bfloat16; a recording that went wrong is far beyond it
_WORTH = 3  # times that a shape comes until it is recorded, which takes as long as a few batches
_WARM = 3  # calls before a recording, in which libraries choose their algorithms and allocate


def record_graph(forward: Forward, batch: Tensor) -> Forward:
    """Record what `forward` does to a batch; return what does the same to other batches of its shape.

    Follows "CUDA semantics, CUDA graphs" of PyTorch's documentation: warm up on a side stream, record, and replay on
    inputs that are copied to where the recorded ones lay.
    """
    given = batch.clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM):
            forward(given)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may do what they like
        found = forward(given)

    def replay(batch: Tensor) -> Tensor:
        given.copy_(batch)
        graph.replay()
        return found

    return replay


class CudaGraphRunner:
    """Computes as `forward` does; a shape that comes a third time is recorded, and replayed from then on.

    Parameters
    ----------
    forward : callable
        Batch -> outputs, on a CUDA device, a pure function without decisions on values.
    record : callable
        (forward, batch) -> what replays it. The outputs of a replay are overwritten by the next one.
    """

    def __init__(self, forward: Forward, record: Recorder = record_graph) -> None:
        self._forward = forward
        self._record: Recorder | None = record  # None once it has failed
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._recorded: dict[tuple[int, ...], Forward] = {}  # the one used last stands last

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the outputs; they hold until the next call."""
        shape = tuple(batch.shape)
        replay = self._recorded.pop(shape, None)
        if replay is not None:
            self._recorded[shape] = replay
            return replay(batch)
        expected = self._forward(batch)
        self._seen[shape] += 1
        if self._seen[shape] >= _WORTH and self._record is not None:
            self._keep(self._record, shape, batch, expected)
        return expected

    def _keep(self, record: Recorder, shape: tuple[int, ...], batch: Tensor, expected: Tensor) -> None:
        """Record a shape; give up recording altogether where it fails or says something else."""
        if len(self._recorded) == KEPT:
            del self._recorded[next(iter(self._recorded))]  # first: its memory is there for the new one
        try:
            replay = record(self._forward, batch)
            gap = (replay(batch) - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
            right = float(gap) <= AGREEMENT
        except RuntimeError:  # an operation that cannot be recorded, or no memory for it
            right, replay = False, self._forward
        if right:
            self._recorded[shape] = replay
        else:
            self._record = None
            self._recorded.clear()
