"""Outlines follow pixels exactly: painted again they are the mask."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.draw import polygon2mask

from pixelwise.server.workers.outlines import features, polygons, signed_area


def painted(found: list[list[list[list[int]]]], shape: tuple[int, int]) -> np.ndarray:
    """Paint polygons with holes by the even-odd rule, at the centres of pixels."""
    mask = np.zeros(shape, bool)
    for rings in found:
        for ring in rings:
            mask ^= polygon2mask(shape, np.array(ring)[:, ::-1] - 0.5)
    return mask


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_polygons_are_the_mask(mask: np.ndarray) -> None:
    found = polygons(mask)
    assert np.array_equal(painted(found, mask.shape), mask)
    areas = [[signed_area([(x, y) for x, y in ring]) for ring in rings] for rings in found]
    assert all(exterior > 0 and all(hole < 0 for hole in holes) for exterior, *holes in areas)
    assert sum(map(sum, areas)) == mask.sum()
    assert all(ring[0] == ring[-1] for rings in found for ring in rings)


def test_objects_and_classes() -> None:
    labels = np.array([[1, 1, 0, 2], [0, 0, 0, 2], [1, 0, 0, 0]])
    objects = list(features(labels, ("background", "cell"), objects=True))
    assert [(f["properties"]["id"], f["geometry"]["type"]) for f in objects] == [(1, "MultiPolygon"), (2, "Polygon")]
    classes = list(features(labels, ("sky", "road", "tree"), objects=False))
    assert [f["properties"]["classification"]["name"] for f in classes] == ["road", "road", "tree"]
