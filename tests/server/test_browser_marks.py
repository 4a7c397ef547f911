"""Marks on the page: polygons by mouse and by keyboard, undo, and what is said of a mark that cannot be made."""

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from bright import drawn_image
from browser import MARKS, chromium, opened_again, serving, state_of, until, until_true
from pixelwise.io.write import write_image
from server_process import Server

pytestmark = MARKS

NOTICE = "[data-testid=notice]"
SIDE = 128


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    for number in range(2):
        write_image(folder / "data" / f"{number}.png", drawn_image(number, SIDE))
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, server: Server) -> Generator[Any]:
    with opened_again(browser, server) as page:
        yield page


def at(page: Any, column: float, row: float) -> tuple[float, float]:
    """Return where a place of the image is on the screen."""
    view, box = state_of(page)["view"], page.locator("[data-testid=canvas]").bounding_box()
    return box["x"] + view["x"] + column * view["scale"], box["y"] + view["y"] + row * view["scale"]


def marks_of(page: Any, server: Server) -> list[dict[str, Any]]:
    return server.get(f"/api/images/{state_of(page)['image']}/marks")


def said(page: Any, text: str) -> None:
    until_true(page, f"() => document.querySelector('{NOTICE} span').textContent.includes('{text}')")


def draw(page: Any, *places: tuple[float, float]) -> None:
    """Draw a line over places of the image."""
    page.mouse.move(*at(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*at(page, *place), steps=3)
    page.mouse.up()


def predict(page: Any) -> None:
    page.keyboard.press("r")
    until(page, lambda state: state["objects"] > 0 and state["loaded"] and state["coloured"] > 0)


def test_a_double_click_closes_a_polygon_and_adds_no_corner_twice(page: Any, server: Server) -> None:
    page.keyboard.press("p")
    before, corners = state_of(page)["marks"], [(10, 10), (60, 10), (60, 50)]
    for place in corners[:2]:
        page.mouse.click(*at(page, *place))
    page.mouse.dblclick(*at(page, *corners[2]))
    until(page, lambda state: state["marks"] == before + 1 and state["waiting"] == 0)
    mark = marks_of(page, server)[-1]
    assert mark["kind"] == "polygon"
    assert np.allclose(mark["points"], corners, atol=0.5)
    assert page.evaluate("() => getSelection().toString()") == "", "a double click selects no text of the page"


def test_a_polygon_with_two_corners_stays_open_and_undo_takes_its_corners_back(page: Any, server: Server) -> None:
    page.keyboard.press("p")
    before = state_of(page)["marks"]
    for place in ((10, 80), (60, 80)):
        page.mouse.click(*at(page, *place))
    page.keyboard.press("Enter")
    said(page, "three corners")
    page.mouse.click(*at(page, 60, 110))
    page.mouse.click(*at(page, 90, 90))
    page.keyboard.press("z")
    page.keyboard.press("Enter")
    until(page, lambda state: state["marks"] == before + 1 and state["waiting"] == 0)
    assert len(marks_of(page, server)[-1]["points"]) == 3
    page.keyboard.press("z")
    until(page, lambda state: state["marks"] == before and state["waiting"] == 0)


def test_a_polygon_by_keyboard(page: Any, server: Server) -> None:
    before = state_of(page)["marks"]
    for key in ("p", "Enter", *["ArrowRight"] * 3, "Enter", *["ArrowDown"] * 3, "Enter", "Enter"):
        page.keyboard.press(key)
    until(page, lambda state: state["marks"] == before + 1 and state["waiting"] == 0)
    mark, step = marks_of(page, server)[-1], 30 / state_of(page)["view"]["scale"]
    middle = SIDE / 2
    corners = [(middle, middle), (middle + step, middle), (middle + step, middle + step)]
    assert (mark["kind"], len(mark["points"])) == ("polygon", 3)
    assert np.allclose(mark["points"], corners, atol=0.5)


def test_what_is_drawn_outside_of_the_image_is_no_mark(page: Any, server: Server) -> None:
    before, shown = marks_of(page, server), state_of(page)["marks"]
    page.keyboard.press("b")
    page.mouse.click(*at(page, -20, 20))
    said(page, "outside of the image")
    assert state_of(page)["waiting"] == 0
    assert marks_of(page, server) == before
    draw(page, (-20, 20), (10, 20))  # ends on the image
    until(page, lambda state: state["waiting"] == 0 and state["marks"] == shown + 1)


@pytest.mark.parametrize("key", ["a", "Delete", "m", "x"])
def test_a_correction_without_an_object_says_what_was_expected_until_the_next_one(page: Any, key: str) -> None:
    predict(page)
    before = state_of(page)["marks"]
    page.keyboard.press(key)
    draw(page, (2, 2), (6, 3))
    said(page, "Expected a place with an object; got background.")
    assert state_of(page)["marks"] == before
    page.keyboard.press("f")
    assert page.is_hidden(NOTICE)


def test_a_click_is_no_frame(page: Any, server: Server) -> None:
    predict(page)
    before = state_of(page)["marks"]
    page.keyboard.press("f")
    page.mouse.click(*at(page, 5, 5))
    said(page, "Expected a rectangle")
    draw(page, (2, 2), (30, 30))
    until(page, lambda state: state["marks"] == before + 1)
    assert marks_of(page, server)[-1]["action"] == "frame"


def test_a_whole_image_stays_whole_when_its_place_changes(page: Any) -> None:
    """A line with the command appears below the image of a result."""
    until(page, lambda state: state["view"] is not None)
    predict(page)
    page.set_viewport_size({"width": 1100, "height": 700})

    def is_whole(state: dict[str, Any]) -> bool:
        box, view = page.locator("[data-testid=canvas]").bounding_box(), state["view"]
        sides = [view["scale"] * SIDE + 2 * view[axis] - box[name] for axis, name in (("x", "width"), ("y", "height"))]
        return bool(np.abs(sides).max() < 1) and min(view["x"], view["y"]) > -1

    until(page, is_whole)
    page.evaluate("() => window.studioZoom(5, 30, 40)")
    until(page, lambda state: abs(state["view"]["scale"] - 5) < 1e-6)
    page.set_viewport_size({"width": 1280, "height": 800})
    until(page, lambda _: page.locator("[data-testid=canvas]").bounding_box()["width"] == 800)
    page.wait_for_timeout(300)
    middle, box = at(page, 30, 40), page.locator("[data-testid=canvas]").bounding_box()
    assert state_of(page)["view"]["scale"] == pytest.approx(5)
    assert middle == pytest.approx((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), abs=2)


def test_a_useful_place_at_the_border_is_shown_no_smaller_than_the_whole_image(page: Any) -> None:
    predict(page)
    whole = state_of(page)["view"]["scale"]
    page.keyboard.press("u")
    until_true(page, "() => document.getElementById('announcement').textContent.startsWith('Place at')")
    assert page.is_enabled("[data-testid=useful]")
    page.wait_for_timeout(1000)  # the view flies there
    assert state_of(page)["view"]["scale"] >= 0.99 * whole


def test_what_is_known_of_images_changes_without_taking_the_focus(page: Any, server: Server) -> None:
    images = server.get("/api/state")["images"]
    page.focus(f"[data-id='{images[1]['id']}'] button")
    dot = {"kind": "stroke", "class_index": 1, "radius": 3, "points": [[5, 5]], "key": "one"}
    server.get(f"/api/images/{images[1]['id']}/marks", dot)
    until_true(page, f"() => document.querySelector('[data-id=\"{images[1]['id']}\"]').innerText.includes('marks')")
    focused = "() => document.activeElement.closest('li') && document.activeElement.closest('li').dataset.id"
    assert page.evaluate(focused) == images[1]["id"]
    predict(page)
    page.focus(f"[data-id='{images[0]['id']}'] button")
    choose = "(value) => { const s = document.getElementById('order'); s.value = value; "
    page.evaluate(choose + "s.dispatchEvent(new Event('change')); }", "result")
    assert page.locator("#thumbnails li").count() == 1
    assert page.evaluate(focused) == images[0]["id"]
