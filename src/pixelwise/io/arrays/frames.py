"""The frames of videos, and of animated GIF, APNG and WebP files, as an array (frames, height, width, 3) of bytes.

Videos are decoded by OpenCV with its copy of FFmpeg (Apache-2.0 and LGPL; the wheels of PyAV and imageio-ffmpeg have
FFmpeg with parts under the GPL). Frames depend on those before them: they are decoded in order, and the last ones are
kept in memory, so that reading all of them takes one pass.
"""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageSequence

from pixelwise.errors import BadImage
from pixelwise.io.array_paths import VIDEOS
from pixelwise.io.headers import decoding

MAX_FRAMES = 1_000_000
_HEAD = 4096  # bytes that show what a file is
# MP4 and MOV, AVI, MKV and WebM, MPEG, WMV
_CONTAINER = re.compile(
    rb"....(ftyp|moov|mdat|wide|free|skip)|RIFF....AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xba\xb3]|\x30\x26\xb2\x75", re.DOTALL
)
_FOURCC = 6  # cv2.CAP_PROP_FOURCC
_LOSSLESS = frozenset(("FFV1", "HFYU", "FFVH", "MPNG", "PNG ", "RLE ", "\0\0\0\0", "RAW ", "RGBA", "DIB "))
_KEPT_BYTES = 1 << 30  # of decoded frames in memory
_OPEN = 4  # files whose next frame can be decoded without starting again
_lock = threading.Lock()
_kept: "OrderedDict[tuple[str, int, int, int], np.ndarray]" = OrderedDict()
_measured: dict[tuple[str, int, int], tuple[int, int, int, bool]] = {}  # frames, height, width, whether it is lossy
_readers: "OrderedDict[tuple[str, int, int], tuple[int, Iterator[np.ndarray]]]" = OrderedDict()  # by the next frame


def count_frames(path: Path) -> int:
    """Return the number of frames of a video or an animated picture; 1 for a still picture.

    Raises
    ------
    BadImage
        It cannot be read.
    """
    return FrameStack(path).shape[0]


def is_animated(path: Path) -> bool:
    """Return whether a GIF, PNG or WebP file has several frames, from the start of the file; False if it is damaged."""
    if not path.is_file():  # reading a pipe would wait for ever
        return False
    try:
        head = _head(path)
        if head.startswith(b"\x89PNG"):
            return b"acTL" in head  # before the first IDAT
        if not head.startswith((b"GIF8", b"RIFF")):
            return False
        with Pillow.open(path, formats=("GIF", "WEBP")) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, SyntaxError, ValueError):
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


class FrameStack:
    """The frames of a file as an array; a frame is decoded when it is indexed."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, path: Path) -> None:
        self._path, self._key = path, _key(path)
        with _lock:
            known = _measured.get(self._key)
        if known is None:
            known = _measure(path)
            with _lock:
                _measured[self._key] = known
        self.shape = (*known[:3], 3)
        self.lossy = known[3]

    def __getitem__(self, index: Any) -> np.ndarray:
        if not isinstance(index, int):
            return np.stack([self[number] for number in range(self.shape[0])])[index]
        with _lock:
            frame = _kept.get((*self._key, index))
            if frame is None:
                frame = self._decode(index)
        return frame

    def _decode(self, index: int) -> np.ndarray:
        """Decode frames up to one of them, and keep them."""
        following, frames = _readers.pop(self._key, (0, iter(())))
        if following == 0 or following > index:
            following, frames = 0, _frames(self._path)
        with decoding(self._path, "video" if self._path.suffix.casefold() in VIDEOS else "animated"):
            for frame in frames:
                _keep((*self._key, following), frame)
                following += 1
                if following > index:
                    _readers[self._key] = following, frames
                    while len(_readers) > _OPEN:
                        _readers.popitem(last=False)
                    return frame
        hint = "The file is damaged; export it again."
        raise BadImage(f"{self.shape[0]} frames", f"{following}", hint, self._path)


def _key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.resolve()), status.st_mtime_ns, status.st_size


def _keep(key: tuple[str, int, int, int], frame: np.ndarray) -> None:
    _kept[key] = frame
    while len(_kept) > 1 and sum(kept.nbytes for kept in _kept.values()) > _KEPT_BYTES:
        _kept.popitem(last=False)


def _measure(path: Path) -> tuple[int, int, int, bool]:
    """Return the number of frames, their height and width, and whether their compression changes values."""
    if path.suffix.casefold() not in VIDEOS:
        lossy = b"VP8 " in _head(path)
        with decoding(path, "animated"), Pillow.open(path, formats=("GIF", "PNG", "WEBP")) as image:
            return int(getattr(image, "n_frames", 1)), image.height, image.width, lossy
    count, size = 0, (0, 0)
    video = _open_video(path)
    try:
        codec = int(video.get(_FOURCC)).to_bytes(4, "little").decode("ascii", "replace")
        while video.grab():  # the number that files state is an estimate
            if not count:
                size = video.retrieve()[1].shape[:2]
            count += 1
            if count > MAX_FRAMES:
                raise BadImage(f"at most {MAX_FRAMES} frames", "more", "Split the video.", path)
    finally:
        video.release()
    if not count:
        raise BadImage("a video with frames", "none that can be decoded", "Export it as H.264 in MP4.", path)
    return count, int(size[0]), int(size[1]), codec.upper() not in _LOSSLESS


def _frames(path: Path) -> Iterator[np.ndarray]:
    """Yield the frames of a file as (height, width, 3) in RGB."""
    if path.suffix.casefold() not in VIDEOS:
        with Pillow.open(path, formats=("GIF", "PNG", "WEBP")) as image:
            for frame in ImageSequence.Iterator(image):
                yield np.asarray(frame.convert("RGB"))
        return
    video = _open_video(path)
    try:
        while True:
            found, frame = video.read()
            if not found:
                return
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        video.release()


def _open_video(path: Path) -> Any:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg prints what it finds in damaged files
    try:
        import cv2
    except ImportError as error:
        hint = "Install it: pip install 'pixelwise[video]'. Or export the frames as PNG."
        raise BadImage("the package opencv-python-headless, which reads videos", "none", hint, path) from error
    hint = "Export it as H.264 in MP4."
    if not path.is_file() or not _CONTAINER.match(_head(path)):  # FFmpeg would follow the addresses in a playlist
        raise BadImage("a video in MP4, MOV, AVI, MKV, WebM, MPEG or WMV", "another file", hint, path)
    video = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    if not video.isOpened():
        raise BadImage("a video", "a file that cannot be opened", hint, path)
    return video
