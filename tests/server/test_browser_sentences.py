"""Sentences of the page: images without masks, no images, and a training that was stopped."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright import drawn_image
from browser import CHROMIUM, FLAGS, MARKS, opened, playwright, state_of, until, until_true
from pixelwise.io.write import write_image
from server_process import Server

pytestmark = MARKS


@pytest.fixture
def page(tmp_path: Path) -> Generator[Any]:
    for number in range(5):
        write_image(tmp_path / "data" / "images" / f"{number}.png", drawn_image(number, 64))
        if number < 4:
            mask = np.zeros((1, 64, 64), np.uint8)
            mask[:, 8:40, 8:40] = 255
            write_image(tmp_path / "data" / "masks" / f"{number}.png", mask)
    (tmp_path / "data" / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    server = Server(str(tmp_path / "data"), "--out", str(tmp_path / "project"))
    with opened(server) as page:
        yield page
    assert server.close() == 0


def test_images_without_masks_are_shown_and_the_training_says_why_it_waits(page: Any) -> None:
    images = page.server.get("/api/state")["images"]
    assert [image["labelled"] for image in images] == [True] * 4 + [False] * 2
    assert {image["name"] for image in images[4:]} == {"images/4.png", "images/broken.png"}
    until_true(page, "() => document.querySelectorAll('#thumbnails li').length === 6")
    broken = next(image["id"] for image in images if "broken" in image["name"])
    until_true(page, f"() => document.querySelector('[data-id=\"{broken}\"]').innerText.includes('cannot be read')")
    assert "Check" in page.inner_text("[data-testid=training]")
    assert page.is_enabled("[data-testid=train]")
    page.click(f"[data-id='{images[4]['id']}'] button")
    until_true(page, f"() => window.studioState().image === '{images[4]['id']}'")


def test_the_list_scrolls_to_the_image_that_is_shown(page: Any) -> None:
    seen = """(id) => {
        const inner = document.querySelector(`[data-id="${id}"]`).getBoundingClientRect();
        const outer = document.getElementById("images").getBoundingClientRect();
        return inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
    }"""
    ids = [image["id"] for image in page.server.get("/api/state")["images"]]
    until_true(page, "() => document.querySelectorAll('#thumbnails li').length === 6")
    assert not page.evaluate(seen, ids[4])
    for number in (1, 2, 3, 4, 3, 2, 1, 0):
        page.keyboard.press("n" if ids.index(state_of(page)["image"]) < number else "N")
        until(page, lambda state: state["image"] == ids[number])  # noqa: B023
        assert page.evaluate(seen, ids[number])


def test_without_images_nothing_can_be_started_and_the_reason_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    server = Server(str(tmp_path / "empty"), "--out", str(tmp_path / "project"))
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(server.link)
        until_true(page, "() => document.querySelector('#messages li') !== null")
        assert page.is_disabled("[data-testid=train]")
        assert page.inner_text("[data-testid=training]") == ""
        page.click("[data-testid=useful]")
        until_true(page, "() => document.getElementById('notice').innerText.includes('no image')")
        browser.close()
    assert server.close() == 0


def test_a_stopped_training_says_how_far_it_came(page: Any) -> None:
    message = "47 of 705 steps are done."
    job = {"id": "0001", "kind": "train", "started": 0.0, "seconds": 60, "state": "stopped", "message": message}
    job |= {"revision": 1, "command": "pixelwise train DATA", "snapshot": -1}
    state = {**page.server.get("/api/state"), "jobs": [job]}
    page.route("**/api/state", lambda route: route.fulfill(status=200, json=state))
    page.route("**/metrics", lambda route: route.fulfill(status=200, json=[]))
    page.reload()
    until_true(page, "() => document.getElementById('training').innerText.includes('stopped')")
    assert page.inner_text("[data-testid=training]").endswith(message)
    page.evaluate("() => getSelection().selectAllChildren(document.getElementById('training-command'))")
    page.wait_for_timeout(2500)  # time left is shown anew every second
    assert page.evaluate("() => getSelection().toString()") == job["command"]


def test_a_hint_closes_with_the_next_action_and_its_button_stays_in_one_line(page: Any) -> None:
    page.keyboard.press("z")
    until_true(page, "() => !document.getElementById('notice').hidden")
    page.keyboard.press("b")
    until_true(page, "() => document.getElementById('notice').hidden")
    page.click("[data-testid=useful]")
    until_true(page, "() => !document.getElementById('notice').hidden")
    height = page.locator("#notice button").bounding_box()["height"]
    page.evaluate("() => { document.querySelector('#notice span').textContent = 'a long sentence '.repeat(40); }")
    assert page.locator("#notice button").bounding_box()["height"] == height
