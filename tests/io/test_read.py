"""Readers compared with other decoders, round trips of the writers, limits of memory and size."""

import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image as Pillow
from PIL import ImageOps, features

import badfiles
from pixelwise.errors import BadImage, BadOption, OutputFailed
from pixelwise.io import pillow
from pixelwise.io.read import (
    gif_bytes,
    png_bytes,
    probe,
    read_image,
    read_mask,
    write_image,
    write_labels,
    write_mask,
)

PLANES = array_shapes(min_dims=2, max_dims=2, max_side=9)
PALETTES = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=256)


def pixels(kinds: tuple[str, ...], channels: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Draw images of these data types and channel counts."""
    values = {"allow_nan": False, "allow_infinity": False, "width": 32}
    return st.tuples(st.sampled_from(kinds), st.sampled_from(channels), PLANES).flatmap(
        lambda drawn: arrays(
            drawn[0], (drawn[1], *drawn[2]), elements=st.floats(**values) if drawn[0] == "float32" else None
        )
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


class TestRoundTrips:
    @given(picture=pixels(("uint8", "uint16"), (1, 3)))
    def test_png(self, place: Path, picture: np.ndarray) -> None:
        write_image(place / "a.png", picture)
        _check_same(place / "a.png", picture)
        assert (place / "a.png").read_bytes() == png_bytes(picture)

    @given(picture=pixels(("uint8", "uint16", "float32"), (1, 2, 3, 4, 5)))
    def test_tiff(self, place: Path, picture: np.ndarray) -> None:
        write_image(place / "a.tif", picture)
        _check_same(place / "a.tif", picture)

    @given(mask=arrays(np.uint8, PLANES), palette=PALETTES)
    def test_mask(self, place: Path, mask: np.ndarray, palette: list[tuple[int, int, int]]) -> None:
        write_mask(place / "m.png", mask, palette)
        result = read_mask(place / "m.png")
        assert np.array_equal(result.values, mask)
        assert result.palette is not None
        assert [result.palette[i] for i in range(len(palette))] == palette
        assert not result.lossy

    @given(
        labels=arrays(np.int64, PLANES, elements=st.integers(0, 2**32 - 1) | st.integers(0, 300)),
        suffix=st.sampled_from([".png", ".tif", ".tiff"]),
        spacing=st.none() | st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)),
    )
    def test_labels(self, place: Path, labels: np.ndarray, suffix: str, spacing: tuple[float, float] | None) -> None:
        path = write_labels(place / f"l{suffix}", labels, spacing)
        small = labels.max() < 2**16
        assert path.suffix == (".tif" if suffix == ".png" and not small else suffix)
        assert np.array_equal(read_mask(path).values, labels)
        assert probe(path).dtype == ("uint16" if small else "uint32")
        if path.suffix != ".png" and labels.max() <= 2**24:
            result = read_image(path).spacing
            assert (result is None) == (spacing is None)
            assert result is None or result == pytest.approx(spacing, rel=1e-4)

    def test_gif(self, tmp_path: Path) -> None:
        frames = [np.full((8, 9, 3), value, np.uint8) for value in (0, 120, 250)]
        (tmp_path / "a.gif").write_bytes(gif_bytes(frames, 80))
        with Pillow.open(tmp_path / "a.gif") as gif:
            assert getattr(gif, "n_frames", 1) == 3
            assert gif.info["loop"] == 0
            for number, frame in enumerate(frames):
                gif.seek(number)
                assert gif.info["duration"] == (240 if number == 2 else 80)
                assert np.array_equal(gif.convert("RGB"), frame)


class TestGif:
    @pytest.mark.parametrize("values", [(0, 255), (0, 3, 7), (0, 1), (5, 9, 250)])
    def test_gray_values_are_those_that_a_viewer_shows(self, tmp_path: Path, values: tuple[int, ...]) -> None:
        drawn = np.array(values, np.uint8)[np.random.default_rng(0).integers(0, len(values), (20, 30))]
        Pillow.fromarray(drawn).save(tmp_path / "m.gif")
        assert np.array_equal(read_mask(tmp_path / "m.gif").values, drawn)
        assert np.array_equal(read_image(tmp_path / "m.gif").pixels, drawn[None])
        assert probe(tmp_path / "m.gif").channels == 1

    def test_colours(self, tmp_path: Path) -> None:
        colours = np.array([(255, 0, 0), (0, 0, 255), (9, 9, 9)], np.uint8)
        drawn = colours[np.random.default_rng(0).integers(0, 3, (20, 30))]
        Pillow.fromarray(drawn).save(tmp_path / "m.gif")
        result = read_mask(tmp_path / "m.gif")
        assert result.palette is None
        assert np.array_equal(result.values, drawn)

    def test_transparency_is_reported(self, tmp_path: Path) -> None:
        Pillow.fromarray(np.eye(20, dtype=np.uint8) * 200).save(tmp_path / "m.gif", transparency=0)
        assert "transparency was ignored" in read_mask(tmp_path / "m.gif").warnings

    def test_animations_and_truncated_files_are_refused(self, tmp_path: Path) -> None:
        frames = [np.full((8, 9, 3), value, np.uint8) for value in (0, 120)]
        (tmp_path / "a.gif").write_bytes(gif_bytes(frames, 80))
        with pytest.raises(BadImage, match="an animated GIF"):
            read_mask(tmp_path / "a.gif")
        whole = tmp_path / "b.gif"
        Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)).save(whole)
        for part in (10, 300, whole.stat().st_size - 60):
            (tmp_path / "c.gif").write_bytes(whole.read_bytes()[:part])
            with pytest.raises(BadImage, match="a complete GIF image"):
                read_image(tmp_path / "c.gif")


class TestWritersRefuse:
    @pytest.mark.parametrize(
        ("write", "words"),
        [
            (lambda p: write_image(p / "a.png", np.zeros((1, 2, 2), np.float32)), "1 channels of float32"),
            (lambda p: write_image(p / "a.png", np.zeros((2, 2, 2), np.uint8)), "2 channels of uint8"),
            (lambda p: write_image(p / "a.jpg", np.zeros((1, 2, 2), np.uint8)), "ending in .png"),
            (lambda p: write_labels(p / "a.tif", np.array([[-1, 2]])), "-1 to 2"),
            (lambda p: write_mask(p / "a.png", np.zeros((2, 2), np.uint8), [(0, 0, 0)] * 257), "257"),
            (lambda p: gif_bytes([], 80), "at least one frame"),
        ],
    )
    def test_option(self, tmp_path: Path, write: Callable[[Path], object], words: str) -> None:
        with pytest.raises(BadOption, match=words):
            write(tmp_path)
        assert not list(tmp_path.iterdir())

    def test_place(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("", encoding="utf-8")
        with pytest.raises(OutputFailed):
            write_labels(tmp_path / "file" / "a.png", np.zeros((2, 2), np.int32))

    def test_keeps_the_old_file_when_interrupted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.tif"
        write_labels(path, np.ones((2, 2), np.int32))
        before = path.read_bytes()

        def fail(file: Any, *_: object, **__: object) -> None:
            file.write(b"half")
            raise KeyboardInterrupt

        monkeypatch.setattr(tifffile, "imwrite", fail)
        with pytest.raises(KeyboardInterrupt):
            write_labels(path, np.zeros((2, 2), np.int32))
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
    def test_like_pillow(self, tmp_path: Path, orientation: int, suffix: str) -> None:
        path = tmp_path / f"a{suffix}"
        options = {".webp": {"lossless": True}, ".jpg": {"quality": 95}}.get(suffix, {})
        Pillow.fromarray(badfiles.COLOUR).save(path, exif=badfiles.exif(orientation), **options)
        with Pillow.open(path) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture)).transpose(2, 0, 1)
        result = read_image(path)
        assert np.array_equal(result.pixels, expected)
        assert np.array_equal(read_mask(path).values.transpose(2, 0, 1), expected)
        info = probe(path)
        assert info.reoriented == (orientation != 1)
        assert (info.channels, info.height, info.width) == expected.shape
        assert result.warnings == ()

    def test_exif_behind_the_pixels(self, tmp_path: Path) -> None:
        # PNG allows the record after the image data, where Pillow finds it only by decoding.
        record = badfiles.exif(3).removeprefix(b"Exif\0\0")
        rows = b"".join(b"\0" + bytes(row) for row in badfiles.GRAY)
        chunks = (b"IDAT", zlib.compress(rows)), (b"eXIf", record), (b"IEND", b"")
        (tmp_path / "a.png").write_bytes(badfiles.png(26, 21, *chunks))
        assert np.array_equal(read_image(tmp_path / "a.png").pixels[0], badfiles.GRAY[::-1, ::-1])


class TestDecodersAgree:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
    @pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
    def test_with_pillow(self, tmp_path: Path, mode: str, suffix: str) -> None:
        if (mode, suffix) == ("LA", ".bmp"):
            pytest.skip("BMP has no gray with alpha")
        path = tmp_path / f"a{suffix}"
        Pillow.fromarray(badfiles.COLOUR).convert(mode).save(path)
        with Pillow.open(path) as picture:
            expected = np.asarray(picture.convert("L" if mode in ("1", "LA", "L") else "RGB"))
        planes = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
        assert np.array_equal(read_image(path).pixels, planes // 255 if mode == "1" else planes)

    @pytest.mark.parametrize("colour", [False, True])
    def test_sixteen_bit_png(self, tmp_path: Path, colour: bool) -> None:
        array = (badfiles.COLOUR if colour else badfiles.GRAY).astype(np.uint16) * 201 + 5
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(array))
        result = read_image(tmp_path / "a.png").pixels
        assert np.array_equal(result, array.transpose(2, 0, 1) if colour else array[None])
        assert result.max() > 255

    def test_a_transparent_colour_adds_no_channel(self, tmp_path: Path) -> None:
        Pillow.fromarray(badfiles.COLOUR).save(tmp_path / "a.png", transparency=(0, 0, 255))
        assert np.array_equal(read_image(tmp_path / "a.png").pixels, badfiles.COLOUR.transpose(2, 0, 1))

    def test_lossless_webp(self, tmp_path: Path) -> None:
        Pillow.fromarray(badfiles.COLOUR).save(tmp_path / "a.webp", lossless=True)
        Pillow.fromarray(badfiles.COLOUR).save(tmp_path / "b.webp", quality=50)
        assert np.array_equal(read_mask(tmp_path / "a.webp").values, badfiles.COLOUR)
        assert not read_mask(tmp_path / "a.webp").lossy
        assert read_mask(tmp_path / "b.webp").lossy

    def test_lossy_webp_of_more_pixels_than_its_data_can_hold(self, tmp_path: Path) -> None:
        """Refused before memory is allocated for the pixels; the most compressible image of a size is read."""
        flat = np.full((2000, 2000, 3), 128, np.uint8)
        Pillow.fromarray(flat).save(tmp_path / "flat.webp", quality=0, method=6)
        assert read_image(tmp_path / "flat.webp").pixels.shape == (3, 2000, 2000)
        Pillow.fromarray(badfiles.COLOUR).save(tmp_path / "a.webp", quality=50)
        content = bytearray((tmp_path / "a.webp").read_bytes())
        start = content.index(b"\x9d\x01\x2a") + 3
        content[start : start + 4] = (14_000).to_bytes(2, "little") * 2
        (tmp_path / "a.webp").write_bytes(content)
        with pytest.raises(BadImage, match="14000 × 14000 pixels"):
            read_image(tmp_path / "a.webp")
        with pytest.raises(BadImage, match="14000 × 14000 pixels"):
            probe(tmp_path / "a.webp")

    @pytest.mark.parametrize("progressive", [False, True])
    def test_jpeg_of_more_pixels_than_its_data_can_hold(self, tmp_path: Path, progressive: bool) -> None:
        """Refused instead of filled with gray; the most compressible image of a size is read."""
        flat = Pillow.fromarray(np.full((2000, 2000), 128, np.uint8))
        flat.save(tmp_path / "flat.jpg", quality=1, optimize=True, progressive=progressive)
        assert read_image(tmp_path / "flat.jpg").pixels.shape == (1, 2000, 2000)
        Pillow.fromarray(badfiles.GRAY.astype(np.uint8)).save(tmp_path / "a.jpg", progressive=progressive)
        content = bytearray((tmp_path / "a.jpg").read_bytes())
        start = content.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
        content[start : start + 4] = (32_000).to_bytes(2, "big") * 2
        (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(BadImage, match="32000 × 32000 pixels"):
            read_image(tmp_path / "a.jpg")

    def test_white_is_zero(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", badfiles.GRAY, photometric="miniswhite")
        with Pillow.open(tmp_path / "a.tif") as picture:
            expected = np.asarray(picture)
        assert np.array_equal(read_image(tmp_path / "a.tif").pixels[0], expected)
        assert np.array_equal(read_mask(tmp_path / "a.tif").values, expected)
        tifffile.imwrite(tmp_path / "b.tif", badfiles.GRAY % 3, photometric="miniswhite")  # numbers, whatever is shown
        assert np.array_equal(read_mask(tmp_path / "b.tif").values, badfiles.GRAY % 3)

    def test_gray_colours_are_one_value(self, tmp_path: Path) -> None:
        Pillow.fromarray(np.dstack([badfiles.GRAY] * 3)).save(tmp_path / "a.png")
        assert np.array_equal(read_mask(tmp_path / "a.png").values, badfiles.GRAY)


class TestPages:
    STACK = np.stack([badfiles.GRAY, badfiles.GRAY // 2, badfiles.GRAY // 3])

    @pytest.mark.parametrize("options", [{}, {"metadata": None}, {"imagej": True, "metadata": {"axes": "TYX"}}])
    def test_pages_as_channels_on_request(self, tmp_path: Path, options: dict[str, Any]) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, self.STACK, photometric="minisblack", **options)
        assert probe(path).pages == 3
        assert np.array_equal(read_image(path, pages=3).pixels, self.STACK)
        with pytest.raises(BadImage, match=r"a stack of 3 pages.*--pages 3"):
            read_image(path)
        with pytest.raises(BadImage, match="a stack of 3 pages"):
            read_image(path, pages=2)

    def test_slices_are_channels_on_request_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, self.STACK, photometric="minisblack", imagej=True, metadata={"axes": "ZYX"})
        assert np.array_equal(read_image(path).pixels, self.STACK[None])
        assert np.array_equal(read_image(path, pages=3).pixels, self.STACK)
        assert probe(path).size == self.STACK.shape

    @pytest.mark.parametrize("options", [{"ome": True}, {"imagej": True}, {}])
    def test_channels_named_by_the_file(self, tmp_path: Path, options: dict[str, Any]) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, self.STACK, photometric="minisblack", metadata={"axes": "CYX"}, **options)
        assert probe(path).pages == 1
        assert np.array_equal(read_image(path).pixels, self.STACK)

    def test_a_pyramid_is_one_image(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(badfiles.GRAY, subifds=1, metadata={"axes": "YX"})
            file.write(badfiles.GRAY[::2, ::2], subfiletype=1)
        assert np.array_equal(read_image(tmp_path / "a.tif").pixels[0], badfiles.GRAY)

    def test_other_files_named_by_ome_are_not_opened(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "secret.tif", np.full_like(badfiles.GRAY, 99))
        plane = '<TiffData FirstT="{}" IFD="0"><UUID FileName="{}">urn:uuid:{}</UUID></TiffData>'
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYTZC" Type="uint8" SizeX="26" SizeY="21" '
            'SizeT="2" SizeZ="1" SizeC="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>'
            f"{plane.format(0, 'a.tif', 0)}{plane.format(1, 'secret.tif', 1)}</Pixels></Image></OME>"
        )
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, badfiles.GRAY, description=xml, metadata=None)
        assert 99 in tifffile.imread(path)[1:]  # control: tifffile opens the other file
        result = read_image(path, pages=probe(path).pages).pixels
        assert np.array_equal(result[0], badfiles.GRAY)
        assert not (result[1:] == 99).all(axis=(1, 2)).any()


class TestSpacing:
    def test_imagej(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, badfiles.GRAY, imagej=True, resolution=(4, 2), metadata={"unit": "micron"})
        assert read_image(path).spacing == (0.5, 0.25)

    def test_ome(self, tmp_path: Path) -> None:
        sizes = {"axes": "YX", "PhysicalSizeX": 325, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5}
        tifffile.imwrite(tmp_path / "a.tif", badfiles.GRAY, ome=True, metadata=sizes)
        assert read_image(tmp_path / "a.tif").spacing == pytest.approx((0.5, 0.325))

    def test_a_print_resolution_is_ignored(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", badfiles.GRAY, resolution=(72, 72), resolutionunit="INCH")
        assert read_image(tmp_path / "a.tif").spacing is None

    def test_spacing_is_rotated_with_the_image(self, tmp_path: Path) -> None:
        tags = [(274, 3, 1, 6, True)]
        tifffile.imwrite(
            tmp_path / "a.tif", badfiles.GRAY, resolution=(1e4, 2e4), resolutionunit="CENTIMETER", extratags=tags
        )
        assert read_image(tmp_path / "a.tif").spacing == pytest.approx((1.0, 0.5))


class TestLimits:
    def test_pixel_limit(self, tmp_path: Path) -> None:
        path = badfiles.picture("a.png", badfiles.GRAY)(tmp_path)
        assert read_image(path, max_pixels=21 * 26).pixels.size == 21 * 26
        with pytest.raises(BadImage, match=r"at most 545 pixels .*21 × 26"):
            read_image(path, max_pixels=21 * 26 - 1)

    def test_pillows_own_limit_is_restored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = badfiles.picture("a.jpg", badfiles.GRAY, format="JPEG")(tmp_path)
        monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 10)
        assert read_image(path).pixels.shape == (1, 21, 26)
        assert Pillow.MAX_IMAGE_PIXELS == 10
        with pytest.raises(Pillow.DecompressionBombError):  # control: a plain open raises
            Pillow.open(path)

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_a_large_grayscale_image_is_in_memory_once(self, tmp_path: Path, suffix: str) -> None:
        side = 8000
        path = tmp_path / f"large{suffix}"
        write_large = np.broadcast_to(np.arange(side, dtype=np.uint8), (side, side))
        if suffix == ".png":
            path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(write_large), level=1))
        else:
            tifffile.imwrite(path, write_large, rowsperstrip=256, compression="zlib", compressionargs={"level": 1})
        code = (
            "import sys; from pathlib import Path; from pixelwise.io.read import read_image\n"
            "from pixelwise.inference.memory import peak_memory\n"
            "read_image(Path(sys.argv[2])); before = peak_memory(); image = read_image(Path(sys.argv[1]))\n"
            "print(peak_memory() - before, image.pixels.shape, image.pixels.dtype)"
        )
        small = badfiles.picture("small.png", badfiles.GRAY)(tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(small)], capture_output=True, text=True, check=True
        )
        grown, rest = done.stdout.split(" ", 1)
        assert rest.strip() == f"(1, {side}, {side}) uint8"
        assert int(grown) < 1.5 * side * side

    def test_threads_do_not_disturb_each_other(self, tmp_path: Path) -> None:
        path = badfiles.picture("a.jpg", badfiles.GRAY, format="JPEG", quality=95)(tmp_path)
        limit, expected, wrong = Pillow.MAX_IMAGE_PIXELS, read_image(path).pixels, []

        def read() -> None:
            for _ in range(20):
                if not np.array_equal(read_image(path).pixels, expected):
                    wrong.append(1)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert limit == Pillow.MAX_IMAGE_PIXELS

    def test_a_file_replaced_by_a_pipe_after_probing(self, tmp_path: Path) -> None:
        path = badfiles.picture("a.png", badfiles.GRAY)(tmp_path)
        probe(path)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(BadImage, match="a pipe"):
            read_image(path)


class TestCutJpeg:
    @pytest.mark.parametrize("cut", range(3, 40))
    def test_missing_bytes_are_detected(self, tmp_path: Path, cut: int) -> None:
        data = badfiles.encoded(badfiles.NOISE, "JPEG", quality=90)
        path = badfiles.content("a.jpg", data[:-cut])(tmp_path)
        with pytest.raises(BadImage, match="truncated"):
            read_image(path)

    @pytest.mark.parametrize("cut", [1, 2])
    def test_a_missing_end_marker_is_repaired(self, tmp_path: Path, cut: int) -> None:
        data = badfiles.encoded(badfiles.NOISE, "JPEG", quality=90)
        whole = read_image(badfiles.content("b.jpg", data)(tmp_path)).pixels
        result = read_image(badfiles.content("a.jpg", data[:-cut])(tmp_path))
        assert np.array_equal(result.pixels, whole)

    def test_a_progressive_file_is_not_repaired(self, tmp_path: Path) -> None:
        data = badfiles.encoded(badfiles.NOISE, "JPEG", quality=90, progressive=True)
        with pytest.raises(BadImage, match="truncated"):
            read_image(badfiles.content("a.jpg", data[:-2])(tmp_path))

    def test_control_a_single_tail_does_not_detect_missing_bytes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pillow, "_TAILS", (b"",))
        data = badfiles.encoded(badfiles.NOISE, "JPEG", quality=90)
        half = read_image(badfiles.content("a.jpg", data[: len(data) // 2])(tmp_path)).pixels
        whole = read_image(badfiles.content("b.jpg", data)(tmp_path)).pixels
        assert half.shape == whole.shape
        assert not np.array_equal(half, whole), "half an image is returned without an error"


@given(data=st.data())
def test_damaged_bytes_raise_only_bad_image(place: Path, data: st.DataObject) -> None:
    makers = [row.make for row in badfiles.ROWS if row.number in (12, 16, 26, 32, 33, 34, 37, 43, 54, 57, 58)]
    folder = place / "fuzz"
    folder.mkdir(exist_ok=True)
    path = data.draw(st.sampled_from(makers))(folder)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    messages: list[str] = []
    for read in (probe, read_image, read_mask):
        try:
            read(path)
        except BadImage as error:
            messages.append(str(error))
    assert all(text.startswith(f"{path}: expected ") for text in messages)


def _check_same(path: Path, picture: np.ndarray) -> None:
    result = read_image(path).pixels
    assert result.dtype == picture.dtype
    assert np.array_equal(result, picture)
    assert probe(path).dtype == picture.dtype.name


class TestNumbersInRed:
    def test_small_numbers_in_red_alone_are_the_values(self, tmp_path: Path) -> None:
        numbers = np.random.default_rng(0).integers(0, 40, (20, 30), dtype=np.uint8)
        pixels = np.dstack([numbers, 0 * numbers, 0 * numbers, np.full_like(numbers, 255)])
        Pillow.fromarray(pixels).save(tmp_path / "m.png")
        result = read_mask(tmp_path / "m.png")
        assert np.array_equal(result.values, numbers)
        assert any("red" in text for text in result.warnings)

    @pytest.mark.parametrize("colour", [(255, 0, 0), (128, 0, 0), (3, 1, 0)])
    def test_colours_stay_colours(self, tmp_path: Path, colour: tuple[int, int, int]) -> None:
        pixels = np.zeros((20, 30, 3), np.uint8)
        pixels[5:9] = colour
        Pillow.fromarray(pixels).save(tmp_path / "m.png")
        assert np.array_equal(read_mask(tmp_path / "m.png").values, pixels)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow is built without AVIF")
def test_an_avif_image_and_one_whose_stated_size_is_damaged(tmp_path: Path) -> None:
    drawn = np.full((24, 40, 3), (200, 30, 90), np.uint8)
    Pillow.fromarray(drawn).save(tmp_path / "a.avif", quality=100)
    found = read_image(tmp_path / "a.avif").pixels
    assert found.shape == (3, 24, 40)
    assert np.abs(found.transpose(1, 2, 0).astype(int) - drawn).max() <= 4
    content = bytearray((tmp_path / "a.avif").read_bytes())
    place = content.index(b"ispe") + 8  # the box of image spatial extents (ISO/IEC 23008-12, 6.5.3)
    for sides in (bytes(4), (300).to_bytes(4, "big") * 2):  # the decoder would enlarge the picture
        content[place : place + len(sides)] = sides
        (tmp_path / "b.avif").write_bytes(content)
        with pytest.raises(BadImage, match="AVIF") as caught:
            read_image(tmp_path / "b.avif")
        assert "object" not in str(caught.value)
        assert "<" not in str(caught.value)
