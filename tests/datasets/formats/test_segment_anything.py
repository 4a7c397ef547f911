"""Masks of Segment Anything: masks within one another, and damaged ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotated import labels_of
from drawn import SIZE, image, save
from pixelwise.datasets.formats import coco, segment_anything
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadDataset


def counts(mask: np.ndarray) -> list[int]:
    flat = mask.ravel(order="F").astype(np.int8)
    return np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat, prepend=0)), [flat.size]])).tolist()


def write(folder: Path, *masks: Any, name: str = "im_0.png") -> Path:
    save(folder / "im_0.png", image(0))
    found = [{"id": i, "segmentation": {"size": list(SIZE), "counts": mask}} for i, mask in enumerate(masks)]
    described = {"image_id": 1, "height": SIZE[0], "width": SIZE[1], "file_name": name}
    (folder / "im_0.json").write_text(json.dumps({"image": described, "annotations": found}), "utf-8")
    return folder


def test_smaller_masks_are_drawn_over_larger_ones(tmp_path: Path) -> None:
    inner, outer = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    inner[8:12, 8:12] = outer[4:20, 4:20] = True
    root = write(tmp_path, counts(inner), counts(outer))
    assert segment_anything.recognise(root)
    found = segment_anything.read(root, DataOptions())
    drawn = labels_of(found)["im_0"]
    assert found.instances
    assert (drawn[8:12, 8:12] == drawn[8, 8]).all()
    assert drawn[8, 8] != drawn[5, 5]
    assert int((drawn > 0).sum()) == 256


def test_damaged_masks_and_missing_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match=r"annotations\[0\]"):
        segment_anything.read(write(tmp_path, [3, 4]), DataOptions())
    with pytest.raises(BadDataset, match="other"):
        segment_anything.read(write(tmp_path, [3, SIZE[0] * SIZE[1] - 3], name="other.png"), DataOptions())


def test_coco_is_another_format(tmp_path: Path) -> None:
    save(tmp_path / "a.png", image(0))
    document = {"images": [], "annotations": [{"segmentation": {"counts": [1]}}], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(document), "utf-8")
    assert coco.recognise(tmp_path)
    assert not segment_anything.recognise(tmp_path)
