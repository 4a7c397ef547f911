"""Readers over the catalogue of bad inputs: refuse, repair with a warning, or read correctly."""

import time
import tracemalloc
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from badfiles import CLASSES, PALETTE, ROWS, Row
from pixelwise.errors import BadImage
from pixelwise.io.read import Image as Picture
from pixelwise.io.read import MaskImage, probe, read_image, read_mask
from privileges import bound_by_permissions

BY_NAME = {row.name: row for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}-{row.name}")
def test_row(row: Row, tmp_path: Path) -> None:
    path = row.make(tmp_path)
    with bound_by_permissions() if row.number == 9 else nullcontext(True) as bound:
        if not bound:
            pytest.skip("this user may read everything")
        check_row(row, path, tmp_path)


def check_row(row: Row, path: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    read = read_mask if row.kind == "mask" else read_image
    started = time.process_time()
    tracemalloc.start()
    try:
        if row.outcome == "refuse":
            with pytest.raises(BadImage) as caught:
                read(path)
            _check_error(caught.value, path, row.words)
        else:
            result = read(path)
            assert row.check(result), "wrong pixels"
            messages = " ".join(result.warnings)
            assert (row.outcome == "warn") == bool(messages), messages
            assert all(word in messages for word in row.words), messages
            _check_probe(path, result)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 2**20
    assert time.process_time() - started < 5, "CPU seconds; usually far below one"
    assert sorted(tmp_path.iterdir()) == before, "a file was written next to the user's images"


def test_rows_cover_the_catalogue() -> None:
    assert len({row.number for row in ROWS}) >= 40
    assert len(BY_NAME) == len(ROWS)


def test_control_truncated_files_switched_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With this switch Pillow returns half an image without an error: the test must fail.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(pytest.fail.Exception):
        test_row(BY_NAME["half a JPEG"], tmp_path)


def test_control_palette_through_convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(path: Path) -> MaskImage:
        with Image.open(path) as picture:
            return MaskImage(np.asarray(picture.convert("L")), dict(enumerate(PALETTE)), False)

    path = BY_NAME["palette mask"].make(tmp_path)
    assert not BY_NAME["palette mask"].check(convert(path))
    assert set(np.unique(convert(path).values)) != set(np.unique(CLASSES))


def _check_error(error: BadImage, path: Path, words: tuple[str, ...]) -> None:
    text = str(error)
    assert text.startswith(f"{path}: expected ")
    assert "\n" not in text
    assert all(word in text for word in words), text
    assert error.exit_code == 2


def _check_probe(path: Path, result: Picture | MaskImage) -> None:
    info = probe(path)
    if isinstance(result, MaskImage):
        assert result.values.shape[:2] == (info.height, info.width)
        assert (result.palette is not None) == info.palette
    else:
        assert result.pixels.shape == (info.channels, *info.size)
