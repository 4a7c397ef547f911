"""Read the polygons of a GeoPackage, with the columns of their rows.

A GeoPackage is an SQLite database, which the standard library reads: tables alone, never views, so that no statement of
the file runs. Sources: OGC 12-128r18, "GeoPackage Encoding Standard" 1.3.1, sections 1.1.2 and 2.1; OGC 06-103r4,
section 8.2, for well-known binary, whose types of three and four coordinates are those of ISO 13249-3.
"""

import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from pixelwise.datasets.shapes.rasterise import MAX_COORDINATE
from pixelwise.errors import BadDataset, printable

_MAX_BYTES = 2 << 30
_ENVELOPES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}  # bytes of the kinds of envelope
_POLYGON, _PARTS = 3, (6, 7)  # types of well-known binary; those with parts
_MAX_DEPTH = 4  # of collections in collections
_DAMAGED = "The file may be truncated; export it again."


class Row(NamedTuple):
    """A row with an area: rings (points, 2) of x and y, not closed, combined by the even-odd rule; other columns."""

    rings: tuple[Float64[np.ndarray, "points 2"], ...]
    properties: dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A table of geometries; `crs` is a name such as ``EPSG:32632`` or a well-known text, None if it is undefined."""

    name: str
    crs: str | None
    rows: tuple[Row, ...]


def read_geopackage(path: Path, left_out: Counter[str]) -> tuple[Layer, ...]:
    """Read the layers of a GeoPackage; rows without an area are counted in `left_out`, by kind.

    Raises
    ------
    BadDataset
        The file is larger than 2 GB, no GeoPackage, or damaged.
    """
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise BadDataset(f"a GeoPackage of at most {_MAX_BYTES:,} bytes", "another file", "Export less of it.", path)
    try:
        # immutable: nothing is written beside the file, not even a lock
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
            base.execute("PRAGMA trusted_schema = OFF")
            return tuple(_read_layers(base, path, left_out))
    except (sqlite3.Error, struct.error, OverflowError, UnicodeDecodeError) as error:
        got = f"a file that is not ({printable(str(error))[:80]})"
        raise BadDataset("a complete GeoPackage", got, _DAMAGED, path) from error


def _read_layers(base: sqlite3.Connection, path: Path, left_out: Counter[str]) -> Iterator[Layer]:
    tables = {name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    needed = {"gpkg_geometry_columns", "gpkg_spatial_ref_sys"}
    if not needed <= tables:
        raise BadDataset("a GeoPackage with geometries", "a database without", "Export vectors.", path)
    places = base.execute("SELECT table_name, column_name, srs_id FROM gpkg_geometry_columns ORDER BY table_name")
    for table, column, number in places.fetchall():
        if table not in tables:
            continue
        quoted = str(table).replace('"', '""')
        cursor = base.execute(f'SELECT * FROM "{quoted}"')
        names = [str(entry[0]) for entry in cursor.description]
        if column not in names:
            raise BadDataset(f"a column `{printable(str(column)[:40])}`", "none", _DAMAGED, path)
        rows: list[Row] = []
        for values in cursor:
            fields = dict(zip(names, values, strict=True))
            rings = tuple(_rings_of(fields.pop(column), path, left_out))
            if rings:
                rows.append(Row(rings, fields))
        yield Layer(name=str(table), crs=_crs_of(base, number), rows=tuple(rows))


def _crs_of(base: sqlite3.Connection, number: Any) -> str | None:
    """Return the CRS of a number of this file; None for the numbers of undefined ones."""
    query = "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
    row = base.execute(query, (number,)).fetchone()
    if row is None or number in (-1, 0):
        return None
    organisation, code, definition = row
    return f"EPSG:{code}" if str(organisation).casefold() == "epsg" else str(definition)


def _rings_of(blob: Any, path: Path, left_out: Counter[str]) -> Iterator[Float64[np.ndarray, "points 2"]]:
    """Yield the rings of a geometry: a header of GeoPackage, then well-known binary."""
    if blob is None:
        left_out["no geometry has no area"] += 1
        return
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < 8 or blob[3] >> 1 & 7 not in _ENVELOPES:
        raise BadDataset("a geometry of GeoPackage", "other bytes", _DAMAGED, path)
    if blob[3] & 0x10:  # empty
        left_out["no geometry has no area"] += 1
        return
    yield from _Binary(blob, 8 + _ENVELOPES[blob[3] >> 1 & 7], path).rings(left_out, 0)


class _Binary:
    """Well-known binary from a place on; every count is checked against the bytes that are left."""

    def __init__(self, blob: bytes, place: int, path: Path) -> None:
        self._blob, self._place, self._path = blob, place, path

    def rings(self, left_out: Counter[str], depth: int) -> Iterator[Float64[np.ndarray, "points 2"]]:
        order = "<" if self._read("<B") == 1 else ">"
        code = self._read(f"{order}I")
        kind, axes = code % 1000, {0: 2, 1: 3, 2: 3, 3: 4}.get(code // 1000, 0)
        if not axes or depth > _MAX_DEPTH:
            raise BadDataset("well-known binary", f"type {code}", _DAMAGED, self._path)
        if kind in _PARTS:
            for _ in range(self._count(order, 9)):
                yield from self.rings(left_out, depth + 1)
        elif kind == _POLYGON:
            for _ in range(self._count(order, 4)):
                yield self._points(order, axes)
        else:
            left_out["a geometry that is no polygon has no area"] += 1
            self._place = len(self._blob)

    def _points(self, order: str, axes: int) -> Float64[np.ndarray, "points 2"]:
        count = self._count(order, 8 * axes)
        found = np.frombuffer(self._blob, f"{order}f8", count * axes, self._place).reshape(count, axes)[:, :2]
        self._place += 8 * axes * count
        points = found.astype(np.float64)
        if not (np.abs(points) <= MAX_COORDINATE).all():
            got = "some that are not finite, or too large"
            raise BadDataset("coordinates", got, "Export the polygons again.", self._path)
        return points[:-1] if count > 1 and np.array_equal(points[0], points[-1]) else points

    def _count(self, order: str, size: int) -> int:
        count = self._read(f"{order}I")
        if count * size > len(self._blob) - self._place:
            raise BadDataset("a complete geometry", f"{count} parts of one that ends before", _DAMAGED, self._path)
        return count

    def _read(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._blob, self._place)
        self._place += struct.calcsize(form)
        return int(value)
