"""End pixelwise by SIGKILL at seeded moments, continue it, and compare what is there in the end.

    python benchmarks/kills.py [--kills 100] [--seed 0] [--only train predict] [--folder DIR]

A trial runs one command (train, predict, predict --format tiff, convert, report, export) and ends it before one of its
file operations, or while it computes; the seed chooses which. The command that the advice names is then run, and may be
ended again. In the end the files must be those of a process that was never ended, byte for byte, and no temporary file
may be left. Commands run in processes forked from this one, so that a trial costs no imports.
"""

import argparse
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

import torch

from pixelwise.cli.main import main as run_command_line
from pixelwise.datasets.synthetic import write_demo

PRELOADED = ("convert", "evaluate", "predict", "report", "train")  # imported before the forks
SETTINGS = (
    "network.base=2", "network.depth=2", "patches.height=32", "patches.width=32", "patches.batch=2",
    "training.precision=float32", "training.validate_every=4", "training.checkpoint_every=3", "training.threads=1",
    "--steps", "12",
)  # fmt: skip
DONE = (0, 5)  # a training as short as this may have learned nothing
MAX_PROCESSES = 4  # of one trial
OFTEN_TWICE = 0.3  # share of trials in which the second process is ended too
BY_TIME = 0.3  # share of kills at a moment of the clock
TEMPORARY = (".*.part", ".*.tiles", ".*.journal", ".*.done", ".writable")
WRITING = os.O_WRONLY | os.O_RDWR
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")  # audit events, besides `open`


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command and its results.

    Attributes
    ----------
    command : callable
        Returns the words of the command, from the folder of a trial and whether it was ended before.
    results : callable
        Returns the contents that must be equal, by name.
    share : int
        Trials of this scenario in a hundred.
    """

    command: Callable[[Path, bool], Sequence[str | Path]]
    results: Callable[[Path], Mapping[str, bytes]]
    share: int


def make_scenarios(data: Path, run: Path) -> dict[str, Scenario]:
    """Return the scenarios; `run` is a finished run on `data`, which commands other than train use."""
    images = data / "test" / "images"
    onward = ["--overwrite"]

    def train(folder: Path, again: bool) -> Sequence[str | Path]:
        out = folder / "run"
        begun = again and (out / "config.yaml").is_file()
        return ["train", data, "--out", out, *(["--resume"] if begun else SETTINGS)]

    def stream(folder: Path, again: bool) -> Sequence[str | Path]:
        """Give the same command again, unless it was ended after its last image."""
        complete = again and list(folder.glob("out/*.tif")) and not list(folder.glob("out/.*"))
        more = onward if complete else []
        return ["predict", run, images, "--out", folder / "out", "--format", "tiff", *more]

    def report(folder: Path, again: bool) -> Sequence[str | Path]:
        if not (folder / "run").exists():
            shutil.copytree(run, folder / "run")
        return ["report", folder / "run"]

    def files(*inner: str) -> Callable[[Path], Mapping[str, bytes]]:
        return lambda folder: read_files(folder.joinpath(*inner))

    return {
        "train": Scenario(command=train, results=read_run, share=45),
        "predict": Scenario(
            command=lambda folder, again: ["predict", run, images, "--out", folder / "out", *(onward if again else [])],
            results=files("out"),
            share=15,
        ),
        "predict --format tiff": Scenario(
            command=stream,
            results=files("out"),
            share=15,
        ),
        "convert": Scenario(
            command=lambda folder, again: ["convert", data, "--to", "coco", "--out", folder / "out"],
            results=files("out"),
            share=10,
        ),
        "report": Scenario(command=report, results=files("run", "report"), share=10),
        "export": Scenario(
            command=lambda folder, again: ["export", run, data, "--out", folder / "model.onnx"],
            results=lambda folder: read_files(folder),
            share=5,
        ),
    }


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def read_run(folder: Path) -> dict[str, bytes]:
    """Return what a training has learned: model, last checkpoint, snapshots, and its curve without the clock."""
    run = folder / "run"
    last = max((run / "checkpoints").glob("step-*"))
    rows = [line.split(",") for line in (run / "metrics.csv").read_text(encoding="utf-8").splitlines()]
    curve = "\n".join(",".join(row[:1] + row[2:]) for row in rows).encode()
    names = [run / "model.safetensors", *last.glob("*.safetensors"), *(run / "snapshots").glob("*.png")]
    return {"curve": curve, **{str(path.relative_to(run)): path.read_bytes() for path in names}}


def run_process(
    words: Sequence[str | Path], folder: Path, *, operation: int = 0, seconds: float = 0.0
) -> tuple[int, int]:
    """Run a command in a forked process.

    Parameters
    ----------
    words : sequence
    folder : Path
        File operations below it are counted; what the command prints goes to a file beside it.
    operation : int
        End the process before this file operation, counted from 1; 0: do not.
    seconds : float
        End it after so long; 0: do not.

    Returns
    -------
    code, operations : int
        Exit code, negative for a signal, and the number of file operations (of a process that was not ended).
    """
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        _be_the_command(words, folder, operation, writing)
    os.close(writing)
    if seconds:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return _finish(status, reading)
            time.sleep(0.005)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return _finish(status, reading)


def _finish(status: int, reading: int) -> tuple[int, int]:
    with os.fdopen(reading, "rb") as pipe:
        counted = pipe.read()
    return os.waitstatus_to_exitcode(status), int(counted or 0)


def _be_the_command(words: Sequence[str | Path], folder: Path, operation: int, writing: int) -> None:
    """Run the command line in this forked process, and end it; count the file operations below a folder."""
    printed = os.open(f"{folder}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    count, place = 0, str(folder)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event == "open":
            path, mode, flags = arguments
            changes = bool(set(str(mode)) & set("wax+")) if mode else bool(int(str(flags)) & WRITING)
        elif event in CHANGES:
            path, changes = arguments[0], True
        else:
            return
        if changes and str(path).startswith(place):
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    sys.argv = ["pixelwise", *map(str, words)]
    code = 1
    try:
        run_command_line()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        os.write(writing, str(count).encode())
        os._exit(code)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An undisturbed process: its results, its file operations and its seconds."""

    results: Mapping[str, bytes]
    operations: int
    seconds: float


