"""Frames of videos and animated pictures: each is decoded exactly, in any order, and damage is an error."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.errors import BadImage
from pixelwise.io.arrays.frames import FrameStack, count_frames, is_animated
from pixelwise.io.read import probe, read_image, read_mask
from public_sets.series import write_video

FRAMES = [np.random.default_rng(index).integers(0, 255, (24, 32, 3)).astype(np.uint8) for index in range(7)]


def animated(path: Path, frames: list[np.ndarray]) -> Path:
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, lossless=True)
    return path


@pytest.mark.parametrize("ending", [".png", ".webp", ".avi"])
def test_frames_in_any_order(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"film{ending}"
    if ending == ".avi":
        write_video(path, FRAMES, "FFV1")
    else:
        animated(path, FRAMES)
    assert count_frames(path) == len(FRAMES)
    for index in (3, 0, 6, 6, 1):
        assert np.array_equal(np.moveaxis(read_image(path / str(index)).pixels, 0, -1), FRAMES[index])
    assert probe(path / "2").size == (24, 32)
    with pytest.raises(BadImage):
        read_image(path / "7")


def test_frames_are_read_again_when_they_are_no_longer_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelwise.io.arrays.frames._KEPT_BYTES", 1)
    stack = FrameStack(animated(tmp_path / "film.webp", FRAMES))
    assert all(np.array_equal(stack[index], FRAMES[index]) for index in (5, 2, 3, 0, 6))


def test_a_lossy_video_is_lossy_and_gray(tmp_path: Path) -> None:
    mask = np.zeros((24, 32, 3), np.uint8)
    mask[6:18, 8:20] = 255
    write_video(tmp_path / "mask.avi", [mask] * 3, "MJPG")
    read = read_mask(tmp_path / "mask.avi" / "1")
    assert read.lossy
    assert not read.coloured
    assert np.array_equal(read.values > 127, mask[..., 0] > 127)
    write_video(tmp_path / "exact.avi", [mask] * 3, "FFV1")
    assert not read_mask(tmp_path / "exact.avi" / "1").lossy


def test_still_and_damaged_pictures_are_not_animated(tmp_path: Path) -> None:
    Image.fromarray(FRAMES[0]).save(tmp_path / "still.png")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a\0\0")
    assert not is_animated(tmp_path / "still.png")
    assert not is_animated(tmp_path / "broken.gif")
    Image.fromarray(FRAMES[0]).save(tmp_path / "photo.gif", "JPEG")
    assert not is_animated(tmp_path / "photo.gif")
    for ending in ("png", "gif", "webp"):
        assert is_animated(animated(tmp_path / f"film.{ending}", FRAMES))


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    with pytest.raises(BadImage):
        count_frames(tmp_path / "film.mp4")


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://localhost:9/a.ts\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile film.avi\n",
        b"<?xml version='1.0'?><MPD></MPD>",
    ],
    ids=["HLS", "concat", "DASH"],
)
def test_playlists_are_not_followed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(BadImage, match="MP4, MOV, AVI"):
        count_frames(tmp_path / "film.mp4")


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_pipes_are_not_opened(tmp_path: Path, ending: str) -> None:
    """A reader of a pipe would wait for a writer for ever."""
    os.mkfifo(tmp_path / f"a{ending}")
    assert not is_animated(tmp_path / f"a{ending}")
    if ending == ".mp4":
        with pytest.raises(BadImage):
            count_frames(tmp_path / f"a{ending}")


@pytest.mark.parametrize("ending", [".webp", ".avi"])
def test_a_slice_is_several_frames_and_one_behind_the_last_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"film{ending}"
    if ending == ".avi":
        write_video(path, FRAMES, "FFV1")
    else:
        animated(path, FRAMES)
    stack = FrameStack(path)
    assert np.array_equal(stack[2:5], FRAMES[2:5])
    with pytest.raises(BadImage, match="7 frames"):
        stack[7]


def test_more_films_than_stay_open_are_read_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelwise.io.arrays.frames._OPEN", 1)
    stacks = [FrameStack(animated(tmp_path / f"film{number}.png", FRAMES[number:])) for number in range(3)]
    for index in range(4):
        for number, stack in enumerate(stacks):
            assert np.array_equal(stack[index], FRAMES[number + index])


def test_a_film_has_a_largest_number_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "film.avi", FRAMES, "FFV1")
    monkeypatch.setattr("pixelwise.io.arrays.frames.MAX_FRAMES", 6)
    with pytest.raises(BadImage, match="at most 6"):
        count_frames(tmp_path / "film.avi")


def test_without_opencv_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "film.avi", FRAMES, "FFV1")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(BadImage, match=r"pixelwise\[video\]"):
        count_frames(tmp_path / "film.avi")


@pytest.mark.parametrize("last", [b"RIFF", b"movi"])
def test_a_film_that_is_cut_off_before_its_first_frame_is_refused(tmp_path: Path, last: bytes) -> None:
    path = tmp_path / "film.avi"
    write_video(path, FRAMES, "FFV1")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(last) + 12])
    with pytest.raises(BadImage):
        count_frames(path)
