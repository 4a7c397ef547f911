"""TIFF files whose directories form circles, overlap, or claim more than they have: refused, or cut with a warning."""

import gc
import io
import struct
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from fuzz.mutations import Hang, limited
from pixelwise.errors import BadImage
from pixelwise.io import tiff_directories
from pixelwise.io.read import ReadOptions, probe, read_image, read_mask
from pixelwise.io.tiff_directories import check_directories, open_tiff
from pixelwise.io.volumes.windows import TiffVolume
from pixelwise.io.windows import open_windows

PAGES = np.stack([np.add.outer(np.arange(5) * 7, np.arange(6) * 3) + 100 * page for page in range(2)]).astype(np.uint8)
KINDS: dict[str, dict[str, Any]] = {"little": {}, "big endian": {"byteorder": ">"}, "BigTIFF": {"bigtiff": True}}
READERS: Sequence[Callable[[Path], object]] = (
    probe,
    read_image,
    read_mask,
    open_windows,
    TiffVolume,
    lambda path: read_image(path, options=ReadOptions(volumes=True)),
    lambda path: read_image(path / "0"),
)


def _two_pages(**options: Any) -> bytearray:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **options) as writer:
        for page in PAGES:
            writer.write(page, metadata=None, photometric="minisblack", contiguous=False)
    return bytearray(file.getvalue())


def _linked(kind: str, page: int, to: int) -> bytes:
    """Return two pages; the directory of `page` names that of `to` as the next one."""
    content = _two_pages(**KINDS[kind])
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as tiff:
        pages: Any = list(tiff.pages)
        offsets, entries, order = [p.offset for p in pages], len(pages[page].tags), tiff.byteorder
    count, entry, link = (8, 20, "Q") if kind == "BigTIFF" else (2, 12, "I")
    struct.pack_into(f"{order}{link}", content, offsets[page] + count + entries * entry, offsets[to])
    return bytes(content)


