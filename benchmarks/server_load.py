"""How the server holds under load: latency at 0.5, 1 and 3 times its capacity, refusals, memory, throughput.

    python benchmarks/server_load.py RUN IMAGE.png [--seconds 20] [--requests 2000] [--answers 200]
        [--only-memory] [--out load.json]

The load is open: requests arrive at random moments (Poisson) at a given rate, whether or not earlier ones were
answered. Capacity is what 16 clients get that each wait for their answer. Every answer must have the bytes that
`pixelwise predict` writes. The bare runtime runs the network alone on the same pixels, in a loop, in a process of its
own, before and after the server, because the speed of a machine changes. The processor time of each process per answer
is measured too; it depends less on what else the machine does. The client runs on the same machine and takes its share
of the processor.
"""

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from machine import in_words

TOKEN = "a-token-for-the-load"
CLIENTS = 16
MEMORY_EVERY = 1000  # requests between two looks at the memory
BARE = """
import sys, time, numpy as np
from pathlib import Path
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.read import read_image
from pixelwise.runtimes.malloc import keep_large_blocks
keep_large_blocks()
model = load_model_for_prediction(sys.argv[1], device="cpu", runtime="torch")
pixels = read_image(Path(sys.argv[2])).pixels
tile = np.ascontiguousarray(pixels[None, :, :512, :512], np.float32)
runtime, times = model.predictor.runtime, []
runtime(tile)
used = time.process_time()
while sum(times) < float(sys.argv[3]):
    began = time.perf_counter()
    runtime(tile)
    times.append(time.perf_counter() - began)
print(1 / np.median(times), (time.process_time() - used) / len(times))
"""


@dataclass(frozen=True)
class Answer:
    """Status, seconds from the moment of arrival, and the body."""

    status: int
    seconds: float
    body: bytes


class Server:
    """`pixelwise serve` with one model."""

    def __init__(self, model: Path, folder: Path) -> None:
        token = folder / "token"
        token.write_text(TOKEN, encoding="utf-8")
        words = ["serve", str(model), "--out", str(folder / "project"), "--port", "0", "--no-browser"]
        words += ["--token-file", str(token), "--requests-per-second", "100000"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pixelwise", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        link = self.process.stdout.readline() if self.process.stdout else ""
        self.port = int(link.partition("/open/")[0].rpartition(":")[2])

    async def ask(self, image: bytes) -> Answer:
        """Send an image; return the answer."""
        began = time.perf_counter()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: image/png\r\nContent-Length: {len(image)}\r\nConnection: close\r\n\r\n"
        )
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(head.encode() + image)
                await writer.drain()
                content = await reader.read()
            finally:
                writer.close()
        except OSError:
            return Answer(0, time.perf_counter() - began, b"")
        first, _, body = content.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1.1 (\d+)", first)
        return Answer(int(found[1]) if found else 0, time.perf_counter() - began, body)

    def processes(self) -> dict[str, Path]:
        """Return the folders in /proc of the server and its workers, by name."""
        own = Path(f"/proc/{self.process.pid}")
        found = {"server": own}
        for pid in (own / "task" / own.name / "children").read_text(encoding="utf-8").split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            name = next((word for word in words if word.startswith(b"pixelwise.server.workers.")), b"other")
            found[name.decode().rpartition(".")[2]] = Path(f"/proc/{pid}")
        return found

    def memory(self) -> dict[str, float]:
        """Return the resident memory of the server and of each worker in MB."""
        page = os.sysconf("SC_PAGE_SIZE") / 1e6
        return {
            name: round(page * int((path / "statm").read_text(encoding="utf-8").split()[1]), 1)
            for name, path in self.processes().items()
        }

    def processor_seconds(self) -> dict[str, float]:
        """Return the processor time that each process has used."""
        found: dict[str, float] = {}
        for name, path in self.processes().items():
            fields = (path / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            found[name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return found

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()


async def closed(server: Server, image: bytes, count: int) -> tuple[float, list[Answer]]:
    """Let clients wait for each answer; return accepted ones per second, and all answers."""
    answers, asked = list[Answer](), iter(range(count))

    async def client() -> None:
        for _ in asked:
            answers.append(await server.ask(image))

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    accepted = sum(answer.status == 200 for answer in answers)
    return accepted / (time.perf_counter() - began), answers


async def opened(server: Server, image: bytes, rate: float, seconds: float, seed: int = 0) -> list[Answer]:
    """Send images at random moments, `rate` per second; return the answers."""
    moments, now, draw = list[float](), 0.0, random.Random(seed)
    while (now := now + draw.expovariate(rate)) < seconds:
        moments.append(now)
    began = time.perf_counter()

    async def send(moment: float) -> Answer:
        await asyncio.sleep(max(0.0, began + moment - time.perf_counter()))
        return await server.ask(image)

    return await asyncio.gather(*map(send, moments))


def describe(answers: list[Answer], expected: bytes) -> dict[str, object]:
    """Return counts by status, and percentiles in milliseconds of what was accepted and of what was refused."""
    accepted = sorted(answer.seconds for answer in answers if answer.status == 200)
    refused = sorted(answer.seconds for answer in answers if answer.status in (429, 503))
    return {
        "answers": {str(status): count for status, count in sorted(Counter(a.status for a in answers).items())},
        "accepted_p50_ms": percentile(accepted, 0.5),
        "accepted_p99_ms": percentile(accepted, 0.99),
        "refused_p99_ms": percentile(refused, 0.99),
        "equal": all(answer.body == expected for answer in answers if answer.status == 200),
    }


def percentile(seconds: list[float], share: float) -> float | None:
    """Return a percentile in milliseconds.

    Examples
    --------
    >>> percentile([0.1, 0.2, 0.3], 0.5)
    200.0
    """
    return round(1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))], 1) if seconds else None


