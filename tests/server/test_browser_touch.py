"""The page on a tablet, without accessibility faults, with many objects, and with what doctor and two rounds say."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright import drawn_image, write_bright_model
from browser import MARKS, intercept, opened, state_of, until, until_true
from pixelwise.io.write import write_image
from server_process import Server

axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
pytestmark = MARKS

TABLET = {"viewport": {"width": 820, "height": 1180}, "has_touch": True, "is_mobile": True}
FINGER = 44  # pixels: WCAG 2.2, success criterion 2.5.5
OBJECTS = 50_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """Two models, and a folder with masks of which one is shifted."""
    folder = tmp_path_factory.mktemp("studio")
    for name in ("first", "second"):
        write_bright_model(folder / f"{name}.safetensors")
    for number in range(6):
        image = drawn_image(number, 128)
        mask = (image > 110).astype(np.uint8) * 255
        write_image(folder / "data" / "images" / f"{number}.png", image)
        write_image(folder / "data" / "masks" / f"{number}.png", np.roll(mask, 9, 2) if number == 3 else mask)
    models = [str(folder / f"{name}.safetensors") for name in ("first", "second")]
    running = Server(*models, str(folder / "data"), "--out", str(folder / "project"))
    yield running
    assert running.close() == 0


@pytest.fixture(scope="module")
def page(server: Server) -> Generator[Any]:
    with opened(server, **TABLET) as page:
        yield page


def touch(page: Any, places: list[tuple[float, float]]) -> None:
    """Move one finger over places of the screen."""
    session = page.context.new_cdp_session(page)
    for kind, (x, y) in zip(["touchStart", *["touchMove"] * (len(places) - 1)], places, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_everything_fits_and_can_be_met_by_a_finger(page: Any) -> None:
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= TABLET["viewport"]["width"]  # type: ignore[index]
    page.evaluate("() => { document.getElementById('take').open = true; }")
    small = page.evaluate(
        """(side) => [...document.querySelectorAll(
            "button, select, input[type=number], input[type=range], summary, [data-take]")]
        .filter((one) => one.offsetParent && one.getBoundingClientRect().height < side)
        .map((one) => one.outerHTML)""",
        FINGER,
    )
    assert small == []


@pytest.mark.parametrize("size", [(640, 400), (390, 844)], ids=["zoom of 200 %", "phone"])
def test_small_screens_scroll_to_everything_but_never_sideways(page: Any, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    until_true(page, "(width) => innerWidth === width", size[0])
    aside = "document.querySelector('aside')"
    assert page.evaluate(f"() => {aside}.clientHeight >= {aside}.scrollHeight && {aside}.clientHeight > 300")
    assert page.evaluate("() => document.getElementById('thumbnails').getBoundingClientRect().height > 100")
    assert page.evaluate("() => document.querySelector('nav').clientHeight > 150"), "images can be chosen"
    page.evaluate("() => document.getElementById('messages').scrollIntoView({ block: 'end' })")
    box = page.locator("#messages").bounding_box()
    assert box["y"] + box["height"] <= size[1] + 1
    for name in ("document.scrollingElement", "document.querySelector('main')"):
        assert page.evaluate(f"() => {name}.scrollWidth <= {name}.clientWidth")
    page.evaluate("() => document.querySelector('main').scrollTo(0, 0)")
    page.set_viewport_size(TABLET["viewport"])
    until_true(page, "(width) => innerWidth === width", TABLET["viewport"]["width"])  # type: ignore[index]


# Controls of which a visible part lies below the notice, with what scrolls at a fraction of its way.
COVERED = """(fraction) => {
    for (const one of document.querySelectorAll("main, nav, aside")) one.scrollTop = fraction * one.scrollHeight;
    const clip = (a, b) => ({ left: Math.max(a.left, b.left), top: Math.max(a.top, b.top),
        right: Math.min(a.right, b.right), bottom: Math.min(a.bottom, b.bottom) });
    const visible = (one) => {
        let rect = one.getBoundingClientRect();
        for (let up = one.parentElement; up; up = up.parentElement) {
            if (getComputedStyle(up).overflowY !== "visible") rect = clip(rect, up.getBoundingClientRect());
        }
        return rect;
    };
    const notice = document.getElementById("notice").getBoundingClientRect();
    const controls = [...document.querySelectorAll("button, select, input, summary, a, code, [role=grid]")];
    return controls.filter((one) => one.offsetParent && !one.closest("#notice, dialog")).filter((one) => {
        const rect = clip(visible(one), notice);
        return rect.left + 1 < rect.right && rect.top + 1 < rect.bottom;
    }).map((one) => one.outerHTML);
}"""


@pytest.mark.parametrize("text", ["A short one.", "a long sentence " * 20])
@pytest.mark.parametrize("size", [(1280, 800), (820, 1180), (390, 844)], ids=["desktop", "tablet", "phone"])
def test_a_notice_covers_no_control(page: Any, size: tuple[int, int], text: str) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    until_true(page, "(width) => innerWidth === width", size[0])
    page.keyboard.press("u")  # nothing is predicted yet
    until_true(page, "() => !document.getElementById('notice').hidden")
    page.evaluate("(text) => { document.querySelector('#notice span').textContent = text; }", text)
    for fraction in (0, 0.3, 0.6, 1):
        assert page.evaluate(COVERED, fraction) == []
    box = page.locator("#notice").bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= size[0] + 1
    assert box["y"] + box["height"] <= size[1] + 1
    page.tap("#notice button")
    until_true(page, "() => document.getElementById('notice').hidden")
    page.evaluate(COVERED, 0)
    page.set_viewport_size(TABLET["viewport"])
    until_true(page, "(width) => innerWidth === width", TABLET["viewport"]["width"])  # type: ignore[index]


def test_a_stroke_by_finger_lands_where_it_is_drawn(page: Any, server: Server) -> None:
    page.tap("[data-tool=brush]")
    view, image = state_of(page)["view"], state_of(page)["image"]
    before = len(server.get(f"/api/images/{image}/marks"))
    box = page.locator("[data-testid=canvas]").bounding_box()
    places = [(box["x"] + box["width"] / 2 + 7 * step, box["y"] + box["height"] / 2 - 5 * step) for step in range(5)]
    touch(page, places)
    until(page, lambda state: state["marks"] == before + 1 and state["waiting"] == 0)
    drawn = server.get(f"/api/images/{image}/marks")[-1]["points"]
    expected = [
        ((x - box["x"] - view["x"]) / view["scale"], (y - box["y"] - view["y"]) / view["scale"]) for x, y in places
    ]
    assert np.abs(np.subtract([drawn[0], drawn[-1]], [expected[0], expected[-1]])).max() <= 1 / view["scale"]
    page.tap("[data-tool=pan]")


def test_a_polygon_by_finger_is_closed_at_its_first_corner(page: Any, server: Server) -> None:
    page.tap("[data-tool=polygon]")
    image, before = state_of(page)["image"], state_of(page)["marks"]
    box = page.locator("[data-testid=canvas]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for across, down in ((-90, -90), (90, -90), (90, 90), (-86, -93)):
        page.touchscreen.tap(x + across, y + down)
    until(page, lambda state: state["marks"] == before + 1 and state["waiting"] == 0)
    mark = server.get(f"/api/images/{image}/marks")[-1]
    assert (mark["kind"], len(mark["points"])) == ("polygon", 3)
    page.tap("[data-tool=pan]")


def test_a_second_finger_neither_ends_nor_bends_a_stroke(page: Any, server: Server) -> None:
    page.tap("[data-tool=brush]")
    view, image = state_of(page)["view"], state_of(page)["image"]
    before = len(server.get(f"/api/images/{image}/marks"))
    box = page.locator("[data-testid=canvas]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    first = [{"x": x + 10 * step, "y": y, "id": 1} for step in range(4)]
    second = {"x": x, "y": y + 150, "id": 2}
    both, later = [("touchStart", [first[1], second]), ("touchMove", [first[2], second])], [("touchMove", [first[3]])]
    steps = [("touchStart", first[:1]), ("touchMove", [first[1]]), *both, ("touchMove", [first[2]]), *later]
    for kind, points in [*steps, ("touchEnd", [])]:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    until(page, lambda state: state["marks"] == before + 1 and state["waiting"] == 0)
    marks = server.get(f"/api/images/{image}/marks")[before:]
    drawn = np.array(marks[0]["points"])
    row = (y - box["y"] - view["y"]) / view["scale"]
    assert np.abs(drawn[:, 1] - row).max() <= 1 / view["scale"]
    assert abs(drawn[-1, 0] - drawn[0, 0] - 30 / view["scale"]) <= 1 / view["scale"]
    page.tap("[data-tool=pan]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text("utf-8"))
    found = page.evaluate("() => axe.run()")["violations"]
    serious = {one["id"]: [node["html"] for node in one["nodes"]] for one in found if one["impact"] in BAD}
    assert serious == {}


BAD = ("serious", "critical")


def test_control_axe_finds_a_button_without_a_name(page: Any) -> None:
    page.evaluate("() => document.querySelector('main').append(document.createElement('button'))")
    found = page.evaluate("() => axe.run()")["violations"]
    page.evaluate("() => document.querySelector('main').lastElementChild.remove()")
    assert "button-name" in {one["id"] for one in found if one["impact"] in BAD}


def test_many_objects_are_rows_only_where_they_are_seen(page: Any, server: Server) -> None:
    rows = [
        {"id": n + 1, "class": 1, "area": n % 997, "row": n % 128, "column": n % 120, "mean": 1.0,
         "box": [n % 120, n % 120, n % 120 + 4, n % 120 + 4]}
        for n in range(OBJECTS)
    ]  # fmt: skip
    intercept(
        page,
        "**/objects?*",
        lambda route: route.fulfill(status=200, body=json.dumps(rows), content_type="application/json"),
    )
    page.tap("[data-testid=predict]")
    until(page, lambda state: state["objects"] == OBJECTS)
    assert page.locator("[data-testid=objects] .row").count() < 60
    page.evaluate(
        "() => { const table = document.getElementById('objects'); table.scrollTop = table.scrollHeight / 2; }"
    )
    until_true(page, "() => Number(document.querySelector('#objects .row').getAttribute('aria-rowindex')) > 20000")
    scale = state_of(page)["view"]["scale"]
    page.evaluate("() => document.querySelectorAll('#objects .row')[5].click()")
    until(page, lambda state: state["view"]["scale"] > scale)
    page.unroute("**/objects?*")


def test_results_of_two_models_are_compared(page: Any, server: Server) -> None:
    image = state_of(page)["image"]
    page.select_option("[data-testid=compare]", "model second")
    until(page, lambda state: state["compared"] == "second")
    assert "second" in {one["model"] for one in server.get(f"/api/images/{image}")["results"]}
    assert page.input_value("[data-testid=swipe]") == "50"
    assert page.evaluate(
        """() => {
        const canvas = document.getElementById("compared");
        const half = canvas.width / 2;
        const pixels = (left, width) => canvas.getContext("2d").getImageData(left, 0, width, canvas.height).data;
        const inked = (left, width) => pixels(left, width).some(Boolean);
        return [inked(0, half - 1), inked(half + 1, half - 2)];
    }"""
    ) in ([True, False], [False, False])


def test_what_doctor_finds_is_shown_and_a_copy_is_written(page: Any, server: Server) -> None:
    page.tap("[data-testid=check]")
    until_true(page, "() => document.querySelector('#findings li') !== null")
    assert "shifted mask" in page.inner_text("[data-testid=findings]")
    shown = page.evaluate("() => [...document.querySelectorAll('#thumbnails .findings')].map((one) => one.textContent)")
    assert sum(bool(text) for text in shown) == 1
    page.evaluate("() => document.querySelector('#findings button').click()")
    shifted = next(one["image"] for one in server.get("/api/state")["check"]["findings"])
    until(page, lambda state: state["image"] == shifted)
    page.tap("[data-testid=fix]")
    until_true(page, "() => document.getElementById('check-text').textContent.includes('corrected copy')")
    assert server.get("/api/state")["check"]["copy"]


def test_nothing_failed(page: Any) -> None:
    assert page.errors == []
