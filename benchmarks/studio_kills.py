"""Kill the studio at seeded moments: its server, its workers and its trainings; then look for what was lost.

    python benchmarks/studio_kills.py [--kills 50] [--seed 0] [--steps 120] [--out runs/studio-kills]

While processes are killed (SIGKILL), clients paint marks, follow the events, ask for predictions and thumbnails, and a
training with a fixed number of steps runs; what was killed is started again. Then:

* every mark that was acknowledged is there, once, under the number that was acknowledged;
* the events that a client received are those of the log, once and in order, and every mark and every row is announced;
* no prediction differed, and no request was answered with 500;
* the weights of every training equal those of a training with the same plan that nobody disturbed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from pixelwise.datasets.synthetic import write_demo
from pixelwise.server.jobs import read_metrics
from pixelwise.workflow.config import values_of
from pixelwise.workflow.settings import load_config

TOKEN = "a-token-for-the-kills"
VICTIMS = ("server", "predictor", "reader", "training")
PAUSE = 0.5, 4.0  # seconds between two kills
PATIENCE = 300.0  # seconds for what was killed to come back
SIDE = 64


@dataclass
class Observed:
    """What the clients saw."""

    marks: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])  # key: image, number
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list[tuple[int, dict[str, Any]]])
    masks: set[bytes] = field(default_factory=set[bytes])
    statuses: Counter[int] = field(default_factory=Counter[int])
    kills: Counter[str] = field(default_factory=Counter[str])


class Server:
    """`pixelwise serve` on a fixed port, started again after every kill."""

    def __init__(self, data: Path, project: Path, model: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        token = project.with_suffix(".token")
        token.write_text(TOKEN)
        words = ["serve", str(model), str(data), "--out", str(project), "--port", str(self.port), "--no-browser"]
        self._command = [sys.executable, "-m", "pixelwise", *words, "--token-file", str(token)]
        self._log = project.with_suffix(".log").open("ab")
        self.start()

    def start(self) -> None:
        """Start and wait for the link."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=self._log)
        link = b""
        if self.process.stdout is not None:
            with self.process.stdout as output:
                link = output.readline()
        if not link:
            raise RuntimeError("the server did not start; see its log")

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it and close its log."""
        self.kill()
        self._log.close()

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Send a request; return the open answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, method=method)
        for name, value in {"Authorization": f"Bearer {TOKEN}", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        return urllib.request.urlopen(request, timeout=60)

    def json(self, method: str, path: str, value: Any = None) -> Any:
        """Send JSON until it is answered; return the answer. A refusal (4xx) is an answer too."""
        body = None if value is None else json.dumps(value).encode()
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                with self.call(method, path, body, Content_Type="application/json") as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return json.loads(error.read())
            except (OSError, ValueError, HTTPException):
                pass
            if time.monotonic() > ends:
                raise TimeoutError(f"no answer to {method} {path}")
            time.sleep(0.1)

    def worker(self, name: str) -> int | None:
        """Return the process id of a worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            for pid in children.read_text().split():
                if f"workers.{name}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        except OSError:
            pass
        return None


class Client(threading.Thread):
    """Repeats something until it is told to stop; a broken connection is tried again."""

    def __init__(self, act: Callable[[], None], observed: Observed, pause: float) -> None:
        super().__init__(daemon=True)
        self._act, self._observed, self._pause = act, observed, pause
        self.stopping = False
        self.start()

    def run(self) -> None:
        """Repeat."""
        while not self.stopping:
            try:
                self._act()
                self._observed.statuses[200] += 1
            except urllib.error.HTTPError as error:
                self._observed.statuses[error.code] += 1
            except (OSError, ValueError, HTTPException):
                self._observed.statuses[0] += 1
            time.sleep(self._pause)


