"""A Ray cluster of three network namespaces, one of which is cut off while a job runs, beside plain Ray tasks.

    sudo python benchmarks/partition.py [--units 45] [--seconds 4] [--cut 90] [--frozen] [--control]

Units sleep. After a tenth of them, the link of one node goes down for `--cut` seconds; with `--frozen` its processes
are also stopped, which stands for a file system that it cannot reach (the namespaces share their disk). Bar: from the
cut on, the job takes at most 1.3 times (remaining units / living slots) units plus one, and what wakes up later
changes nothing. With `--control` the same sleeps are plain tasks of Ray, which are waited for with `ray.get`. Needs
root, `ip` and Ray.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from machine import code_version, in_words

from pixelwise.cluster.driver import RAY_PROGRAM, LocalWorkers, watch_local
from pixelwise.cluster.job import Job, create_job, open_job
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.work import UnitResult
from pixelwise.cluster.worker import run_worker
from pixelwise.progress import Progress

NODES, SLOTS = 3, 2  # the first is the head, without workers, and the last is cut off; slots of each other
LIVING = SLOTS * (NODES - 2)
PORT, NETWORK, BRIDGE = 6379, "10.77.0", "pwbridge"
FACTOR = 1.3
TOKEN = "0123456789abcdef" * 4
HERE = Path(__file__).resolve()


def main() -> None:
    """Measure, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=45)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--cut", type=float, default=90.0)
    parser.add_argument("--frozen", action="store_true")
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--role", choices=("drive", "tasks", "work"), help="of a process that this program starts")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.role:
        {"drive": drive, "tasks": tasks, "work": work}[chosen.role](chosen)
        return
    print(f"{in_words()}, load {os.getloadavg()[0]:.1f}, {code_version()}\n")
    print("| what | remaining | living slots | seconds | bar | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="pw", dir="/tmp", ignore_cleanup_errors=True) as name, network():
        measure(Path(name), chosen)


def measure(folder: Path, chosen: argparse.Namespace) -> None:
    """Run a job on a cluster, cut a node off, and print how long the rest took."""
    out = folder / "out"
    job = create_job(out, "sleep", "0" * 64, (({"seconds": chosen.seconds}, 1) for _ in range(chosen.units)), {})
    with nodes(folder):
        driver = start_driver(folder, out, chosen)
        try:
            try:
                wait_until(lambda: done(job) >= chosen.units // 10, 300)
            except TimeoutError:
                raise SystemExit((folder / "driver.log").read_text("utf-8")) from None
            began, remaining = time.monotonic(), chosen.units - done(job)
            cut(frozen=chosen.frozen)
            bar = FACTOR * remaining / LIVING * chosen.seconds + chosen.seconds
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: done(job) == chosen.units, max(2 * bar, chosen.cut + 60))
            seconds = time.monotonic() - began
            finished = done(job) == chosen.units
            before = snapshot(out)
            time.sleep(max(0.0, chosen.cut - (time.monotonic() - began)))
            join_again()
            if finished and not chosen.control:
                check(driver, job, before)
        finally:
            driver.kill()
            driver.wait()
    what = "plain tasks of Ray" if chosen.control else "the job"
    what += ", node frozen" if chosen.frozen else ""
    result = f"{seconds:.1f}" if finished else f"not finished after {seconds:.0f}"
    held = "held" if finished and seconds <= bar else "missed"
    print(f"| {what} | {remaining} | {LIVING} | {result} | {bar:.1f} | {held} |", flush=True)


def check(driver: "subprocess.Popen[bytes]", job: Job, before: dict[str, tuple[int, int]]) -> None:
    """Check that the driver has ended, and that nothing changes or is left when the node is back."""
    if driver.wait(120):
        raise SystemExit("the driver has failed")
    time.sleep(20)
    after = snapshot(job.out)  # of a unit that has an outcome, the output may follow
    changed = [name for name, mark in before.items() if after.get(name) != mark]
    if changed:
        raise SystemExit(f"outputs have changed: {changed}")
    subprocess.run(["sha256sum", "--check", "--quiet", "_SUCCESS"], cwd=job.out, check=True)
    left = [path for path in job.out.rglob("*") if path.name.endswith(".part")]
    if left or len(after) != job.units:
        raise SystemExit(f"{len(after)} outputs, {len(left)} temporary files")


def snapshot(out: Path) -> dict[str, tuple[int, int]]:
    """Return number and time of change of all outputs."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.glob("*.bin")}


def done(job: Job) -> int:
    """Return how many units have an outcome; plain tasks leave a file only."""
    return max(len(list(job.out.glob("*.bin"))), int(Ledger(job).scan().sum()))


def wait_until(condition: Any, seconds: float) -> None:
    """Wait for something that other processes do."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.2)


@contextmanager
def network() -> Generator[None, None, None]:
    """Make namespaces that are joined by a bridge."""
    remove_network()
    ip("link", "add", BRIDGE, "type", "bridge")
    ip("link", "set", BRIDGE, "up")
    try:
        for number in range(NODES):
            name, link = space(number), f"{BRIDGE}{number}"
            ip("netns", "add", name)
            ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", link, "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{address(number)}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        remove_network()


def remove_network() -> None:
    """Remove what an earlier call may have left."""
    for number in range(NODES):
        for process in pids(number):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", space(number)], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"{BRIDGE}{number}"], capture_output=True, check=False)
    subprocess.run(["ip", "link", "del", BRIDGE], capture_output=True, check=False)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def space(number: int) -> str:
    return f"{BRIDGE}-{number}"


def address(number: int) -> str:
    return f"{NETWORK}.{number + 1}"


def pids(number: int) -> list[int]:
    """Return the processes of a node."""
    listed = subprocess.run(["ip", "netns", "pids", space(number)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def cut(*, frozen: bool) -> None:
    """Cut the last node off, and stop its processes if they are to be frozen."""
    ip("link", "set", f"{BRIDGE}{NODES - 1}", "down")
    if frozen:
        signal_node(signal.SIGSTOP)


def join_again() -> None:
    """Let the last node go on."""
    ip("link", "set", f"{BRIDGE}{NODES - 1}", "up")
    signal_node(signal.SIGCONT)


def signal_node(number: signal.Signals) -> None:
    for process in pids(NODES - 1):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@contextmanager
def nodes(folder: Path) -> Generator[None, None, None]:
    """Run a Ray node in each namespace."""
    ray = shutil.which("ray", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if ray is None:
        raise SystemExit("Ray is not installed")
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(NODES):
            head = ["--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={folder}"]
            words = [ray, "start", "--block", *(head if not number else [f"--address={address(0)}:{PORT}"])]
            words += [
                f"--node-ip-address={address(number)}",
                f"--num-cpus={SLOTS if number else 0}",
                "--disable-usage-stats",
            ]
            words += ["--object-store-memory=80000000"]
            started.append(in_space(number, words, folder / f"node{number}.log"))
            log = folder / f"node{number}.log"
            wait_until(lambda log=log: b"Ray runtime started" in log.read_bytes(), 400)
        yield
    finally:
        for number in range(NODES):
            for process in pids(number):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        for process in started:
            process.wait()


def in_space(number: int, words: list[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a program in a namespace, on a host of another name."""
    inside = f'hostname {space(number)} && exec "$@"'
    command = ["ip", "netns", "exec", space(number), "unshare", "--uts", "sh", "-c", inside, "sh", *words]
    more = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, **more, "PYTHONPATH": ":".join(paths)}
    with log.open("wb") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)


def start_driver(folder: Path, out: Path, chosen: argparse.Namespace) -> "subprocess.Popen[bytes]":
    """Start what runs the units, on the head."""
    role = "tasks" if chosen.control else "drive"
    words = [sys.executable, str(HERE), "--role", role, str(out), f"{address(0)}:{PORT}"]
    return in_space(0, [*words, "--units", str(chosen.units), "--seconds", str(chosen.seconds)], folder / "driver.log")


def drive(chosen: argparse.Namespace) -> None:
    """Watch the job, and let Ray start its workers."""
    out, head = chosen.words
    program = (*RAY_PROGRAM, head, str(HERE), "--role", "work")
    watch_local(LocalWorkers(open_job(Path(out)), 1, program, elsewhere=True), Progress(), "sleeping")


def tasks(chosen: argparse.Namespace) -> None:
    """Sleep in plain tasks of Ray, one per unit."""
    import ray

    out, head = chosen.words
    ray.init(address=head, log_to_driver=False)

    @ray.remote(num_cpus=1)
    def sleep(number: int) -> int:
        time.sleep(chosen.seconds)
        Path(out, f"{number:06d}.bin").write_bytes(b"slept")
        return number

    ray.get([sleep.remote(number) for number in range(chosen.units)])


def work(chosen: argparse.Namespace) -> None:
    """Be a worker."""
    run_worker(Path(chosen.words[0]), chosen.index, chosen.of, kinds={"sleep": lambda job, progress: Sleeping()})


class Sleeping:
    """The work of units that sleep; see `pixelwise.cluster.work.Work`."""

    shares_units = True

    def compute(self, number: int, unit: dict[str, Any], outputs: Path, parts: Path, progress: Progress) -> UnitResult:
        """Sleep, and write a file."""
        time.sleep(unit["seconds"])
        (outputs / f"{number:06d}.bin").write_bytes(b"slept")
        return UnitResult()

    def join(self, ledger: Ledger, outputs: Path) -> None:
        """Nothing."""

    def inputs(self, unit: dict[str, Any]) -> list[str]:
        """Nothing."""
        return []


if __name__ == "__main__":
    main()
