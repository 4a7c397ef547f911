"""What a job costs besides its work: making it, starting a worker, committing a unit, scanning the ledger.

    python benchmarks/cluster.py [--units 1000000] [--images 400] [--side 4000] [--steps 40] [--folder DIR]

Bars: a job of 10^6 units is made in 60 s, a worker starts in 3 s, and the ledger of 10^6 outcomes is scanned in 10 s,
all within 300 MB. Outcomes are empty files here: a scan reads names only. Then two workers of one thread each, beside
one process of one thread; both write the same bytes, which is checked. They are measured on a few images too, which is
nearly all start-up: bar for the rest: 1.7 times as fast. A control is what the machine can give at most: two processes
that predict half of the images each, and know nothing of each other. The same for blocks of a streamed image, and for
the steps of a training that two processes share.
"""

import argparse
import csv
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import code_version, in_words

from pixelwise.cluster.job import Job, create_job, open_job
from pixelwise.cluster.ledger import OUTPUTS, SHARD, Ledger, Outcome
from pixelwise.cluster.sealing import seal_job
from pixelwise.cluster.storage.outputs import sum_up
from pixelwise.cluster.work import UnitResult
from pixelwise.progress import Progress

MADE, STARTED, SCANNED, MEMORY = 60.0, 3.0, 10.0, 300.0  # seconds, MB
COMMITS = 200
FEW, FASTER = 8, 1.7  # images that are nearly all start-up; two workers beside one process
SLOTS = 4  # of the training
PREDICT = (sys.executable, "-m", "pixelwise", "predict")
_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import cluster
cluster.{function}(Path(sys.argv[1]), int(sys.argv[2]))
"""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=400, help="of the prediction; 0 leaves it out")
    parser.add_argument("--side", type=int, default=4000, help="of a streamed image; 0 leaves it out")
    parser.add_argument("--steps", type=int, default=40, help="of the training; 0 leaves it out")
    parser.add_argument("--folder", type=Path, help="on the file system to measure; by default a temporary folder")
    chosen = parser.parse_args()
    print(f"{in_words()}, load {os.getloadavg()[0]:.1f}, {code_version()}\n")
    print("| what | measured | bar | |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        made = in_child("make_units", folder / "units", chosen.units)
        row(f"job of {chosen.units:,} units made", made[0], MADE, "s")
        row("its peak memory", made[1], MEMORY, "MB")
        row("a worker has its first unit", worker_start(folder / "units"), STARTED, "s")
        row("a unit with one file is committed", 1000 * commit_seconds(folder / "commits"), None, "ms")
        row("a unit is sealed", 1000 * sealing_seconds(folder / "commits"), None, "ms")
        fill(open_job(folder / "units"))
        scanned = in_child("scan_units", folder / "units", chosen.units)
        row(f"ledger of {chosen.units:,} outcomes scanned", scanned[0], SCANNED, "s")
        row("its peak memory", scanned[1], MEMORY, "MB")
        # last, because the peak of a child counts what its parent had when it started it
        row("the header of an image is read", 1000 * header_seconds(folder / "headers"), None, "ms")
        if chosen.side:
            blocks, assembled = block_seconds(folder / "blocks", chosen.side)
            row(f"blocks of an image of {chosen.side:,} x {chosen.side:,}", blocks, None, "s")
            row("they are assembled", assembled, blocks / 10, "s")
            one, two = (worker_seconds(folder / f"workers{count}", folder / "blocks", count) for count in (1, 2))
            row("by one worker, with start-up", one, None, "s")
            row("by two", two, None, "s")
            row("two workers, how many times as fast", one / two, None, f"(bar {FASTER})")
        if chosen.steps:
            one, two = (step_seconds(folder / "training", ranks, chosen.steps) for ranks in (1, 2))
            row(f"{chosen.steps} steps of {SLOTS} slots by one process", one, None, "s")
            row("by two processes", two, None, "s")
            row("two processes, how many times as fast", one / two, None, f"(bar {FASTER})")
        if chosen.images:
            few = prediction_seconds(folder / "few", FEW)
            many = prediction_seconds(folder / "many", chosen.images)
            for count, (one, two) in ((FEW, few), (chosen.images, many)):
                row(f"{count} images by one process", one, None, "s")
                row(f"{count} images by two workers", two, None, "s")
            row("two workers, how many times as fast", many[0] / many[1], None, f"(bar {FASTER})")
            row("the same without start-up", (many[0] - few[0]) / (many[1] - few[1]), None, "")
            row(
                "control: two processes with half of the images each",
                many[0] / halves_seconds(folder / "many"),
                None,
                "",
            )


def row(what: str, measured: float, bar: float | None, unit: str) -> None:
    """Print a row of the table."""
    held = "" if bar is None else "held" if measured <= bar else "missed"
    print(f"| {what} | {measured:.2f} {unit} | {'' if bar is None else f'{bar:.0f} {unit}'} | {held} |", flush=True)


def make_units(folder: Path, count: int) -> None:
    """Make a job of units that name one image each."""
    units = (({"images": [[f"image_{n:07d}", f"images/image_{n:07d}.png", [512, 512], []]]}, 1) for n in range(count))
    report(lambda: create_job(folder, "predict", "0" * 64, units, {}))


def scan_units(folder: Path, count: int) -> None:
    """Scan a ledger in which all units have an outcome."""

    def scan() -> None:
        if int(Ledger(open_job(folder)).scan().sum()) != count:
            raise SystemExit("outcomes are missing")

    report(scan)


def report(work: Callable[[], object]) -> None:
    """Print the seconds that a function takes, and the peak memory of the process in MB."""
    began = time.monotonic()
    work()
    unit = 1 if sys.platform == "darwin" else 1024
    print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def in_child(function: str, folder: Path, count: int) -> tuple[float, float]:
    """Run a function of this module in a process of its own; return seconds and MB."""
    program = _CHILD.format(folder=str(Path(__file__).parent), function=function)
    words = [sys.executable, "-c", program, str(folder), str(count)]
    seconds, memory = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(memory)


def worker_start(folder: Path) -> float:
    """Return the seconds from the start of a process until it has read its first unit, without a model."""
    program = "import sys; from pathlib import Path; from pixelwise.cluster.worker import run_worker; "
    program += "from pixelwise.cluster.job import open_job; open_job(Path(sys.argv[1])).unit(0)"
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    return time.monotonic() - began


def commit_seconds(folder: Path) -> float:
    """Return the seconds of a commit of a unit with one output, flushed to disk."""
    job = create_job(folder, "predict", "0" * 64, (({}, 1) for _ in range(COMMITS)), {})
    ledger = Ledger(job)
    began = time.monotonic()
    for unit in range(COMMITS):
        outputs = job.folder / "work" / "bench" / str(unit) / OUTPUTS
        outputs.mkdir(parents=True)
        (outputs / f"{unit}.png").write_bytes(b"x" * 20_000)
        work = f"bench/{unit}"
        ledger.record(Outcome(unit=unit, worker="bench", seconds=0.0, work=work, files=sum_up(outputs)))
    return (time.monotonic() - began) / COMMITS


class NoTables:
    """The work of units without tables; see `pixelwise.cluster.work.Work`."""

    shares_units = True

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Nothing."""
        return UnitResult()

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Nothing."""

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Nothing."""
        return []


