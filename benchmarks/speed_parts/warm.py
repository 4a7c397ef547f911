"""One warm image in each runtime, the share of the measured peak of matrix multiplies, and cold starts. See speed.py.

Every side lives in a process of its own, so that no library's threads disturb another's; only one computes at a time.
"""

import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np

from pixelwise.networks.options import NetworkOptions
from speed_parts.matmul import MULTIPLY_FLOPS, multiply
from speed_parts.tables import Table, spread

SIDE = 512
CALLS = 3  # per round and side; the least counts
SIDES = ("eager", "torch", "torch-bf16", "onnx", "openvino", "openvino-bf16", "openvino-int8")
PEAK_SIDES = ("torch", "torch-bf16", "onnx", "openvino", "openvino-bf16")
MULTIPLY = "multiply "  # begins the names of matrix multiplies
PEAK_BAR = 0.75  # of the peak, in float32


def options(base: int) -> NetworkOptions:
    return NetworkOptions(base=base, in_channels=1, classes=2)


def prepare(base: int, folder: Path, *, quantised: bool = True) -> int:
    """Write the graphs of a network, in float32 and int8; return its floating-point operations for one image."""
    import torch

    from pixelwise.exporters.to_onnx import onnx_bytes
    from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8
    from pixelwise.labels.targets import TargetOptions
    from pixelwise.model_file.model_card import ModelCard
    from pixelwise.networks.architectures import build_segmenter
    from pixelwise.sampling.normalise import Normalisation

    torch.manual_seed(0)
    network = build_segmenter(options(base)).eval()
    model_card = ModelCard(
        network=options(base),
        normalisation=Normalisation(kind="none"),
        target=TargetOptions(),
        geometry=network.geometry(),
        task="binary",
        classes=("background", "object"),
        values=(0, 1),
        colours=((0, 0, 0), (255, 255, 255)),
        channels=1,
        tile=SIDE,
        intensity_range=((0.0, 1.0),),
        trained={},
    )
    graph = onnx_bytes(network, model_card)
    (folder / "model.onnx").write_bytes(graph)
    write_openvino(folder / "openvino.xml", graph, model_card)
    if quantised:
        rng = np.random.default_rng(0)
        feeds = [{"image": rng.standard_normal((1, 1, 256, 256), np.float32)} for _ in range(8)]
        write_openvino_int8(folder / "openvino-int8.xml", graph, model_card, feeds)
    return sum(layer.flops for layer in network.layers(SIDE))


def make_side(name: str, base: int, folder: Path, threads: int) -> Callable[[np.ndarray], object]:
    """Return what computes one image, or one matrix multiply."""
    if name.startswith(MULTIPLY):
        return multiply(name.removeprefix(MULTIPLY), threads)
    if name == "onnx":
        from pixelwise.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(folder / "model.onnx", threads=threads)
    if name.startswith("openvino"):
        from pixelwise.runtimes.openvino import OpenVinoRuntime

        file = "openvino-int8.xml" if name.endswith("int8") else "openvino.xml"
        return OpenVinoRuntime(folder / file, precision="bf16" if name.endswith("bf16") else "fp32", threads=threads)
    import torch

    from pixelwise.networks.architectures import build
    from pixelwise.runtimes.torch import TorchRuntime

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = build(options(base)).eval()
    if name == "eager":

        def eager(image: np.ndarray) -> object:
            with torch.no_grad():
                return network(torch.from_numpy(image))

        return eager
    return TorchRuntime(network, precision="bf16" if name.endswith("bf16") else "fp32")


def worker(pipe: Connection, name: str, base: int, folder: Path, threads: int) -> None:
    """Compute when asked, and answer with the seconds of the fastest of a few calls."""
    compute = make_side(name, base, folder, threads)
    image = np.random.default_rng(0).standard_normal((1, 1, SIDE, SIDE), np.float32)
    for _ in range(2):
        compute(image)
    pipe.send(0.0)
    while pipe.recv():
        taken: list[float] = []
        for _ in range(CALLS):
            began = time.perf_counter()
            compute(image)
            taken.append(time.perf_counter() - began)
        pipe.send(min(taken))


