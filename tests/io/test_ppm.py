"""PPM, PGM and PBM: values as stored, or refused where Pillow would scale them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pixelwise.errors import BadImage
from pixelwise.io.read import probe, read_image, read_mask

DRAWN = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize(("ending", "pixels"), [(".ppm", DRAWN), (".pgm", DRAWN[..., 0])])
def test_values_are_those_stored(tmp_path: Path, ending: str, pixels: np.ndarray) -> None:
    path = tmp_path / f"a{ending}"
    Pillow.fromarray(pixels).save(path)
    assert np.array_equal(np.moveaxis(read_image(path).pixels, 0, -1), pixels.reshape(20, 30, -1))
    assert probe(path).channels == pixels.reshape(20, 30, -1).shape[-1]
    assert np.array_equal(read_mask(path).values, pixels)


def test_text_and_comments(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_text("P2\n# drawn\n3 2\n255\n0 1 2\n3 4 255\n", "ascii")
    assert read_mask(tmp_path / "a.pgm").values.tolist() == [[0, 1, 2], [3, 4, 255]]


def test_bits_are_white_where_a_viewer_shows_white(tmp_path: Path) -> None:
    (tmp_path / "a.pbm").write_text("P1\n2 2\n0 1\n1 0\n", "ascii")
    mask = read_mask(tmp_path / "a.pbm")
    assert mask.values.tolist() == [[1, 0], [0, 1]]
    assert mask.bilevel


@pytest.mark.parametrize(
    "content", [b"P5\n4 3\n15\n" + bytes(12), b"P5\n4 3\n65535\n" + bytes(24), b"P6\n4 3\n65535\n" + bytes(72)]
)
def test_other_ranges_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ppm").write_bytes(content)
    with pytest.raises(BadImage, match="PNG or TIFF"):
        read_mask(tmp_path / "a.ppm")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    Pillow.fromarray(DRAWN).save(tmp_path / "a.ppm")
    (tmp_path / "a.ppm").write_bytes((tmp_path / "a.ppm").read_bytes()[:-40])
    with pytest.raises(BadImage):
        read_image(tmp_path / "a.ppm")
