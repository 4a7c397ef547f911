"""A gray image of any size: peak memory, time over size, and two kills on the way that cost nothing.

    python benchmarks/huge.py --sides 5000 10000 20000 40000 [--base 16] [--target boundary] [--folder DIR]
    python benchmarks/huge.py --sides 4096 20000 --encoder resnet34 --kills 0

Each image is a tiled TIFF of 8 bits, drawn tile by tile, and predicted by `pixelwise predict` in a process of its own.
The largest is then predicted again in processes that are killed (SIGKILL) when a third and two thirds of the tiles are
on the disk (`--kills 2`); a last one finishes, and its file must be that of the process that was not killed. Room on
the disk: about three bytes per pixel of the largest image.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tifffile
import torch
from prediction_memory import write_model

TILE = 512
BAR = 1.5  # GB


@dataclass(frozen=True)
class Process:
    """How a prediction ended: seconds, peak memory in GB, exit code (negative: the signal), its messages."""

    seconds: float
    peak: float
    code: int
    messages: str


def main() -> None:
    """Draw, predict, kill, compare, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[5_000, 10_000])
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--target", choices=["classes", "boundary"], default="classes")
    parser.add_argument("--encoder", default="plain")
    parser.add_argument("--kills", type=int, default=2, help="processes that are killed; 0 predicts each image once")
    parser.add_argument("--tile", type=int, help="kept pixels a side; by default as large as fits in memory")
    parser.add_argument("--folder", type=Path, help="where the images go; by default a temporary folder")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        torch.manual_seed(4)
        write_model(folder / "model.safetensors", chosen.base, chosen.target, chosen.encoder)
        extra = ["--tile", str(chosen.tile)] if chosen.tile else []
        print(f"| image | seconds | µs per pixel | peak memory, GB | bar {BAR} GB |\n|---|---|---|---|---|", flush=True)
        rates: list[float] = []
        for side in sorted(chosen.sides):
            image = folder / f"{side}.tif"
            draw(image, side)
            whole = predict(folder, image, folder / f"whole_{side}", extra)
            rates.append(whole.seconds / side**2 * 1e6)
            held = "held" if whole.peak < BAR else "missed"
            row = f"| {side:,} x {side:,} | {whole.seconds:.0f} | {rates[-1]:.3f} | {whole.peak:.2f} | {held} |"
            print(row, flush=True)
        print(f"\nTime per pixel: the slowest size takes {max(rates) / min(rates):.2f} times the quickest.")
        if chosen.kills:
            kill(folder, max(chosen.sides), chosen.kills, extra)


def kill(folder: Path, side: int, kills: int, extra: list[str]) -> None:
    """Predict the largest image in processes that are killed, and compare."""
    image, out = folder / f"{side}.tif", folder / "killed"
    whole = folder / f"whole_{side}" / f"{side}.tif"
    expected = hashlib.file_digest(whole.open("rb"), "sha256").hexdigest()
    count = tiles_of(whole.with_name("messages.txt"))
    print("\n| process | ended by | tiles found done | seconds | peak memory, GB |\n|---|---|---|---|---|")
    for number in range(1, kills + 2):
        stop = int(count * number / (kills + 1)) if number <= kills else None
        process = predict(folder, image, out, extra, stop)
        ended = f"signal {-process.code}" if process.code < 0 else f"code {process.code}"
        done = [line for line in process.messages.splitlines() if line.startswith("Continued:")]
        found = done[0].split()[1] if done else "0"
        print(f"| {number} | {ended} | {found} | {process.seconds:.0f} | {process.peak:.2f} |", flush=True)
    same = hashlib.file_digest((out / f"{side}.tif").open("rb"), "sha256").hexdigest() == expected
    print(f"\nThe file of the killed processes is {'the same to the last byte' if same else 'ANOTHER ONE'}.")
    if not same:
        raise SystemExit(1)


def draw(path: Path, side: int, distinct: int = 0) -> None:
    """Write a tiled TIFF of soft spots on noise; never more than a tile is in memory.

    With `distinct`, so many compressed tiles, at places chosen at random, are the image, which is drawn in seconds.
    """
    across = -(-side // TILE)

    def tiles() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        rows, columns = np.mgrid[:TILE, :TILE].astype(np.float32)
        for number in range(across * across):
            top, left = number // across * TILE, number % across * TILE
            spots = np.sin((rows + top) / 9) * np.cos((columns + left) / 11) * 50 + 110
            noisy = spots + rng.standard_normal((TILE, TILE), np.float32) * 10
            yield noisy.clip(0, 255).astype(np.uint8)

    def chosen() -> Iterator[bytes]:
        known = [zlib.compress(tile.tobytes(), 1) for tile in islice(tiles(), distinct)]
        for number in np.random.default_rng(1).integers(len(known), size=across * across):
            yield known[number]

    tifffile.imwrite(
        path,
        chosen() if distinct else tiles(),
        shape=(side, side),
        dtype=np.uint8,
        tile=(TILE, TILE),
        bigtiff=True,
        compression="zlib",
        compressionargs={"level": 1},
        photometric="minisblack",
    )


def predict(folder: Path, image: Path, out: Path, extra: list[str], stop: int | None = None) -> Process:
    """Run `pixelwise predict`; kill it when `stop` tiles are written."""
    command = [sys.executable, "-m", "pixelwise", "predict", str(folder / "model.safetensors"), str(image)]
    command += ["--out", str(out), "--format", "tiff", *extra]
    out.mkdir(exist_ok=True)
    messages = out / "messages.txt"
    began = time.monotonic()
    with messages.open("w") as errors:
        child = subprocess.Popen(command, stderr=errors, stdout=subprocess.DEVNULL)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if stop is not None and written(out) >= stop:
                child.send_signal(signal.SIGKILL)
            time.sleep(0.05)
    seconds = time.monotonic() - began
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    code = os.waitstatus_to_exitcode(status)
    child.returncode = code
    if code not in (0, -signal.SIGKILL):
        raise SystemExit(f"predict ended with {code}:\n{messages.read_text(encoding='utf-8')}")
    return Process(seconds, usage.ru_maxrss * unit / 1e9, code, messages.read_text(encoding="utf-8"))


def written(out: Path) -> int:
    """Count the tiles that the journal vouches for."""
    return sum(path.read_bytes().count(b'"window"') for path in out.glob(".*.journal"))


def tiles_of(messages: Path) -> int:
    """Return how many tiles the image has: what predict said."""
    line = next(line for line in messages.read_text(encoding="utf-8").splitlines() if " tiles of " in line)
    return int(line.split()[0].replace(",", ""))


if __name__ == "__main__":
    main()