class Campaign:
    """One server with its clients and trainings."""

    def __init__(self, folder: Path, steps: int, seed: int) -> None:
        self.folder, self.steps = folder, steps
        self.random, self.observed = random.Random(seed), Observed()
        write_demo(folder / "data", train=4, val=2, test=1, size=SIDE)
        self.project = folder / "project"
        run("train", str(folder / "data"), "--out", str(folder / "first"), "--steps", "4")
        self.server = Server(folder / "data", self.project, folder / "first")
        self.images: list[str] = []
        while not self.images:
            state = self.server.json("GET", "/api/state")
            self.images = [image["id"] for image in state["images"]] if state["understood"] else []
        self._picture = next((folder / "data").rglob("images/*.png")).read_bytes()
        self._number = 0
        acts: list[tuple[Callable[[], None], float]] = [
            (self._paint, 0.02), (self._listen, 0.05), (self._predict, 0.2), (self._look, 0.1),
        ]  # fmt: skip
        self.clients = [Client(act, self.observed, pause) for act, pause in acts]

    def kill(self, count: int) -> None:
        """Kill what a seed says, when it says, and start it again."""
        job = self._train()
        for _ in range(count):
            time.sleep(self.random.uniform(*PAUSE))
            job = self._keep_training(job)
            job = self._train() if job["state"] == "done" else job
            victim = self.random.choice(VICTIMS)
            if victim == "server":
                self.server.kill()
                self.server.start()
            else:
                pid = self._pid_of(victim, job)
                if pid is None:
                    continue  # it is just being started
                os.kill(pid, signal.SIGKILL)
            self.observed.kills[victim] += 1
        while (job := self._keep_training(job))["state"] in ("running", "stopping"):
            time.sleep(0.5)

    def close(self) -> None:
        """End the clients and the server, whatever happened."""
        for client in self.clients:
            client.stopping = True
        self.server.close()
        for client in self.clients:
            client.join(10)

    def finish(self) -> list[str]:
        """Stop the clients and the server; return what is wrong."""
        time.sleep(2)
        for client in self.clients:
            client.stopping = True
        self.server.process.terminate()
        code = self.server.process.wait(60)
        self.server.start()
        faults = [] if code == 0 else [f"the server ended with {code}"]
        marks = {image: self.server.json("GET", f"/api/images/{image}/marks") for image in self.images}
        faults += find_lost_marks(self.observed.marks, marks)
        self.server.kill()
        log = read_log(self.project / "events.jsonl")
        faults += find_wrong_events(self.observed.events, log, marks, self.project / "runs")
        faults += [f"{len(self.observed.masks)} different masks"] if len(self.observed.masks) > 1 else []
        faults += ["an answer with status 500"] if self.observed.statuses[500] else []
        return [*faults, *self._find_other_weights()]

    def _train(self) -> dict[str, Any]:
        return self.server.json("POST", "/api/jobs", {"kind": "train", "source": "folder", "steps": self.steps})

    def _keep_training(self, job: dict[str, Any]) -> dict[str, Any]:
        """Continue a training that was killed."""
        now = {one["id"]: one for one in self.server.json("GET", "/api/state")["jobs"]}.get(job["id"], job)
        if now["state"] in ("failed", "stopped"):
            again = self.server.json("POST", f"/api/jobs/{job['id']}/resume")
            return again if "id" in again else now  # a second try of an answer that was lost is refused
        return now

    def _pid_of(self, victim: str, job: dict[str, Any]) -> int | None:
        if victim != "training":
            return self.server.worker(victim)
        if job["state"] != "running":
            return None
        pid = json.loads((self.project / "jobs" / f"{job['id']}.json").read_text())["pid"]
        return pid if Path(f"/proc/{pid}/cmdline").is_file() else None

    def _paint(self) -> None:
        """Paint a mark, with the same key until it is acknowledged."""
        image, key = self.images[self._number % len(self.images)], f"key-{self._number}"
        point = [self._number % SIDE + 0.5, self._number // SIDE % SIDE + 0.5]
        mark = {"kind": "stroke", "class_index": self._number % 2, "radius": 1.0, "points": [point], "key": key}
        with self.server.call("POST", f"/api/images/{image}/marks", json.dumps(mark).encode()) as answer:
            self.observed.marks[key] = image, json.loads(answer.read())["id"]
        self._number += 1

    def _listen(self) -> None:
        """Follow the events from the last one on."""
        last = self.observed.events[-1][0] if self.observed.events else 0
        with self.server.call("GET", "/api/events", Last_Event_ID=str(last)) as stream:
            number = 0
            for line in stream:
                if line.startswith(b"id: "):
                    number = int(line[4:])
                elif line.startswith(b"data: "):
                    self.observed.events.append((number, json.loads(line[6:])))

    def _predict(self) -> None:
        with self.server.call("POST", "/predict", self._picture, Content_Type="image/png") as answer:
            self.observed.masks.add(answer.read())

    def _look(self) -> None:
        with self.server.call("GET", f"/tiles/{self.images[0]}/0/0_0.jpg") as answer:
            answer.read()

    def _find_other_weights(self) -> list[str]:
        """Train again, undisturbed and by the same plan, what every run did; return which weights differ."""
        faults, references = list[str](), dict[str, bytes]()
        for path in sorted((self.project / "runs").iterdir()):
            plan = repr(values_of(load_config(path / "config.yaml")))
            if plan not in references:
                reference = self.folder / f"reference{len(references)}"
                words = ("--out", str(reference), "--config", str(path / "config.yaml"))
                run("train", str(self.folder / "data"), *words)
                references[plan] = (reference / "model.safetensors").read_bytes()
            model = path / "model.safetensors"
            if not model.is_file() or model.read_bytes() != references[plan]:
                faults.append(f"the weights of run {path.name} differ from those of an undisturbed one")
        return faults


def run(*words: str) -> None:
    """Run pixelwise; exit code 5 (nothing learned) is fine."""
    done = subprocess.run([sys.executable, "-m", "pixelwise", *words], capture_output=True, check=False)
    if done.returncode not in (0, 5):
        raise RuntimeError(done.stderr.decode()[-500:])


def read_log(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return the events of a log with their ids: the offsets of the ends of their lines."""
    found: list[tuple[int, dict[str, Any]]] = []
    with path.open("rb") as file:
        for line in iter(file.readline, b""):
            found.append((file.tell(), json.loads(line)))
    return found


def find_lost_marks(acknowledged: dict[str, tuple[str, int]], marks: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return what is wrong with the marks of all images, given what was acknowledged.

    Examples
    --------
    >>> kept = {"a": [{"id": 1, "key": "x"}]}
    >>> find_lost_marks({"x": ("a", 1)}, kept), find_lost_marks({"x": ("a", 1), "y": ("a", 2)}, kept)
    ([], ['the acknowledged mark y is not there'])
    """
    faults: list[str] = []
    places = {mark["key"]: (image, mark["id"]) for image, own in marks.items() for mark in own}
    for key, place in acknowledged.items():
        if key not in places:
            faults.append(f"the acknowledged mark {key} is not there")
        elif places[key] != place:
            faults.append(f"the mark {key} has another number than was acknowledged")
    for image, own in marks.items():
        if [mark["id"] for mark in own] != list(range(1, len(own) + 1)) or len({m["key"] for m in own}) < len(own):
            faults.append(f"the marks of {image} are not numbered once and in order")
    return faults


def find_wrong_events(
    received: Sequence[tuple[int, dict[str, Any]]],
    log: Sequence[tuple[int, dict[str, Any]]],
    marks: dict[str, list[dict[str, Any]]],
    runs: Path,
) -> list[str]:
    """Return what is wrong with the events that a client received, given the log, all marks and the runs.

    Examples
    --------
    >>> log = [(9, {"kind": "mark", "image": "a", "id": 1}), (20, {"kind": "mark", "image": "a", "id": 2})]
    >>> marks = {"a": [{"id": 1}, {"id": 2}]}
    >>> find_wrong_events(log, log, marks, Path("none")), find_wrong_events(log[1:], log, marks, Path("none"))
    ([], ['received events are not those of the log, once and in order'])
    """
    faults: list[str] = []
    if list(received) != list(log[: len(received)]):
        faults.append("received events are not those of the log, once and in order")
    announced = Counter((event["image"], event["id"]) for _, event in log if event["kind"] == "mark")
    if announced != Counter((image, mark["id"]) for image, own in marks.items() for mark in own):
        faults.append("marks were not announced once each")
    for folder in sorted(runs.glob("*")):
        steps = [e["row"]["step"] for _, e in log if e["kind"] == "metrics" and e["job"] == folder.name]
        if steps != [row["step"] for row in read_metrics(folder)]:
            faults.append(f"rows of run {folder.name} were not announced once and in order")
    return faults


def main() -> None:
    """Kill, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    folder = chosen.out or Path(tempfile.mkdtemp(prefix="kills-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with closing(Campaign(folder, chosen.steps, chosen.seed)) as campaign:
        campaign.kill(chosen.kills)
        faults = campaign.finish()
    observed = campaign.observed
    print(f"kills: {dict(observed.kills)}")
    print(f"acknowledged marks: {len(observed.marks)}, events: {len(observed.events)}")
    print(f"answers by status (0: connection lost): {dict(observed.statuses)}")
    print("\n".join(faults) or "nothing was lost")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