def sealing_seconds(folder: Path) -> float:
    """Return the seconds per unit of sealing the job that `commit_seconds` left."""
    job = open_job(folder)
    began = time.monotonic()
    seal_job(job, Ledger(job), NoTables(), "bench")
    return (time.monotonic() - began) / COMMITS


def header_seconds(folder: Path) -> float:
    """Return the seconds for the header of one image, read in threads as when a job is made."""
    from pixelwise.io.read import probe, write_image  # here, because these take more memory than a ledger
    from pixelwise.parallel import parallel_map

    paths = [folder / f"{number}.png" for number in range(COMMITS)]
    for path in paths:
        write_image(path, np.zeros((1, 512, 512), np.uint8))
    began = time.monotonic()
    list(parallel_map(probe, paths))
    return (time.monotonic() - began) / COMMITS


def fill(job: Job) -> None:
    """Give every unit an empty outcome."""
    for first in range(0, job.units, SHARD):
        folder = job.folder / "done" / f"{first // SHARD:03d}"
        folder.mkdir(parents=True)
        for unit in range(first, min(first + SHARD, job.units)):
            os.close(os.open(folder / f"{unit:06d}.json", os.O_CREAT | os.O_WRONLY))


def block_seconds(folder: Path, side: int) -> tuple[float, float]:
    """Return the seconds of the blocks of a streamed image, and of the unit that assembles them, with one thread."""
    import tifffile
    from prediction_memory import write_model

    from pixelwise.cluster.predict import predict_on
    from pixelwise.cluster.worker import run_worker
    from pixelwise.workflow.prediction.options import PredictOptions

    folder.mkdir()
    write_model(folder / "model.safetensors", 16, "classes")
    noise = np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)
    tifffile.imwrite(folder / "image.tif", noise, tile=(256, 256))
    options = PredictOptions(format="tiff", runtime="torch")  # tiff: also images that would fit in memory
    out = folder / "out"
    predict_on(folder / "model.safetensors", [folder / "image.tif"], out, "none", options, progress=Progress())
    run_worker(out)
    job = open_job(out)
    seconds = {outcome.unit: outcome.seconds for outcome in Ledger(job).outcomes()}
    assembled = sum(seconds.pop(unit) for unit in job.after)
    return sum(seconds.values()), assembled


