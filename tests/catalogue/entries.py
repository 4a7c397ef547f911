"""The catalogue of bad inputs: a row is a maker, and the expected outcome of each command.

Outcomes are "ok", "left out" (exit code 3, the other images are predicted), the kind of an error (exit code 2;
"BadDataset" also for the problems that `inspect` lists), an HTTP status, or the reason why a row makes no sense for a
command.
Makers of single files and of data folders are those of the tests of the readers and of the data sets.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile

from badfiles import CLASSES, GRAY, ROWS, Row, content, encoded, png
from catalogue.commands import DATA_COMMANDS, FILE_COMMANDS, channels_of
from datasets.test_bad_datasets import ROWS as DATA_ROWS
from datasets.test_bad_datasets import parts
from drawn import image, mask, save
from pixelwise.errors import BadImage
from pixelwise.io.read import probe

Kind = Literal["image", "mask", "data", "store"]
Expected = str | int

NOT_READ = "n/a: predict and serve read no masks"
NO_NAME = "n/a: an upload has no name and no folder"
NO_STORE = "n/a: data sets hold image files; OME-Zarr is read by predict"
NO_FILE = "n/a: there is no content to send"
MAX_DRAWN = 200_000  # pixels of the images and masks beside a bad one


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the catalogue.

    `make(folder)` writes a file (kinds "image", "mask", "store") or a data folder ("data") and returns its path. `data`
    is the outcome of the commands that read data sets, `file` that of predict, `serve` that of the server; `other`
    holds those of commands that differ. `options` are given to the commands that read data sets; `slow` commands take
    more than a few seconds on this row.
    """

    number: int
    name: str
    kind: Kind
    make: Callable[[Path], Path]
    data: Expected
    file: Expected
    serve: Expected
    other: Mapping[str, Expected] = field(default_factory=dict[str, Expected])
    options: Sequence[str] = ()
    slow: frozenset[str] = frozenset()

    def expected(self, command: str) -> Expected:
        """Return the outcome of a command."""
        shared = self.data if command in DATA_COMMANDS else self.file if command in FILE_COMMANDS else self.serve
        return self.other.get(command, shared)


def of_image(row: Row, **changes: Any) -> Entry:
    """Return the entry of an image file."""
    refused = row.outcome == "refuse"
    usual = {
        "data": "BadDataset" if refused else "ok",
        "file": "left out" if refused else "ok",
        "serve": 422 if refused else 200,
    }
    return Entry(number=row.number, name=row.name, kind="image", make=row.make, **{**usual, **changes})


def of_mask(row: Row, **changes: Any) -> Entry:
    """Return the entry of a mask file."""
    data = "BadDataset" if row.outcome == "refuse" else "ok"
    usual = {"data": data, "file": NOT_READ, "serve": NOT_READ, "options": ("--task", "multiclass")}
    return Entry(number=row.number, name=row.name, kind="mask", make=row.make, **{**usual, **changes})


def of_data(row: Row, **changes: Any) -> Entry:
    """Return the entry of a data folder."""
    data = "BadDataset" if row.outcome == "refuse" else "ok"
    usual = {"data": data, "file": NOT_READ, "serve": NOT_READ}
    return Entry(number=row.number, name=row.name, kind="data", make=row.make, **{**usual, **changes})


def place(entry: Entry, folder: Path) -> Path:
    """Write a data set with a bad image or mask in the place of its first one; return its folder."""
    if entry.kind == "data":
        return entry.make(folder)
    (folder / "made").mkdir()
    bad, root = entry.make(folder / "made"), folder / "data"
    channels = channels_of(bad) if entry.kind == "image" else 1
    for seed in range(6):
        size = size_of(bad) if seed == 0 else GRAY.shape
        name, drawn = f"case_{seed}", image(seed, size if channels == 1 else (*size, channels))
        if channels in (1, 3):
            save(root / "images" / f"{name}.png", drawn)
        else:
            (root / "images").mkdir(parents=True, exist_ok=True)
            planes = {"photometric": "minisblack", "planarconfig": "separate"}
            tifffile.imwrite(root / "images" / f"{name}.tif", np.moveaxis(drawn, -1, 0), **planes)
        numbers = np.roll(CLASSES, seed + 2, 1) if entry.kind == "mask" else np.roll(CLASSES > 0, seed + 2, 1)
        save(root / "masks" / f"{name}.png", np.resize(numbers, size).astype(np.uint8))
    inner = root / ("images" if entry.kind == "image" else "masks")
    for replaced in inner.glob("case_0.*"):
        replaced.unlink()
    if bad.is_symlink() or bad.exists():
        bad.rename(inner / f"case_0{bad.suffix}")
    return root


