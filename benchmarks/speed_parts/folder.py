"""A folder of PNGs to a folder of masks: whole processes, imports and disk included. See speed.py."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pixelwise.datasets.synthetic import draw_cells
from pixelwise.io.read import write_image
from pixelwise.networks.options import NetworkOptions
from pixelwise.progress import Console
from speed_parts.models import EXPORTS, MODEL, draw_model
from speed_parts.sides import environment
from speed_parts.tables import Table, spread

SIDE = 512
SCRIPT = "script: PIL and eager PyTorch"
KINDS = 20  # pictures that are drawn; more are these, mirrored and shifted


@dataclass(frozen=True)
class Sizes:
    """How many pictures a process gets, to tell the start from what a picture takes."""

    one: Path
    many: Path
    count: int


def folders(count: int, base: int, rounds: int, threads: int, peers: str | None) -> Table:
    """Predict a folder with one picture, and one with many, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = Sizes(folder / "one", folder / "many", count)
        picture = _draw(sizes)
        options = NetworkOptions(base=base, in_channels=1, classes=2)
        draw_model(folder, options, picture, ["onnx", "openvino", "openvino-int8"])
        commands = _commands(folder, peers)
        first = _first(folder, sizes, threads)
        ones: dict[str, list[float]] = {side: [] for side in commands}
        manies: dict[str, list[float]] = {side: [] for side in commands}
        with Console().bar("predicting folders", 2 * rounds * len(commands)) as advance:
            for turn in range(rounds):
                for side, command in commands.items():
                    for images, seconds in ((sizes.one, ones), (sizes.many, manies)):
                        out = folder / f"out {side} {images.name} {turn}"
                        seconds[side].append(_run(command, images, out, folder, threads))
                        advance(1, side)
    return _table(sizes, base, threads, ones, manies, first)


def _commands(folder: Path, peers: str | None) -> dict[str, list[str]]:
    """Return each side's command up to the folder of pictures."""
    script = str(Path(__file__).with_name("script.py"))
    model = str(folder / MODEL)
    found = {SCRIPT: [peers or sys.executable, "-W", "ignore", script, model]}
    if peers:
        found["script: MONAI's sliding window"] = [peers, "-W", "ignore", script, "--monai", model]
    else:
        Console().message("MONAI is left out: name the Python that has it with --peers.")
    ours = [sys.executable, "-m", "pixelwise", "predict"]
    found["pixelwise, run"] = [*ours, model]
    return found | {f"pixelwise, {kind}": [*ours, str(folder / file)] for kind, file in EXPORTS.items()}


def _first(folder: Path, sizes: Sizes, threads: int) -> float:
    """Return the seconds of the first time that a run is predicted here: runtimes are converted and measured."""
    command = [sys.executable, "-m", "pixelwise", "predict", str(folder / MODEL)]
    return _run(command, sizes.many, folder / "out first", folder, threads)


def _run(command: Sequence[str], images: Path, out: Path, folder: Path, threads: int) -> float:
    ours = "-m" in command
    whole = [*command, str(images), *(["--out"] if ours else []), str(out)]
    surroundings = environment(threads) | {"PIXELWISE_CACHE": str(folder / "cache")}
    began = time.perf_counter()
    done = subprocess.run(whole, env=surroundings, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(whole)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    made = len(list(out.glob("*.png")))
    if made != len(list(images.iterdir())):
        raise SystemExit(f"{' '.join(whole)} made {made} masks")
    return seconds


def _draw(sizes: Sizes) -> np.ndarray:
    """Write the pictures; return the first."""
    drawn = [draw_cells(seed, SIDE)[0] for seed in range(min(KINDS, sizes.count))]
    for number in range(sizes.count):
        pixels = np.roll(drawn[number % len(drawn)], number // len(drawn) * 37, axis=1)
        write_image(sizes.many / f"{number:04d}.png", pixels)
    write_image(sizes.one / "0000.png", drawn[0])
    return drawn[0]


def _table(
    sizes: Sizes, base: int, threads: int, ones: dict[str, list[float]], manies: dict[str, list[float]], first: float
) -> Table:
    title = f"{sizes.count} PNGs of {SIDE} x {SIDE} to masks on the disk: base {base}, {threads} threads"
    columns = ["process", "one picture, s", f"{sizes.count} pictures, s", "pictures/s", "pictures/s after the start"]
    table = Table(title, [*columns, "times the script (least - most)"])
    table.head()
    for side in ones:
        one, many = statistics.median(ones[side]), statistics.median(manies[side])
        ratios = [other / own for other, own in zip(manies[SCRIPT], manies[side], strict=True)]
        after = (sizes.count - 1) / max(many - one, 1e-9)
        cells = (side, f"{one:.2f}", f"{many:.2f}", f"{sizes.count / many:.1f}", f"{after:.1f}", spread(ratios))
        table.add(*cells, one=ones[side], many=manies[side])
    table.note(
        f"The first time ever, the run took {first:.2f} s; where there is enough to predict, runtimes are measured."
    )
    return table
