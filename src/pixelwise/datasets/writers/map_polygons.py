"""Objects as GeoJSON polygons for geographic information systems, and their areas.

On a map the coordinates are longitude and latitude of WGS84, as RFC 7946 demands; elsewhere they are pixels.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int32

from pixelwise.datasets.shapes.edges import divide_edges
from pixelwise.datasets.shapes.trace import signed_area
from pixelwise.datasets.writers.outlines import Outline, Ring, find_outlines
from pixelwise.errors import BadImage
from pixelwise.io.georeference import Georeference
from pixelwise.io.map_crs import WGS84, equal_area_crs, read_crs, reproject

_DIGITS = 9  # of degrees: 0.1 mm
AREA_COLUMNS = ("class", "objects", "area_px", "area_um2", "area_m2", "area_ha")


@dataclass(frozen=True, kw_only=True)
class ObjectArea:
    """The area of an object in pixels, and where it is known in square micrometres or square metres."""

    number: int
    class_name: str
    pixels: int
    um2: float | None = None
    m2: float | None = None

    def to_json(self) -> dict[str, int | float]:
        """Return the known areas, each with its unit in its name."""
        areas: dict[str, int | float] = {"area_px": self.pixels}
        if self.um2 is not None:
            areas["area_um2"] = _short(self.um2)
        if self.m2 is not None:
            areas |= {"area_m2": _short(self.m2), "area_ha": _short(self.m2 / 1e4)}
        return areas


@dataclass(frozen=True, kw_only=True)
class PolygonFile:
    """The content of a GeoJSON file, the areas of its objects, and messages."""

    content: bytes
    areas: tuple[ObjectArea, ...]
    messages: tuple[str, ...]


def outline_objects(
    labels: Int32[np.ndarray, "height width"],
    class_names: Sequence[str],
    *,
    georeference: Georeference | None = None,
    spacing: tuple[float, float] | None = None,
) -> PolygonFile:
    """Return the objects of a label image as polygons with areas.

    Parameters
    ----------
    labels, class_names
        As for `qupath.geojson_bytes`.
    georeference : Georeference, optional
        With a CRS and a regular grid the coordinates are longitude and latitude, and areas are those on the ellipsoid.
    spacing : (float, float), optional
        Micrometres per pixel, (y, x), for areas of images that are no maps.

    Raises
    ------
    BadImage
        The image lies outside of where its CRS is defined.
    BadOption
        The image is a map, and the libraries for maps are not installed.

    Examples
    --------
    >>> polygons = outline_objects(np.array([[0, 1]], np.int32), ("background", "roof"), spacing=(2.0, 3.0))
    >>> polygons.areas[0].to_json()
    {'area_px': 1, 'area_um2': 6.0}
    """
    ground = find_ground(georeference, (labels.shape[0], labels.shape[1]))
    messages: tuple[str, ...] = ()
    if georeference is not None and ground is None:
        reason = "no CRS that is known" if georeference.transform is not None else "ground control points, no grid"
        messages = (f"{reason}: polygons and areas are in pixels",)
    counts = np.bincount(np.maximum(labels, 0).ravel(), minlength=len(class_names))
    features: list[dict[str, Any]] = []
    areas: list[ObjectArea] = []
    for outline in find_outlines(labels):
        polygons, m2 = _place(outline, ground)
        pixels = int(counts[outline.number])
        um2 = None if spacing is None or ground is not None else pixels * spacing[0] * spacing[1]
        name = class_names[outline.number]
        areas.append(ObjectArea(number=outline.number, class_name=name, pixels=pixels, um2=um2, m2=m2))
        features.append(_feature(polygons, areas[-1]))
    head: dict[str, Any] = {"type": "FeatureCollection"}
    head |= {} if ground is not None else {"coordinates": "pixels from the top left corner, y down"}
    lines = ",\n".join(json.dumps(feature, separators=(",", ":"), ensure_ascii=False) for feature in features)
    content = f'{json.dumps(head)[:-1]}, "features": [\n{lines}\n]}}\n'.encode("utf-8", "surrogateescape")
    return PolygonFile(content=content, areas=tuple(areas), messages=messages)


def area_rows(areas: Sequence[ObjectArea], classes: Sequence[str]) -> list[list[str]]:
    """Return the sums of each class in the columns `AREA_COLUMNS`; unknown areas are empty.

    Examples
    --------
    >>> area_rows([ObjectArea(number=1, class_name="roof", pixels=4, m2=36.0)], ("roof",))
    [['roof', '1', '4', '', '36', '0.0036']]
    """
    rows: list[list[str]] = []
    for name in classes:
        found = [area for area in areas if area.class_name == name]
        um2 = [area.um2 for area in found if area.um2 is not None]
        m2 = [area.m2 for area in found if area.m2 is not None]
        known_um2, known_m2 = len(um2) == len(found) > 0, len(m2) == len(found) > 0
        rows.append(
            [
                name,
                str(len(found)),
                str(sum(area.pixels for area in found)),
                f"{math.fsum(um2):.10g}" if known_um2 else "",
                f"{math.fsum(m2):.10g}" if known_m2 else "",
                f"{math.fsum(m2) / 1e4:.10g}" if known_m2 else "",
            ]
        )
    return rows


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A grid, its CRS, and the equal-area projection around its centre."""

    georeference: Georeference
    crs: Any
    equal_area: Any

    def degrees(self, ring: Ring) -> Ring:
        """Return longitudes and latitudes of positions (column, row)."""
        found = reproject(self.georeference.locate(divide_edges(ring, ring)), self.crs, WGS84)
        if not np.isfinite(found).all():
            hint = "Check the CRS of the image, and assign the right one."
            raise BadImage("a map inside the area of its CRS", f"coordinates outside of {self.crs.name}", hint)
        return found

    def area(self, ring: Ring) -> float:
        """Return the area inside a ring in square metres."""
        metres = reproject(self.georeference.locate(divide_edges(ring, ring)), self.crs, self.equal_area)
        return abs(signed_area(metres - metres[0]))

    def area_of(self, outline: Outline) -> float:
        """Return the area of an object in square metres, without its holes."""
        return math.fsum(
            self.area(ring) * (-1 if index else 1) for polygon in outline.polygons for index, ring in enumerate(polygon)
        )