def size_of(file: Path) -> tuple[int, int]:
    """Return height and width of an image, or those of the drawn ones if it cannot be read or is too large."""
    try:
        info = probe(file)
    except BadImage:
        return GRAY.shape
    return (info.height, info.width) if 0 < info.height * info.width < MAX_DRAWN else GRAY.shape


def _text_bomb(folder: Path) -> Path:
    chunk = b"c\0\0" + zlib.compress(bytes(100_000_000), 1)
    return content("a.png", png(4, 1, (b"zTXt", chunk), (b"IDAT", zlib.compress(b"\0\1\2\3\4")), (b"IEND", b"")))(
        folder
    )


def _flat_png(folder: Path) -> Path:
    rows = zlib.compress(bytes(9501 * 9500), 1)
    return content("a.png", png(9500, 9500, (b"IDAT", rows), (b"IEND", b"")))(folder)


def _far_tile(folder: Path) -> Path:
    """Write a BigTIFF whose only tile lies beyond 4 GiB; the file has a hole."""
    at, path = 5 * 2**30, folder / "far.tif"
    values = {256: 32, 257: 32, 258: 8, 259: 1, 262: 1, 277: 1, 322: 32, 323: 32, 324: at, 325: 1024}
    entries = b"".join(struct.pack("<HHQQ", code, 16, 1, value) for code, value in sorted(values.items()))
    with path.open("wb") as file:
        file.write(b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(values)) + entries + struct.pack("<Q", 0))
        file.seek(at)
        file.write(image(0, (32, 32)).tobytes())
    return path


def _one_strip(folder: Path) -> Path:
    """Write a TIFF that claims one strip of 40 GB, most of it a hole."""
    values = {256: 200_000, 257: 200_000, 258: 8, 259: 1, 262: 1, 273: 300, 277: 1, 278: 200_000, 279: 40 * 10**9}
    entries = b"".join(struct.pack("<HHQQ", code, 16, 1, value) for code, value in sorted(values.items()))
    path = folder / "strip.tif"
    with path.open("wb") as file:
        file.write(b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(values)) + entries + struct.pack("<Q", 0))
        file.truncate(300 + 40 * 10**9)
    return path


def _damaged_tile(folder: Path) -> Path:
    path = folder / "tiles.tif"
    noise = np.random.default_rng(3).integers(0, 256, (48, 64)).astype(np.uint8)
    tifffile.imwrite(path, noise, photometric="minisblack", tile=(16, 16), compression="zlib")
    data = bytearray(path.read_bytes())
    data[-60:-20] = bytes(40)
    path.write_bytes(data)
    return path


def _store(version: str = "0.5", *, axes: bool = True, absent: bool = False) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        zarr: Any = pytest.importorskip("zarr")
        path = folder / "a.zarr"
        group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
        group.create_array("0", data=image(0, (48, 40)), chunks=(16, 16), compressors=None)
        scales = [{"type": "scale", "scale": [1.0, 1.0]}]
        metadata = {
            "axes": [{"name": name, "type": "space"} for name in "yx"],
            "datasets": [{"path": "0", "coordinateTransformations": scales}],
        }
        attributes: dict[str, Any] = {"multiscales": [{"version": version, **metadata}]} if axes else {"about": "other"}
        group.attrs.update({"ome": {"version": version, **attributes}} if version == "0.5" else attributes)
        if absent:
            (path / "0" / "c" / "1" / "1").unlink()
        return path

    return make


def _patients(root: Path) -> None:
    """Put images of one patient into two splits."""
    for index, part in enumerate(("train", "val")):
        for kind, draw in (("images", image), ("masks", mask)):
            for path in sorted((root / part / kind).iterdir()):
                path.unlink()
            for number in range(4):
                save(root / part / kind / f"p{number}_{index}.png", draw(10 * index + number))


def _long_name(folder: Path) -> Path:
    return content("a" * 246 + ".png", encoded(GRAY))(folder)


