"""Objects as polygons in a GeoPackage, in the coordinate reference system of their image.

Source: OGC 12-128r18, "GeoPackage Encoding Standard" 1.3.1: required tables in sections 1.1.2, 1.1.3 and 2.1.5,
geometries in section 2.1.3; OGC 06-103r4, section 8.2, for well-known binary. A GeoPackage is an SQLite database, which
the standard library writes; libraries that know the format bring a copy of GDAL of their own.
"""

import math
import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.writers.map_polygons import Ground, find_ground, turn_rings
from pixelwise.datasets.writers.outlines import Outline, find_outlines
from pixelwise.io.georeference import Georeference
from pixelwise.io.map_crs import write_wkt

_LAYER = "objects"
_APPLICATION, _VERSION = 0x47504B47, 10300  # "GPKG", 1.3
_UNDEFINED = -1  # Cartesian coordinates of an unknown CRS
_OWN = 100_000  # of a CRS that is in no register
_WRITTEN = "1970-01-01T00:00:00.000Z"  # `last_change` is required; equal results must be equal files
_WGS84 = 4326
_WGS84_WKT = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)
_TABLES = """
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER NOT NULL PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '',
  last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER,
  CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL,
  z TINYINT NOT NULL, m TINYINT NOT NULL,
  CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name),
  CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name),
  CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE objects (
  fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, geom MULTIPOLYGON, object INTEGER, class TEXT, area_px INTEGER,
  area_m2 DOUBLE, area_ha DOUBLE);
"""


def geopackage_bytes(
    labels: Int32[np.ndarray, "height width"], class_names: Sequence[str], georeference: Georeference | None
) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the content of a GeoPackage with a row per object, or None with the reason.

    Parameters
    ----------
    labels, class_names
        As for `map_polygons.outline_objects`.
    georeference : Georeference or None
        Without a CRS that is known coordinates are those of the grid, of an undefined CRS, and areas are in pixels.

    Raises
    ------
    BadOption
        The image is a map, and the libraries for maps are not installed.

    Examples
    --------
    >>> geopackage_bytes(np.array([[0, 1]], np.int32), ("background", "roof"), None)
    (None, ('no grid of a map: no GeoPackage is written',))
    """
    if georeference is None or georeference.transform is None:
        return None, ("no grid of a map: no GeoPackage is written",)
    ground = find_ground(georeference, (labels.shape[0], labels.shape[1]))
    counts = np.bincount(np.maximum(labels, 0).ravel(), minlength=len(class_names))
    number, systems = _reference_system(ground)
    rows: list[tuple[Any, ...]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for outline in find_outlines(labels):
        blob, box = _geometry(outline, georeference, number)
        boxes.append(box)
        m2 = None if ground is None else ground.area_of(outline)
        m2 = None if m2 is None or not math.isfinite(m2) else m2
        name = class_names[outline.number].encode("utf-8", "replace").decode("utf-8")
        pixels = int(counts[outline.number])
        rows.append((blob, outline.number, name, pixels, m2, None if m2 is None else m2 / 1e4))
    extent = np.array(boxes).reshape(-1, 4)
    ends = [*extent[:, :2].min(0).tolist(), *extent[:, 2:].max(0).tolist()] if boxes else [None] * 4
    with closing(sqlite3.connect(":memory:")) as base:
        base.executescript(f"PRAGMA application_id={_APPLICATION}; PRAGMA user_version={_VERSION}; {_TABLES}")
        base.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?,?,?,?,?,?)", systems)
        contents = (_LAYER, "features", _LAYER, "", _WRITTEN, *ends, number)
        base.execute("INSERT INTO gpkg_contents VALUES (?,?,?,?,?,?,?,?,?,?)", contents)
        base.execute("INSERT INTO gpkg_geometry_columns VALUES (?,?,?,?,0,0)", (_LAYER, "geom", "MULTIPOLYGON", number))
        base.executemany(
            "INSERT INTO objects (geom, object, class, area_px, area_m2, area_ha) VALUES (?,?,?,?,?,?)", rows
        )
        base.commit()
        content = base.serialize()
    unknown = () if ground is not None else ("no CRS that is known: that of the GeoPackage is undefined",)
    return content, unknown


def _reference_system(ground: Ground | None) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the number of the CRS, and the rows of the table of all, of which three are required."""
    rows: dict[int, tuple[Any, ...]] = {
        -1: ("Undefined Cartesian", -1, "NONE", -1, "undefined", None),
        0: ("Undefined geographic", 0, "NONE", 0, "undefined", None),
        _WGS84: ("WGS 84", _WGS84, "EPSG", _WGS84, _WGS84_WKT, None),
    }
    if ground is None:
        return _UNDEFINED, list(rows.values())
    crs = ground.crs
    register, code = crs.to_authority(min_confidence=90) or ("NONE", "")
    number = int(code) if register == "EPSG" and code.isdigit() else _OWN
    if number not in rows:
        organisation = ("EPSG", number) if number != _OWN else ("NONE", _OWN)
        rows[number] = (crs.name, number, *organisation, write_wkt(crs), None)
    return number, list(rows.values())


def _geometry(
    outline: Outline, georeference: Georeference, number: int
) -> tuple[bytes, tuple[float, float, float, float]]:
    """Return an object as a GeoPackage geometry, and its box (x and y of the lower, then of the upper corner)."""
    polygons = [turn_rings([georeference.locate(ring) for ring in polygon]) for polygon in outline.polygons]
    points = np.concatenate([ring for polygon in polygons for ring in polygon])
    low, high = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    # flags: little-endian, an envelope of x and y
    head = struct.pack("<2sBBi4d", b"GP", 0, 0b11, number, low[0], high[0], low[1], high[1])
    parts = [struct.pack("<BII", 1, 6, len(polygons))]
    for polygon in polygons:
        parts.append(struct.pack("<BII", 1, 3, len(polygon)))
        for ring in polygon:
            closed = np.concatenate([ring, ring[:1]])
            parts += [struct.pack("<I", len(closed)), closed.astype("<f8").tobytes()]
    return head + b"".join(parts), (low[0], low[1], high[0], high[1])
