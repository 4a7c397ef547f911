"""Outlines and the corrected mask of a large result, taken from a running studio: processor time and peak memory.

    python benchmarks/studio_takes.py [--side 20480] [--out takes.json]

The result is drawn: a cell of its own shape every 91 pixels, in a tiled TIFF as `pixelwise predict` writes of a large
image. It is corrected as on the page (objects deleted, split and merged, strokes and polygons painted), then both files
are asked for over HTTP, waited for, fetched and counted. A large file is made by a process of its own; its peak memory
and processor time are those that the system counted, read while it runs, so the last tenths of a second are missing.
"""

import argparse
import json
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
from machine import code_version, in_words, with_children
from prediction_memory import write_model
from studio import Server

from pixelwise.io.label_writer import TiledLayout, TileFile, finish
from pixelwise.io.zarr_write import PixelMetadata
from pixelwise.server.workers.label_tiles import open_labels

PITCH, RADIUS, WOBBLE = 91, (28.0, 40.0), 0.12
TILE = 512
CORRECTED = 25  # objects of each kind of correction
PAINTED = 50  # strokes, and as many polygons
TICKS = os.sysconf("SC_CLK_TCK")


class Cells:
    """A label image of cells, read by windows; `count` is the number of its objects."""

    def __init__(self, side: int) -> None:
        self.side, self.across = side, side // PITCH
        self.count = self.across**2
        random = np.random.default_rng(0)
        self._radius = random.uniform(*RADIUS, self.count)
        self._phase = random.uniform(0, 2 * np.pi, self.count)
        self._waves = random.integers(2, 7, self.count)

    def read(self, top: int, left: int, size: int) -> np.ndarray:
        """Return a window, cut at the border of the image."""
        rows, columns = np.arange(top, min(top + size, self.side)), np.arange(left, min(left + size, self.side))
        down, over = rows[:, None] // PITCH, columns[None] // PITCH
        inside = (down < self.across) & (over < self.across)
        number = np.where(inside, down * self.across + over, 0)
        y = (rows % PITCH - PITCH / 2 + 0.5)[:, None]
        x = (columns % PITCH - PITCH / 2 + 0.5)[None]
        angle = self._waves[number] * np.arctan2(y, x) + self._phase[number]
        filled = inside & (np.hypot(y, x) < self._radius[number] * (1 + WOBBLE * np.sin(angle)))
        return np.where(filled, number + 1, 0)

    def centre(self, number: int) -> tuple[float, float]:
        """Return (x, y) of the middle of an object."""
        row, column = divmod(number - 1, self.across)
        return (column + 0.5) * PITCH, (row + 0.5) * PITCH


def write_result(folder: Path, cells: Cells) -> None:
    """Write the files that the studio keeps of a result."""
    layout = TiledLayout(height=cells.side, width=cells.side, dtype="uint16" if cells.count < 2**16 else "uint32")
    tiles = TileFile(folder / "mask.tif", layout, "drawn")
    for top in range(0, cells.side, TILE):
        for left in range(0, cells.side, TILE):
            values = cells.read(top, left, TILE)
            tiles.write(((top, top + values.shape[0]), (left, left + values.shape[1])), values)
    finish(tiles, "tiff", PixelMetadata())
    (folder / "objects.json").write_text("[]", "utf-8")  # as of every large image
    about = {
        "files": {"mask": "mask.tif", "objects": "objects.json"}, "size": [cells.side, cells.side],
        "objects": cells.count, "uncertainty": None, "warnings": [], "task": "instance", "score": None,
        "model": "drawn", "classes": ["background", "object"], "colours": [[0, 0, 0], [255, 255, 255]],
        "seconds": 0.0, "command": "",
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(about), "utf-8")