def measure(scenario: Scenario, folder: Path) -> Reference:
    """Run a command twice without ending it; results that differ from one time to the next are not compared."""
    each: list[Mapping[str, bytes]] = []
    operations, seconds = 0, 0.0
    for number in (1, 2):
        place = folder / f"whole-{number}"
        place.mkdir(parents=True)
        words = scenario.command(place, False)
        began = time.monotonic()
        code, operations = run_process(words, place)
        seconds = time.monotonic() - began
        if code not in DONE:
            raise SystemExit(
                f"an undisturbed process ended with {code}:\n{Path(f'{place}.txt').read_text(encoding='utf-8')[-2000:]}"
            )
        each.append(scenario.results(place))
    same = {name: content for name, content in each[0].items() if each[1].get(name) == content}
    if differing := sorted(set(each[0]) - set(same)):
        print(f"  not compared, because they differ without kills too: {', '.join(differing)}", flush=True)
    return Reference(results=same, operations=operations, seconds=seconds)


def attempt(scenario: Scenario, reference: Reference, place: Path, rng: random.Random) -> str:
    """Run one trial; return what is wrong in the end, empty if nothing is."""
    place.mkdir(parents=True)
    kills = 2 if rng.random() < OFTEN_TWICE else 1
    ended = False
    for number in range(MAX_PROCESSES):
        operation, seconds = 0, 0.0
        if number < kills and rng.random() < BY_TIME:
            seconds = rng.uniform(0.05, 1) * reference.seconds
        elif number < kills:
            operation = rng.randint(1, reference.operations)
        code, _ = run_process(scenario.command(place, ended), place, operation=operation, seconds=seconds)
        if code in DONE:
            break
        if code != -signal.SIGKILL:
            return f"exit code {code}: {Path(f'{place}.txt').read_text(encoding='utf-8').strip().splitlines()[-1]}"
        ended = True
    results = scenario.results(place)
    wrong = [name for name, content in reference.results.items() if results.get(name) != content]
    wrong += [f"{name} (new)" for name in results if name not in reference.results and not _is_known(name, reference)]
    left = [path.name for pattern in TEMPORARY for path in place.rglob(pattern)]
    texts = [f"differs: {', '.join(wrong[:5])}"] * bool(wrong) + [f"left: {', '.join(left[:5])}"] * bool(left)
    return "; ".join(texts)


def _is_known(name: str, reference: Reference) -> bool:
    """Return whether a file of this name may differ: one of its folder and suffix is not compared either."""
    return Path(name).suffix in (".npz", ".json", ".html") and bool(reference.results)


def run_campaign(folder: Path, kills: int, seed: int, only: Sequence[str] = ()) -> list[str]:
    """Run the trials; return a line for each that went wrong."""
    torch.set_num_threads(1)
    for verb in PRELOADED:
        importlib.import_module(f"pixelwise.workflow.{verb}")
    data, rng, problems, counts = folder / "data", random.Random(seed), list[str](), Counter[str]()
    write_demo(data, train=4, val=2, test=3, size=64)
    (folder / "base").mkdir()
    code, _ = run_process(["train", data, "--out", folder / "base" / "run", *SETTINGS], folder / "base")
    if code not in DONE:
        raise SystemExit(Path(f"{folder / 'base'}.txt").read_text(encoding="utf-8")[-2000:])
    run_process(["evaluate", folder / "base" / "run", data], folder / "base")
    chosen = {
        name: one for name, one in make_scenarios(data, folder / "base" / "run").items() if not only or name in only
    }
    total = sum(one.share for one in chosen.values())
    for name, scenario in chosen.items():
        print(name, flush=True)
        reference = measure(scenario, folder / name.replace(" ", "_"))
        for number in range(max(1, round(kills * scenario.share / total))):
            place = folder / name.replace(" ", "_") / f"trial-{number}"
            problem = attempt(scenario, reference, place, rng)
            counts[name] += 1
            if problem:
                problems.append(f"{name}, trial {number}: {problem}")
                print(f"  {problems[-1]}", flush=True)
            else:
                shutil.rmtree(place)
        print(f"  {counts[name]} trials, {reference.operations} file operations", flush=True)
    return problems


def main() -> None:
    """Run the campaign and print what went wrong; the exit code is 1 if anything did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="number of trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=(), help="names of commands")
    parser.add_argument("--folder", type=Path, help="where the files go; by default a temporary folder")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        problems = run_campaign(Path(name).resolve(), chosen.kills, chosen.seed, chosen.only)
    print(f"{len(problems)} trials went wrong" if problems else "Every trial ended in equal results and left nothing.")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
