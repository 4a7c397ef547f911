"""One side of the speed bench in a process of its own: loads, warms up, predicts a picture, says how long it took.

    python -m speed_parts.sides SIDE FOLDER PICTURE.npy [--calls 1] [--tile 512] [--roi 512]

From an array of pixels to an array of class indices, normalisation included. Sides of pixelwise and of plain PyTorch
run anywhere; those of MONAI, smp and nnU-Net with the Python that has them. All compute the network in FOLDER.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Predict = Callable[[np.ndarray], np.ndarray]  # pixels (channels, height, width) -> class indices (height, width)
WARM = 1536  # pixels a side of what is predicted before: three tiles of 512, so that every shape of tile has come
OURS = {
    "torch": ("model.safetensors", "torch"),
    "torch-bf16": ("model.safetensors", "torch-bf16"),
    "onnx": ("model.onnx", "onnx"),
    "openvino": ("openvino.xml", "openvino"),
    "openvino-bf16": ("openvino.xml", "openvino-bf16"),
    "openvino-int8": ("openvino-int8.xml", "openvino"),
}
PLAIN = ("whole", "loop")  # PyTorch and nothing else
PEERS = ("monai", "monai-equal", "nnunet", "nnunet-mirrored", "smp")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a side shall do.

    Attributes
    ----------
    side, folder, picture
        Name, the folder of the model, the .npy file of the pixels.
    threads : int
    calls : int
        How often the picture is predicted.
    tile : int
        Pixels a side that our tiles keep; 0: what the model says.
    roi : int
        Pixels a side of the windows of the others.
    python : str
        The interpreter.
    """

    side: str
    folder: Path
    picture: Path
    threads: int
    calls: int = 1
    tile: int = 0
    roi: int = 512
    python: str = sys.executable


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Seconds and processor seconds of each call, seconds of the start (imports, model, warming up), peak bytes."""

    seconds: list[float]
    processor: list[float]
    start: float
    peak: int


def ask(question: Ask, limit: float | None = None) -> Answer:
    """Start a side, wait, and return what it says. Its mask lies in the folder, as SIDE.npy.

    Raises
    ------
    TimeoutError
        It took more than `limit` seconds, and was ended.
    """
    command = [question.python, "-W", "ignore", "-m", "speed_parts.sides", question.side, str(question.folder)]
    command += [str(question.picture), "--calls", str(question.calls)]
    command += ["--tile", str(question.tile), "--roi", str(question.roi)]
    env = environment(question.threads)
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{question.side} took more than {limit:.0f} s") from error
    if done.returncode:
        raise SystemExit(f"{question.side} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Answer(**json.loads(done.stdout.splitlines()[-1]))


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a side: its threads, which sleep while they wait, our source and this bench."""
    here = Path(__file__).parent.parent
    paths = [str(here.parent / "src"), str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
    options = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **options}


def make(side: str, folder: Path, tile: int, roi: int) -> Predict:
    """Return what predicts."""
    if side in OURS:
        return _ours(*OURS[side], folder, tile)
    from speed_parts.peers import make_peer

    return make_peer(side, folder, tile or 512, roi)


def _ours(file: str, runtime: str, folder: Path, tile: int) -> Predict:
    import pixelwise
    from pixelwise.inference.segmentation_model import SegmentationModel

    model = pixelwise.load(folder / file, runtime=runtime)
    if not isinstance(model, SegmentationModel):
        raise SystemExit("not a model of masks")
    return (SegmentationModel(model.model_card, model.predictor.with_core(tile)) if tile else model).predict


def held() -> int:
    """Return the most memory that this process has held, in bytes; not what its parent held before it began."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        from pixelwise.inference.memory import peak_memory

        return peak_memory()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Be a side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=[*OURS, *PLAIN, *PEERS])
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--tile", type=int, default=0)
    parser.add_argument("--roi", type=int, default=512)
    given = parser.parse_args()
    began = time.perf_counter()
    predict = make(given.side, given.folder, given.tile, given.roi)
    pixels = np.load(given.picture)
    predict(pixels[:, :WARM, :WARM])
    start = time.perf_counter() - began
    seconds: list[float] = []
    processor: list[float] = []
    mask: np.ndarray | None = None
    for _ in range(given.calls):
        clock, work = time.perf_counter(), time.process_time()
        mask = predict(pixels)
        seconds.append(time.perf_counter() - clock)
        processor.append(time.process_time() - work)
    peak = held()
    if mask is not None:
        np.save(given.folder / f"{given.side}.npy", mask.astype(np.uint8))
    print(json.dumps({"seconds": seconds, "processor": processor, "start": start, "peak": peak}))


if __name__ == "__main__":
    main()
