"""The open volumes of the worker that reads images: their planes as pyramids, their labels, their truth."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from pixelwise.errors import BadImage
from pixelwise.io.images import ImageInfo
from pixelwise.io.read import is_volume_folder, probe
from pixelwise.io.volumes.windows import InMemoryVolume, VolumeReader
from pixelwise.server.workers.label_tiles import Labels
from pixelwise.server.workers.pyramid import Pyramid
from pixelwise.server.workers.recent import Recent
from pixelwise.server.workers.volume_planes import (
    Plane,
    PlaneReader,
    describe_planes,
    measure_range,
    open_label_volume,
    open_volume,
    view_plane,
)

_PLANES, _LABELS, _HEADERS = 8, 4, 256  # kept


class _Opened:
    """A volume, the grid of its header, and its displayed range, which is that of all planes."""

    def __init__(self, path: Path, info: ImageInfo) -> None:
        self.reader, self.grid = open_volume(path, info), info.grid
        self.ranges = measure_range(self.reader)

    def pyramid(self, plane: Plane, at: int) -> Pyramid:
        view = view_plane(self.reader.shape[1:], self.grid, plane)
        return Pyramid(PlaneReader(self.reader, view, at), self.ranges)


class Volumes:
    """Opens volumes and their planes.

    The last volume is kept, and closed before the next one is opened: one may take a gigabyte.

    Parameters
    ----------
    stacks : bool
        The pages of every TIFF stack are slices, also where its metadata do not say so.
    """

    def __init__(self, stacks: bool = False) -> None:
        self._stacks = stacks
        self._opening, self._drawing = Lock(), Lock()
        self._opened: tuple[tuple[str, int, int], _Opened] | None = None
        self._planes, self._labels, self._headers = Recent(_PLANES), Recent(_LABELS), Recent(_HEADERS)

    def info(self, path: Path) -> ImageInfo | None:
        """Return the header of a volume; None of an image of two dimensions.

        Raises
        ------
        BadImage
            It is no image.
        """

        def read() -> ImageInfo | None:
            if path.is_dir() and not is_volume_folder(path):
                return None
            info = probe(path, volumes=self._stacks)
            return None if info.depth is None else info

        return self._headers.get(stamp(path), read)

    def describe(self, path: Path) -> dict[str, Any]:
        """Return what the page needs to know about a volume; `planes` is in `volume_planes.describe_planes`."""
        opened = self._open(path)
        volume = describe_planes(opened.reader, opened.grid)
        first = volume["planes"]["axial"]
        return {
            "width": first["width"],
            "height": first["height"],
            "levels": first["levels"],
            "channels": opened.reader.shape[0],
            "dtype": str(opened.reader.dtype),
            "range": [list(span) for span in opened.ranges],
            "spacing": None,
            "warnings": list(opened.reader.warnings),
            "volume": volume,
        }

    def pyramid(self, path: Path, plane: Plane, at: int) -> Pyramid:
        """Return the tiles of a plane.

        Raises
        ------
        BadImage
            It is no volume, cannot be read, or has no such plane.
        """
        opened = self._open(path)
        return self._planes.get((*stamp(path), plane, at), lambda: opened.pyramid(plane, at))

    def overview(self, path: Path) -> tuple[np.ndarray, list[tuple[float, float]]]:
        """Return the axial plane in the middle of a volume, and the displayed range of each channel.

        A volume that is not the open one is read for it and closed again, one at a time.
        """
        with self._drawing:
            known = self._opened
            opened = known[1] if known is not None and known[0] == stamp(path) else _Opened(path, self._require(path))
            return opened.pyramid("axial", opened.reader.shape[1] // 2).overview(), opened.ranges

    def labels(self, path: Path, image: Path, plane: Plane, at: int) -> Labels:
        """Return a plane of the labels, or of the uncertainty, of a volume."""
        return self._plane_of(self._labels.get(stamp(path), lambda: open_label_volume(path)), image, plane, at)

    def truth(self, read: Callable[[], np.ndarray], image: Path, plane: Plane, at: int) -> Labels:
        """Return a plane of the ground truth of an image; `read` returns (depth, height, width), and is called once."""
        volume = self._labels.get(("truth", str(image)), lambda: InMemoryVolume(read()[None]))
        return self._plane_of(volume, image, plane, at)

    def _plane_of(self, volume: VolumeReader, image: Path, plane: Plane, at: int) -> Labels:
        """Return a plane of labels, drawn as the planes of their image are."""
        return Labels(PlaneReader(volume, view_plane(volume.shape[1:], self._require(image).grid, plane), at))

    def _require(self, path: Path) -> ImageInfo:
        info = self.info(path)
        if info is None:
            raise BadImage("a volume", "an image of two dimensions", "Reload the page.", path)
        return info

    def _open(self, path: Path) -> _Opened:
        with self._opening:
            key = stamp(path)
            if self._opened is None or self._opened[0] != key:
                self._opened, self._planes = None, Recent(_PLANES)  # frees the memory of the one before
                self._opened = key, _Opened(path, self._require(path))
            return self._opened[1]


def stamp(path: Path) -> tuple[str, int, int]:
    """Return a key that changes with a file; of a folder, with what is directly in it."""
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), status.st_mtime_ns, status.st_size
