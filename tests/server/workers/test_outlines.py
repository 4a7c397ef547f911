"""Outlines follow pixels exactly, band by band: painted again they are the mask."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.draw import polygon2mask

from pixelwise.labels.label_image import components
from pixelwise.server.workers import outlines
from pixelwise.server.workers.label_tiles import Labels
from pixelwise.server.workers.outlines import features, trace_rings, write_geojson

LABELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def found(labels: np.ndarray, *, objects: bool, rows: int = 100) -> list[tuple[int, list[list[list[list[int]]]]]]:
    """Return number and polygons of each feature, from bands of so many rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outlines, "BAND", rows * labels.shape[1])
        return [
            (feature.number, [[ring.tolist() for ring in polygon] for polygon in feature.polygons])
            for feature in features(Labels(labels), objects=objects)
        ]


def painted(polygons: list[list[list[list[int]]]], shape: tuple[int, ...]) -> np.ndarray:
    """Paint polygons with holes by the even-odd rule, at the centres of pixels."""
    mask = np.zeros(shape, bool)
    for rings in polygons:
        for ring in rings:
            mask ^= polygon2mask(shape, np.array(ring)[:, ::-1] - 0.5)
    return mask


def area(ring: list[list[int]]) -> float:
    x, y = np.array(ring).T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


@given(LABELS, st.integers(1, 4))
def test_objects_of_all_bands_are_the_mask(labels: np.ndarray, rows: int) -> None:
    objects = found(labels, objects=True, rows=rows)
    assert objects == found(labels, objects=True), "bands do not change the result"
    assert sorted(number for number, _ in objects) == [number for number in np.unique(labels).tolist() if number]
    for number, polygons in objects:
        assert np.array_equal(painted(polygons, labels.shape), labels == number)
        assert len(polygons) == components(labels == number, corners=False).max()
        for exterior, *holes in polygons:
            assert area(exterior) > 0
            assert all(area(hole) < 0 for hole in holes)
            assert painted([[exterior, *holes]], labels.shape).any()
        for ring in (ring for polygon in polygons for ring in polygon):
            steps = np.diff(ring, axis=0)
            assert ring[0] == ring[-1]
            assert ((steps == 0).sum(axis=1) == 1).all()
            assert ((steps[1:] == 0) != (steps[:-1] == 0)).all(), "only corners"


@given(LABELS, st.integers(1, 4))
def test_each_connected_region_of_a_class_is_a_polygon(labels: np.ndarray, rows: int) -> None:
    regions = found(labels, objects=False, rows=rows)
    assert regions == found(labels, objects=False)
    assert all(len(polygons) == 1 for _, polygons in regions)
    for index in range(1, 4):
        own = [polygons for number, polygons in regions if number == index]
        assert len(own) == components(labels == index, corners=False).max()
        assert np.array_equal(
            sum((painted(one, labels.shape) for one in own), np.zeros(labels.shape, int)), labels == index
        )


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_an_object_across_bands_is_one_polygon(rows: int) -> None:
    ring = np.zeros((20, 12), np.uint8)
    ring[1:19, 2:10] = 7
    ring[4:15, 4:8] = 0
    ring[8, 5] = 9
    (first, inner), (second, outer) = found(ring, objects=True, rows=rows)
    assert (first, second) == (9, 7)
    assert inner == [[[[5, 8], [6, 8], [6, 9], [5, 9], [5, 8]]]]
    assert outer == [[[[2, 1], [10, 1], [10, 19], [2, 19], [2, 1]], [[4, 15], [8, 15], [8, 4], [4, 4], [4, 15]]]]


def test_names_of_objects_and_classes(tmp_path: Path) -> None:
    labels, path = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 0, 0, 0]]), tmp_path / "a.geojson"
    write_geojson(path, Labels(labels), ("background", "cell"), objects=True)
    objects = json.loads(path.read_text("utf-8"))["features"]
    about = {(one["properties"]["id"], one["geometry"]["type"]) for one in objects}
    assert about == {(1, "MultiPolygon"), (2, "Polygon")}
    assert {one["properties"]["classification"]["name"] for one in objects} == {"cell"}
    write_geojson(path, Labels(labels), ("sky", "road"), objects=False)
    classes = json.loads(path.read_text("utf-8"))["features"]
    assert sorted(one["properties"]["classification"]["name"] for one in classes) == ["2", "road", "road"]
    write_geojson(path, Labels(np.zeros((3, 4), int)), ("sky", "road"), objects=False)
    assert json.loads(path.read_text("utf-8"))["features"] == []


def test_rings_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comb = np.zeros((40, 41), np.uint8)
    comb[0], comb[:, ::2] = 1, 1
    path = tmp_path / "a.geojson"
    write_geojson(path, Labels(comb), ("background", "cell"), objects=True)
    whole = path.read_bytes()
    monkeypatch.setattr(outlines, "_CHUNK", 3)
    write_geojson(path, Labels(comb), ("background", "cell"), objects=True)
    assert path.read_bytes() == whole
    assert len(json.loads(whole)["features"][0]["geometry"]["coordinates"][0]) > 80


def test_too_many_open_corners_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "MAX_OPEN", 10)
    with pytest.raises(outlines.BadOption, match="rows"):
        found(np.eye(30, dtype=np.uint8) + np.eye(30, k=1, dtype=np.uint8), objects=True, rows=3)


def test_rings_of_a_mask() -> None:
    assert trace_rings(np.array([[True, False], [False, True]])) == [
        [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], [(1, 1), (2, 1), (2, 2), (1, 2), (1, 1)],
    ]  # fmt: skip
