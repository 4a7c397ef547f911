"""The page in a real browser: the journey from a dropped image to its result, and marks on the right pixels."""

import os
import re
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import tifffile

from bright import drawn_image
from browser import MARKS, opened, serving, state_of, until
from pixelwise.io.write import write_image
from pixelwise.server.marks.raster import IGNORE, rasterise
from pixelwise.server.marks.records import Stroke
from server_process import Server

pytestmark = MARKS

SIDE = 4096
SCREENSHOT = os.environ.get("PIXELWISE_SCREENSHOT")
"""A file for a picture of the page, for the documentation."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    pixels = np.tile(drawn_image(3, 256)[0], (SIDE // 256, SIDE // 256))
    (folder / "data").mkdir()
    tifffile.imwrite(folder / "data" / "large.tif", pixels, tile=(256, 256), compression="zlib")
    write_image(folder / "dropped.png", drawn_image(5, 256))
    with serving(folder) as server:
        server.folder = folder  # type: ignore[attr-defined]
        yield server


@pytest.fixture(scope="module")
def page(server: Server) -> Generator[Any]:
    with opened(server) as page:
        yield page


def set_threshold(page: Any, value: int) -> None:
    change = "(value) => { const s = document.getElementById('threshold'); s.value = value; "
    page.evaluate(change + "s.dispatchEvent(new Event('input')); }", value)


def correct_objects(page: Any, server: Server, image: str) -> None:
    """Delete one object with the mouse, accept another by keyboard, and split a third one with a line."""
    rows = sorted(server.get(f"/api/images/{image}/objects"), key=lambda row: row["area"])[-3:]
    page.evaluate("([x, y]) => window.studioZoom(2, x, y)", [128, 128])
    before: list[dict[str, float]] = [{}]

    def at_rest(state: dict[str, Any]) -> bool:
        before.append(state["view"])
        return before[-1] == before[-2]

    view = until(page, at_rest)["view"]
    box = page.locator("[data-testid=canvas]").bounding_box()

    def place(row: float, column: float) -> tuple[float, float]:
        x, y = column * view["scale"] + view["x"], row * view["scale"] + view["y"]
        return box["x"] + x, box["y"] + y

    page.keyboard.press("Delete")
    page.mouse.click(*place(rows[0]["row"] + 0.5, rows[0]["column"] + 0.5))
    until(page, lambda state: state["marks"] == 1)
    page.click("[data-tool=split]")
    middle = (rows[1]["box"][1] + rows[1]["box"][3]) / 2
    page.mouse.move(*place(rows[1]["box"][0] - 2, middle))
    page.mouse.down()
    page.mouse.move(*place(rows[1]["box"][2] + 2, middle), steps=5)
    page.mouse.up()
    until(page, lambda state: state["marks"] == 2)
    page.keyboard.press("a")
    page.evaluate("([x, y]) => window.studioZoom(2, x, y)", [rows[2]["column"] + 0.5, rows[2]["row"] + 0.5])
    until(page, at_rest)
    page.keyboard.press("Enter")
    until(page, lambda state: state["marks"] == 3)
    marks = server.get(f"/api/images/{image}/marks")
    assert [(mark["action"], len(mark["objects"])) for mark in marks] == [("delete", 1), ("split", 2), ("accept", 1)]
    page.keyboard.press("v")


def test_an_empty_table_is_no_taller_than_its_head(page: Any) -> None:
    height, head = (page.locator(name).bounding_box()["height"] for name in ("#objects", "#objects .head"))
    assert head <= height <= head + 4


def test_from_a_dropped_image_to_its_result(page: Any, server: Any) -> None:
    assert page.url == f"{server.origin}/", "the link leads to the page, without a secret in the address"
    content = (server.folder / "dropped.png").read_bytes()
    drop = """(bytes) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, list(content))
    state = until(page, lambda s: s["objects"] > 0 and s["tiles"] > 0 and s["loaded"] and s["coloured"] > 0)
    assert state["layer"] == "result"
    assert state["objects"] == len(server.get(f"/api/images/{state['image']}/objects"))
    assert "pixelwise predict" in page.inner_text("[data-testid=command]")

    before, coloured = len(page.requests), state["coloured"]
    page.evaluate(
        "() => { const s = document.getElementById('threshold'); s.value = 200; s.dispatchEvent(new Event('input')); }"
    )
    until(page, lambda s: s["coloured"] > coloured)
    assert len(page.requests) == before, "the threshold needs no request"

    view = state_of(page)["view"]
    page.click("[data-testid=objects] .row")
    until(page, lambda s: s["view"]["scale"] > view["scale"])
    correct_objects(page, server, state["image"])
    if SCREENSHOT:
        set_threshold(page, 0)
        page.wait_for_timeout(1500)
        page.screenshot(path=SCREENSHOT)


def test_columns_stay_below_their_heads_whatever_is_in_them(page: Any) -> None:
    page.evaluate("() => { document.querySelector('#objects .row').children[1].textContent = 'W'.repeat(80); }")
    left = "(one) => one.getBoundingClientRect().left"
    heads, cells = (
        page.evaluate(f"() => [...document.querySelector('{name}').children].map({left})")
        for name in ("#objects .head", "#objects .row")
    )
    assert cells == pytest.approx(heads, abs=1)


