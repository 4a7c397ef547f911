"""Draw the screenshots of the studio's page: its server on drawn images and drawn scans, in a headless Chromium.

    python docs/make_studio_pictures.py [--out docs/pictures] [--steps 300]

Needs playwright, a chromium on the path, and nibabel. Two small networks are trained for it, a few minutes each.
"""

import argparse
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright
from scipy import ndimage

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.datasets.synthetic import write_demo
from pixelwise.geometry.grid import Grid
from pixelwise.io.volumes.write import write_labels_like, write_volume_like
from pixelwise.progress import Progress
from pixelwise.workflow.train import train

PICTURES = Path(__file__).parent / "pictures"
VIEW = {"width": 1280, "height": 800}
QUALITY = 82  # of WebP: text stays sharp, and a picture is below 100 KB
PATIENCE = 300  # seconds
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
HEAD = (28, 96, 80)  # slices, rows, columns
GRID = Grid.from_affine(np.diag([1.6, 1.6, 4.5, 1.0]))


def draw_head(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scan in Hounsfield units, and its classes: 1 bone, 2 brain, 3 ventricles."""
    random = np.random.default_rng(seed)
    places = [(index + 0.5) / size * 2 - 1 for index, size in zip(np.indices(HEAD), HEAD, strict=True)]
    size = random.uniform(0.93, 1.02, 3)
    shift = random.uniform(-0.03, 0.03, 3)
    z, y, x = ((place - offset) / side for place, offset, side in zip(places, shift, size, strict=True))

    def within(depth: float, height: float, width: float, at: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
        return ((z - at[0]) / depth) ** 2 + ((y - at[1]) / height) ** 2 + ((x - at[2]) / width) ** 2 < 1

    skin, skull, brain = within(0.92, 0.9, 0.82), within(0.86, 0.83, 0.75), within(0.78, 0.75, 0.66)
    labels = np.zeros(HEAD, np.uint8)
    labels[skull], labels[brain] = 1, 2
    for side in (-0.2, 0.2):
        labels[within(0.24, 0.42, 0.13, (0.05, 0.05, side))] = 3
    values = np.array([0.0, 950.0, 38.0, 6.0])[labels]
    values[skin & (labels == 0)] = 20
    values[~skin] = -1000
    folds = ndimage.gaussian_filter(random.normal(0, 1, HEAD), (0.6, 2, 2)) * 60
    values[labels == 2] += folds[labels == 2]
    blurred = ndimage.gaussian_filter(values, (0.3, 0.6, 0.6)) + random.normal(0, 7, HEAD)
    return blurred.astype(np.int16), labels


def write_scans(folder: Path, count: int = 7) -> None:
    """Write scans and their labels as NIfTI."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        scan, labels = draw_head(number)
        write_volume_like(folder / "images" / f"scan_{number}.nii.gz", scan[None], GRID, None)
        write_labels_like(folder / "labels" / f"scan_{number}.nii.gz", labels, GRID)
    (folder / "classes.txt").write_text("background\nbone\nbrain\nventricles\n", "utf-8")


@contextmanager
def page_of(*words: Path, dark: bool = False) -> Generator[Any]:
    """Serve models and data, and yield the page in a browser."""
    command = [sys.executable, "-m", "pixelwise", "serve", *map(str, words), "--port", "0", "--no-browser"]
    chromium = next(path for name in ("chromium", "google-chrome") if (path := shutil.which(name)))
    with (
        TemporaryDirectory() as project,
        subprocess.Popen(
            [*command, "--out", project], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server,
    ):
        if server.stdout is None:
            raise RuntimeError("no pipe")
        link = server.stdout.readline().strip()
        try:
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
                page: Any = browser.new_page(viewport=VIEW, color_scheme="dark" if dark else "light")
                page.set_default_timeout(1000 * PATIENCE)
                page.folder = words[-1].parent
                page.goto(link)
                until(page, lambda state: state["image"] is not None)
                yield page
                browser.close()
        finally:
            server.terminate()


def until(page: Any, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a state of the page, and return it."""
    ends = time.monotonic() + PATIENCE
    while True:
        state = page.evaluate("() => window.studioState ? window.studioState() : { image: null }")
        if reached(state):
            return state
        if time.monotonic() > ends:
            raise TimeoutError(str(state))
        page.wait_for_timeout(100)


def predict(page: Any) -> None:
    """Predict the shown image, and wait until the result is drawn."""
    page.click("[data-testid=predict]")
    until(page, lambda state: state["objects"] > 0 and state["coloured"] > 0 and state["loaded"])


def set_slider(page: Any, name: str, value: float) -> None:
    """Move a slider."""
    script = "([name, value]) => { const one = document.getElementById(name); one.value = value; "
    page.evaluate(script + "one.dispatchEvent(new Event('input')); }", [name, value])


def draw(page: Any, tool: str, places: list[tuple[float, float]]) -> None:
    """Draw a line with a tool, through places in pixels of the image."""
    page.click(f"[data-tool={tool}]")
    view = until(page, lambda state: state["waiting"] == 0)
    box = page.locator("[data-testid=canvas]").bounding_box()
    scale, left, top = view["view"]["scale"], box["x"] + view["view"]["x"], box["y"] + view["view"]["y"]
    (first, *rest) = [(left + x * scale, top + y * scale) for x, y in places]
    page.mouse.move(*first)
    page.mouse.down()
    for place in rest:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    until(page, lambda state: state["waiting"] == 0 and state["marks"] > view["marks"])


def save(page: Any, path: Path) -> None:
    """Write a screenshot of the page as WebP, without what is of this machine: seconds and folder."""
    replace = "([id, pattern]) => { const one = document.getElementById(id); "
    replace += "one.textContent = one.textContent.replace(new RegExp(pattern, 'g'), ''); }"
    for pair in (["count", " in [0-9.]+ s"], ["command", f"{page.folder}/"]):
        page.evaluate(replace, pair)
    page.mouse.move(5, 5)
    page.wait_for_timeout(1200)
    content = io.BytesIO()
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(content, "WEBP", quality=QUALITY, method=6)
    atomic_write_bytes(path, content.getvalue())


def show_cells(page: Any, out: Path) -> None:
    """Show the result beside its image, and corrections."""
    predict(page)
    page.wait_for_timeout(500)
    page.click("[data-testid=objects] .row >> nth=3")
    page.wait_for_timeout(1000)
    page.evaluate("() => window.studioZoom(2.5, 128, 128)")
    set_slider(page, "swipe", 42)
    save(page, out / "studio.webp")
    set_slider(page, "swipe", 0)
    rows = page.evaluate("() => fetch('/api/images/' + window.studioState().image + '/objects').then((a) => a.json())")
    inner = [row for row in rows if 60 < row["row"] < 190 and 60 < row["column"] < 190]
    inner.sort(key=lambda row: -row["area"])
    page.evaluate("() => window.studioZoom(4, 128, 128)")
    page.wait_for_timeout(800)
    for row in inner[1:5]:
        draw(page, "accept", [(row["column"] + 0.5, row["row"] + 0.5)] * 2)
    top, left, bottom, right = inner[0]["box"]
    draw(page, "split", [(left - 3, (top + bottom) / 2), (right + 3, (top + bottom) / 2 + 2)])
    page.fill("[data-testid=radius]", "4")
    page.select_option("[data-testid=class]", "0")
    draw(page, "brush", [(78, 168), (100, 176), (118, 172)])
    draw(page, "frame", [(172, 152), (204, 190)])
    page.click("[data-tool=brush]")
    save(page, out / "studio-marks.webp")


def show_scan(page: Any, out: Path) -> None:
    """Show a scan from the side, with its predicted classes."""
    predict(page)
    page.select_option("[data-testid=plane]", "coronal")
    page.select_option("[data-testid=window]", "brain")
    until(page, lambda state: state["place"]["plane"] == "coronal" and state["tiles"] > 0 and state["loaded"])
    set_slider(page, "opacity", 35)
    save(page, out / "studio-volume.webp")


def main() -> None:
    """Train, serve, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PICTURES)
    parser.add_argument("--steps", type=int, default=300)
    chosen = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_demo(folder / "cells")
        train(folder / "cells", out=folder / "runs" / "cells", steps=chosen.steps, progress=Progress())
        with page_of(folder / "runs" / "cells", folder / "cells") as page:
            show_cells(page, chosen.out)
        write_scans(folder / "scans")
        train(folder / "scans", out=folder / "runs" / "heads", steps=chosen.steps * 2 // 3, progress=Progress())
        with page_of(folder / "runs" / "heads", folder / "scans", dark=True) as page:
            show_scan(page, chosen.out)


if __name__ == "__main__":
    main()
