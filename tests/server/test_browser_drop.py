"""A folder as people have them is dropped on the page: what can be used is used, and the rest is named."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bright import drawn_image
from browser import MARKS, one_image, until_true
from pixelwise.io.write import png_bytes, write_image

pytestmark = MARKS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    with one_image(tmp_path_factory.mktemp("studio")) as page:
        yield page


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Two images, one of them deep inside; what systems leave behind, and files that are no images."""
    folder = tmp_path / "what I have"
    write_image(folder / "cells 2.png", drawn_image(2, 64))
    write_image(folder / "more" / "inside" / "16 bit.tif", drawn_image(3, 64).astype(np.uint16) * 16)
    for name, content in {".DS_Store": b"x", "paper.pdf": b"%PDF-1.4", "empty.png": b""}.items():
        (folder / name).write_bytes(content)
    (folder / "broken.png").write_bytes(png_bytes(drawn_image(4, 64))[:40])
    return folder


def drop(page: Any, *paths: Path) -> None:
    """Drop files or folders in the middle of the page, as a file manager does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 640, "y": 400, "data": data})


def test_a_messy_folder_is_read_and_what_was_left_out_is_named(page: Any, messy: Path) -> None:
    drop(page, messy)
    until_true(page, "() => document.getElementById('sentence').textContent.includes('2 of 5 files')")
    names = {image["name"] for image in page.server.get("/api/state")["images"]}
    assert names == {"first.png", "cells 2.png", "16 bit.tif"}
    listed = page.inner_text("[data-testid=messages]")
    assert all(name in listed for name in ("paper.pdf", "empty.png", "broken.png"))
    assert ".DS_Store" not in listed


def test_a_single_file_that_is_no_image_is_answered_by_its_sentence(page: Any, messy: Path) -> None:
    drop(page, messy / "paper.pdf")
    until_true(page, "() => document.getElementById('sentence').textContent.includes('a PDF document')")
    assert "16 bit.tif" in {image["name"] for image in page.server.get("/api/state")["images"]}


def said(page: Any, part: str) -> str:
    """Wait until what became of the last drop says something, also over the image; return the whole."""
    until_true(page, "(part) => document.getElementById('sentence').textContent.includes(part)", part)
    until_true(page, "(part) => document.querySelector('#notice span').textContent.includes(part)", part)
    return page.inner_text("[data-testid=sentence]")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("set.zip", "unpack"),
        ("movie.mp4", "frames"),
        ("movie.avi", "frames"),
        ("report.docx", "document"),
        ("stack.tif", "--volumes"),
    ],
)
def test_what_newcomers_drop_is_answered_with_what_to_do(page: Any, name: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\3\4 and what is in it")
    if name == "stack.tif":
        tifffile.imwrite(path, np.arange(7 * 64 * 64, dtype=np.uint16).reshape(7, 64, 64), photometric="minisblack")
    before = len(page.server.get("/api/state")["images"])
    drop(page, path)
    assert name in said(page, part)
    assert len(page.server.get("/api/state")["images"]) == before, "what cannot be shown is not kept"


def test_a_file_that_is_too_large_is_not_sent(page: Any, tmp_path: Path) -> None:
    with (tmp_path / "slide.tif").open("wb") as file:
        file.truncate(page.server.get("/api/state")["largest"] * 10**6 + 1)
    sent = len(page.requests)
    drop(page, tmp_path / "slide.tif")
    assert "serve FOLDER" in said(page, "slide.tif")
    assert not any("/api/images?name=slide" in address for address in page.requests[sent:])


def test_an_empty_folder_is_named(page: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    drop(page, tmp_path / "empty")
    until_true(page, "() => document.getElementById('sentence').textContent.includes('no files')")


def labelled(page: Any) -> set[str]:
    images = page.server.get("/api/state")["images"]
    return {Path(image["name"]).name.removesuffix(".png") for image in images if image["labelled"]}


def test_images_with_masks_can_be_trained_on(page: Any, tmp_path: Path) -> None:
    """In a folder with two folders, or beside each other; a list of classes comes along."""
    folders, beside = tmp_path / "folders", tmp_path / "beside"
    for number in range(31, 34):
        image = drawn_image(number, 64)
        write_image(folders / "images" / f"{number}.png", image)
        write_image(folders / "masks" / f"{number}.png", (image > 110) * np.uint8(1))
        write_image(beside / f"cell_{number}.png", drawn_image(number + 9, 64))
        write_image(beside / f"cell_{number}_mask.png", (drawn_image(number + 9, 64) > 110) * np.uint8(255))
    (folders / "classes.txt").write_text("ground\nfern\n", "utf-8")
    assert not page.server.get("/api/state")["trainable"]
    drop(page, folders)
    until_true(page, "() => document.getElementById('sentence').textContent.includes('3 with masks')")
    assert labelled(page) == {"31", "32", "33"}
    assert page.server.get("/api/state")["classes"] == ["ground", "fern"]
    until_true(page, "() => !document.querySelector('#source [value=folder]').disabled")
    drop(page, beside)
    until_true(page, "() => document.getElementById('sentence').textContent.includes('6 with masks')")
    assert not any("mask" in name for name in labelled(page))


def test_masks_alone_need_their_images(page: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "masks" / "1.png", np.zeros((1, 64, 64), np.uint8))
    before = len(page.server.get("/api/state")["images"])
    drop(page, tmp_path / "masks")
    assert "only masks" in said(page, "drop the folder that holds both")
    assert len(page.server.get("/api/state")["images"]) == before


def test_options_in_messages_do_not_break(page: Any) -> None:
    text = "Pass --task multiclass, or leave a--b as it is."
    state = {**page.server.get("/api/state"), "messages": [text]}
    page.route("**/api/state", lambda route: route.fulfill(status=200, json=state))
    page.reload()
    until_true(page, "() => document.querySelector('#messages li') !== null")
    assert page.inner_text("[data-testid=messages]") == text
    style = "(one) => [one.textContent, getComputedStyle(one).whiteSpace]"
    assert page.evaluate(f"() => [...document.querySelectorAll('#messages .option')].map({style})") == [
        ["--task", "nowrap"]
    ]