def take_turns(sides: Sequence[str], base: int, folder: Path, rounds: int, threads: int) -> dict[str, list[float]]:
    """Return the seconds of each side in each round."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    processes: list[SpawnProcess] = []
    for name in sides:
        here, there = context.Pipe()
        process = context.Process(target=worker, args=(there, name, base, folder, threads), daemon=True)
        process.start()
        there.close()  # so that the end of the process ends the waiting for it
        _hear(here, name)
        pipes[name] = here
        processes.append(process)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            seconds[name].append(_hear(pipe, name))
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    return seconds


def _half(side: str) -> bool:
    return side.endswith("bf16")


def _hear(pipe: Connection, name: str) -> float:
    """Wait for what a side says; the first time it says 0."""
    try:
        return pipe.recv()
    except EOFError:
        raise SystemExit(f"The process of {name} has ended unasked.") from None


def warm(bases: Sequence[int], rounds: int, threads: int) -> Table:
    """Compute one image in each runtime."""
    columns = ["base", f"runtime ({threads} threads)", "median, ms", "times eager (least - most)", "GFLOP/s"]
    table = Table(f"One warm image of {SIDE} x {SIDE}", columns)
    table.head()
    for base in bases:
        with tempfile.TemporaryDirectory() as folder:
            flops = prepare(base, Path(folder))
            seconds = take_turns(SIDES, base, Path(folder), rounds, threads)
        for name in SIDES:
            ratios = [eager / own for eager, own in zip(seconds["eager"], seconds[name], strict=True)]
            median = statistics.median(seconds[name])
            cells = (str(base), name, f"{median * 1000:.1f}", spread(ratios), f"{flops / median / 1e9:.0f}")
            table.add(*cells, seconds=seconds[name])
    return table


def peak(base: int, rounds: int, threads: int) -> Table:
    """Compare what a network reaches in each runtime with what the same library's matrix multiply reaches."""
    columns = ["runtime", "network, GFLOP/s", "matrix multiply, GFLOP/s", "share (least - most)"]
    columns += ["of the quickest multiply", "bar"]
    table = Table(f"Share of the peak: U-Net, base {base}, one image of {SIDE} x {SIDE}, {threads} threads", columns)
    table.head()
    with tempfile.TemporaryDirectory() as folder:
        flops = prepare(base, Path(folder), quantised=False)
        sides = [name for side in PEAK_SIDES for name in (side, MULTIPLY + side)]
        seconds = take_turns(sides, base, Path(folder), rounds, threads)
    best = {half: min(min(seconds[MULTIPLY + s]) for s in PEAK_SIDES if _half(s) == half) for half in (False, True)}
    for side in PEAK_SIDES:
        own = [flops / value / 1e9 for value in seconds[side]]
        most = [MULTIPLY_FLOPS / value / 1e9 for value in seconds[MULTIPLY + side]]
        shares = [one / other for one, other in zip(own, most, strict=True)]
        held = "held" if statistics.median(shares) >= PEAK_BAR else "missed"
        cells = (side, f"{statistics.median(own):.0f}", f"{statistics.median(most):.0f}", spread(shares))
        quickest = statistics.median(own) / (MULTIPLY_FLOPS / best[_half(side)] / 1e9)
        table.add(*cells, f"{quickest:.2f}", "-" if _half(side) else held, network=own, multiply=most)
    table.note(
        "A multiply-add counts as two. Winograd's convolutions need up to 2.25 times fewer multiplications than are "
        "counted here: a share above 1 is possible and says that an algorithm saves work. A library may multiply "
        "slowly on this processor: the quickest multiply is that of all libraries here in the same precision."
    )
    return table


def cold(models: Sequence[Path], image: Path, rounds: int) -> Table:
    """Predict one image in a process, from nothing to the mask on the disk."""
    seconds: dict[Path, list[float]] = {model: [] for model in models}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(rounds):
            for index, model in enumerate(models):
                out = Path(folder) / f"{index}-{turn}"
                command = [sys.executable, "-m", "pixelwise", "predict", str(model), str(image), "--out", str(out)]
                began = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds[model].append(time.perf_counter() - began)
    table = Table("Cold start to the mask on the disk", ["model", "median, s", "slowest, s"])
    table.head()
    for model, values in seconds.items():
        table.add(model.name, f"{statistics.median(values):.2f}", f"{max(values):.2f}", seconds=values)
    return table
