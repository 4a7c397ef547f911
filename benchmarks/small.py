"""A folder of small pictures: how much of the time is spent in the network, and how soon the first mask is there.

    python benchmarks/small.py [--images 2000] [--base 16,32] [--runtimes torch,onnx,openvino,openvino-int8] [--objects]
    python benchmarks/small.py --run RUN [--runtimes torch,openvino]

Draws gray PNGs of 256 x 256, each of them different, and runs `pixelwise predict` on their folder, once per runtime, in
a process of its own that does nothing else. Masks are those of padded U-Nets with random weights, rougher than those of
learned ones, which takes longer to compress; `--objects` asks for label images and a table of objects; `--run` takes a
trained run. `openvino-int8` is an exported file, quantised on some of these pictures.

The command is the user's. Two things are noted on its way: when the model is loaded, and when each call of the runtime
begins and ends; the first mask's time is that at which its file got its name, as the file system has it.

* seconds: from the loaded model to the end of the command.
* in the network: the part of them in which a call of the runtime was at work (calls that overlap count once).
* processor time in the network: processor seconds, of all threads, that the same calls take with nothing else at work
  (measured behind the command, in its process), divided by those of the command from the loaded model on. A pipeline
  that takes cores away from the network shows here, and not in the line above; other programs do not.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 256
DRAWN = 40  # pictures; the others are turned and shifted copies
CALLS = 25  # of the network alone; the median counts
RUNTIMES = ("torch", "onnx", "openvino", "openvino-int8")


def draw(folder: Path, count: int) -> None:
    """Write `count` pictures of cells."""
    from pixelwise.datasets.synthetic import draw_cells
    from pixelwise.io.read import png_bytes
    from pixelwise.parallel import parallel_map

    folder.mkdir(parents=True, exist_ok=True)
    drawn = [draw_cells(seed, SIDE)[0] for seed in range(min(DRAWN, count))]
    rng = np.random.default_rng(0)
    shifts = rng.integers(0, SIDE, (count, 2)).tolist()

    def write(index: int) -> None:
        picture = np.rot90(np.roll(drawn[index % len(drawn)], shifts[index], (1, 2)), index // len(drawn) % 4, (1, 2))
        (folder / f"{index:05d}.png").write_bytes(png_bytes(picture))

    list(parallel_map(write, range(count)))


def quantise(model: Path, images: Path, path: Path) -> None:
    """Write a model file in int8, with the ranges of a few of the pictures."""
    from pixelwise.exporters.to_onnx import onnx_bytes
    from pixelwise.exporters.to_openvino import write_openvino_int8
    from pixelwise.io.read import read_image
    from pixelwise.model_file.model_file import find_model_file, load_model
    from pixelwise.sampling.normalise import intensity_scale

    network, model_card = load_model(find_model_file(model))
    feeds: list[dict[str, np.ndarray]] = []
    for file in sorted(images.iterdir())[:16]:
        pixels = read_image(file).pixels
        scale = intensity_scale(pixels, model_card.normalisation)
        feeds.append(
            {
                "image": pixels[None].astype(np.float32),
                "mean": scale.shift[None].astype(np.float32),
                "std": (1 / scale.factor[None]).astype(np.float32),
            }
        )
    write_openvino_int8(path, onnx_bytes(network, model_card), model_card, feeds)


class Timed:
    """A runtime, and when each of its calls began and ended."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime
        self.calls: list[tuple[float, float]] = []
        self.shapes: Counter[tuple[int, ...]] = Counter()

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Compute, and note when."""
        began = time.perf_counter()
        found = self.runtime(tiles)
        self.calls.append((began, time.perf_counter()))
        self.shapes[tiles.shape] += 1
        return found

    def busy(self) -> float:
        """Return the seconds in which at least one call was at work."""
        seconds, reached = 0.0, 0.0
        for began, ended in sorted(self.calls):
            seconds += max(0.0, ended - max(began, reached))
            reached = max(reached, ended)
        return seconds

    def processor(self) -> float:
        """Return the processor seconds that all calls take with nothing else at work."""
        rng, total = np.random.default_rng(0), 0.0
        for shape, count in self.shapes.items():
            tiles = rng.standard_normal(shape, np.float32)
            taken: list[float] = []
            for _ in range(min(CALLS, count)):
                began = time.process_time()
                self.runtime(tiles)
                taken.append(time.process_time() - began)
            total += count * statistics.median(taken)
        return total


def command(model: Path, images: Path, out: Path, runtime: str) -> dict[str, Any]:
    """Run the command in this process; return what was measured."""
    from pixelwise.cli import main as cli
    from pixelwise.workflow.prediction import masks

    load = masks.load_model_for_prediction
    noted: dict[str, Any] = {}

    def loading(*given: Any, **named: Any) -> Any:
        model = load(*given, **named)
        noted["runtime"] = model.predictor.runtime = Timed(model.predictor.runtime)
        noted["clock"], noted["loaded"], noted["processor"] = time.time(), time.perf_counter(), time.process_time()
        return model

    masks.load_model_for_prediction = loading
    sys.argv = ["pixelwise", "predict", str(model), str(images), "--out", str(out), "--runtime", runtime]
    try:
        cli.main()
    except SystemExit as end:
        if end.code:
            raise
    ended, processor = time.perf_counter(), time.process_time()
    timed: Timed = noted["runtime"]
    named = min(path.stat().st_ctime for path in out.glob("[0-9]*.png"))
    return {
        "seconds": ended - noted["loaded"],
        "busy": timed.busy(),
        "processor": timed.processor() / (processor - noted["processor"]),
        "first": named - noted["clock"],
    }


def run_command(model: Path, images: Path, out: Path, runtime: str) -> dict[str, Any]:
    """Run the command in a process of its own."""
    given = [sys.executable, __file__, "--command", str(model), str(images), str(out), runtime]
    done = subprocess.run(given, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, runtime: str, count: int, found: dict[str, Any]) -> str:
    """Return a line of the table."""
    seconds = found["seconds"]
    cells = [f"{count / seconds:.1f}", f"{seconds:.1f}", f"{found['busy'] / seconds:.1%}"]
    cells += [f"{found['processor']:.1%}", f"{found['first']:.2f}"]
    return f"| {' | '.join([name, runtime, *cells])} |"


def measure(given: argparse.Namespace, folder: Path) -> None:
    """Draw, run every command and print the table."""
    from prediction_memory import write_model  # brings torch, which the measured commands must not have met

    images = folder / "images"
    if not images.exists():
        draw(images, given.images)
    models = {given.run.name: given.run} if given.run else {}
    for base in () if given.run else given.base.split(","):
        models[f"base {base}"] = folder / f"base{base}.safetensors"
        write_model(models[f"base {base}"], int(base), "boundary" if given.objects else "classes")
    columns = ["model", "runtime", "images/s", "seconds", "in the network", "processor time in the network"]
    print(f"| {' | '.join([*columns, 'first mask, s'])} |")
    print("|---" * (len(columns) + 1) + "|")
    for index, (name, model) in enumerate(models.items()):
        for runtime in given.runtimes.split(","):
            file, how = model, runtime
            if runtime == "openvino-int8":
                file, how = folder / f"int8-{index}.xml", "openvino"
                quantise(model, images, file)
            found = run_command(file, images, folder / f"masks-{index}-{runtime}", how)
            print(row(name, runtime, len(list(images.iterdir())), found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--base", default="16,32")
    parser.add_argument("--runtimes", default=",".join(RUNTIMES))
    parser.add_argument("--objects", action="store_true")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--folder", type=Path, help="where everything goes, and stays; by default a temporary one")
    parser.add_argument("--command", nargs=4, metavar=("MODEL", "IMAGES", "OUT", "RUNTIME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.command:
        model, images, out, runtime = given.command
        print(json.dumps(command(Path(model), Path(images), Path(out), runtime)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        measure(given, given.folder or Path(temporary))


if __name__ == "__main__":
    main()
