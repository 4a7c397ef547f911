"""Speed of prediction in three dimensions: ours beside MONAI's sliding window and plain PyTorch, on one volume.

    python benchmarks/volume_speed.py [--peers PYTHON] [--size 160,192,160] [--base 16] [--depth 3] [--rounds 3]
                                      [--threads 2] [--run RUN --volume FILE.npy] [--json FILE]

All sides compute the same network with the same weights, from an array of voxels to an array of class indices, in a
process of their own, and take turns. Without --run the weights are drawn and the volume too.

    whole               the network once on the whole volume, in eager PyTorch
    monai               `sliding_window_inference` with its defaults: windows of --roi, overlap 0.25, mode constant
    monai-gaussian      the same with Gaussian weights, which its documentation recommends for quality
    torch, openvino     ours in float32, exact
    openvino-int8       ours, quantised to int8; with --run the Dice that it loses is in the parity report of the export

MONAI is measured where --peers names the Python of an environment that has it (and torch, numpy, scipy, scikit-image,
pydantic, jaxtyping and safetensors); without it MONAI is left out. Masks of the float32 sides are compared with the
first of them, and the Dice of the int8 mask with that of the float32 one is printed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OURS = {
    "torch": ("model.safetensors", "torch"),
    "openvino": ("openvino.xml", "openvino"),
    "openvino-int8": ("openvino-int8.xml", "openvino"),
}
PEERS = ("monai", "monai-gaussian")
SIDES = ("whole", *PEERS, *OURS)
WINDOWS = 4  # windows that MONAI computes at once, as in its tutorials
Predict = Callable[[np.ndarray], np.ndarray]  # (channels, depth, height, width) -> (depth, height, width)


@dataclass(frozen=True)
class Result:
    """Seconds of each round, the peak memory of the process in bytes, and the mask."""

    seconds: list[float]
    peak: int
    mask: np.ndarray


def main() -> None:
    """Measure all sides, or be one of them."""
    given = arguments()
    if given.side:
        be_side(given)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volume = make_volume(given.size) if given.volume is None else np.load(given.volume)
        np.save(folder / "volume.npy", volume)
        write_model(folder, given, volume)
        sides = [side for side in SIDES if given.peers or side not in PEERS]
        results = {side: measure(side, folder, given) for side in sides}
    report(results, volume.shape[1:], given)


def arguments() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="the Python of an environment with MONAI")
    parser.add_argument("--size", type=_sides, default=(160, 192, 160), help="depth, height and width of the volume")
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--roi", type=_sides, default=(96, 96, 96), help="windows of MONAI")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", type=Path, help="a run or model file of volumes instead of drawn weights")
    parser.add_argument("--volume", type=Path, help="a .npy file (channels, depth, height, width)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _sides(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"{text} is not three numbers")
    return numbers


def make_volume(size: Sequence[int]) -> np.ndarray:
    """Return drawn blobs with noise, (1, depth, height, width) uint8."""
    rng = np.random.default_rng(0)
    waves = [np.sin(np.arange(side) / rng.uniform(5, 9) + rng.uniform(0, 6)) for side in size]
    blobs = waves[0][:, None, None] * waves[1][None, :, None] * waves[2][None, None, :]
    return (120 + 80 * blobs + rng.normal(0, 12, size)).clip(0, 255).astype(np.uint8)[None]


def write_model(folder: Path, given: argparse.Namespace, volume: np.ndarray) -> None:
    """Write the model, and its exports for OpenVINO in float32 and int8, calibrated on crops of the volume."""
    from pixelwise.exporters.export_task import export_task_of
    from pixelwise.exporters.samples import Sample
    from pixelwise.exporters.to_onnx import onnx_bytes
    from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8
    from pixelwise.model_file.model_file import find_model_file, load_model, save_model

    network, card = draw_model(given, volume) if given.run is None else load_model(find_model_file(given.run))
    save_model(folder / "model.safetensors", network, card)
    graph = onnx_bytes(network, card)
    write_openvino(folder / "openvino.xml", graph, card)
    sample = Sample(volume, np.zeros(volume.shape[1:], np.uint8))
    write_openvino_int8(folder / "openvino-int8.xml", graph, card, export_task_of(card).calibration_inputs([sample]))


def draw_model(given: argparse.Namespace, volume: np.ndarray) -> tuple[Any, Any]:
    """Return a network with drawn weights, whose classes are about equally frequent on the volume."""
    import torch
    from torch import nn

    from pixelwise.labels.targets import TargetOptions
    from pixelwise.model_file.model_card import ModelCard
    from pixelwise.networks.architectures import build_segmenter
    from pixelwise.networks.options import NetworkOptions
    from pixelwise.sampling.normalise import Normalisation, intensity_scale

    torch.manual_seed(0)
    options = NetworkOptions(base=given.base, depth=given.depth, dimensions=3)
    network, scale = build_segmenter(options), intensity_scale(volume, Normalisation())
    side = network.geometry().valid_size(64)
    crop = np.resize(scale.apply(volume[:, :side, :side, :side]), (1, side, side, side))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        network.train()(torch.from_numpy(np.stack([crop, crop[:, ::-1].copy()])))
        logits = network.eval()(torch.from_numpy(crop[None]))
        last = [module for module in network.modules() if isinstance(module, nn.Conv3d)][-1]
        if last.bias is not None:
            last.bias[1] += (logits[0, 0] - logits[0, 1]).median()
    card = ModelCard(
        network=options,
        normalisation=Normalisation(),
        target=TargetOptions(),
        geometry=network.geometry(),
        task="binary",
        classes=("background", "object"),
        values=(0, 1),
        colours=((0, 0, 0), (255, 255, 255)),
        channels=1,
        tile=128,
        intensity_range=((0.0, 255.0),),
        trained={},
    )
    return network, card


def measure(side: str, folder: Path, given: argparse.Namespace) -> Result:
    """Run a side in a process of its own."""
    here = Path(__file__).resolve()
    python = given.peers if side in PEERS else sys.executable
    command = [python, "-W", "ignore", str(here), "--side", side, "--folder", str(folder)]
    command += ["--rounds", str(given.rounds), "--roi", ",".join(map(str, given.roi))]
    command += ["--threads", str(given.threads)]
    paths = [str(here.parent.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    options = {"OMP_NUM_THREADS": str(given.threads), "PYTHONPATH": os.pathsep.join(paths)}
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **options}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return Result(answer["seconds"], answer["peak"], np.load(folder / f"{side}.npy"))


def be_side(given: argparse.Namespace) -> None:
    """Load, predict once to warm up, predict each round, and print the seconds."""
    import torch

    from pixelwise.runtimes.malloc import keep_large_blocks

    if given.side in OURS:
        keep_large_blocks()  # as the command `predict` does
    torch.set_num_threads(given.threads)
    predict, volume = make_side(given.side, given.folder, given.roi), np.load(given.folder / "volume.npy")
    mask, seconds = predict(volume), list[float]()
    for _ in range(given.rounds):
        begun = time.perf_counter()
        mask = predict(volume)
        seconds.append(time.perf_counter() - begun)
    np.save(given.folder / f"{given.side}.npy", mask.astype(np.uint8))
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "peak": peak}))


def make_side(side: str, folder: Path, roi: tuple[int, ...]) -> Predict:
    """Return the function of a side."""
    if side in OURS:
        from pixelwise.inference.segmentation_model import load_model_for_prediction

        file, runtime = OURS[side]
        model = load_model_for_prediction(folder / file, runtime=runtime)
        return lambda volume: model.predict_pixels(volume, spacing=model.model_card.spacing).labels
    import torch

    from pixelwise.model_file.model_file import load_model
    from pixelwise.sampling.normalise import intensity_scale

    network, card = load_model(folder / "model.safetensors")
    compute: Callable[[torch.Tensor], torch.Tensor] = network.eval()
    if side in PEERS:
        from monai.inferers import sliding_window_inference  # pyright: ignore[reportMissingImports]

        window: Any = sliding_window_inference
        mode = "gaussian" if side == "monai-gaussian" else "constant"
        compute = lambda image: window(image, roi, WINDOWS, network, mode=mode)  # noqa: E731
    geometry = card.geometry

    def predict(volume: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(intensity_scale(volume, card.normalisation).apply(volume))[None]
        size = image.shape[2:]
        if side == "whole":  # filled up by reflection, as ours does
            ends = [valid - length for valid, length in zip(geometry.valid_sizes(size), size, strict=True)]
            image = torch.nn.functional.pad(image, (0, ends[2], 0, ends[1], 0, ends[0]), mode="reflect")
        with torch.no_grad():
            classes = compute(image).argmax(1)[0]
        return classes[: size[0], : size[1], : size[2]].numpy()

    return predict


def report(results: dict[str, Result], size: Sequence[int], given: argparse.Namespace) -> None:
    """Print a table, and write the numbers if a file is named."""
    medians = {side: statistics.median(result.seconds) for side, result in results.items()}
    exact = results["whole"].mask
    columns = [peer for peer in ("whole", *PEERS) if peer in results]
    print(f"{' x '.join(map(str, size))} voxels, {given.threads} threads, median of {given.rounds} rounds")
    print(f"{'side':16s}{'seconds':>9s}{'MiB':>8s}" + "".join(f"{'x ' + name:>18s}" for name in columns) + "   mask")
    rows: list[dict[str, Any]] = []
    for side, result in results.items():
        ratios = {name: medians[name] / medians[side] for name in columns}
        changed, dice = float((result.mask != exact).mean()), dice_of(result.mask, exact)
        times = "".join(f"{ratio:18.2f}" for ratio in ratios.values())
        print(
            f"{side:16s}{medians[side]:9.2f}{result.peak / 2**20:8.0f}{times}   {changed:.1e} differ, Dice {dice:.4f}"
        )
        rows.append({"side": side, "seconds": result.seconds, "peak": result.peak, "ratios": ratios, "dice": dice})
    if given.json:
        given.json.write_text(json.dumps({"size": list(size), "rows": rows}, indent=1), "utf-8")


def dice_of(mask: np.ndarray, other: np.ndarray) -> float:
    """Return the mean Dice of the classes above 0 of two masks; 1 for classes that both lack."""
    scores = [
        2 * np.count_nonzero((mask == index) & (other == index)) / max(1, total)
        for index in range(1, int(max(mask.max(), other.max())) + 1)
        if (total := np.count_nonzero(mask == index) + np.count_nonzero(other == index))
    ]
    return float(np.mean(scores)) if scores else 1.0


if __name__ == "__main__":
    main()
