"""Kill the studio at seeded moments: server, workers, trainings and browser; then look for what was lost.

    python benchmarks/studio_kills.py [--kills 50] [--seed 0] [--steps 120] [--victims browser reload] [--out FOLDER]

While processes are killed (SIGKILL), clients paint marks, follow the events, ask for predictions and thumbnails, a
browser paints on the page, and a training with a fixed number of steps runs; what was killed is started again. The page
is also reloaded in the middle of a stroke. Without playwright and a chromium there is no browser. Then:

* every mark that was acknowledged, to a client or to the page, is there, once, under the number that was acknowledged;
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

from machine import Patience, with_children
from studio_losses import find_lost_marks, find_wrong_events, read_log
from studio_painter import Painter, can_paint

from pixelwise.datasets.synthetic import write_demo
from pixelwise.workflow.config import values_of
from pixelwise.workflow.settings import load_config

TOKEN = "a-token-for-the-kills"
VICTIMS = ("server", "predictor", "reader", "training")
BROWSER_VICTIMS = ("browser", "reload")
PAUSE = 0.5, 4.0  # seconds between two kills
TRIES = 3  # for each kill: what is just being started cannot be killed
PATIENCE = 300.0  # seconds in which the server could work, for an answer or its end
SIDE = 64


@dataclass
class Observed:
    """What the clients saw."""

    marks: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])  # key: image, number
    page_marks: dict[str, int] = field(default_factory=dict[str, int])  # of the browser, all on the last image
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
        token.write_text(TOKEN, encoding="utf-8")
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

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        patience = self._patience()
        while (code := self.process.poll()) is None:
            if patience.over:
                raise TimeoutError("the server did not end")
            time.sleep(0.1)
        return code

    def _patience(self) -> Patience:
        return Patience(PATIENCE, lambda: [os.getpid(), *with_children(self.process.pid)])

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
        patience, last = self._patience(), ""
        while True:
            try:
                with self.call(method, path, body, Content_Type="application/json") as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    return json.loads(error.read())
                last = f"status {error.code}"
            except (OSError, ValueError, HTTPException) as error:
                last = repr(error)
            if patience.over:
                raise TimeoutError(f"no answer to {method} {path}; the last try: {last}")
            time.sleep(0.1)

    def worker(self, name: str) -> int | None:
        """Return the process id of a worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            for pid in children.read_text(encoding="utf-8").split():
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

    def __init__(self, folder: Path, steps: int, seed: int, victims: Sequence[str] = VICTIMS) -> None:
        self.folder, self.steps, self.victims = folder, steps, victims
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
        self.painter: Painter | None = None
        if set(victims) & set(BROWSER_VICTIMS):
            link = lambda: self.server.json("POST", "/api/link")["link"]  # noqa: E731
            self.painter = Painter(link, self.images[-1], folder / "profile", self.observed.page_marks, seed)

    def kill(self, count: int) -> None:
        """Kill what a seed says, when it says, and start it again."""
        job, done = self._train(), 0
        for _ in range(TRIES * count):
            time.sleep(self.random.uniform(*PAUSE))
            job = self._keep_training(job)
            job = self._train() if job["state"] == "done" else job
            victim = self.random.choice(self.victims)
            if self._end(victim, job):  # else it is just being started
                self.observed.kills[victim] += 1
                done += 1
            if done == count:
                break
        while (job := self._keep_training(job))["state"] in ("running", "stopping"):
            time.sleep(0.5)

    def _end(self, victim: str, job: dict[str, Any]) -> bool:
        """Kill a victim; return whether it was there."""
        if victim == "server":
            self.server.kill()
            self.server.start()
            return True
        if victim in BROWSER_VICTIMS:
            return self.painter is not None and self.painter.disturb(victim)
        pid = self._pid_of(victim, job)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid is not None

    def close(self) -> None:
        """End the clients and the server, whatever happened."""
        for client in self.clients:
            client.stopping = True
        if self.painter is not None:
            self.painter.close()
        self.server.close()
        for client in self.clients:
            client.join(10)

    def finish(self) -> list[str]:
        """Stop the clients and the server; return what is wrong."""
        time.sleep(2)
        for client in self.clients:
            client.stopping = True
        if self.painter is not None:
            self.painter.close()
        code = self.server.stop()
        for client in self.clients:  # one that still waits would paint on the next server
            client.join()
        self.server.start()
        faults = [] if code == 0 else [f"the server ended with {code}"]
        marks = {image: self.server.json("GET", f"/api/images/{image}/marks") for image in self.images}
        acknowledged = self.observed.marks | {
            key: (self.images[-1], number) for key, number in self.observed.page_marks.items()
        }
        faults += find_lost_marks(acknowledged, marks)
        if self.painter is not None and not self.observed.page_marks:
            faults.append("the browser painted no mark, so that none could be lost")
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
        pid = json.loads((self.project / "jobs" / f"{job['id']}.json").read_text(encoding="utf-8"))["pid"]
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
        for path in sorted((self.project / "runs").glob("*")):
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


def main() -> None:
    """Kill, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--out", type=Path)
    every = (*VICTIMS, *BROWSER_VICTIMS)
    default = every if can_paint() else VICTIMS
    parser.add_argument("--victims", nargs="+", choices=every, default=default, help="by default all that there are")
    chosen = parser.parse_args()
    folder = chosen.out or Path(tempfile.mkdtemp(prefix="kills-"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with closing(Campaign(folder, chosen.steps, chosen.seed, chosen.victims)) as campaign:
        campaign.kill(chosen.kills)
        faults = campaign.finish()
    observed = campaign.observed
    print(f"kills: {dict(observed.kills)}")
    print(f"acknowledged marks: {len(observed.marks)}, of the page: {len(observed.page_marks)}")
    print(f"events: {len(observed.events)}")
    print(f"answers by status (0: connection lost): {dict(observed.statuses)}")
    print("\n".join(faults) or "nothing was lost")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