@pytest.mark.parametrize("scale", [1 / 16, 1.0, 8.0])
def test_strokes_land_on_the_right_pixels(page: Any, server: Any, scale: float) -> None:
    large = next(image for image in server.get("/api/state")["images"] if image["name"] == "large.tif")
    page.click(f"[data-id='{large['id']}'] button")
    until(page, lambda s: s["image"] == large["id"])
    page.keyboard.press("b")
    count = len(server.get(f"/api/images/{large['id']}/marks"))
    page.evaluate("([scale]) => window.studioZoom(scale, 2000, 1500)", [scale])
    before: list[dict[str, float]] = [{}]

    def at_rest(state: dict[str, Any]) -> bool:
        """Zoom and position are reached: the view moves there for a while."""
        if state["view"] is None:  # the image is not open yet
            return False
        before.append(state["view"])
        reached, resting = abs(state["view"]["scale"] / scale - 1) < 1e-6, before[-1] == before[-2]
        if resting and not reached:  # the image was shown as a whole once it was open
            page.evaluate("([scale]) => window.studioZoom(scale, 2000, 1500)", [scale])
        return reached and resting

    view = until(page, at_rest)["view"]
    box = page.locator("[data-testid=canvas]").bounding_box()
    start, end = (box["width"] // 2 - 40, box["height"] // 2 + 10), (box["width"] // 2 + 33, box["height"] // 2 - 21)
    page.mouse.move(box["x"] + start[0], box["y"] + start[1])
    page.mouse.down()
    page.mouse.move(box["x"] + end[0], box["y"] + end[1], steps=7)
    page.mouse.up()
    until(page, lambda s: s["waiting"] == 0 and s["marks"] > 0)
    marks = server.get(f"/api/images/{large['id']}/marks")[count:]
    assert [mark["kind"] for mark in marks] == ["stroke"]
    expected = [((x - view["x"]) / scale, (y - view["y"]) / scale) for x, y in (start, end)]
    drawn = [marks[0]["points"][0], marks[0]["points"][-1]]
    assert np.abs(np.subtract(drawn, expected)).max() <= 0.5 / scale + 1e-6
    assert np.abs(np.subtract(drawn[0], expected[0])).max() < 1e-6
    stroke = Stroke(**{key: value for key, value in marks[0].items() if key != "id"})
    raster = rasterise([stroke], (0, SIDE), (0, SIDE))
    assert all(raster[int(y), int(x)] != IGNORE for x, y in drawn)

    shown = state_of(page)["marks"]
    page.keyboard.press("z")
    until(page, lambda s: s["marks"] == shown - 1 and s["waiting"] == 0)
    last = server.get(f"/api/images/{large['id']}/marks")[-1]
    assert (last["kind"], last["of"]) == ("undo", marks[0]["id"])
    page.keyboard.press("v")


def test_a_ring_shows_how_large_the_brush_is(page: Any) -> None:
    ring, canvas = page.locator(".ring"), page.locator("[data-testid=canvas]").bounding_box()
    x, y = canvas["x"] + 200, canvas["y"] + 150
    page.mouse.move(x, y)
    assert not ring.is_visible(), "nothing is painted by the tool that moves the image"
    page.keyboard.press("b")
    page.mouse.move(x, y + 1)
    for key in ("]", "["):
        page.keyboard.press(key)
        box, radius = ring.bounding_box(), float(page.input_value("[data-testid=radius]"))
        assert box["width"] == pytest.approx(2 * radius * state_of(page)["view"]["scale"], abs=1)
        assert (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) == pytest.approx((x, y + 1), abs=1)
    page.keyboard.press("v")


def test_painting_by_keyboard(page: Any, server: Any) -> None:
    own = state_of(page)["image"]
    before = state_of(page)["marks"]
    page.locator("[data-testid=canvas]").focus()
    for key in ("b", "1", "ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    until(page, lambda s: s["marks"] == before + 1 and s["waiting"] == 0)
    assert server.get(f"/api/images/{own}/marks")[-1]["class_index"] == 1
    page.reload()
    until(page, lambda s: s["image"] is not None)
    marks = server.get(f"/api/images/{own}/marks")
    assert marks[-1]["kind"] == "stroke", "a reload loses nothing"


def test_nothing_left_the_machine_and_nothing_failed(page: Any, server: Any) -> None:
    assert page.requests
    foreign = [url for url in page.requests if not url.startswith((server.origin, "blob:", "data:"))]
    assert foreign == []
    assert page.errors == []


def test_the_names_of_controls(page: Any) -> None:
    """Every control has a name that a screen reader can say, and the page a language and one main part."""
    unnamed = page.evaluate("""() => [...document
        .querySelectorAll("button, input:not([hidden]), select, canvas#marks")]
        .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
        .map((one) => one.outerHTML)""")
    assert unnamed == []
    assert page.evaluate("() => document.documentElement.lang") == "en"
    assert page.locator("main").count() == 1
    assert re.search("images?", page.inner_text("[data-testid=sentence]"))