def worker_seconds(folder: Path, blocks: Path, count: int) -> float:
    """Return the seconds in which workers of one thread predict the streamed image of `block_seconds`."""
    words = [*PREDICT, str(blocks / "model.safetensors"), str(blocks / "image.tif"), "--out", str(folder)]
    seconds = timed([*words, "--format", "tiff", "--runtime", "torch", "--on", f"local:{count}"])
    if (folder / "image.tif").read_bytes() != (blocks / "out" / "image.tif").read_bytes():
        raise SystemExit("the outputs of workers differ")
    return seconds


def step_seconds(folder: Path, ranks: int, steps: int) -> float:
    """Return the seconds of the second half of the steps of a training, with its validation."""
    from pixelwise.datasets.synthetic import write_demo

    if not (folder / "cells").is_dir():
        write_demo(folder / "cells", train=8, val=4, test=1, size=256)
    words = [sys.executable, "-m", "pixelwise", "train", str(folder / "cells"), "--out", str(folder / str(ranks))]
    words += [
        "--steps",
        str(steps),
        "--ranks",
        str(ranks),
        f"training.slots={SLOTS}",
        "patches.batch=8",
        "network.base=16",
    ]
    words += ["patches.height=128", "patches.width=128", "training.threads=1", "training.tune=false"]
    words += [f"training.validate_every={steps // 2}", "training.precision=float32", "patches.low_res_fraction=0"]
    done = subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=False)
    if done.returncode not in (0, 5):  # 5: so short a training may have learned nothing
        raise SystemExit(done.stderr.decode())
    with (folder / str(ranks) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return float(rows[-1]["seconds"]) - float(rows[-2]["seconds"])


def timed(words: list[str]) -> float:
    """Return the seconds of a command with one thread per process."""
    began = time.monotonic()
    subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    return time.monotonic() - began


def halves_seconds(folder: Path) -> float:
    """Return the seconds of two processes, each with half of the images of `prediction_seconds`."""
    images = sorted((folder / "images").iterdir())
    words = [[*PREDICT, str(folder / "model.safetensors"), *map(str, images[half::2])] for half in range(2)]
    began = time.monotonic()
    processes = [
        subprocess.Popen(
            [*each, "--out", str(folder / f"half{half}"), "--runtime", "torch"],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for half, each in enumerate(words)
    ]
    if any(process.wait() for process in processes):
        raise SystemExit("a process failed")
    return time.monotonic() - began


def prediction_seconds(folder: Path, count: int) -> tuple[float, float]:
    """Return the seconds of one process and of two workers for the same images; the outputs must be equal."""
    import torch
    from prediction_memory import write_model

    from pixelwise.io.read import write_image

    torch.manual_seed(0)
    write_model(folder / "model.safetensors", 16, "classes")
    rng = np.random.default_rng(0)
    for number in range(count):
        write_image(folder / "images" / f"{number:04d}.png", rng.integers(0, 256, (1, 512, 512)).astype(np.uint8))
    seconds: list[float] = []
    for name, extra in (("one", []), ("two", ["--on", "local:2"])):
        words = [*PREDICT, str(folder / "model.safetensors"), str(folder / "images"), "--out", str(folder / name)]
        seconds.append(timed([*words, "--runtime", "torch", *extra]))
    if digest(folder / "one") != digest(folder / "two"):
        raise SystemExit("the outputs of two workers are not those of one process")
    return seconds[0], seconds[1]


def digest(folder: Path) -> str:
    """Return a digest of all outputs."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.name != "_SUCCESS"):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


if __name__ == "__main__":
    main()
