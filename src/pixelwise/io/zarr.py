"""Windowed reading of OME-Zarr (extra `zarr`), NGFF 0.4 and 0.5.

Stores are untrusted. Their metadata are validated as plain JSON before the library opens them: numeric data types, an
allowlist of codecs, paths inside the store. Sources: NGFF 0.4 and 0.5, zarr v2 and v3 core specifications.
"""

import json
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pixelwise.errors import BadImage, BadOption, needs_extra
from pixelwise.geometry.tiles import Span
from pixelwise.io.chunks import ChunkCache, assemble, planned_cache
from pixelwise.io.headers import ZARR_MARKERS, Header, decoding, zarr_metadata
from pixelwise.io.object_store import find_object, is_remote, open_prefix, read_object

METADATA_LIMIT = 16 * 2**20  # bytes of one JSON file
MAX_CHUNK_SAMPLES = 1 << 27  # samples, of at most 8 bytes each
MAX_CHUNKS = 1_000_000  # of an array, or in a shard: the library lists them
_MAX_CODECS = 32  # of an array with those of its shards: each is applied to every chunk
# Codecs that decode to numbers only; zarr v2 also has filters that unpickle objects.
_CODECS = {
    *("blosc", "zstd", "gzip", "zlib", "lz4", "bz2", "lzma", "crc32c", "crc32", "adler32", "fletcher32"),
    *("bytes", "transpose", "sharding_indexed", "shuffle", "delta", "bitround"),
}
_TYPES = re.compile(r"[<>|][biuf][1248]|u?int(8|16|32|64)|float(16|32|64)|bool")
_MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
_HINT = "Give the folder of one image with its zarr.json (NGFF 0.5) or .zattrs (0.4)."


@dataclass(frozen=True)
class MultiscaleLevel:
    """The full-resolution array of an image: its path inside the store, and its axes with scales, units and offsets.

    `spacing` is that of y and x, in micrometres.
    """

    path: str
    axes: tuple[str, ...]
    spacing: tuple[float, float] | None
    scale: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    translation: tuple[float, ...] = ()


