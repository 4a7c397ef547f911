"""How quick the page of the studio is, in a headless Chromium: strokes, marks, threshold, many objects, memory.

    python benchmarks/studio_page.py [--side 40000] [--out page.json]

Needs `playwright` and a chromium on the path. Times are those of scripts in the page, in milliseconds; the load of the
machine is stated beside. Rows of the object table are made here and put in place of an answer of the server.
"""

import argparse
import json
import os
import shutil
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
from machine import in_words
from playwright.sync_api import sync_playwright
from studio import Server

FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
MARKS, OBJECTS, MOVES, RADIUS = 1000, 50_000, 120, 1000
PATIENCE = 60_000

STROKE = """
([moves, radius]) => {
  const canvas = document.getElementById("marks");
  const box = canvas.getBoundingClientRect();
  document.getElementById("radius").value = radius;
  document.getElementById("radius").dispatchEvent(new Event("change"));
  document.querySelector("[data-tool=brush]").click();
  canvas.setPointerCapture = () => {};
  const send = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, button: 0, buttons: 1, clientX: box.left + x, clientY: box.top + y, bubbles: true, cancelable: true,
  }));
  send("pointerdown", 50, 50);
  const times = [];
  for (let move = 0; move < moves; move++) {
    const began = performance.now();
    send("pointermove", 50 + (box.width - 100) * move / moves, 50 + (move % 9) * 20);
    times.push(performance.now() - began);
  }
  send("pointerup", 50, 50);
  return times;
}
"""
THRESHOLD = """
() => {
  const slider = document.getElementById("threshold");
  const began = performance.now();
  slider.value = 128;
  slider.dispatchEvent(new Event("input"));
  return performance.now() - began;
}
"""
TABLE = """
() => {
  const table = document.getElementById("objects");
  const timed = (act) => { const began = performance.now(); act(); return performance.now() - began; };
  return {
    sort: timed(() => table.querySelectorAll(".head button")[2].click()),
    scroll: timed(() => { table.scrollTop = table.scrollHeight / 2; table.dispatchEvent(new Event("scroll")); }),
    fly: timed(() => table.querySelectorAll(".row")[5].click()),
    key: timed(() => table.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown" }))),
  };
}
"""


def write_flat(path: Path, side: int) -> None:
    """Write a tiled TIFF of a side that is a multiple of 512, of tiles that compress well."""
    tile = np.add.outer(np.arange(512) // 64 % 2 * 40, np.arange(512) // 64 % 2 * 40).astype(np.uint8) + 60
    count = (-(-side // 512)) ** 2
    tifffile.imwrite(
        path,
        (tile for _ in range(count)),
        shape=(side, side),
        dtype=np.uint8,
        tile=(512, 512),
        compression="zlib",
    )


def post(server: Server, path: str, value: dict[str, Any]) -> None:
    request = urllib.request.Request(server.origin + path, json.dumps(value).encode(), method="POST")
    request.add_header("Authorization", f"Bearer {server.token}")
    urllib.request.urlopen(request, timeout=60).read()


def until(page: Any, script: str) -> None:
    """Wait until a script of the page returns something true."""
    ends = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(script):
        if time.monotonic() > ends:
            raise TimeoutError(script)
        page.wait_for_timeout(20)


def measure(page: Any, server: Server, small: str, large: str) -> dict[str, Any]:
    """Return every figure."""
    found: dict[str, Any] = {}
    for number in range(MARKS):
        points = [[number % 500 + 2.5, number // 2 % 500 + 1.5], [number % 500 + 9.5, number // 2 % 500 + 7.5]]
        mark = {"kind": "stroke", "class_index": number % 2, "radius": 3, "points": points}
        post(server, f"/api/images/{small}/marks", mark)
    began = time.perf_counter()
    page.click(f"[data-id='{small}'] button")
    until(page, f"() => window.studioState().image === '{small}' && window.studioState().marks === {MARKS}")
    found["open_1000_marks_ms"] = 1000 * (time.perf_counter() - began)
    page.click("[data-testid=predict]")
    until(page, "() => window.studioState().objects > 0 && window.studioState().coloured > 0")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    found["threshold_ms"] = page.evaluate(THRESHOLD)
    page.wait_for_timeout(500)
    found["threshold_requests"] = len(requests)

    rows = [
        {"id": n + 1, "class": 1, "area": n * 7919 % 9973, "row": 0, "column": 0, "mean": 1.0, "box": [5, 5, 25, 25]}
        for n in range(OBJECTS)
    ]
    body = json.dumps(rows)
    page.route("**/objects?*", lambda route: route.fulfill(status=200, body=body, content_type="application/json"))
    page.click(f"[data-id='{small}'] button")
    until(page, f"() => window.studioState().objects === {OBJECTS}")
    found["objects_50000_ms"] = page.evaluate(TABLE)
    page.unroute("**/objects?*")

    page.click(f"[data-id='{large}'] button")
    until(page, f"() => window.studioState().image === '{large}'")
    times = page.evaluate(STROKE, [MOVES, RADIUS])
    until(page, "() => window.studioState().marks === 1 && window.studioState().waiting === 0")
    (mark,) = json.loads(server.get(f"/api/images/{large}/marks"))
    found["stroke_points"] = len(mark["points"])
    found["stroke_frame_ms"] = {"median": float(np.median(times)), "largest": max(times)}
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    found["heap_mb"] = page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
    found["server_mb"] = server.memory()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    chromium = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if chromium is None:
        sys.exit("there is no chromium on the path")
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        write_flat(folder / "data" / "large.tif", chosen.side)
        write_flat(folder / "data" / "small.tif", 512)
        train_small(folder)
        server = Server(folder / "data", folder / "project", folder / "run")
        try:
            ids = {image["name"]: image["id"] for image in server.images()}
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.set_default_timeout(PATIENCE)
                began = time.perf_counter()
                page.goto(server.link)
                until(page, "() => window.studioState && window.studioState().image !== null")
                first = 1000 * (time.perf_counter() - began)
                found = {"first_view_ms": first, **measure(page, server, ids["small.tif"], ids["large.tif"])}
                browser.close()
        finally:
            server.close()
    result = {"machine": in_words(), "load": round(os.getloadavg()[0], 1), "side": chosen.side, **found}
    print(json.dumps(result, indent=1))
    if chosen.out:
        chosen.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def train_small(folder: Path) -> None:
    """Train a model for a few steps: its masks do not matter here."""
    from pixelwise.datasets.synthetic import write_demo
    from pixelwise.progress import Progress
    from pixelwise.workflow.train import train

    write_demo(folder / "cells", train=2, val=1, test=1, size=64)
    train(folder / "cells", out=folder / "run", steps=20, progress=Progress())


if __name__ == "__main__":
    main()
