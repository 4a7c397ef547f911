"""Windowed reading of TIFF: only the tiles or strips that a window touches are decoded."""

import math
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int64, Shaped

from pixelwise.errors import BadImage
from pixelwise.geometry.tiles import Span
from pixelwise.io.chunks import CACHE, ChunkCache, assemble, planned_cache
from pixelwise.io.headers import decode_error, decoding
from pixelwise.io.tiff import guard_segments
from pixelwise.io.tiff_directories import open_tiff

MAX_CHUNK_BYTES = 1 << 30  # of one decoded tile or strip
MAX_SLICE_CACHE = 192 * 2**20  # bytes of decoded tiles or strips of the slices of a volume
_JPEG = {6, 7, 33007, 34892}


class TiffPlanes:
    """The stored samples of a TIFF at full resolution, (planes, height, width), in the order of `decode_tiff`.

    Parameters
    ----------
    file : BinaryIO
        Open, and checked by `read_tiff_header`. Closed by `close`.
    path : Path
        For messages.

    Attributes
    ----------
    shape, dtype
    messages : tuple of str
        Warnings about slow or large files.

    Raises
    ------
    BadImage
        A single tile or strip of more than `MAX_CHUNK_BYTES` bytes.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._lock = file, path, Lock()
        self._tiff: Any = open_tiff(file, path)[0]
        series = self._tiff.series[0]
        self._page, self._pages = series.keyframe, list(series.pages)
        guard_segments(self._page)
        self._axes = str(series.axes)
        self._sizes = dict(zip(self._axes, (int(n) for n in series.shape), strict=True))
        self._order = plane_order(self._axes, self._sizes)
        self.shape = len(self._order), self._sizes["Y"], self._sizes["X"]
        self.dtype = np.dtype(series.dtype).newbyteorder("=")
        self._start: int | None = series.dataoffset if self._axes.replace("S", "").endswith("YX") else None
        self._cache = ChunkCache(CACHE)
        self._chunk = self._chunk_size()
        self.messages = self._check_chunks()

    def read(self, rows: Span, columns: Span) -> Shaped[np.ndarray, "planes rows columns"]:
        """Return a window within the image."""
        if self._start is not None:
            return self._read_contiguous(rows, columns)
        return self._read_chunks(rows, columns, self._order)

    def read_slices(self, slices: Span, rows: Span, columns: Span) -> Shaped[np.ndarray, "slices rows columns"]:
        """Return a window of some of the planes of a stack whose pages have one sample per pixel."""
        if self._start is not None:
            return self._read_rows(range(*slices), rows, columns, 1)[..., 0].astype(self.dtype, copy=False)
        return self._read_chunks(rows, columns, self._order[slice(*slices)])

    def _read_chunks(
        self, rows: Span, columns: Span, order: Int64[np.ndarray, " planes"]
    ) -> Shaped[np.ndarray, "planes rows columns"]:
        samples = self._samples()
        out = np.empty((len(order), rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        for place, number in enumerate(order.tolist()):
            page, sample = divmod(number, samples)
            assemble(
                out[place : place + 1],
                (rows, columns),
                self._chunk,
                lambda i, j, p=page, s=sample: self._get(p, s, i, j),
            )
        return out

    def plan_slices(self, slices: int) -> int:
        """Set the cache size for windows of so many slices; return it in bytes."""
        if self._start is not None:
            return 0
        plane = self.shape[1] * self.shape[2] * self.dtype.itemsize
        self._cache.limit = max(min(MAX_SLICE_CACHE, slices * plane), self._chunk_bytes())
        return self._cache.limit

    def plan(self, band: int) -> int:
        """Set the cache size for bands of `band` rows; return it in bytes."""
        if self._start is not None:
            return 0
        row_bytes = self.shape[2] * self.shape[0] * self.dtype.itemsize
        self._cache.limit = max(planned_cache(band, self._chunk, row_bytes, self.shape[1]), self._chunk_bytes())
        return self._cache.limit

    @property
    def decoded(self) -> int:
        """The number of decoded tiles or strips."""
        return self._cache.decoded

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        self._file.close()

    def _samples(self) -> int:
        return self._sizes.get("S", 1)

    def _contiguous_samples(self) -> int:
        """Return the number of samples per pixel in one segment."""
        return int(self._page.shaped[4])

    def _chunk_size(self) -> tuple[int, int]:
        page = self._page
        if page.is_tiled:
            return int(page.tilelength), int(page.tilewidth)
        return min(int(page.rowsperstrip), self.shape[1]), self.shape[2]

    def _chunk_bytes(self) -> int:
        return math.prod(self._chunk) * self._contiguous_samples() * self.dtype.itemsize

    def _check_chunks(self) -> tuple[str, ...]:
        if self._start is not None:
            return ()
        size = self._chunk_bytes()
        if size > MAX_CHUNK_BYTES:
            got = f"one of {self._chunk[0]} × {self._chunk[1]} pixels, {size / 2**30:.1f} GiB"
            raise BadImage("tiles or strips below 1 GiB", got, "Save the image as a tiled TIFF.", self._path)
        if not self._page.is_tiled and size > 64 * 2**20:
            return (f"strips of {size / 2**20:.0f} MiB each: a tiled TIFF needs less memory",)
        return ()

    def _get(self, page: int, sample: int, i: int, j: int) -> Shaped[np.ndarray, "1 chunk_rows chunk_columns"]:
        """Return one plane of the chunk of `page` in row `i` and column `j` of the grid."""
        per_segment = self._contiguous_samples()
        plane, inside = (0, sample) if per_segment > 1 else (sample, 0)
        across = -(-self.shape[2] // self._chunk[1])
        down = -(-self.shape[1] // self._chunk[0])
        index = (plane * down + i) * across + j
        chunk = self._cache.get((page, index), lambda: self._decode(page, index, i, j))
        return chunk[inside : inside + 1]

    def _decode(self, page: int, index: int, i: int, j: int) -> Shaped[np.ndarray, "samples chunk_rows chunk_columns"]:
        frame = self._pages[page]
        rows = min(self._chunk[0], self.shape[1] - i * self._chunk[0])
        columns = min(self._chunk[1], self.shape[2] - j * self._chunk[1])
        with decoding(self._path, "TIFF"):
            count = int(frame.databytecounts[index])
            if count == 0:  # a sparse file: this chunk was not written
                return np.full((self._contiguous_samples(), rows, columns), self._page.nodata, self.dtype)
            with self._lock:
                self._file.seek(int(frame.dataoffsets[index]))
                data = self._file.read(count)
            tables = {}
            if int(self._page.compression) in _JPEG:
                tables = {"jpegtables": frame.jpegtables, "jpegheader": self._page.jpegheader}
            segment = self._page.decode(data, index, **tables)[0]
            pixels = np.asarray(segment)[0, :rows, :columns]
        if pixels.shape[:2] != (rows, columns):
            text = f"a tile of {pixels.shape[0]} × {pixels.shape[1]} pixels instead of {rows} × {columns}"
            raise decode_error(self._path, "TIFF", ValueError(text))
        return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).astype(self.dtype, copy=False)

    def _read_contiguous(self, rows: Span, columns: Span) -> Shaped[np.ndarray, "planes rows columns"]:
        """Read a window of uncompressed contiguous samples row by row, without a cache."""
        samples = self._samples() if self._axes.endswith("S") else 1
        out = self._read_rows(range(len(self._order) // samples), rows, columns, samples)
        planes = np.moveaxis(out, -1, 1).reshape(-1, *out.shape[1:3])
        return planes[self._stored_order()].astype(self.dtype, copy=False)

    def _read_rows(
        self, stored: range, rows: Span, columns: Span, samples: int
    ) -> Shaped[np.ndarray, "planes rows columns samples"]:
        dtype = self.dtype.newbyteorder(self._tiff.byteorder)
        height, width = self.shape[1:]
        row_count, wide = rows[1] - rows[0], columns[1] - columns[0]
        out = np.empty((len(stored), row_count, wide, samples), dtype)
        full = wide == width
        for place, plane in enumerate(stored):
            for row in range(1 if full else row_count):
                at = ((plane * height + rows[0] + row) * width + columns[0]) * samples * dtype.itemsize
                target = out[place] if full else out[place, row]
                self._fill(target, int(self._start or 0) + at)
        return out

    def _stored_order(self) -> Int64[np.ndarray, " planes"]:
        """Return the indices of the planes in the order of the file, samples last."""
        if self._axes.endswith("S"):
            return self._order
        leading = [axis for axis in self._axes if axis not in "YX"]
        numbers = np.arange(len(self._order)).reshape([self._sizes[a] for a in leading])
        ordered_axes = [a for a in leading if a not in "CS"] + [a for a in "CS" if a in leading]
        return numbers.transpose([leading.index(a) for a in ordered_axes]).reshape(-1).astype(np.int64)

    def _fill(self, target: np.ndarray, at: int) -> None:
        with self._lock:
            self._file.seek(at)
            data = self._file.read(target.nbytes)
        if len(data) != target.nbytes:
            raise decode_error(self._path, "TIFF", ValueError(f"{target.nbytes - len(data)} bytes are missing"))
        target[...] = np.frombuffer(data, target.dtype).reshape(target.shape)


def plane_order(axes: str, sizes: dict[str, int]) -> Int64[np.ndarray, " planes"]:
    """Return page × samples + sample for each plane, in the order stacks, channels, samples.

    Pages are numbered over all axes except Y, X and S, in the order of the file.
    """
    paged = [axis for axis in axes if axis not in "YXS"]
    pages = np.arange(math.prod(sizes[a] for a in paged), dtype=np.int64).reshape([sizes[a] for a in paged])
    ordered_axes = [a for a in paged if a != "C"] + [a for a in paged if a == "C"]
    ordered = pages.transpose([paged.index(a) for a in ordered_axes])
    samples = sizes.get("S", 1)
    return (ordered.reshape(-1)[:, None] * samples + np.arange(samples)).reshape(-1)


def readable_by_windows(file: BinaryIO, path: Path) -> bool:
    """Return whether all pages of a TIFF are 2D images of one kind, which can be read by windows."""
    tiff, _ = open_tiff(file, path)
    with tiff:
        series = tiff.series[0]
        axes, page = str(series.axes), series.keyframe
        flat = int(page.shaped[1]) == 1 and {"Y", "X"} <= set(axes) and "YX" in axes
        if series.dataoffset is not None and axes.replace("S", "").endswith("YX"):
            return flat
        paged = math.prod(n for axis, n in zip(axes, series.shape, strict=True) if axis not in "YXS")
        return flat and len(series.pages) == paged and all(p is not None for p in series.pages)
