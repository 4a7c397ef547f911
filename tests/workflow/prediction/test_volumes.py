"""Files of predicted volumes: labels on the grid of the image, tables in millilitres, pictures."""

import csv
from pathlib import Path

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.errors import BadOption
from pixelwise.inference.segmentation_model import Prediction
from pixelwise.io.read import Image, read_image, read_mask
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.volumes import check_volume_options, save_volume
from pixelwise.workflow.prediction.writing import OutputSummary
from tiny import make_recipe

nibabel = pytest.importorskip("nibabel")
AFFINE = np.diag([-0.5, 0.5, 2.0, 1.0])


@pytest.fixture
def image(tmp_path: Path) -> Image:
    drawn.save_nifti(tmp_path / "in" / "a.nii.gz", drawn.draw()[0], AFFINE)
    return read_image(tmp_path / "in" / "a.nii.gz")


def predicted(image: Image) -> Prediction:
    """Class 1 where the volume is bright, class 2 where it is dark, with probabilities that agree."""
    labels = ((image.pixels[0] > 450) + 2 * (image.pixels[0] < 200)).astype(np.uint8)
    probabilities = np.stack([0.8 * (labels == index) + 0.1 for index in range(3)]).astype(np.float16)
    return Prediction(labels, probabilities, ())


def test_labels_lie_on_the_image(tmp_path: Path, image: Image) -> None:
    result = predicted(image)
    path = tmp_path / "in" / "a.nii.gz"
    saved = save_volume(tmp_path, "a", path, image, result, make_recipe("multiclass"), PredictOptions())
    assert [file.name for file in saved.files] == ["a.nii.gz"]
    stored = np.asanyarray(nibabel.load(path).dataobj)
    written = nibabel.load(saved.files[0])
    np.testing.assert_array_equal(np.asanyarray(written.dataobj) == 1, stored > 450)
    np.testing.assert_array_equal(written.affine, nibabel.load(path).affine)


@pytest.mark.parametrize(
    ("format", "suffix"), [("nrrd", ".nrrd"), ("mha", ".mha"), ("tiff", ".tif"), ("zarr", ".ome.zarr")]
)
def test_another_format(tmp_path: Path, image: Image, format: str, suffix: str) -> None:
    result, options = predicted(image), PredictOptions(format=format)
    path = tmp_path / "in" / "a.nii.gz"
    saved = save_volume(tmp_path, "a", path, image, result, make_recipe("multiclass"), options)
    assert saved.files[0].name == f"a{suffix}"
    again = read_mask(saved.files[0])
    assert again.grid is not None
    assert image.grid is not None
    assert again.grid.millimetres == pytest.approx(image.grid.millimetres)
    if suffix in (".nrrd", ".mha"):
        np.testing.assert_array_equal(again.values, result.labels)
        np.testing.assert_allclose(again.grid.affine, image.grid.affine)


def test_everything_of_a_volume(tmp_path: Path, image: Image) -> None:
    options = PredictOptions(probabilities=True, confidence=True, overlays=True)
    result = predicted(image)
    summary = OutputSummary(tmp_path / "out", make_recipe("multiclass"), options)
    summary.add(summary.save("a", tmp_path / "in" / "a.nii.gz", image, result))
    summary.finish()
    names = {file.name for file in summary.files}
    assert {"a.nii.gz", "a.probabilities.nii.gz", "a.uncertainty.nii.gz", "a.overlay.png"} <= names
    assert nibabel.load(tmp_path / "out" / "a.probabilities.nii.gz").shape == (16, 20, 12, 3)
    with (tmp_path / "out" / "volumes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["sky", "road", "tree"], "no class is called background"
    for index, row in enumerate(rows):
        count = int((result.labels == index).sum())
        assert int(row["voxels"]) == count
        assert float(row["millilitres"]) == pytest.approx(count * 0.5 / 1000)
    picture = read_image(tmp_path / "out" / "a.overlay.png").pixels
    assert picture.shape[0] == 3
    assert picture.shape[1] > 24 + 12 * 4, "planes with square pixels"


def test_objects_in_planes_are_refused_for_volumes() -> None:
    with pytest.raises(BadOption, match="--save"):
        check_volume_options(PredictOptions(save=("geojson",)))
    check_volume_options(PredictOptions())


def test_objects_of_a_volume(tmp_path: Path, image: Image) -> None:
    labels = np.zeros(image.pixels.shape[1:], np.uint16)
    labels[1:3, 2:4, 2:5] = 4
    labels[6:8, 10:12, 2:4] = 9
    summary = OutputSummary(tmp_path / "out", make_recipe("instance"), PredictOptions())
    summary.add(summary.save("a", tmp_path / "in" / "a.nii.gz", image, Prediction(labels, None, ())))
    summary.finish()
    with (tmp_path / "out" / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["voxels"], row["cubic_millimetres"]) for row in rows] == [("4", "12", "6"), ("9", "8", "4")]
    assert rows[0]["box"] == "1 2 2 3 4 5"
