"""Files that are taken away from the page, by keyboard alone, and what is said when there is none."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import MARKS, intercept, one_image, state_of, until, until_true
from pixelwise.io.read import read_image

pytestmark = MARKS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    with one_image(tmp_path_factory.mktemp("studio")) as page:
        yield page


def reach(page: Any, script: str) -> None:
    """Press the tabulator key until a script says that the element is the right one, and that its focus is visible."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(f"() => {{ const one = document.activeElement; return Boolean({script}); }}"):
            assert page.evaluate("() => parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 3
            return
    raise AssertionError(f"{script} cannot be reached")


def test_every_file_of_a_result_by_keyboard(page: Any, tmp_path: Path) -> None:
    reach(page, "one.getAttribute('aria-current') === 'true'")  # it has a frame of its own
    reach(page, "one.id === 'predict'")
    page.keyboard.press("Enter")
    state = until(page, lambda state: state["objects"] > 0)
    reach(page, "one.matches('#take summary')")
    page.keyboard.press("Enter")
    files = dict[str, Path]()
    for kind in ("mask", "corrected", "objects", "geojson", "overlay"):
        reach(page, f"one.dataset.take === '{kind}'")
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    assert [path.name for path in files.values()] == [
        "first.png", "first.corrected.png", "first.objects.csv", "first.geojson", "first.overlay.png",
    ]  # fmt: skip
    mask, corrected = (read_image(files[kind]).pixels for kind in ("mask", "corrected"))
    assert mask.max() == state["objects"]
    assert np.array_equal(mask > 0, corrected > 0)
    assert len(files["objects"].read_text("utf-8").splitlines()) == state["objects"] + 1
    assert len(json.loads(files["geojson"].read_text("utf-8"))["features"]) == state["objects"]


def test_a_file_that_cannot_be_made_is_explained_on_the_page(page: Any) -> None:
    answer = {"code": "bad_input", "message": "It is too large."}
    intercept(page, "**/take/corrected?*", lambda route: route.fulfill(status=422, json=answer))
    address = page.url
    page.evaluate("() => document.querySelector('[data-take=corrected]').click()")
    until_true(page, "() => document.querySelector('#notice span').textContent === 'It is too large.'")
    assert page.url == address
    assert state_of(page)["objects"] > 0


def test_the_progress_of_a_file_is_shown_and_it_can_be_stopped(page: Any) -> None:
    about = {"id": "7", "kind": "geojson", "state": "running", "share": 0.42, "message": ""}
    intercept(page, "**/take/geojson?*", lambda route: route.fulfill(status=202, json=about))

    def answer(route: Any) -> None:
        if route.request.method == "DELETE":
            about["state"] = "stopped"
        route.fulfill(status=200, json=about)

    intercept(page, "**/api/takes/7", answer)
    page.evaluate("() => document.querySelector('[data-take=geojson]').click()")
    until_true(page, "() => document.getElementById('making-text').textContent.includes('42 %')")
    assert page.evaluate("() => document.getElementById('making-bar').value") == pytest.approx(0.42)
    page.evaluate("() => document.getElementById('making-stop').click()")
    until_true(page, "() => document.querySelector('#notice span').textContent.startsWith('Stopped')")
    assert not page.is_visible("#making")
