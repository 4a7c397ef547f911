"""JPEG is decoded as Pillow decodes it, in less time, and a file that is cut off is never filled up."""

from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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


PLAIN = [{}, {"progressive": True}, {"subsampling": 0, "quality": 100}, {"comment": b"hello"}, {"dpi": (300, 300)}]
EXIF = Image.Exif()
EXIF[0x0112] = 6
FOR_PILLOW = [{"exif": EXIF}, {"icc_profile": bytes(200)}, {"xmp": b"<x/>"}]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [*PLAIN, *FOR_PILLOW], ids=" ".join)
def test_the_header_is_that_of_pillow(mode: str, options: dict[str, Any]) -> None:
    file = BytesIO()
    photo().convert(mode).save(file, "JPEG", **options)
    assert pillow.read_jpeg_header(file, Path("a.jpg")) == pillow.read_pillow_header(file, "JPEG", Path("a.jpg"))
    plain = pillow._plain_jpeg_size(file.getvalue())
    assert plain == (None if mode == "CMYK" or options in FOR_PILLOW else (45, 61, {"L": 1, "RGB": 3}[mode]))


@given(st.integers(2, 700), st.integers(0, 255))
def test_a_header_with_another_byte_is_that_of_pillow_or_of_a_file_that_cannot_be_decoded(at: int, byte: int) -> None:
    file = BytesIO()
    photo().save(file, "JPEG")
    content = bytearray(file.getvalue())
    content[at] = byte
    size = pillow._plain_jpeg_size(bytes(content))
    if size is None:
        return
    try:
        header = pillow.read_pillow_header(BytesIO(content), "JPEG", Path("a.jpg"))
    except BadImage:  # its data cannot fill its size
        with pytest.raises(BadImage):
            pillow.read_jpeg_header(BytesIO(content), Path("a.jpg"))
    except Exception:  # Pillow raises anything
        assert pillow._decode_whole_jpeg(BytesIO(content)) is None
    else:
        assert (header.height, header.width, header.channels, header.orientation) == (*size, 1)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    photo().save(buffer, "JPEG", quality=80)
    content = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(BadImage):
        read_image(tmp_path / "a.jpg")
    assert imagecodecs.jpeg8_decode(content[: len(content) * 2 // 3]).shape == (45, 61, 3)  # control: it fills the rest
