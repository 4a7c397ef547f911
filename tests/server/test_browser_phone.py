"""The page on a phone, upright and on its side: everything can be met by a finger, and the image is seen."""

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from bright import drawn_image
from browser import MARKS, opened, serving, state_of, until, until_true
from pixelwise.io.write import write_image

pytestmark = MARKS

FINGER = 44  # pixels: WCAG 2.2, success criterion 2.5.5
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 3}


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    folder = tmp_path_factory.mktemp("studio")
    write_image(folder / "data" / "first.png", drawn_image(1, 128))
    with serving(folder) as server, opened(server, **PHONE) as page:
        yield page


def test_rows_and_check_boxes_are_large_enough_for_a_finger(phone: Any) -> None:
    phone.locator("#predict").tap()
    until(phone, lambda state: state["objects"] > 0)
    heights = phone.evaluate(
        """() => [...document.querySelectorAll('#objects .row, label:has([type=checkbox])')]
        .map((one) => one.getBoundingClientRect().height)"""
    )
    assert len(heights) > 3
    assert min(heights) >= FINGER
    tops = phone.evaluate(
        "() => [...document.querySelectorAll('#objects .row')].map((one) => one.getBoundingClientRect().top)"
    )
    assert np.diff(sorted(tops)).min() >= FINGER, "rows do not overlap"


def test_an_object_that_is_tapped_comes_into_view(phone: Any) -> None:
    phone.locator("#take").scroll_into_view_if_needed()
    phone.locator("#objects .row").first.tap()
    until_true(
        phone,
        """() => { const box = document.getElementById('viewer').getBoundingClientRect();
        return box.top >= 0 && box.bottom <= innerHeight; }""",
    )


def test_help_begins_with_its_heading(phone: Any) -> None:
    phone.locator("#show-help").tap()
    box = phone.locator("#help h2").bounding_box()
    assert 0 <= box["y"] < PHONE["viewport"]["height"] / 2  # type: ignore[index]
    phone.locator("#help button").tap()


@pytest.fixture
def on_its_side(phone: Any) -> Generator[Any]:
    phone.set_viewport_size({"width": 844, "height": 390})
    until_true(phone, "() => innerWidth === 844")
    yield phone
    phone.set_viewport_size(PHONE["viewport"])
    until_true(phone, "() => innerWidth === 390")


def test_a_phone_on_its_side_shows_tools_and_most_of_the_image(on_its_side: Any) -> None:
    tools, viewer = (on_its_side.locator(name).bounding_box() for name in (".toolbar", "#viewer"))
    assert tools["height"] < 2 * FINGER, "tools are in one row"
    assert viewer["height"] > 390 / 2 + FINGER
    assert tools["height"] + viewer["height"] < 390
    assert on_its_side.evaluate(
        "() => document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth"
    )


# Controls that are not under the finger where they are, once they were scrolled into view.
UNREACHED = """() => [...document.querySelectorAll("button, select, input, summary")]
    .filter((one) => one.offsetParent && !one.closest("dialog, #notice")).filter((one) => {
        one.scrollIntoView({ block: "nearest", inline: "nearest" });
        const box = one.getBoundingClientRect();
        const hit = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
        return !hit || !(one.contains(hit) || hit.contains(one));
    }).map((one) => one.outerHTML)"""


def test_on_its_side_everything_is_reached_beside_the_image_and_a_notice_leaves_it_free(on_its_side: Any) -> None:
    viewer, place = on_its_side.locator("#viewer"), on_its_side.locator("#viewer").bounding_box()
    on_its_side.evaluate("() => { document.getElementById('take').open = true; }")
    assert on_its_side.evaluate(UNREACHED) == []
    on_its_side.locator("#look").evaluate("(one) => one.scrollTo(0, 0)")
    assert viewer.bounding_box() == place, "the image stays while the rest is scrolled"
    before = state_of(on_its_side)["marks"]
    on_its_side.locator("[data-tool=delete]").tap()
    on_its_side.touchscreen.tap(place["x"] + place["width"] / 2, place["y"] + 2)  # outside of the drawn image
    until_true(on_its_side, "() => !document.getElementById('notice').hidden")
    notice = on_its_side.locator("#notice").bounding_box()
    assert notice["x"] >= place["x"] + place["width"]
    assert 0 < notice["y"] < 390 - FINGER
    assert viewer.bounding_box() == place
    on_its_side.locator("#notice button").tap()
    on_its_side.locator("[data-tool=brush]").tap()
    on_its_side.touchscreen.tap(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    until(on_its_side, lambda state: state["marks"] == before + 1)
    on_its_side.locator("[data-tool=pan]").tap()


def test_sliders_of_a_phone_are_wide(phone: Any) -> None:
    ranges = phone.evaluate(
        """() => [...document.querySelectorAll('[aria-label=Layers] [type=range]')]
        .map((one) => one.getBoundingClientRect().width)"""
    )
    assert min(ranges) > 390 / 2