def send(server: Server, method: str, path: str, value: Any = None) -> Any:
    """Return an answer as JSON."""
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    body = None if value is None else json.dumps(value).encode()
    request = urllib.request.Request(server.origin + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.loads(answer.read())


def correct(server: Server, image: str, cells: Cells) -> int:
    """Make corrections all over the image; return how many objects there are afterwards."""
    step = cells.count // (4 * CORRECTED)
    left = cells.count
    for place, number in enumerate(range(1, 1 + 3 * step * CORRECTED, step)):
        x, y = cells.centre(number)
        action, points, more = (
            ("delete", [(x, y)], -1),
            ("split", [(x, y - PITCH / 2), (x, y + PITCH / 2)], 1),
            ("merge", [(x, y), (x + PITCH, y)], -1),
        )[place % 3]
        if action == "merge" and number % cells.across == 0:
            continue  # the next one is in the next row
        wanted = {"action": action, "points": points, "key": f"{number}"}
        send(server, "POST", f"/api/images/{image}/corrections?model=drawn", wanted)
        left += more
    for number in range(PAINTED):  # between the cells of the last rows, where nothing was corrected
        x, y = cells.centre(cells.count - number)
        middle, corner = (x - PITCH / 2, y), (x - PITCH / 2, y - PITCH / 2)
        stroke = {"kind": "stroke", "class_index": 0, "radius": 1, "points": [middle, (middle[0], middle[1] + 9)]}
        triangle = [corner, (corner[0] + 6, corner[1]), (corner[0], corner[1] + 6)]
        send(server, "POST", f"/api/images/{image}/marks", stroke)
        send(server, "POST", f"/api/images/{image}/marks", {"kind": "polygon", "class_index": 1, "points": triangle})
    return left + PAINTED


class Watch:
    """Peak memory (MB) and processor seconds of each process of the server, up to the last look at it."""

    def __init__(self, server: int) -> None:
        self._server = server
        self.peak, self.seconds = dict[int, float](), dict[int, float]()
        self.together = 0.0
        self.look()
        self._before = dict(self.seconds)

    def look(self) -> None:
        """Read what the system counted."""
        now = 0.0
        for process in with_children(self._server):
            try:
                status = Path(f"/proc/{process}/status").read_text("utf-8")
                fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            sizes = {name: int(size) / 1e3 * 1.024 for name, size in re.findall(r"(VmHWM|VmRSS):\s+(\d+) kB", status)}
            self.peak[process] = max(self.peak.get(process, 0.0), sizes.get("VmHWM", 0.0))
            self.seconds[process] = (int(fields[11]) + int(fields[12])) / TICKS
            now += sizes.get("VmRSS", 0.0)
        self.together = max(self.together, now)

    def found(self) -> dict[str, float]:
        """Return the figures of the process that worked most, and of all processes together."""
        used = {process: seconds - self._before.get(process, 0.0) for process, seconds in self.seconds.items()}
        worker = max(used, key=lambda process: used[process])
        return {
            "processor_s": round(sum(used.values()), 1),
            "worker_processor_s": round(used[worker], 1),
            "worker_peak_mb": round(self.peak[worker]),
            "all_processes_mb": round(self.together),
        }


def take(server: Server, image: str, kind: str, folder: Path) -> tuple[Path, dict[str, float]]:
    """Have a file made and fetch it; return it, and what it took."""
    watch, began = Watch(server.process.pid), time.perf_counter()
    about = send(server, "POST", f"/api/images/{image}/take/{kind}?model=drawn")
    while about["state"] == "running":
        watch.look()
        time.sleep(0.05)
        about = send(server, "GET", f"/api/takes/{about['id']}")
    if about["state"] != "done":
        raise RuntimeError(about["message"])
    seconds = time.perf_counter() - began
    request = urllib.request.Request(f"{server.origin}/api/takes/{about['id']}/file")
    request.add_header("Authorization", f"Bearer {server.token}")
    with urllib.request.urlopen(request, timeout=600) as answer:
        path = folder / (answer.headers.get_filename() or kind)
        with path.open("wb") as file:
            shutil.copyfileobj(answer, file, 2**20)
    watch.look()
    return path, {"seconds": round(seconds, 1), **watch.found(), "file_mb": round(path.stat().st_size / 1e6, 1)}


def outlines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the features of a GeoJSON file that has one a line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith('{"type": "Feature",'):
                yield json.loads(line.rstrip().rstrip(","))


def count_objects(path: Path) -> int:
    """Return how many numbers a label image has, and check that they are those from 1 on."""
    labels, seen = open_labels(path), np.zeros(2**24, bool)
    for top in range(0, labels.height, TILE):
        rows = labels.read((top, min(top + TILE, labels.height)), (0, labels.width), 1)
        seen[rows.ravel()] = True
    (numbers,) = np.nonzero(seen[1:])
    if len(numbers) and numbers[-1] + 1 != len(numbers):
        raise RuntimeError("the numbers of the objects have gaps")
    return len(numbers)


def main() -> None:
    """Draw, correct, take, count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20_480)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    cells = Cells(chosen.side)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        blank = np.full((TILE, TILE), 90, np.uint8)
        tifffile.imwrite(
            folder / "data" / "large.tif", (blank for _ in range((-(-chosen.side // TILE)) ** 2)),
            shape=(chosen.side, chosen.side), dtype=np.uint8, tile=(TILE, TILE), compression="zlib",
        )  # fmt: skip
        write_model(folder / "drawn.safetensors", 4, "boundary")
        server = Server(folder / "data", folder / "project", folder / "drawn.safetensors")
        try:
            (image,) = [image["id"] for image in server.images()]
            result = folder / "project" / "results" / image / "drawn"
            result.mkdir(parents=True)
            write_result(result, cells)
            began = time.perf_counter()
            left = correct(server, image, cells)
            found: dict[str, Any] = {"objects": cells.count, "corrections_s": round(time.perf_counter() - began, 1)}
            path, found["geojson"] = take(server, image, "geojson", folder)
            found["geojson"]["features"] = sum(1 for _ in outlines(path))
            path, found["corrected"] = take(server, image, "corrected", folder)
            found["corrected"] |= {"objects": count_objects(path), "expected": left}
        finally:
            server.close()
    load = round(os.getloadavg()[0], 1)
    about = {"machine": in_words(), "commit": code_version(), "load": load, "side": chosen.side, **found}
    print(json.dumps(about, indent=1))
    if chosen.out:
        chosen.out.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
