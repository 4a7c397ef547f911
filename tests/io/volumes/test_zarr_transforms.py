"""Coordinate transformations of OME-Zarr: of levels and of the whole image, and kinds that are no scale."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.io.read import read_image
from pixelwise.io.zarr import find_level

zarr = pytest.importorskip("zarr")
AXES = [{"name": "c", "type": "channel"}] + [
    {"name": name, "type": "space", "unit": "micrometer"} for name in ("z", "y", "x")
]
PLAIN: list[dict[str, Any]] = [{"type": "scale", "scale": [1, 3, 0.5, 0.5]}]


def store(folder: Path, level: list[dict[str, Any]], whole: list[dict[str, Any]], version: str) -> Path:
    group = zarr.open_group(str(folder), mode="w", zarr_format=2 if version == "0.4" else 3)
    array = group.create_array("0", shape=(2, 6, 20, 18), chunks=(2, 6, 20, 18), dtype="uint8")
    array[...] = np.random.default_rng(0).integers(0, 200, (2, 6, 20, 18), dtype=np.uint8)
    multiscale: dict[str, Any] = {"axes": AXES, "datasets": [{"path": "0", "coordinateTransformations": level}]}
    if whole:
        multiscale["coordinateTransformations"] = whole
    if version == "0.4":
        group.attrs["multiscales"] = [{**multiscale, "version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("level", "whole"),
    [
        (PLAIN, []),
        ([{"type": "scale", "scale": [1, 1, 1, 1]}], PLAIN),
        ([{"type": "scale", "scale": [1, 2, 1, 1]}], [{"type": "scale", "scale": [1, 1.5, 0.5, 0.5]}]),
        (PLAIN, [{"type": "identity"}]),
    ],
    ids=["level", "image", "both", "identity"],
)
def test_scales_are_multiplied(tmp_path: Path, level: Any, whole: Any, version: str) -> None:
    grid = read_image(store(tmp_path / "a.zarr", level, whole, version)).grid
    assert grid is not None
    assert (grid.spacing, grid.unit) == ((3.0, 0.5, 0.5), "micrometer")


def test_translations_are_scaled_by_what_comes_after(tmp_path: Path) -> None:
    level = [{"type": "scale", "scale": [1, 1, 2, 2]}, {"type": "translation", "translation": [0, 1, 2, 3]}]
    whole = [{"type": "scale", "scale": [1, 3, 0.5, 0.5]}, {"type": "translation", "translation": [0, 0, 10, 10]}]
    found = find_level(store(tmp_path / "a.zarr", level, whole, "0.5"))
    assert found.scale == (1, 3, 1, 1)
    assert found.translation == (0, 3, 11, 11.5)


@pytest.mark.parametrize(
    "other",
    [
        {"type": "rotation", "rotation": np.eye(4).tolist()},
        {"type": "affine", "affine": np.eye(4, 5).tolist()},
        {"type": "scale", "path": "elsewhere"},
        {"type": "scale", "scale": [3, 1]},
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_a_voxel_has_no_known_size_under_other_transformations(
    tmp_path: Path, other: dict[str, Any], inside: bool
) -> None:
    path = store(tmp_path / "a.zarr", [*PLAIN, other] if inside else PLAIN, [] if inside else [other], "0.5")
    if "path" in other:
        from pixelwise.errors import BadImage

        with pytest.raises(BadImage):
            read_image(path)
        return
    grid = read_image(path).grid
    assert grid is not None
    assert grid.unit is None, json.dumps(other)
