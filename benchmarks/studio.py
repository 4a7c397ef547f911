"""How quick the studio is: the link, the first view, tiles of a large image, a prediction, memory of the server.

    python benchmarks/studio.py [--side 20000] [--out studio.json]

Every time is the best of three, of a server in a process of its own; the load of the machine is stated beside.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile

REPEATS = 3
VIEW = 3, 2  # tiles of a view of 1280 x 800


class Server:
    """`pixelwise serve` on some images; `seconds` is the time to its link."""

    def __init__(self, data: Path, out: Path, *models: Path) -> None:
        began = time.perf_counter()
        words = ["-m", "pixelwise", "serve", *map(str, models), str(data), "--out", str(out)]
        words += ["--port", "0", "--no-browser"]
        self.process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if self.process.stdout is None or self.process.stderr is None:
            raise RuntimeError("no pipes")
        self.link = self.process.stdout.readline().strip()
        self.origin = self.link.partition("/open/")[0]
        self.seconds = time.perf_counter() - began
        self.token = self.process.stderr.readline().rpartition(" ")[2].strip()

    def get(self, path: str) -> bytes:
        """Return an answer."""
        request = urllib.request.Request(self.origin + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.read()

    def images(self) -> list[dict[str, Any]]:
        """Return the images once they are known."""
        while True:
            state = json.loads(self.get("/api/state"))
            if state["understood"]:
                return state["images"]
            time.sleep(0.05)

    def memory(self) -> float:
        """Return the memory of the server process in MB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.communicate()


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def write_large(path: Path, side: int) -> None:
    """Write a tiled, compressed TIFF of cells, tile by tile."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:512, :512]
    cells = 60 + 100 * ((rows % 64 - 32) ** 2 + (columns % 64 - 32) ** 2 < 400)
    tiles = [(cells + random.normal(0, 8, cells.shape)).clip(0, 255).astype(np.uint8) for _ in range(8)]
    count = (-(-side // 512)) ** 2
    tifffile.imwrite(
        path,
        (tiles[index % 8] for index in range(count)),
        shape=(side, side),
        dtype=np.uint8,
        tile=(512, 512),
        compression="zlib",
    )


def measure(folder: Path, side: int, number: int) -> dict[str, float]:
    """Return one round of times in seconds, and memory in MB."""
    server = Server(folder / "data", folder / f"project{number}")
    try:
        found = {"link": server.seconds, "page": timed(lambda: [server.get("/"), server.get("/static/app.js")])}
        (image,) = server.images()
        own = image["id"]
        found["describe"] = timed(lambda: server.get(f"/api/images/{own}"))
        top = json.loads(server.get(f"/api/images/{own}"))["levels"] - 1
        found["first_tile"] = timed(lambda: server.get(f"/tiles/{own}/{top}/7_7.jpg"))
        found["overview"] = timed(lambda: server.get(f"/tiles/{own}/0/0_0.jpg"))
        level, side_tiles = top - 1, -(-side // 1024)
        corner = side_tiles // 2
        places = [(corner + x, corner + y) for x in range(VIEW[0]) for y in range(VIEW[1])]
        with ThreadPoolExecutor(6) as pool:
            found["view"] = timed(
                lambda: list(
                    pool.map(lambda place: server.get(f"/tiles/{own}/{level}/{place[0]}_{place[1]}.jpg"), places)
                )
            )
        found["server_mb"] = server.memory()
    finally:
        server.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        write_large(folder / "data" / "large.tif", arguments.side)
        rounds = [measure(folder, arguments.side, number) for number in range(REPEATS)]
    best = {key: round(min(row[key] for row in rounds), 3) for key in rounds[0]}
    result = {"side": arguments.side, "load": round(os.getloadavg()[0], 1), "cores": os.cpu_count(), **best}
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