def _data_row(number: int, name: str, make: Callable[[Path], Path]) -> Row:
    return Row(number, name, make, "dataset", "refuse")


_AS_PATH = "n/a: given as a path, not found in a folder: test_paths_given_directly"
# What differs from the usual outcome of a file: by the name of its row.
_IMAGES: dict[str, dict[str, Any]] = {
    "empty file": {"serve": 400},
    "folder": {"serve": NO_FILE},
    "pipe": {"serve": NO_FILE},
    "dangling link": {"serve": NO_FILE},
    "link loop": {"serve": NO_FILE},
    "no permission": {"serve": NO_FILE},
    "z stack": {"data": "BadDataset", "file": "left out", "serve": 422},  # a volume among images
    "removed": {"file": _AS_PATH, "serve": NO_FILE},
    "web address": {"data": _AS_PATH, "file": _AS_PATH, "serve": NO_FILE},
}
_MASKS: dict[str, dict[str, Any]] = {
    "gray mask of 2 bits": {"data": "BadDataset"},  # of four pixels, which look like a smoothed edge
    "JPEG mask": {"data": "BadDataset"},  # of several classes
    "colour mask": {"data": "BadDataset"},  # among masks of numbers
    "NaN in a mask": {"data": "BadDataset"},  # unless --nodata says that it stands for no data
}
_NO_FOLDER = {"other": {"inspect": "BadOption"}}  # it could also be a run or the name of a network
_TOO_FEW = {"other": {"evaluate": "ok", "export": "ok"}}  # to train on; a model may be measured on a single image
_DATA: dict[str, dict[str, Any]] = {
    "one image": _TOO_FEW,
    "archive": _NO_FOLDER,
    "URL": _NO_FOLDER,
    "no such path": _NO_FOLDER,
}
_IMAGE_ROWS = [row for row in ROWS if row.kind == "image"]
_MASK_ROWS = [row for row in ROWS if row.kind == "mask"]
NEW = (
    of_image(Row(15, "PNG with 100 MB of text", _text_bomb, "image", "accept")),  # the text is not unpacked
    of_image(
        Row(17, "90 Mpx in 90 KB", _flat_png, "image", "accept"),
        serve=413,
        data="n/a: data sets are read whole, and this one like any other",
        slow=frozenset(FILE_COMMANDS),
    ),
    of_image(
        Row(30, "BigTIFF beyond 4 GB", _far_tile, "image", "accept"),
        serve="n/a: larger than a server accepts",
        other={"convert": "n/a: it would copy 4 GB"},
    ),
    of_image(
        Row(31, "one strip of 40 GB", _one_strip, "image", "refuse"),
        file="n/a: read row by row, which takes hours",
        serve="n/a: larger than a server accepts",
    ),
    of_image(Row(77, "a name of 250 bytes", _long_name, "image", "accept"), file="left out", serve=NO_NAME),
    of_image(Row(96, "a damaged tile", _damaged_tile, "image", "refuse")),
    of_data(_data_row(83, "one patient in two splits", parts(_patients)), options=("--group-by", r"(p\d)_")),
    *(
        Entry(number=number, name=name, kind="store", make=make, data=NO_STORE, file=file, serve=NO_STORE)
        for number, name, make, file in (
            (93, "zarr with an absent chunk", _store(absent=True), "ok"),
            (94, "zarr without axes", _store(axes=False), "left out"),
            (95, "OME-Zarr 0.4", _store("0.4"), "ok"),
            (95, "OME-Zarr 0.5", _store("0.5"), "ok"),
        )
    ),
)
ENTRIES: tuple[Entry, ...] = (
    *(of_image(row, **_IMAGES.get(row.name, {})) for row in _IMAGE_ROWS),
    *(of_mask(row, **_MASKS.get(row.name, {})) for row in _MASK_ROWS),
    *(of_data(row, **_DATA.get(row.name, {})) for row in DATA_ROWS),
    *NEW,
)
ELSEWHERE: dict[int, str] = {
    25: "row 17 is the same at a size that a test can afford",
    85: "a million files take minutes to write; benchmarks/inspecting.py measures large folders",
    86: "test_outputs_beside_the_images_are_refused",
    87: "test_outputs_that_exist",
    88: "test_a_full_disk",
    97: "tests/inference/test_arrays.py: the warning needs a model that knows its pixel size",
}
"""Rows of the catalogue that are not about one input, and where they are tested."""
