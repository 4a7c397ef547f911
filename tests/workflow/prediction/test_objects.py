"""Predicted objects as files for other programs: their own libraries read the same pixels from them."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pixelwise.errors import BadOption
from pixelwise.io.read import read_mask, write_image, write_labels
from pixelwise.progress import Progress
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from tiny import make_recipe, write_model

roifile = pytest.importorskip("roifile")
FORMATS = ("geojson", "imagej", "coco", "csv")


@pytest.fixture(params=["instance", "binary"])
def predicted(request: pytest.FixtureRequest, tmp_path: Path, rng: np.random.Generator) -> Path:
    write_image(tmp_path / "images/a.png", rng.integers(0, 256, (1, 40, 60)).astype(np.uint8))
    write_labels(tmp_path / "images/b.tif", rng.integers(0, 256, (33, 21)), spacing=(0.5, 0.5))
    write_model(tmp_path / "model.safetensors", make_recipe(request.param))
    result = predict(
        tmp_path / "model.safetensors",
        [tmp_path / "images"],
        tmp_path / "out",
        PredictOptions(save=FORMATS),
        progress=Progress(),
    )
    names = {path.name for path in result.outputs}
    assert names >= {"a.geojson", "b.geojson", "a_rois.zip", "b_rois.zip", "coco.json", "measurements.csv"}
    return tmp_path / "out"


def foreground(folder: Path, name: str) -> np.ndarray:
    return read_mask(folder / f"{name}.png").values > 0


def load(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


# pycocotools 2.0 has no `copy` in its __array__
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_every_file_describes_the_predicted_pixels(predicted: Path) -> None:
    document = load(predicted / "coco.json")
    for number, name in enumerate(("a", "b"), 1):
        truth = foreground(predicted, name)
        annotations = [entry for entry in document["annotations"] if entry["image_id"] == number]
        drawn = np.zeros(truth.shape, int)
        for entry in annotations:
            region = coco_mask.decode(entry["segmentation"])
            drawn += region
            assert entry["area"] == region.sum()
            assert entry["bbox"] == coco_mask.toBbox(entry["segmentation"]).tolist()
        assert np.array_equal(drawn, truth)
        features = load(predicted / f"{name}.geojson")["features"]
        regions = roifile.roiread(predicted / f"{name}_rois.zip")
        assert len(features) == len(regions) == len(annotations)
    assert [image["file_name"] for image in document["images"]] == ["a.png", "b.tif"]
    assert [entry["id"] for entry in document["annotations"]] == list(range(1, len(document["annotations"]) + 1))


def test_areas_are_in_micrometres_where_the_pixel_size_is_known(predicted: Path) -> None:
    rows = list(csv.DictReader((predicted / "measurements.csv").read_text("utf-8").splitlines()))
    for name, file in (("a", "a.png"), ("b", "b.tif")):
        areas = [int(row["area_px"]) for row in rows if row["image"] == file]
        assert sum(areas) == foreground(predicted, name).sum()
    for row in rows:
        assert row["area_um2"] == ("" if row["image"] == "a.png" else f"{int(row['area_px']) / 4:.6g}")


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path, rng: np.random.Generator) -> None:
    write_image(tmp_path / "images/a.png", rng.integers(0, 256, (1, 40, 60)).astype(np.uint8))
    write_model(tmp_path / "model.safetensors", make_recipe("binary"))
    with pytest.raises(BadOption, match="Did you mean `geojson`"):
        predict(
            tmp_path / "model.safetensors", [tmp_path / "images"], tmp_path / "out", PredictOptions(save=("geojsn",))
        )
    assert not list((tmp_path / "out").glob("*.png"))
