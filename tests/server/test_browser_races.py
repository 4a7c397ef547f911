"""Answers and events of the page in any order: late, lost, doubled, or of an image that is not shown any more.

Requests are held back by the browser, so that every order is one that the test has chosen.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from bright import drawn_image
from browser import MARKS, chromium, intercept, opened_again, serving, state_of, until, until_true
from pixelwise.io.write import write_image
from server_process import SECONDS, Server

pytestmark = MARKS

IMAGES = 5
NOTICE = "[data-testid=notice]"


class Held:
    """Requests of a page that wait until the test lets them go."""

    def __init__(self, page: Any, pattern: str, method: str = "GET") -> None:
        self.page, self.pattern, self.method = page, pattern, method
        self.routes, self.open = list[Any](), False
        intercept(page, pattern, self._take)

    def _take(self, route: Any) -> None:
        if self.open or route.request.method != self.method:
            route.continue_()
        else:
            self.routes.append(route)

    def wait(self, count: int = 1) -> None:
        """Wait until so many are held."""
        for _ in range(20 * SECONDS):
            if len(self.routes) >= count:
                return
            self.page.wait_for_timeout(50)
        shown = f"{state_of(self.page)}, notice: {self.page.inner_text(NOTICE)!r}"
        raise TimeoutError(f"{len(self.routes)} of {count} requests of {self.pattern}; {shown}")

    def release(self) -> None:
        """Let all go, and those that come."""
        self.open = True
        for route in self.routes:
            route.continue_()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    for number in range(IMAGES):
        image = drawn_image(number, 128)
        write_image(folder / "data" / "images" / f"{number}.png", image)
        write_image(folder / "data" / "masks" / f"{number}.png", (image > 110).astype(np.uint8) * 255)
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, server: Server) -> Generator[Any]:
    with opened_again(browser, server) as page:
        page.ids = [one["id"] for one in server.get("/api/state")["images"]]
        yield page
        caused = (
            "Failed to load resource",
            "Tile %s failed to load",
            "4",
            "5",
        )  # by the test: refused and lost requests
        assert [text for text in page.errors if not text.startswith(caused)] == []


def press(page: Any, *keys: str) -> None:
    """Press keys within one task of the page: nothing is answered in between."""
    page.evaluate(
        """(keys) => keys.forEach((key) => {
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })); })""",
        keys,
    )


def paint(page: Any, row: float) -> None:
    """Draw a short line with the brush, from left to right."""
    box = page.locator("[data-testid=canvas]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + row * box["height"]
    page.mouse.move(x - 20, y)
    page.mouse.down()
    page.mouse.move(x + 20, y, steps=3)
    page.mouse.up()


def show(page: Any, number: int) -> None:
    """Open an image, and wait until it is shown."""
    page.click(f"[data-id='{page.ids[number]}'] button")
    until(page, lambda state: state["image"] == page.ids[number] and state["view"] is not None)


def inked(page: Any) -> bool:
    """Return whether the layer of labels is drawn."""
    return page.evaluate("""() => {
        const canvas = document.getElementById("labels");
        return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean);
    }""")


def test_of_two_images_that_are_opened_the_second_one_is_shown(page: Any) -> None:
    first, second = page.ids[1:3]
    held = Held(page, f"**/api/images/{first}")
    press(page, "n", "n")
    held.wait()
    until(page, lambda state: state["image"] == second)
    held.release()
    page.wait_for_timeout(500)  # the late answer comes
    assert state_of(page)["image"] == second
    assert page.get_attribute(f"[data-id='{second}'] button", "aria-current") == "true"


def test_an_image_that_cannot_be_opened_leaves_the_shown_one_current(page: Any) -> None:
    first, second = page.ids[:2]
    intercept(
        page, f"**/api/images/{second}", lambda route: route.fulfill(status=422, json={"message": "It is broken."})
    )
    press(page, "n")
    until_true(page, f"() => document.querySelector('{NOTICE} span').textContent === 'It is broken.'")
    assert page.get_attribute(f"[data-id='{first}'] button", "aria-current") == "true"
    page.click(f"{NOTICE} button")
    assert page.is_hidden(NOTICE)


def test_marks_stay_with_their_image_while_the_server_is_slow(page: Any, server: Server) -> None:
    show(page, 0)
    first, second = page.ids[:2]
    before = [len(server.get(f"/api/images/{own}/marks")) for own in (first, second)]
    held = Held(page, "**/marks", "POST")
    page.keyboard.press("b")
    paint(page, 0.4)
    held.wait()
    press(page, "z", "n")  # taken back as soon as it is sent, but the next image is shown already
    until(page, lambda state: state["image"] == second and state["view"] is not None)
    paint(page, 0.6)
    assert state_of(page)["waiting"] == 2
    held.release()
    until(page, lambda state: state["waiting"] == 0 and state["marks"] == before[1] + 1)
    kinds = [
        [one["kind"] for one in server.get(f"/api/images/{own}/marks")][count:]
        for own, count in zip((first, second), before, strict=True)
    ]
    assert kinds == [["stroke", "undo"], ["stroke"]]


def test_marks_of_another_page_are_shown_although_own_ones_wait(page: Any, server: Server) -> None:
    show(page, 2)
    own = page.ids[2]
    held = Held(page, "**/marks", "POST")
    page.keyboard.press("b")
    paint(page, 0.4)
    held.wait()
    dot = {"kind": "stroke", "class_index": 1, "radius": 3, "points": [[5, 5]]}
    for key in ("first", "second"):
        server.get(f"/api/images/{own}/marks", {**dot, "key": key})
    until(page, lambda state: state["marks"] == 3)
    held.release()
    until(page, lambda state: state["waiting"] == 0)
    server.get(f"/api/images/{own}/marks", {**dot, "key": "third"})
    until(page, lambda state: state["marks"] == 4)
    page.keyboard.press("z")
    until(page, lambda state: state["marks"] == 3 and state["waiting"] == 0)
    assert [one.get("of") for one in server.get(f"/api/images/{own}/marks")][-1] == 4, "the newest of all pages"


def test_a_correction_belongs_to_the_result_that_was_shown(page: Any, server: Server) -> None:
    show(page, 3)
    page.keyboard.press("r")
    until(page, lambda state: state["objects"] > 0 and state["loaded"] and state["coloured"] > 0)
    own = page.ids[3]
    row = max(server.get(f"/api/images/{own}/objects"), key=lambda one: one["area"])
    view, box = state_of(page)["view"], page.locator("[data-testid=canvas]").bounding_box()
    held = Held(page, "**/corrections?*", "POST")
    page.keyboard.press("a")
    x, y = ((row[axis] + 0.5) * view["scale"] for axis in ("column", "row"))
    page.mouse.click(box["x"] + view["x"] + x, box["y"] + view["y"] + y)
    held.wait()
    press(page, "n")
    until(page, lambda state: state["image"] == page.ids[4])
    held.routes[0].abort()  # lost: it is sent again, with the same key
    until_true(page, f"() => document.querySelector('{NOTICE} span').textContent.includes('sent again')")
    held.routes.clear()
    held.release()
    until(page, lambda state: state["waiting"] == 0)
    assert [one["action"] for one in server.get(f"/api/images/{own}/marks")] == ["accept"]
    assert server.get(f"/api/images/{page.ids[4]}/marks") == []
    assert "saved" in page.inner_text(NOTICE)


def test_what_cannot_be_done_is_said_where_it_is_seen(page: Any) -> None:
    show(page, 4)
    page.keyboard.press("u")
    assert "Predict" in page.inner_text(NOTICE)
    page.click(f"{NOTICE} button")
    page.keyboard.press("a")
    page.locator("[data-testid=canvas]").click()
    assert "Predict" in page.inner_text(NOTICE)


def test_labels_are_drawn_whenever_their_tiles_come(page: Any) -> None:
    show(page, 1)
    held = Held(page, "**/labels/**")
    page.keyboard.press("r")
    held.wait()
    # shown again, by whatever there is to show, before the first tile is there
    page.evaluate("() => document.getElementById('layer').dispatchEvent(new Event('change'))")
    page.wait_for_timeout(500)
    assert not inked(page)
    held.release()
    until(page, lambda state: state["loaded"])
    assert inked(page)


def test_tiles_that_fail_are_asked_for_again(page: Any) -> None:
    failed = list[str]()

    def fail_once(route: Any) -> None:
        if route.request.url in failed:
            route.continue_()
        else:
            failed.append(route.request.url)
            route.fulfill(status=503, json={"message": "The queue is full."})

    for pattern in ("**/labels/**", f"**/tiles/{page.ids[2]}/*/*"):
        intercept(page, pattern, fail_once)
    page.click(f"[data-id='{page.ids[2]}'] button")
    until(page, lambda state: state["image"] == page.ids[2])
    page.keyboard.press("r")
    until(page, lambda state: state["objects"] > 0 and state["tiles"] > 0 and state["loaded"])
    until_true(page, "() => document.getElementById('notice').textContent.includes('could not be loaded')")
    for _ in range(20 * SECONDS):
        if all(page.requests.count(url) > 1 for url in failed):
            break
        page.wait_for_timeout(50)
    assert {url.split("/")[3] for url in failed} == {"labels", "tiles"}
    assert all(page.requests.count(url) > 1 for url in failed), failed


def test_a_job_that_has_ended_before_its_start_is_answered(page: Any, server: Server) -> None:
    held = Held(page, "**/api/jobs", "POST")
    page.click("[data-testid=check]")
    held.wait()
    answer = held.routes[0].fetch()
    until_true(page, "() => document.querySelector('#findings li, #check-text').textContent.includes('found')")
    held.routes[0].fulfill(response=answer)
    page.wait_for_timeout(500)
    assert page.is_enabled("[data-testid=check]")
    assert "Working" not in page.inner_text("[data-testid=check-text]")


def test_a_state_that_is_older_than_an_event_is_asked_for_again(page: Any, server: Server) -> None:
    own = page.ids[0]
    held = Held(page, "**/api/state")
    page.keyboard.press("r")  # its event makes the page ask for the state
    held.wait()
    answer = held.routes[0].fetch()
    server.get(f"/api/images/{own}/marks", {"kind": "stroke", "class_index": 1, "radius": 3, "points": [[5, 5]]})
    until(page, lambda state: state["marks"] > 0)
    held.open = True
    held.routes[0].fulfill(response=answer)
    page.wait_for_timeout(500)
    assert "marks" in page.inner_text(f"[data-id='{own}']")


def test_events_go_on_after_an_answer_that_is_no_stream(browser: Any, server: Server) -> None:
    with opened_again(browser, server) as page:
        held = Held(page, "**/api/events*")
        page.reload()
        held.wait()
        held.routes[0].fulfill(status=503, body="")
        until(page, lambda state: state["image"] is not None)
        own, before = state_of(page)["image"], state_of(page)["marks"]
        held.wait(2)
        assert not state_of(page)["connected"]
        server.get(f"/api/images/{own}/marks", {"kind": "stroke", "class_index": 1, "radius": 3, "points": [[9, 9]]})
        held.open = True
        held.routes[1].continue_()
        until(page, lambda state: state["connected"] and state["marks"] == before + 1)
        assert page.is_hidden(NOTICE)
