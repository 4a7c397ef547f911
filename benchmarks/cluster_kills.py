"""Workers killed, frozen and woken, drivers killed, a full disk: every unit is done once, and no file ever changes.

    sudo python benchmarks/cluster_kills.py [--places local copies worker ray slurm] [--units 300] [--kills 20]

A job of short units, on three workers: `local` by `--on local:3`, `copies` the same as copies of one process, `worker`
started one by one and again when they die, `ray` on a Ray cluster on this machine, `slurm` as an array of a SLURM
cluster of two nodes on this machine, and another one for those that have ended. Seeded: `--kills` SIGKILLs and
`--freezes` SIGSTOPs of workers, which are woken after others have taken their units over; the driver is killed twice;
the disk, a small file system in memory (hence root), is full for three seconds. At the end: outputs, attempts, what
changed and what is left; anything wrong ends with an error.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from machine import in_words

from pixelwise.cluster.heartbeat import Lives
from pixelwise.cluster.job import Job
from pixelwise.cluster.launch_commands import launch_commands

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "cluster")]
sleepers: Any = import_module("sleepers")  # the jobs of the tests
PROGRAM: tuple[str, ...] = sleepers.PROGRAM

WORKERS, DISK, FULL_SECONDS = 3, 64, 3.0  # megabytes; seconds
DRIVER = """
import sys
from pathlib import Path
import pixelwise.cluster.driver as driver
from pixelwise.cluster.job import open_job
from pixelwise.cluster.processes.forked import Starter
from pixelwise.progress import Progress
driver.COMMAND = ("sleepers",)
place, out, program = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
if place == "ray":
    workers = driver.LocalWorkers(open_job(out), 1, (*driver.RAY_PROGRAM, *program), elsewhere=True)
else:
    starter = Starter(["sleepers"], target="sleepers:main") if place == "copies" else None
    workers = driver.LocalWorkers(open_job(out), 3, program, starter=starter)
driver.watch_local(workers, Progress(), "sleeping")
"""


class Chaos(threading.Thread):
    """Kills and freezes workers, kills drivers and fills the disk at seeded moments; notes files that change."""

    def __init__(self, job: Job, disk: Path, driver: "Driver | Arrays", options: argparse.Namespace) -> None:
        super().__init__(daemon=True)
        self._job, self._disk, self._driver, self._rng = job, disk, driver, random.Random(options.seed)
        self.plan = ["kill"] * options.kills + ["freeze"] * options.freezes + ["driver"] * driver.kills + ["full"]
        self._rng.shuffle(self.plan)
        self.done: dict[str, int] = dict.fromkeys(self.plan, 0)
        self.changed: list[str] = []
        self._seen: dict[str, tuple[int, int]] = {}
        self._asleep: list[tuple[float, int]] = []

    def run(self) -> None:
        """Strike after every few units, until the job is complete."""
        moment, units = time.monotonic(), -1
        every = self._job.units / (len(self.plan) + 2)
        while not self._job.sealed:
            self._look()
            now = time.monotonic()
            for entry in [entry for entry in self._asleep if entry[0] < now]:
                self._asleep.remove(entry)
                send(entry[1], signal.SIGCONT)
            if self.plan and now > moment and len(self._seen) > units and self._strike(self.plan[-1]):
                self.done[self.plan.pop()] += 1
                moment, units = now + self._rng.uniform(0.02, 0.3), len(self._seen) + self._rng.uniform(0, every)
            time.sleep(0.02)
        for _, process in self._asleep:
            send(process, signal.SIGCONT)
        self._look()

    def _strike(self, what: str) -> bool:
        if what == "driver":
            return self._driver.kill()
        if what == "full":
            threading.Thread(target=self._fill, daemon=True).start()
            return True
        asleep = {process for _, process in self._asleep}
        living = [int(facts.process.rpartition("-")[2]) for facts in Lives(self._job).alive()]
        awake = [process for process in living if process not in asleep]
        if not awake or (what == "freeze" and len(awake) < 2):
            return False
        process = self._rng.choice(awake)
        if what == "kill":
            return send(process, signal.SIGKILL)
        self._asleep.append((time.monotonic() + self._job.times.stale + 1, process))
        return send(process, signal.SIGSTOP)

    def _fill(self) -> None:
        """Leave no space on the disk for some seconds."""
        filler = self._disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 65_536)
        time.sleep(FULL_SECONDS)
        filler.unlink()

    def _look(self) -> None:
        for path in self._job.out.glob("*.bin"):
            stat = path.stat()
            mark = stat.st_ino, stat.st_mtime_ns
            if self._seen.setdefault(path.name, mark) != mark:
                self.changed.append(path.name)


class Driver(threading.Thread):
    """Runs the driver of a place, and again when it was killed; for `worker` it starts the workers itself."""

    def __init__(self, place: str, job: Job, program: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self._words = [sys.executable, "-c", DRIVER, place, str(job.out), *program]
        self._job, self._alone, self._process = job, place == "worker", None
        self.kills = 0 if self._alone else 2  # workers alone have no driver
        self._lock = threading.Lock()

    def run(self) -> None:
        """Start processes until the job is complete."""
        running: list[subprocess.Popen[bytes]] = []
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
        quiet = subprocess.DEVNULL
        while not self._job.sealed:
            running = [process for process in running if process.poll() is None]
            while len(running) < (WORKERS if self._alone else 1):
                place = ["--index", str(len(running)), "--of", str(WORKERS)]
                words = [*PROGRAM, str(self._job.out), *place] if self._alone else self._words
                with self._lock:
                    self._process = subprocess.Popen(words, env=environment, stdout=quiet, stderr=quiet)
                running.append(self._process)
            time.sleep(0.1)
        for process in running:
            process.wait(120)

    def kill(self) -> bool:
        """Kill the driver."""
        with self._lock:
            return self._process is not None and send(self._process.pid, signal.SIGKILL)


class Arrays(threading.Thread):
    """Submits arrays of workers to SLURM, so that three run or wait."""

    kills = 0  # nothing watches workers of SLURM

    def __init__(self, job: Job, cluster: Any, folder: Path) -> None:
        super().__init__(daemon=True)
        self._job, self._cluster, self._folder = job, cluster, folder
        self._path = f"{sleepers.write_program(folder)}:{os.environ['PATH']}"

    def run(self) -> None:
        """Submit until the job is complete."""
        environment = {**self._cluster.environment, "PATH": self._path}
        while not self._job.sealed:
            listed = self._cluster.run("squeue", "-h", "-r")
            missing = WORKERS - len(listed.splitlines())
            if missing > 0:
                words = ["sh", "-c", launch_commands(self._job, missing).commands["SLURM"]]
                subprocess.run(words, env=environment, cwd=self._folder, capture_output=True, check=False)
            time.sleep(0.2)
        while self._cluster.run("squeue", "-h").strip():
            time.sleep(0.5)

    def kill(self) -> bool:
        """Nothing."""
        return False


def send(process: int, number: int) -> bool:
    """Send a signal; return whether the process was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)
        return True
    return False