class ZarrPlanes:
    """The pixels of an OME-Zarr image at full resolution, (channels, height, width); other axes must have length 1.

    Raises
    ------
    BadImage
        Not an OME-Zarr image, a stack, or damaged or unsafe metadata.
    BadOption
        The extra `zarr` is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        level = find_level(path)
        meta = check_array(path, path / level.path)
        axes = level.axes
        if len(axes) != len(meta.shape):
            got = f"{len(axes)} axes for an array of {len(meta.shape)}"
            raise BadImage("an axis for each dimension", got, _HINT, path)
        sizes = dict(zip(axes, meta.shape, strict=True))
        stack = {a: n for a, n in sizes.items() if a not in ("c", "y", "x") and n != 1}
        if stack:
            got = ", ".join(f"{n} along {a}" for a, n in stack.items())
            raise BadImage("one image", f"a stack of {got}", "Save one plane as a separate image.", path)
        self._axes, self._chunks = axes, dict(zip(axes, meta.chunks, strict=True))
        self._array = open_array(path / level.path)
        self.shape = sizes.get("c", 1), sizes["y"], sizes["x"]
        self.dtype = np.dtype(self._array.dtype).newbyteorder("=")
        self.spacing, self.messages = level.spacing, _describe_absent(self._array, path)
        self._cache = ChunkCache()

    def read(self, rows: Span, columns: Span) -> Shaped[np.ndarray, "planes rows columns"]:
        """Return a window within the image."""
        out = np.empty((self.shape[0], rows[1] - rows[0], columns[1] - columns[0]), self.dtype)
        chunk = self._chunks["y"], self._chunks["x"]
        assemble(out, (rows, columns), chunk, self._get)
        return out

    def plan(self, band: int) -> int:
        """Set the cache size for bands of `band` rows; return it in bytes."""
        chunk = self._chunks["y"], self._chunks["x"]
        self._cache.limit = planned_cache(
            band, chunk, self.shape[0] * self.shape[2] * self.dtype.itemsize, self.shape[1]
        )
        return self._cache.limit

    @property
    def header(self) -> Header:
        """The header of the image."""
        channels, height, width = self.shape
        return Header(
            format="OME-Zarr",
            height=height,
            width=width,
            channels=channels,
            dtype=str(self.dtype),
            spacing=self.spacing,
        )

    def close(self) -> None:
        """Do nothing; files are opened chunk by chunk."""

    def _get(self, i: int, j: int) -> Shaped[np.ndarray, "planes chunk_rows chunk_columns"]:
        return self._cache.get((i, j), lambda: self._decode(i, j))

    def _decode(self, i: int, j: int) -> Shaped[np.ndarray, "planes chunk_rows chunk_columns"]:
        high, wide = self._chunks["y"], self._chunks["x"]
        region: dict[str, Any] = {
            "c": slice(None),
            "y": slice(i * high, (i + 1) * high),
            "x": slice(j * wide, (j + 1) * wide),
        }
        with decoding(self._path, "OME-Zarr"):
            pixels = np.asarray(self._array[tuple(region.get(axis, 0) for axis in self._axes)])
        axes = [axis for axis in self._axes if axis in "cyx"]
        pixels = pixels.transpose([axes.index(a) for a in "cyx" if a in axes])
        return pixels.reshape(-1, *pixels.shape[-2:]).astype(self.dtype, copy=False)


def is_zarr(path: Path) -> bool:
    """Return whether a folder, or what is below an address in an object store, is a zarr store.

    In an object store its name ends with .zarr, or has no suffix.
    """
    if is_remote(path):  # other names cost no request
        possible = path.suffix.casefold() in ("", ".zarr")
        return possible and any(find_object(path / name) is not None for name in ZARR_MARKERS)
    return zarr_metadata(path) is not None


def is_zarr_image(path: Path) -> bool:
    """Return whether a folder is a zarr store with an image of two or more dimensions."""
    try:
        return is_zarr(path) and bool(find_level(path).axes)
    except BadImage:
        return False


def label_names(path: Path) -> tuple[str, ...]:
    """Return the names of the label images in the group `labels` of an OME-Zarr image: folders below it.

    Raises
    ------
    BadImage
        Damaged metadata, or a name that is no path inside the group.
    """
    folder = path / "labels"
    if not is_zarr(folder):
        return ()
    names = _attributes(folder, path).get("labels") or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        raise BadImage("names of label images", "damaged metadata", _HINT, path)
    for name in names:
        _check_inside(name, path)
    return tuple(names)


def find_level(path: Path, inside: str = "") -> MultiscaleLevel:
    """Return the full-resolution level of an image.

    Raises
    ------
    BadImage
        No multiscale image, or a plate.
    """
    attributes = _attributes(path / inside, path)
    if "bioformats2raw.layout" in attributes and "multiscales" not in attributes and not inside:
        return find_level(path, "0")  # a container: the images are called 0, 1, ...
    try:
        scales = attributes["multiscales"][0]
        axes = tuple(str(axis["name"]) for axis in scales["axes"])
        units = [axis.get("unit") for axis in scales["axes"]]
        levels = [(str(dataset["path"]), _transform(dataset, scales, axes)) for dataset in scales["datasets"]]
        chosen, (scale, translation, known) = min(levels, key=lambda level: math.prod(level[1][0]))
        units = units if known else [None] * len(axes)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        got = "a plate or a collection" if "plate" in attributes else "a store without a multiscale image"
        raise BadImage("an OME-Zarr image of NGFF 0.4 or 0.5", got, _HINT, path) from error
    if axes[-2:] != ("y", "x") or len(set(axes)) != len(axes) or "" in axes:
        got = ", ".join(axis or "one without a name" for axis in axes)
        raise BadImage("different axes that end in y, x", got, _HINT, path)
    where = Path(inside) / _check_inside(chosen, path)
    named = tuple(None if unit is None else str(unit) for unit in units)
    spacing = _spacing(units[-2:], scale[-2:])
    return MultiscaleLevel(where.as_posix(), axes, spacing, tuple(scale), named, tuple(translation))


def _check_inside(name: str, store: Path) -> str:
    """Return a path that metadata state, if it is one below its group."""
    if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name:
        raise BadImage("a path inside the store", f"`{name}`", _HINT, store)
    return name


@dataclass(frozen=True)
class ArrayMeta:
    """The shape of an array and of its chunks."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]


