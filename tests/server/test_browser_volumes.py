"""Volumes on the page, by keyboard alone: planes, slices, windows, predicted labels, and accessibility."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bright import drawn_volume
from browser import MARKS, opened, serving, state_of, until, until_true
from drawn_volumes import save_nifti
from server_process import SECONDS, Server

pytestmark = MARKS
pytest.importorskip("nibabel")

DEPTH, HEIGHT, WIDTH = 12, 40, 48
AFFINE = np.diag([1.0, 1.0, 3.0, 1.0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    folder = tmp_path_factory.mktemp("studio")
    for number in range(2):
        save_nifti(folder / "data" / f"{number}.nii.gz", drawn_volume(number), AFFINE)
    with serving(folder, dimensions=3) as server:
        yield server


@pytest.fixture(scope="module")
def page(server: Server) -> Generator[Any]:
    with opened(server) as page:
        yield page


def asked(page: Any, *parts: str) -> bool:
    """Return whether a tile with these parts in its address was asked for."""
    return any("/tiles/" in url and all(part in url for part in parts) for url in page.requests)


def asked_soon(page: Any, *parts: str) -> None:
    """Wait until such a tile is asked for."""
    for _ in range(20 * SECONDS):
        if asked(page, *parts):
            return
        page.wait_for_timeout(50)
    raise TimeoutError(f"{parts} was not asked for; the last request was {page.requests[-1:]}")


def focus(page: Any, name: str) -> None:
    """Reach a control with the tabulator key alone."""
    page.evaluate("() => document.activeElement.blur()")
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.id") == name:
            return
    raise AssertionError(f"{name} cannot be reached")


def test_a_volume_opens_in_its_middle(page: Any) -> None:
    state = state_of(page)
    assert state["place"] == {"plane": "axial", "at": DEPTH // 2}
    assert asked(page, "plane=axial", f"at={DEPTH // 2}")
    assert page.inner_text("[data-testid=slice-number]") == "7 of 12, 18.0 millimeters"
    assert page.evaluate("() => document.getElementById('edges').textContent") == "ARPL"
    assert "2 volumes" in page.inner_text("[data-testid=sentence]")


def test_slices_and_planes_by_keyboard(page: Any) -> None:
    page.keyboard.press("PageUp")
    until(page, lambda state: state["place"]["at"] == DEPTH // 2 + 1)
    focus(page, "slice")
    page.keyboard.press("ArrowRight")
    until(page, lambda state: state["place"]["at"] == DEPTH // 2 + 2)
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("c")
    until(page, lambda state: state["place"]["plane"] == "coronal")
    until_true(page, "() => window.studioState().view !== null")
    assert page.evaluate("() => document.getElementById('edges').textContent") == "SRIL"
    for _ in range(60):  # as fast as the keys come; only what is shown last must be loaded
        page.keyboard.press("PageUp")
    until(page, lambda state: state["place"]["at"] == HEIGHT - 1)
    asked_soon(page, "plane=coronal", f"at={HEIGHT - 1}")
    page.keyboard.press("c")
    until(page, lambda state: state["place"] == {"plane": "sagittal", "at": WIDTH // 2})
    page.keyboard.press("c")
    until(page, lambda state: state["place"]["plane"] == "axial")


def test_planes_that_change_while_a_slice_is_loaded(page: Any) -> None:
    pressed = page.evaluate("""() => {
        for (const key of ["PageUp", "PageUp", "c", "PageUp", "PageUp", "c", "c", "PageDown"]) {
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        }
        return window.studioState().place;
    }""")
    assert pressed["plane"] == "axial"
    for at in (pressed["at"] + 1, pressed["at"] + 2):  # the page goes on loading: slices that it does not hold yet
        page.keyboard.press("PageUp")
        asked_soon(page, "plane=axial", f"at={at}")


def test_windows_of_computed_tomography(page: Any) -> None:
    focus(page, "window")
    page.keyboard.press("l")  # lung
    until_true(page, "() => document.getElementById('low').value === '-1350'")
    asked_soon(page, "low=-1350", "high=150")


def ink_at(page: Any, row: float, column: float) -> bool:
    """Return whether the layer of labels is coloured at a pixel of the shown plane."""
    return page.evaluate(
        """([row, column]) => {
        const { x, y, scale } = window.studioState().view;
        const canvas = document.getElementById("labels");
        const ratio = canvas.width / canvas.clientWidth;
        const place = [(x + (column + 0.5) * scale) * ratio, (y + (row + 0.5) * scale) * ratio].map(Math.round);
        return canvas.getContext("2d").getImageData(...place, 1, 1).data[3] > 0;
    }""",
        [row, column],
    )


def test_predicted_labels_are_where_the_balls_are(page: Any, server: Server) -> None:
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("r")
    state = until(page, lambda s: s["objects"] == 2 and s["tiles"] > 0 and s["loaded"] and s["coloured"] > 0)
    focus(page, "objects")
    page.keyboard.press("ArrowDown")
    until(page, lambda s: s["place"] == {"plane": "axial", "at": DEPTH // 2} and s["loaded"] and s["tiles"] > 0)
    page.wait_for_timeout(800)  # the view flies to the object
    rows = server.get(f"/api/images/{state['image']}/objects")
    for row in rows:
        assert abs(row["slice"] - DEPTH // 2) <= 1
        assert ink_at(page, HEIGHT - 1 - row["row"], row["column"]), "upright: the front is at the top"
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("c")
    until(page, lambda s: s["place"]["plane"] == "coronal" and s["loaded"] and s["tiles"] > 0)
    page.keyboard.press("c")
    page.keyboard.press("c")
    until(page, lambda s: s["place"]["plane"] == "axial")


def test_a_volume_is_not_marked(page: Any) -> None:
    page.keyboard.press("b")
    assert state_of(page)["tool"] == "pan"
    assert "cannot be marked" in page.inner_text("[data-testid=notice]")
    page.keyboard.press("v")
    assert page.is_hidden("[data-testid=notice]"), "it is no longer about what was done last"
    assert (
        page.evaluate("() => [...document.querySelectorAll('[data-tool]')].filter((one) => !one.disabled).length") == 1
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe-playwright-python is not installed")
    page.emulate_media(color_scheme=scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text("utf-8"))
    found = page.evaluate("() => axe.run()")["violations"]
    bad = ("serious", "critical")
    assert {one["id"]: [node["html"] for node in one["nodes"]] for one in found if one["impact"] in bad} == {}


def test_nothing_left_the_machine_and_nothing_failed(page: Any, server: Server) -> None:
    assert [url for url in page.requests if not url.startswith((server.origin, "blob:", "data:"))] == []
    assert page.errors == []