@contextmanager
def small_disk() -> Generator[Path, None, None]:
    """Mount a file system of `DISK` megabytes in memory."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def place_of(name: str) -> Generator[Callable[[Job], Driver | Arrays], None, None]:
    """Give what starts the workers of a place; for Ray and SLURM with their daemons on this machine."""
    if name == "slurm":
        slurm: Any = import_module("test_slurm")  # its daemons listen while they are used
        with tempfile.TemporaryDirectory() as folder:
            cluster = slurm.Cluster(Path(folder) / "slurm")
            try:
                yield lambda job: Arrays(job, cluster, Path(folder))
            finally:
                cluster.stop()
        return
    if name != "ray":
        yield lambda job: Driver(name, job, PROGRAM)
        return
    ray: Any = import_module("test_ray_workers")  # its head listens while it is used
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(ray.ray_environment(Path(home)))
        with ray.ray_head(dict(os.environ)) as address:
            yield lambda job: Driver(name, job, (address, PROGRAM[1]))


def measure(place: str, options: argparse.Namespace) -> str:
    """Run a job under all of it; return a row of the table."""
    with small_disk() as disk, place_of(place) as start:
        job: Job = sleepers.make_job(disk / "out", [{"seconds": 0.1}] * options.units)
        driver = start(job)
        chaos = Chaos(job, disk, driver, options)
        began = time.monotonic()
        for thread in (chaos, driver):
            thread.start()
        for thread in (chaos, driver):
            thread.join(options.seconds)
        seconds = time.monotonic() - began
        if not job.sealed:
            raise SystemExit(f"{place}: not complete after {seconds:.0f} s")
        sleepers.check_complete(job, range(job.units))
        left = [path for path in disk.rglob("*") if path.is_file() and ".part" in path.name]
        if chaos.changed or left:
            raise SystemExit(f"{place}: {chaos.changed} changed, {left} is left")
        counts = ", ".join(str(chaos.done.get(what, 0)) for what in ("kill", "freeze", "driver", "full"))
        return f"| {place} | {job.units} | {counts} | {len(sleepers.attempts(job))} | 0 | 0 | {seconds:.0f} |"


def main() -> None:
    """Measure each place, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", nargs="+", default=["local", "copies", "worker", "ray"])
    numbers: dict[str, Callable[[str], float]] = {"units": int, "kills": int, "freezes": int, "seed": int}
    for (name, kind), default in zip(numbers.items(), (300, 20, 5, 0), strict=True):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--seconds", type=float, default=1800.0, help="after which a job is given up")
    options = parser.parse_args()
    print(f"{in_words()}, load {os.getloadavg()[0]:.1f}\n")
    print("| place | units | killed, frozen, drivers killed, disk full | attempts | changed | left | seconds |")
    print("|---|---|---|---|---|---|---|")
    for place in options.places:
        print(measure(place, options), flush=True)


if __name__ == "__main__":
    main()
