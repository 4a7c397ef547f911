"""One large image on three nodes, of which two are killed: the bytes of one process, and the peak memory of a worker.

    sudo python benchmarks/lost_nodes.py [--side 8000] [--base 16] [--depth 4] [--format tiff] [--folder DIR]
    sudo python benchmarks/lost_nodes.py --side 40000 --base 2 --depth 2 --distinct 64 --together

Network namespaces with host names of their own stand for nodes; each runs a worker of one thread. When a third of the
units are done, all processes of one node are killed (SIGKILL), and when two thirds are done those of another one. Bars:
the file of one process to the last byte, 1.1 GB per process, and at most 10 % of the computing for the unit that puts
the blocks together. Needs root and `ip`.
"""

import argparse
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from huge import draw
from machine import code_version, in_words
from partition import NODES, in_space, network, pids, wait_until
from prediction_memory import write_model

from pixelwise.cluster.job import Job, open_job
from pixelwise.cluster.ledger import Ledger

GIGABYTES, ASSEMBLED = 1.1, 0.1
PIXELWISE = (sys.executable, "-m", "pixelwise")
SHARES = (1 / 3, 2 / 3)  # of the units that are done when a node is killed


def main() -> None:
    """Predict with one process and on nodes, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=8000)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--format", choices=["tiff", "zarr"], default="tiff")
    parser.add_argument("--distinct", type=int, default=0, help="tiles of which the image is composed; 0: all differ")
    parser.add_argument("--together", action="store_true", help="run the one process beside the nodes, to save time")
    parser.add_argument("--folder", type=Path, help="where the images go; by default a temporary folder")
    chosen = parser.parse_args()
    print(f"{in_words()}, load {os.getloadavg()[0]:.1f}, {code_version()}\n")
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        torch.manual_seed(4)
        write_model(folder / "model.safetensors", chosen.base, "classes", depth=chosen.depth)
        draw(folder / "image.tif", chosen.side, chosen.distinct)
        words = [*PIXELWISE, "predict", str(folder / "model.safetensors"), str(folder / "image.tif")]
        words += ["--format", chosen.format, "--runtime", "torch"]
        began = time.monotonic()
        one = subprocess.Popen([*words, "--out", str(folder / "one")], stdout=subprocess.DEVNULL)
        alone = 0.0 if chosen.together else wait_for(one, began)
        subprocess.run([*words, "--out", str(folder / "many"), "--on", "none"], check=True, capture_output=True)
        job = open_job(folder / "many")
        node_began = time.monotonic()
        with network():
            peaks = predict_on_nodes(job, folder)
        seconds = time.monotonic() - node_began
        alone = alone or wait_for(one, began)
        same = digest(folder / "one") == digest(folder / "many")
        report(job, chosen.side, (alone, seconds), peaks, same=same)


def wait_for(process: "subprocess.Popen[bytes]", began: float) -> float:
    """Return the seconds that a process took."""
    if process.wait():
        raise SystemExit(f"the one process ended with {process.returncode}")
    return time.monotonic() - began


def predict_on_nodes(job: Job, folder: Path) -> dict[int, float]:
    """Run a worker in each namespace, kill two nodes, and return the peak memory of each process in GB."""
    workers = [
        in_space(
            number,
            [*PIXELWISE, "worker", str(job.out), "--index", str(number), "--of", str(NODES)],
            folder / f"node{number}.log",
        )
        for number in range(NODES)
    ]
    ledger, peaks, killed = Ledger(job), dict[int, float](), 0

    def look() -> bool:
        nonlocal killed
        for number in range(NODES):
            for process in pids(number):
                peaks[process] = max(peaks.get(process, 0.0), peak_of(process))
        if killed < len(SHARES) and int(ledger.scan().sum()) >= SHARES[killed] * job.units:
            killed += 1
            for process in pids(killed):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        return job.sealed

    try:
        wait_until(look, 4 * 3600)
    except TimeoutError:
        raise SystemExit((folder / "node0.log").read_text("utf-8")) from None
    finally:
        for worker in workers:
            worker.terminate()
    if killed < len(SHARES):
        raise SystemExit("the job ended before two nodes were killed")
    return peaks


def peak_of(process: int) -> float:
    """Return the peak memory of a process in GB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    return max((float(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM")), default=0.0)


def digest(out: Path) -> str:
    """Return a digest of the result, a file or a folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out).as_posix()
        if not name.startswith(".") and name != "_SUCCESS":
            total.update(name.encode() + path.read_bytes())
    return total.hexdigest()


def report(job: Job, side: int, seconds: tuple[float, float], peaks: dict[int, float], *, same: bool) -> None:
    """Print the table; end with an error if a bar is missed."""
    taken = {outcome.unit: outcome.seconds for outcome in Ledger(job).outcomes()}
    assembled = sum(taken.pop(unit) for unit in job.after)
    share, peak = assembled / sum(taken.values()), max(peaks.values())
    print("| image | units | one process | three nodes, two killed | most memory | put together | bytes |")
    print("|---|---|---|---|---|---|---|")
    row = f"| {side:,} x {side:,} | {job.units} | {seconds[0]:.0f} s | {seconds[1]:.0f} s | {peak:.2f} GB "
    print(f"{row}| {share:.1%} | {'equal' if same else 'DIFFERENT'} |")
    if not same or peak > GIGABYTES or share > ASSEMBLED:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