def check_array(store: Path, folder: Path) -> ArrayMeta:
    """Read the metadata of an array and check them.

    Raises
    ------
    BadImage
        Damaged or unsupported metadata, or chunks that are too large.
    """
    version = 3 if _size(folder / "zarr.json") is not None else 2
    meta = _json(folder / ("zarr.json" if version == 3 else ".zarray"), store)
    try:
        kind = str(meta["data_type"] if version == 3 else meta["dtype"])
        shape = tuple(int(n) for n in meta["shape"])
        grid = meta["chunk_grid"]["configuration"]["chunk_shape"] if version == 3 else meta["chunks"]
        codecs = list(meta["codecs"]) if version == 3 else [meta["compressor"], *(meta.get("filters") or [])]
        everything = _all_codecs(codecs)
        inner = [c["configuration"]["chunk_shape"] for c in everything if c.get("name") == "sharding_indexed"]
        grids = [tuple(int(n) for n in sides) for sides in (grid, *inner)]  # the array's, and those of shards
        names = {str(codec["name" if version == 3 else "id"]) for codec in everything}
        chunks = grids[1] if inner else grids[0]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadImage("metadata of a zarr array", f"damaged metadata ({error})", _HINT, store) from error
    if not _TYPES.fullmatch(kind):
        raise BadImage("an array of numbers", f"one of `{kind}`", _HINT, store)
    unsupported = sorted(names - _CODECS)
    if unsupported:
        raise BadImage("a numeric codec", f"`{unsupported[0]}`", "Save it with zstd, blosc or gzip.", store)
    if len(everything) > _MAX_CODECS:
        raise BadImage(
            f"at most {_MAX_CODECS} codecs", f"{len(everything)}", "Save it with zstd, blosc or gzip.", store
        )
    if min((*shape, *(n for sides in grids for n in sides)), default=0) < 1 or {len(g) for g in grids} != {len(shape)}:
        raise BadImage("an image with pixels", f"shape {shape} in chunks {chunks}", _HINT, store)
    if math.prod(chunks) > MAX_CHUNK_SAMPLES:
        got = " × ".join(str(n) for n in chunks)
        raise BadImage("chunks below 1 GiB", f"chunks of {got}", "Save it in smaller chunks.", store)
    for whole, part in pairwise((shape, *grids)):
        number = math.prod(-(-side // step) for side, step in zip(whole, part, strict=True))
        if number > MAX_CHUNKS:
            raise BadImage(f"at most {MAX_CHUNKS} chunks", f"{number}", "Save it in larger chunks or in shards.", store)
    return ArrayMeta(shape, chunks)


def zarr_library() -> Any:
    """Return the module `zarr`.

    Raises
    ------
    BadOption
        It is not installed, or older than 3.
    """
    with needs_extra("zarr", "OME-Zarr", "zarr"):
        import zarr
    if int(zarr.__version__.split(".")[0]) < 3:
        raise BadOption("zarr 3", zarr.__version__, "Install it: pip install 'pixelwise[zarr]'.")
    return zarr


def open_array(folder: Path) -> Any:
    """Open an array that `check_array` accepted."""
    zarr = zarr_library()
    with decoding(folder, "OME-Zarr"):
        if is_remote(folder):
            store = zarr.storage.ObjectStore(open_prefix(folder), read_only=True)
        else:
            store = zarr.storage.LocalStore(folder, read_only=True)
        return zarr.open_array(store, mode="r")


def _describe_absent(array: Any, path: Path) -> tuple[str, ...]:
    """Return a message about chunks without a file, which the specification reads as the fill value."""
    with decoding(path, "OME-Zarr"):
        absent, whole = array.nchunks - array.nchunks_initialized, array.nchunks
    if absent <= 0:
        return ()
    return (f"{absent} of {whole} chunks are absent and read as {array.fill_value}, the fill value of the store",)


def _all_codecs(codecs: list[Any]) -> list[Any]:
    """Return all codecs, including those inside shards."""
    data: list[Any] = []
    for codec in codecs:
        if codec is None:
            continue
        data.append(codec)
        inner = codec.get("configuration") or {}
        data += _all_codecs([*(inner.get("codecs") or []), *(inner.get("index_codecs") or [])])
    return data


def _attributes(folder: Path, store: Path) -> dict[str, Any]:
    if _size(folder / "zarr.json") is not None:
        data = _json(folder / "zarr.json", store).get("attributes", {})
        data = data.get("ome", data) if isinstance(data, dict) else {}
    else:
        data = _json(folder / ".zattrs", store)
    return data if isinstance(data, dict) else {}


def _json(path: Path, store: Path) -> dict[str, Any]:
    try:
        size = _size(path)
        if size is not None and size > METADATA_LIMIT:
            raise BadImage("metadata below 16 MiB", f"{size} bytes", _HINT, store)
        data = json.loads(read_object(path) if is_remote(path) else path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadImage(f"{path.name} with JSON", f"an unreadable file ({error})", _HINT, store) from error
    if not isinstance(data, dict):
        raise BadImage(f"an object in {path.name}", f"a {type(data).__name__}", _HINT, store)
    return data


def _size(path: Path) -> int | None:
    """Return the size of a file, or of an object in a store; None if there is none."""
    if is_remote(path):
        found = find_object(path)
        return None if found is None else found.size
    return path.stat().st_size if path.is_file() else None


def _transform(
    dataset: dict[str, Any], multiscale: dict[str, Any], axes: tuple[str, ...]
) -> tuple[list[float], list[float], bool]:
    """Return scale and translation of a level, and whether they are known: not beside a rotation or an affine matrix.

    The transformations of the level come first, then those of the image (NGFF 0.5, "multiscales").
    """
    scale, translation, known = [1.0] * len(axes), [0.0] * len(axes), True
    for step in (s for owner in (dataset, multiscale) for s in owner.get("coordinateTransformations") or []):
        kind = step.get("type")
        numbers = [float(n) for n in step[kind]] if kind in ("scale", "translation") else []
        known = known and (kind == "identity" or len(numbers) == len(axes))
        if kind == "scale" and known:
            scale, translation = ([a * b for a, b in zip(row, numbers, strict=True)] for row in (scale, translation))
        elif kind == "translation" and known:
            translation = [a + b for a, b in zip(translation, numbers, strict=True)]
    return scale, translation, known


def _spacing(units: list[Any], scale: list[float]) -> tuple[float, float] | None:
    factors = [_MICROMETRES.get(str(unit)) for unit in units]
    if len(scale) != 2 or not all(0 < s < math.inf for s in scale) or None in factors:
        return None
    y, x = (s * (f or 0.0) for s, f in zip(scale, factors, strict=True))
    return y, x
