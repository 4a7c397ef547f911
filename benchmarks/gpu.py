"""What needs a GPU: the speed of prediction, and a few minutes of training on each real set. One command, one table.

    PYTHONPATH=src python benchmarks/gpu.py --data ../shared/data --out runs/gpu [--sets chase_db1] [--minutes 8]

Needs the repository, the data and a CUDA device, and nothing else: no peers, no network. What is missing is listed at
once, before anything is measured, and the exit code is 2. Sets that are not under --data are left out. The sets share
what --minutes leave beside the speed of prediction; --budget gives each of them its own. What is measured:

* prediction: images per second of a padded U-Net of base 64 (1 channel, 2 classes, random weights, batch normalisation
  folded) on 512 x 512 in bfloat16, and the share of the card's own rate of bfloat16 matrix products of 8192 x 8192,
  measured in the same call. Once as prediction runs it, from array to array, and once the network alone, with the
  images on the card. Twice the multiply-adds of the network are counted, whatever an algorithm saves.
* training: `pixelwise train` with defaults for --budget a set, `pixelwise predict`, and the scores of `score.py`.

Bars are printed beside what was reached. Times are medians; the card may be shared.
"""

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from accuracy_parts.contenders import OURS, Cell, Place, meaning, predict_ours, seconds_in, seen, steps_of, train_ours
from score import MEASURES, all_scores, measure_folder

from pixelwise.atomic_write import atomic_write_json

BASE, SIDE, MATRIX = 64, 512, 8192
BATCHES = (1, 4, 8, 16, 32)
SHARE = 0.45
BARS = {
    "isbi2012_em": {"V_rand": 0.97},
    "dsb2018_nuclei": {"AP@0.5": 0.87, "AP@0.9": 0.30},
    "camvid11": {"mean IoU": 0.70},
    "magnetic_tile_defects": {"mean Dice": None},
    "chase_db1": {"Dice": 0.81},
}
NEEDED = (
    "imagecodecs",
    "jaxtyping",
    "pydantic",
    "rich",
    "safetensors",
    "tifffile",
    "torch",
    "typer",
)
NO_DEVICE = 2
PYTHON, TORCH = (3, 11), (2, 8)  # the oldest releases that are tried
DISK = 2_000_000_000  # bytes of the runs of all sets
SPEED_SECONDS = 60  # of measuring the speed of prediction
SET_SECONDS = 30  # of a set besides its training: starts, prediction, scores
LEAST_BUDGET = 20  # seconds, below which a training says nothing


@dataclass(frozen=True)
class Row:
    """A line of the table; `bar` is None where nothing was promised."""

    what: str
    how: str
    reached: float
    unit: str
    bar: float | None

    def cells(self) -> tuple[str, ...]:
        """Return the line in words."""
        verdict = "" if self.bar is None else "met" if self.reached > self.bar else "missed"
        return self.what, self.how, f"{self.reached:.4g} {self.unit}".strip(), f"{self.bar or ''}", verdict


