"""CUDA graphs: capture the kernels of a network once per batch shape and replay them with one launch.

A U-Net launches a hundred kernels or more per batch. For small tiles or fast devices, launching takes longer than
computing. A captured graph is used only if it reproduces the output of the network; if capturing fails, the network
runs without graphs.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

Forward = Callable[[Tensor], Tensor]
Recorder = Callable[[Forward, Tensor], Forward]

MAX_GRAPHS = 4  # each graph keeps its activations on the device
TOLERANCE = 1e-2  # relative to the largest output, for bfloat16; a failed capture differs far more
_MIN_CALLS = 3  # batches of a shape before it is captured, which takes as long as a few batches
_WARMUP_CALLS = 3  # calls before a capture, in which libraries choose algorithms and allocate


def record_graph(forward: Forward, batch: Tensor) -> Forward:
    """Capture `forward` on a batch; return a function that replays it on other batches of the same shape.

    Follows "CUDA semantics, CUDA graphs" of the PyTorch documentation: warm up on a side stream, capture, and replay
    after copying the input into the captured tensor.
    """
    static_input = batch.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARMUP_CALLS):
            forward(static_input)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use CUDA meanwhile
        static_output = forward(static_input)

    def replay(batch: Tensor) -> Tensor:
        static_input.copy_(batch)
        graph.replay()
        return static_output

    return replay


class CudaGraphRunner:
    """Runs `forward`; from the third batch of a shape it is captured and then replayed.

    Parameters
    ----------
    forward : callable
        Batch -> outputs on a CUDA device; a pure function without data-dependent control flow.
    record : callable, optional
        (forward, batch) -> replay function; by default `record_graph`. Each replay overwrites the outputs of the
        previous one.
    """

    def __init__(self, forward: Forward, record: Recorder | None = None) -> None:
        self._forward = forward
        self._record: Recorder | None = record or record_graph  # None once it has failed
        self._calls: Counter[tuple[int, ...]] = Counter()
        self._recorded: dict[tuple[int, ...], Forward] = {}  # in order of last use

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the outputs, which are valid until the next call."""
        shape = tuple(batch.shape)
        replay = self._recorded.pop(shape, None)
        if replay is not None:
            self._recorded[shape] = replay
            return replay(batch)
        expected = self._forward(batch)
        self._calls[shape] += 1
        if self._calls[shape] >= _MIN_CALLS and self._record is not None:
            self._record_shape(self._record, shape, batch, expected)
        return expected

    def _record_shape(self, record: Recorder, shape: tuple[int, ...], batch: Tensor, expected: Tensor) -> None:
        """Capture a shape; disable graphs if it fails or gives other outputs."""
        if len(self._recorded) == MAX_GRAPHS:
            del self._recorded[next(iter(self._recorded))]  # frees its memory for the new graph
        try:
            replay = record(self._forward, batch)
            difference = (replay(batch) - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
            agrees = float(difference) <= TOLERANCE
        except RuntimeError:  # an operation that cannot be captured, or not enough memory
            agrees, replay = False, self._forward
        if agrees:
            self._recorded[shape] = replay
        else:
            self._record = None
            self._recorded.clear()
