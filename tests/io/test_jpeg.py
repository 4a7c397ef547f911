"""JPEG is decoded as Pillow decodes it, in less time, and a file that is cut off is never filled up."""

from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from pixelwise.errors import BadImage
from pixelwise.io import pillow
from pixelwise.io.read import read_image


def photo() -> Image.Image:
    noise = np.random.default_rng(0).normal(size=(45, 61, 3)) * 300
    return Image.fromarray(np.clip(ndimage.gaussian_filter(noise, (2, 2, 0)) + 128, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_values_are_those_of_pillow(tmp_path: Path, mode: str, subsampling: int, progressive: bool) -> None:
    path = tmp_path / "a.jpg"
    photo().convert(mode).save(path, quality=80, subsampling=subsampling, progressive=progressive)
    expected = np.asarray(Image.open(path)).reshape(45, 61, -1).transpose(2, 0, 1)
    with path.open("rb") as file:
        assert np.array_equal(pillow._decode_whole_jpeg(file), expected)
    np.testing.assert_array_equal(read_image(path).pixels, expected)


def test_other_colours_are_left_to_pillow(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    photo().convert("CMYK").save(path)
    with path.open("rb") as file:
        assert pillow._decode_whole_jpeg(file) is None
    expected = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(read_image(path).pixels, expected)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    photo().save(buffer, "JPEG", quality=80)
    content = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(BadImage):
        read_image(tmp_path / "a.jpg")
    assert imagecodecs.jpeg8_decode(content[: len(content) * 2 // 3]).shape == (45, 61, 3)  # control: it fills the rest