def main() -> None:
    """Measure, print rows as they come, write them to --out; exit with 1 when a set failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(MEASURES))
    parser.add_argument("--minutes", type=float, default=8.0, help="of the whole command")
    parser.add_argument("--budget", type=seconds_in, help="of each set: 90s, 3m; by default what --minutes leave")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-speed", action="store_true", help="only the sets")
    chosen = parser.parse_args()
    names = [name for name in chosen.sets.split(",") if name]
    missing = find_problems(names, chosen.data, chosen.out)
    if missing:
        print(f"Nothing was measured. {len(missing)} missing:", file=sys.stderr)
        print(*(f"  - {problem}" for problem in missing), sep="\n", file=sys.stderr)
        sys.exit(NO_DEVICE)
    describe_machine()
    present = [name for name in names if (chosen.data / name).exists()]
    budget = chosen.budget or budget_of_each(len(present), 60 * chosen.minutes, with_speed=not chosen.no_speed)
    rows: list[Row] = []

    def note(new: Sequence[Row]) -> None:
        for row in new:
            print("| " + " | ".join(row.cells()) + " |", flush=True)
        rows.extend(new)
        atomic_write_json(chosen.out / "gpu.json", [asdict(row) for row in rows])

    print("| what | how | reached | bar | verdict |\n|---|---|---|---|---|", flush=True)
    if not chosen.no_speed:
        note(speed("cuda"))
    place = Place(data=chosen.data.resolve(), out=chosen.out.resolve())
    failed: list[str] = []
    for name in (name for name in names if name not in present):
        print(f"{name}: not under {place.data}, left out", file=sys.stderr)
    for name in present:
        try:
            note(train_and_score(name, place, budget, chosen.seed, "cuda"))
        except (subprocess.CalledProcessError, OSError, ValueError) as error:
            print(f"{name}: failed: {error}", file=sys.stderr)
            failed.append(name)
    sys.exit(1 if failed else 0)


def find_problems(names: Sequence[str], data: Path, out: Path) -> list[str]:
    """Return everything that is missing, a sentence each: packages, a card, the data, room for the results."""
    problems = [f"{name}: pip install {name}" for name in NEEDED if importlib.util.find_spec(name) is None]
    if sys.version_info < PYTHON:
        problems.append(f"Python {'.'.join(map(str, PYTHON))} or later; this is {sys.version.split()[0]}")
    if importlib.util.find_spec("torch") is not None:
        problems += _card_problems()
    unknown = [name for name in names if name not in MEASURES]
    problems += [f"a set of this name: {name}; known are {', '.join(MEASURES)}" for name in unknown]
    if not any((data / name).exists() for name in names):
        problems.append(f"data: none of {', '.join(names)} is under {data}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out).free
        if free < DISK:
            problems.append(f"room in {out}: {DISK / 1e9:.0f} GB; {free / 1e9:.1f} GB are free")
        if not os.access(out, os.W_OK):
            problems.append(f"the right to write into {out}")
    except OSError as error:
        problems.append(f"a folder for the results: {out} cannot be made ({error.strerror})")
    return problems


def _card_problems() -> list[str]:
    import torch

    version = tuple(int(number) for number in torch.__version__.split("+")[0].split(".")[:2])
    problems: list[str] = []
    if version < TORCH:
        problems.append(f"torch {'.'.join(map(str, TORCH))} or later; this is {torch.__version__}")
    if not torch.cuda.is_available():
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        return [*problems, f"a CUDA device: torch {torch.__version__} ({build}) finds none"]
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        problems.append(f"units for bfloat16: {torch.cuda.get_device_name(0)} has none")
    return problems


def describe_machine() -> None:
    """Print the card and the versions."""
    import torch

    print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}, Python {sys.version.split()[0]}\n", flush=True)


def budget_of_each(sets: int, seconds: float, *, with_speed: bool) -> int:
    """Return the seconds of training of each set, so that everything ends in time.

    Examples
    --------
    >>> budget_of_each(5, 480, with_speed=True), budget_of_each(1, 60, with_speed=True)
    (54, 20)
    """
    left = seconds - (SPEED_SECONDS if with_speed else 0)
    return max(LEAST_BUDGET, int(left / max(1, sets)) - SET_SECONDS)


def speed(device: str, base: int = BASE, side: int = SIDE, matrix: int = MATRIX) -> list[Row]:
    """Measure prediction against the rate of matrix products, each at the batch that is fastest for it."""
    import torch

    from pixelwise.networks.architectures import build_segmenter
    from pixelwise.networks.options import NetworkOptions
    from pixelwise.runtimes.fold_batch_norm import fold_batch_norm
    from pixelwise.runtimes.torch import TorchRuntime

    torch.manual_seed(0)
    rate = matrix_rate(device, matrix)
    network = build_segmenter(NetworkOptions(base=base, in_channels=1, classes=2)).eval()
    flops = sum(layer.flops for layer in network.layers(side))
    runtime = TorchRuntime(network, device, "bf16")
    alone = fold_batch_norm(network).to(device, torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def from_arrays(batch: int) -> Callable[[], object]:
        images = torch.randn(batch, 1, side, side).numpy()
        return lambda: runtime(images)

    def on_card(batch: int) -> Callable[[], object]:
        images = torch.randn(batch, 1, side, side).to(device, torch.bfloat16, memory_format=torch.channels_last)
        return lambda: alone(images)

    rows = [Row("matrix products", f"bfloat16, {matrix} x {matrix}", rate / 1e12, "TFLOP/s", None)]
    ways = (("array to array", from_arrays, False), ("network alone", on_card, False), ("network alone", on_card, True))
    for name, make, tried in ways:
        torch.backends.cudnn.benchmark = tried
        best = max((batch / seconds(make(batch), device), batch) for batch in BATCHES)
        how = f"base {base}, {side} x {side}, {name}, batches of {best[1]}{', cuDNN tries its ways' if tried else ''}"
        rows.append(Row("prediction", how, best[0], "images/s", None))
        rows.append(Row("share of the matrix rate", how, best[0] * flops / rate, "", SHARE))
    torch.backends.cudnn.benchmark = False
    return rows


def matrix_rate(device: str, size: int) -> float:
    """Return the floating-point operations per second of a product of two bfloat16 matrices of noise."""
    import torch

    one, two = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds(lambda: one @ two, device)


def seconds(call: Callable[[], object], device: str, rounds: int = 9) -> float:
    """Return the median time of a call, the work of the device included, after three to warm up."""
    import torch

    taken: list[float] = []
    with torch.inference_mode():
        for turn in range(rounds + 3):
            began = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn >= 3:
                taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def train_and_score(name: str, place: Place, budget: int, seed: int, device: str) -> list[Row]:
    """Train one set anew, predict the part that is scored, and return its scores."""
    cell = Cell(set=name, contender=OURS, seconds=budget, seed=seed)
    folder = place.folder(cell)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run, masks, measure = folder / "run", folder / "masks", MEASURES[name]
    began = time.monotonic()
    subprocess.run(train_ours(cell, seen(place, name), run, device), check=True, stdout=sys.stderr)
    trained = time.monotonic() - began
    subprocess.run(predict_ours(run, place.images(name), masks, device), check=True, stdout=sys.stderr)
    predicted = time.monotonic() - began - trained
    found = all_scores(measure, measure_folder(measure, place.truth(name), masks, meaning(measure, masks)))
    how = f"{measure.part}, seed {seed}, {steps_of(run)} steps, trained {trained:.0f} s, predicted {predicted:.0f} s"
    chosen = {measure.headline: None} | BARS[name]
    return [Row(f"{name}: {score}", how, found[score] or 0.0, "", bar) for score, bar in chosen.items()]


if __name__ == "__main__":
    main()