def _directory(tags: Sequence[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """Return a little-endian directory of (code, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _page(width: int = 4, *further: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Return the tags of a gray page of 4 rows, whose pixels are the 64 bytes after the header."""
    numbers = {256: width, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 4 * width}
    return [(code, 4, 1, value) for code, value in numbers.items()] + list(further)


def _file(first: int, *parts: bytes) -> bytes:
    return b"II*\0" + struct.pack("<I", first) + bytes(64) + b"".join(parts)


def _below_itself() -> bytes:
    return _file(72, _directory(_page(4, (330, 4, 1, 72))))


def _tree_of_equal_links(levels: int = 6, links: int = 50) -> bytes:
    """Return directories of which each names the next one 50 times as its SubIFDs: 50^6 pages in 2,000 bytes."""
    description = b'{"shape": [4, 4]}\0'
    parts, at, end = [description], 0, 72 + len(description)
    for _ in range(levels):
        tags = _page(4, (270, 2, len(description), 72))
        if at:
            parts.append(struct.pack("<I", at) * links)
            tags.append((330, 4, links, end))
            end += 4 * links
        at = end
        parts.append(_directory(tags))
        end += len(parts[-1])
    return _file(at, *parts)


def _shared_tables(pages: int = 1000, strips: int = 50_000) -> bytes:
    """Return pages of two widths that all have the same table of 50,000 strips."""
    start = 72 + 4 * strips
    table = [(273, 4, strips, 72), (279, 4, strips, 72)]
    kinds = [[tag for tag in _page(width) if tag[0] not in (273, 279)] + table for width in (4, 5)]
    size = len(_directory(kinds[0]))
    chain = (_directory(kinds[i % 2], start + size * (i + 1) if i + 1 < pages else 0) for i in range(pages))
    return _file(start, struct.pack("<I", 8) * strips, *chain)


def _overlapping(directories: int = 60) -> bytes:
    """Return directories of 4,000 entries, each 12 bytes after the last one."""
    entry = struct.pack("<HHII", 4000, 4, 4000, 4000)
    content = bytearray(_file(72, entry * (4000 + directories + 4)))
    for number in range(directories):
        at = 72 + 12 * number
        struct.pack_into("<I", content, at + 2 + 12 * 4000, at + 12)
    return bytes(content)


def _mixed(pages: int) -> bytes:
    """Return pages of two widths in turns."""
    size = len(_directory(_page()))
    chain = (_directory(_page(4 + i % 2), 72 + size * (i + 1) if i + 1 < pages else 0) for i in range(pages))
    return _file(72, *chain)


def _ome(times: int, inner: str = "<TiffData/>", annotations: str = "") -> bytes:
    sizes = f'SizeX="6" SizeY="5" SizeC="1" SizeZ="1" SizeT="{times}"'
    pixels = f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" {sizes}>{inner}</Pixels>'
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    text = f'<?xml version="1.0"?><OME xmlns="{schema}"><Image ID="Image:0">{pixels}</Image>{annotations}</OME>'
    file = io.BytesIO()
    tifffile.imwrite(file, PAGES[0], description=text, metadata=None, photometric="minisblack")
    return file.getvalue()


def _modulo(end: str) -> str:
    space = 'Namespace="openmicroscopy.org/omero/dimension/modulo"'
    along = f'<ModuloAlongT Type="lifetime" Start="0" End="{end}" Step="1"/>'
    value = f"<Value><Modulo>{along}</Modulo></Value>"
    note = f'<XMLAnnotation ID="Annotation:1" {space}>{value}</XMLAnnotation>'
    return f"<StructuredAnnotations>{note}</StructuredAnnotations>"


def _one_tile(side: int, width: int) -> bytes:
    """Return a square image in square tiles, one of which is there."""
    numbers = {256: width, 257: width, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 16}
    return _file(72, _directory([(code, 4, 1, value) for code, value in numbers.items()]))


def _several_lengths(width: int) -> bytes:
    """Return a page whose tiles have `width` columns and a list of 16 lengths, which stand where its pixels are."""
    numbers = {256: 4, 257: 4, 258: 8, 259: 8, 262: 1, 277: 1, 322: width, 324: 8, 325: 16}
    return _file(72, _directory([*((code, 4, 1, value) for code, value in numbers.items()), (323, 4, 16, 8)]))


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "SubIFDs of itself": (_below_itself, "linked once"),
    "a tree of equal SubIFDs": (_tree_of_equal_links, "linked once"),
    "shared tables": (_shared_tables, "values that overlap"),
    "overlapping directories": (_overlapping, "directories that overlap"),
    "many directories of two kinds": (lambda: _mixed(tiff_directories.MAX_MIXED + 1), "unknown layout"),
    "OME of 10^9 times": (lambda: _ome(10**9), "planes"),
    "OME of 10^30 times": (lambda: _ome(10**30), "planes"),
    "OME of 10^9 planes": (lambda: _ome(1, '<TiffData IFD="0" PlaneCount="1000000000"/>'), "planes"),
    "OME with a late plane": (lambda: _ome(10**9, '<TiffData IFD="0" FirstT="999999999"/>'), "planes"),
    "OME with 10^9 labels": (lambda: _ome(1, "<TiffData/>", _modulo("1e9")), "labels"),
    "absent tiles": (lambda: _one_tile(1, 30_000), "tiles or strips are missing"),
    "several lengths of tiles": (lambda: _several_lengths(10**7), "one value of TileLength; got 16"),
    "huge tiles": (lambda: _one_tile(2**31, 16), "tiles of 2147483648"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_directories_are_refused_by_every_reader(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    path = tmp_path / "a.tif"
    path.write_bytes(make())
    for read in READERS:
        tracemalloc.start()
        try:
            with limited(), pytest.raises(BadImage, match=words) as caught:
                read(path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 50 * 2**20
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("page", "to"), [(1, 1), (1, 0), (0, 0)])
def test_a_circular_chain_ends_where_it_comes_back(kind: str, page: int, to: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(_linked(kind, page, to))
    expected = PAGES[: page + 1]
    with limited():
        image = read_image(path, pages=len(expected))
        assert any("circular" in warning for warning in image.warnings)
        np.testing.assert_array_equal(image.pixels, expected)
        np.testing.assert_array_equal(read_image(path / str(page)).pixels[0], expected[page])
        reader = open_windows(path, pages=len(expected))
        np.testing.assert_array_equal(reader.read((1, 4), (2, 6)), expected[:, 1:4, 2:6])
        reader.close()
        assert probe(path).pages == len(expected)


def test_control_without_the_end_the_chain_is_followed_for_ever(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.tif"
    second = 72 + len(_directory(_page()))
    path.write_bytes(_file(72, _directory(_page(4), second), _directory(_page(5), second)))
    with limited():
        assert probe(path).pages == 2
    monkeypatch.setattr(tiff_directories, "_EndedChain", lambda file, *_: file)
    with limited(0.5), pytest.raises(Hang):
        probe(path)


@pytest.mark.parametrize(
    ("make", "limits"),
    [
        (_tree_of_equal_links, {}),
        (_shared_tables, {}),
        (lambda: _mixed(20_000), {"MAX_MIXED": 10**6}),
        (lambda: _ome(20_000_000), {"MAX_PLANES": 10**12}),
        (lambda: _ome(1, "<TiffData/>", _modulo("2e7")), {"MAX_LABELS": 10**12}),
    ],
)
def test_control_without_the_checks_time_or_memory_run_out(
    make: Callable[[], bytes], limits: dict[str, int], tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(make())
    for name, value in limits.items():
        monkeypatch.setattr(tiff_directories, name, value)
    if not limits:
        monkeypatch.setattr(tiff_directories, "check_directories", lambda *_: tiff_directories.Directories(1, 1, None))
    hung = False
    gc.disable()  # an exception in a callback of the collector is lost
    tracemalloc.start()
    try:
        with limited(1):
            probe(path)
    except Hang:
        hung = True
    except BadImage:
        pass
    finally:
        gc.enable()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert hung or peak > 50 * 2**20


def test_true_pyramids_and_ome_files_are_read(tmp_path: Path) -> None:
    """SubIFDs, many pages and OME metadata as programs write them; and pages that have a description in common."""
    pyramid = tmp_path / "pyramid.tif"
    base = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    with tifffile.TiffWriter(pyramid) as writer:
        writer.write(base, subifds=2, tile=(16, 16), photometric="minisblack")
        for step in (2, 4):
            writer.write(base[::step, ::step], subfiletype=1, tile=(16, 16), photometric="minisblack")
    np.testing.assert_array_equal(read_image(pyramid).pixels[0], base)
    with pyramid.open("rb") as file:
        assert check_directories(file, pyramid).number == 3
    ome = tmp_path / "a.ome.tif"
    tifffile.imwrite(ome, np.stack([PAGES, PAGES]), metadata={"axes": "ZCYX"}, photometric="minisblack")
    with ome.open("rb") as file:
        tiff, warnings = open_tiff(file, ome)
        assert (tiff.series[0].axes, warnings) == ("ZCYX", ())
    mixed = tmp_path / "mixed.tif"
    mixed.write_bytes(_mixed(20))
    assert probe(mixed).pages == 20


@pytest.mark.parametrize("limit", [100, None], ids=["refused", "control"])
@pytest.mark.parametrize("reader", READERS[:3])
def test_large_texts_are_refused_before_they_are_read(
    reader: Callable[[Path], object], limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PAGES[0], description="x" * 1000, photometric="minisblack")
    if limit is None:
        reader(path)
        return
    monkeypatch.setattr(tiff_directories, "MAX_VALUE", limit)
    with pytest.raises(BadImage, match="1,001 bytes in the tag ImageDescription"):
        reader(path)