async def measure(
    server: Server, image: bytes, expected: bytes, seconds: float, requests: int, answers_of_a_round: int
) -> dict[str, object]:
    """Return every figure of a running server."""
    while (await server.ask(image)).status != 200:
        await asyncio.sleep(0.5)
    rates = [(await closed(server, image, answers_of_a_round))[0] for _ in range(3)][1:]
    before, client = server.processor_seconds(), time.process_time()
    rate, answers = await closed(server, image, answers_of_a_round)
    rates.append(rate)
    used = {name: seconds - before.get(name, 0.0) for name, seconds in server.processor_seconds().items()}
    used["client"] = time.process_time() - client
    capacity = statistics.median(rates)
    result: dict[str, object] = {
        "capacity_per_second": round(capacity, 2),
        "cpu_ms": {name: round(1000 * seconds / len(answers), 1) for name, seconds in used.items()},
    }
    for share in (0.5, 1.0, 3.0):
        result[f"at_{share:g}"] = describe(await opened(server, image, share * capacity, seconds), expected)
    return result | await measure_memory(server, image, expected, requests)


async def measure_memory(server: Server, image: bytes, expected: bytes, requests: int) -> dict[str, object]:
    """Return the memory of all processes at first and after every `MEMORY_EVERY` requests."""
    while (await server.ask(image)).status != 200:
        await asyncio.sleep(0.5)
    memory, every = {0: server.memory()}, list[Answer]()
    while len(every) < requests:
        _, answers = await closed(server, image, min(MEMORY_EVERY, requests - len(every)))
        every += answers
        memory[len(every)] = server.memory()
        print(f"{len(every)} requests: {memory[len(every)]}", file=sys.stderr, flush=True)
    return {"closed": describe(every, expected), "memory_mb": memory}


def measure_bare(model: Path, image: Path, seconds: float) -> tuple[float, float]:
    """Return the images per second of the runtime alone, and the processor seconds of an image."""
    words = [sys.executable, "-c", BARE, str(model), str(image), str(seconds)]
    speed, used = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return float(speed), float(used)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--answers", type=int, default=200, help="in each of three rounds that measure the capacity")
    parser.add_argument("--only-memory", action="store_true", help="send the requests, measure no rates")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "pixelwise", "predict", str(chosen.model), str(chosen.image)]
        command += ["--out", str(folder / "masks"), "--runtime", "torch"]
        subprocess.run(command, check=True, capture_output=True)
        expected = (folder / "masks" / f"{chosen.image.stem}.png").read_bytes()
        seconds = min(10, chosen.seconds)
        bare = [] if chosen.only_memory else [measure_bare(chosen.model, chosen.image, seconds)]
        server = Server(chosen.model, folder)
        try:
            image, length = chosen.image.read_bytes(), (chosen.seconds, chosen.requests, chosen.answers)
            if chosen.only_memory:
                found = asyncio.run(measure_memory(server, image, expected, chosen.requests))
            else:
                found = asyncio.run(measure(server, image, expected, *length))
        finally:
            server.close()
        if bare:
            bare.append(measure_bare(chosen.model, chosen.image, seconds))
    result = {"machine": in_words(), "load": round(os.getloadavg()[0], 1), **found}
    if bare:
        speed, used = (statistics.mean(values) for values in zip(*bare, strict=True))
        result |= {"bare_per_second": round(speed, 2), "bare_cpu_ms": round(1000 * used, 1)}
        result["share_of_bare"] = round(float(str(found["capacity_per_second"])) / speed, 3)
    print(json.dumps(result, indent=1))
    if chosen.out:
        chosen.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