def find_ground(georeference: Georeference | None, size: tuple[int, int]) -> Ground | None:
    """Return what places the pixels of an image on the earth; None if its grid or its CRS is unknown."""
    if georeference is None or georeference.transform is None:
        return None
    crs = read_crs(georeference)
    if crs is None or not (crs.is_geographic or crs.is_projected or crs.is_bound or crs.is_compound):
        return None
    centre = georeference.locate(np.array([[size[1] / 2, size[0] / 2]]))
    longitude, latitude = reproject(centre, crs, WGS84)[0].tolist()
    if not math.isfinite(longitude + latitude):
        longitude = latitude = 0.0  # the image is refused when its first object is placed
    return Ground(georeference=georeference, crs=crs, equal_area=equal_area_crs(longitude, latitude))


def _place(outline: Outline, ground: Ground | None) -> tuple[list[list[Ring]], float | None]:
    """Return polygons of an outer ring and its holes in the coordinates of the file, and the area on a map."""
    if ground is None:
        return [list(polygon) for polygon in outline.polygons], None
    polygons = [[ground.degrees(ring) for ring in polygon] for polygon in outline.polygons]
    return [turn_rings(polygon) for polygon in polygons], ground.area_of(outline)


def turn_rings(polygon: Sequence[Ring]) -> list[Ring]:
    """Return a polygon with its outer ring, the first, counterclockwise and its holes clockwise, y growing upwards.

    Source: RFC 7946, section 3.1.6; OGC 06-103r4, section 6.1.11.1.
    """
    return [
        ring if (signed_area(ring - ring[0]) > 0) == (index == 0) else ring[::-1] for index, ring in enumerate(polygon)
    ]


def _feature(polygons: Sequence[Sequence[np.ndarray]], area: ObjectArea) -> dict[str, Any]:
    rings = [[_closed(ring) for ring in polygon] for polygon in polygons]
    single = len(rings) == 1
    return {
        "type": "Feature",
        "id": area.number,
        "geometry": {"type": "Polygon" if single else "MultiPolygon", "coordinates": rings[0] if single else rings},
        "properties": {"class": area.class_name, **area.to_json()},
    }


def _closed(ring: np.ndarray) -> list[list[float]]:
    return np.round(np.concatenate([ring, ring[:1]]), _DIGITS).tolist()


def _short(value: float) -> float:
    """Return a number with ten significant digits."""
    return float(f"{value:.10g}")
