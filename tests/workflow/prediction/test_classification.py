"""Options of segmentation are rejected for classification."""

from dataclasses import fields
from pathlib import Path

import pytest

from pixelwise.errors import BadModel, BadOption
from pixelwise.progress import Progress
from pixelwise.workflow.prediction.classification import predict_classes
from pixelwise.workflow.prediction.options import PredictOptions

USED = {"probabilities", "symmetries", "device", "runtime", "overwrite", "pages", "nodata"}
VALUES = {
    "overlays": True,
    "confidence": True,
    "save": ("csv",),
    "tta": 4,
    "tile": 64,
    "tolerance": 0.0,
    "format": "tiff",
    "compression": "zstd",
    "sampled_intensities": True,
}


@pytest.mark.parametrize("name", sorted({field.name for field in fields(PredictOptions)} - USED))
def test_every_wish_is_read_or_refused(tmp_path: Path, name: str) -> None:
    options = PredictOptions(**{name: VALUES[name]})
    flag = f"--{name.replace('_', '-')}"
    with pytest.raises(BadOption, match=rf"got {flag}, which applies to segmentation only\. Remove it[.;]"):
        predict_classes(tmp_path / "none", [], tmp_path, options, Progress())


@pytest.mark.parametrize("name", sorted(USED - {"device", "runtime"}))
def test_what_is_read_comes_as_far_as_the_model(tmp_path: Path, name: str) -> None:
    options = PredictOptions(**{name: {"pages": 3, "nodata": "0"}.get(name, True)})
    with pytest.raises(BadModel, match="none"):
        predict_classes(tmp_path / "none", [], tmp_path, options, Progress())
