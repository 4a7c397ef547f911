"""Ask a pixelwise server for the objects of an image; the standard library only."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

Ring = list[tuple[int, int]]


@dataclass(frozen=True)
class Region:
    """An object: its label and its rings along the edges of pixels, the exterior first, then holes."""

    label: str
    rings: list[Ring]

    @property
    def box(self) -> tuple[int, int, int, int]:
        """First column, first row, last column and last row."""
        xs, ys = zip(*self.rings[0], strict=True)
        return min(xs), min(ys), max(xs) - 1, max(ys) - 1

    def bits(self) -> list[int]:
        """Return the pixels of the box, row by row: 1 inside, 0 outside and in holes."""
        left, top, right, bottom = self.box
        edges: dict[int, list[int]] = {}
        for ring in self.rings:
            for (x, y), (next_x, next_y) in zip(ring, [*ring[1:], ring[0]], strict=True):
                if x == next_x:
                    for row in range(min(y, next_y), max(y, next_y)):
                        edges.setdefault(row, []).append(x)
        bits: list[int] = []
        for row in range(top, bottom + 1):
            inside, line = sorted(edges[row]), [0] * (right - left + 1)
            for start, end in zip(inside[::2], inside[1::2], strict=True):
                line[start - left : end - left] = [1] * (end - start)
            bits += line
        return bits


@dataclass(frozen=True)
class Pixelwise:
    """A running `pixelwise serve`: its address and its token."""

    address: str
    token: str
    model: str = ""

    def regions(self, image: bytes, media_type: str = "application/octet-stream") -> list[Region]:
        """Return the objects of an encoded image; raises urllib.error.HTTPError for what the server refuses."""
        query = f"?format=geojson&model={self.model}" if self.model else "?format=geojson"
        request = urllib.request.Request(f"{self.address.rstrip('/')}/predict{query}", image, method="POST")
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", media_type)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return regions_of(json.loads(answer.read()))


def regions_of(features: dict[str, Any]) -> list[Region]:
    """Return the polygons of a GeoJSON collection of the server; each part of a multipolygon is one."""
    found: list[Region] = []
    for feature in features["features"]:
        geometry, label = feature["geometry"], feature["properties"]["classification"]["name"]
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        found += [Region(label, [[(x, y) for x, y in ring[:-1]] for ring in part]) for part in parts]
    return found
