"""Masks that do not lie on their image pixel by pixel: on another grid of a map, or without directions in space."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise import load_dataset
from pixelwise.datasets import annotation_values, scan
from pixelwise.datasets.dataset import Dataset, scan_dataset
from pixelwise.errors import BadDataset

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("pyproj")
nibabel = pytest.importorskip("nibabel")
sitk = pytest.importorskip("SimpleITK")
warp = pytest.importorskip("rasterio.warp")
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # inside rasterio
UTM, DEGREES = "EPSG:32632", "EPSG:4326"
NORTH_UP = rasterio.Affine(10, 0, 600_000, 0, -10, 5_400_000)
ROTATED = NORTH_UP @ rasterio.Affine.rotation(20)
SIZE = (80, 100)


def save(path: Path, pixels: np.ndarray, transform: Any, crs: str | None, nodata: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = pixels if pixels.ndim == 3 else pixels[None]
    profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    with rasterio.open(
        path, "w", crs=crs, transform=transform, nodata=nodata, dtype=bands.dtype.name, **profile
    ) as file:
        file.write(bands)


def landscape(seed: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """An image whose two classes are bright and dark, and its labels; blocks of eight pixels."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (-(-size[0] // 8), -(-size[1] // 8)), dtype=np.uint8)
    labels = np.kron(blocks, np.ones((8, 8), np.uint8))[: size[0], : size[1]]
    image = np.array([900, 400, 2200])[labels] + rng.normal(0, 30, size)
    return image.astype(np.uint16), labels


def inside(labels: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours within two pixels have their class."""
    from scipy import ndimage

    return ndimage.maximum_filter(labels, 5) == ndimage.minimum_filter(labels, 5)


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north up", "rotated"])
@pytest.mark.parametrize("crs", [UTM, DEGREES])
def test_masks_of_maps_are_moved_onto_their_images(tmp_path: Path, transform: Any, crs: str) -> None:
    drawn_labels = {}
    for seed in range(3):
        image, labels = landscape(seed)
        moved = rasterio.Affine.translation(seed * 5000, 0) @ transform
        save(tmp_path / f"images/s{seed}.tif", image, moved, UTM)
        grid = warp.calculate_default_transform(
            UTM, crs, SIZE[1], SIZE[0], *rasterio.transform.array_bounds(*SIZE, moved), dst_width=240, dst_height=220
        )
        mask = np.full((220, 240), 255, np.uint8)
        warp.reproject(
            labels, mask, src_transform=moved, src_crs=UTM, dst_transform=grid[0], dst_crs=crs, dst_nodata=255,
            resampling=warp.Resampling.nearest,
        )  # fmt: skip
        save(tmp_path / f"masks/s{seed}.tif", mask, grid[0], crs, nodata=255)
        drawn_labels[f"s{seed}"] = labels
    dataset = load_dataset(tmp_path, task="multiclass")
    assert any("moved onto it" in message for message in dataset.messages)
    assert len(dataset.classes) == 3, "255 is no class: the masks state it for pixels without data"
    for case in dataset.cases:
        labels = dataset.read(case).labels
        expected = drawn_labels[case.name]
        assert isinstance(labels, np.ndarray)
        assert labels.shape == SIZE
        assert np.array_equal(labels, dataset.read_labels(case))
        sure = inside(expected) & (labels != 255)
        assert np.array_equal(labels[sure], expected[sure])
        assert np.mean(labels == 255) < 0.05


def shifted(folder: Path, pixels: float) -> Dataset:
    """Return a set whose masks have the size of their images, but lie some pixels to the right of them."""
    for seed in range(3):
        image, labels = landscape(seed)
        place = rasterio.Affine.translation(seed * 5000, 0) @ NORTH_UP
        save(folder / f"images/s{seed}.tif", image, place, UTM)
        save(folder / f"masks/s{seed}.tif", labels, place @ rasterio.Affine.translation(pixels, 0), UTM)
    return scan_dataset(folder, None)


def test_masks_of_equal_size_that_lie_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = shifted(tmp_path, 8)
    for case in dataset.cases:
        _, labels = landscape(int(case.name[1:]))
        found = dataset.read(case).labels
        assert isinstance(found, np.ndarray)
        assert np.array_equal(found[:, 8:], labels[:, :-8])
        assert (found[:, :8] == 255).all(), "what the mask does not cover is not background"
    for module in (scan, annotation_values):
        monkeypatch.setattr(module, "find_place", lambda image, mask: None)
    case = (dataset := shifted(tmp_path, 8)).cases[0]
    assert np.array_equal(dataset.read_labels(case), landscape(int(case.name[1:]))[1]), "control: pixel by pixel"


@pytest.mark.parametrize("pixels", [0.0, 0.5])
def test_half_a_pixel_is_a_convention(tmp_path: Path, pixels: float) -> None:
    dataset = shifted(tmp_path, pixels)
    assert not any("moved onto it" in message for message in dataset.messages)
    case = dataset.cases[0]
    assert np.array_equal(dataset.read_labels(case), landscape(int(case.name[1:]))[1])


def test_masks_of_another_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="geometry mismatch"):
        raise_problems(shifted(tmp_path, 300))


def raise_problems(dataset: Dataset) -> None:
    if text := ", ".join(problem.kind for problem in dataset.problems if problem.fatal):
        raise BadDataset("no problem", text, "", None)


@pytest.mark.parametrize(("nodata", "classes"), [(9, 3), (0, 3), (None, 4)])
def test_a_stated_value_without_data_is_ignored_unless_it_is_zero(
    tmp_path: Path, nodata: int | None, classes: int
) -> None:
    for seed in range(3):
        image, labels = landscape(seed)
        labels[:, :9] = 9 if nodata != 0 else 0
        place = rasterio.Affine.translation(seed * 5000, 0) @ NORTH_UP
        save(tmp_path / f"images/s{seed}.tif", image, place, UTM)
        save(tmp_path / f"masks/s{seed}.tif", labels, place, UTM, nodata=nodata)
    dataset = load_dataset(tmp_path, task="multiclass")
    assert len(dataset.classes) == classes
    assert bool((dataset.read_labels(dataset.cases[0])[:, :9] == 255).all()) == (nodata == 9)
    assert len(load_dataset(tmp_path, task="multiclass", ignore_index=-1).classes) == classes + (nodata == 9)


LPS = np.diag([-0.8, -0.9, 2.5, 1.0])


def write_mask(path: Path, labels: np.ndarray, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "tiff":
        import tifffile

        tifffile.imwrite(path.with_name(f"{path.name}.tif"), labels, imagej=True, metadata={"axes": "ZYX"})
    elif kind == "nrrd":
        image = sitk.GetImageFromArray(labels)
        sitk.WriteImage(image, str(file := path.with_name(f"{path.name}.nrrd")))
        text = file.read_bytes()
        kept = [line for line in text.split(b"\n\n", 1)[0].split(b"\n") if not line.startswith(b"space")]
        file.write_bytes(b"\n".join(kept) + b"\n\n" + text.split(b"\n\n", 1)[1])
    else:
        nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), None), path.with_name(f"{path.name}.nii.gz"))


@pytest.mark.parametrize("kind", ["tiff", "nrrd", "nifti"])
@pytest.mark.parametrize("affine", [LPS, drawn.OBLIQUE], ids=["LPS", "oblique"])
def test_masks_without_directions_are_stored_as_their_volume(tmp_path: Path, kind: str, affine: np.ndarray) -> None:
    for number in range(4):
        image, labels = drawn.draw(number)
        drawn.save_nifti(tmp_path / f"images/c{number}.nii.gz", image, affine)
        write_mask(tmp_path / f"masks/c{number}", labels, kind)
    dataset = load_dataset(tmp_path, task="multiclass")
    assert any("directions" in message for message in dataset.messages)
    for case in dataset.cases:
        image, labels = dataset.read(case)
        stored, drawn_labels = drawn.draw(int(case.name[1:]))
        means = [stored[drawn_labels == value].mean() for value in (1, 2)]
        assert [image[0][labels == value].mean() for value in (1, 2)] == pytest.approx(means)


def test_control_without_the_turn_masks_are_mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (scan, annotation_values):
        monkeypatch.setattr(module, "find_place", lambda image, mask: None)
    for number in range(4):
        image, labels = drawn.draw(number)
        drawn.save_nifti(tmp_path / f"images/c{number}.nii.gz", image, LPS)
        write_mask(tmp_path / f"masks/c{number}", labels, "tiff")
    dataset = load_dataset(tmp_path, task="multiclass")
    image, labels = dataset.read(dataset.cases[0])
    stored, drawn_labels = drawn.draw(int(dataset.cases[0].name[1:]))
    assert image[0][labels == 2].mean() > stored[drawn_labels == 2].mean() + 50


def test_volumes_without_directions_beside_masks_that_state_them(tmp_path: Path) -> None:
    for number in range(4):
        image, labels = drawn.draw(number)
        drawn.save_nifti(tmp_path / f"images/c{number}.nii.gz", image, np.eye(4), codes=(0, 0))
        drawn.save_nifti(tmp_path / f"masks/c{number}.nii.gz", labels, np.diag([-1.0, -1.0, 1.0, 1.0]))
    dataset = load_dataset(tmp_path, task="multiclass")
    for case in dataset.cases:
        image, labels = dataset.read(case)
        assert labels is not None
        np.testing.assert_array_equal(image[0], drawn.draw(int(case.name[1:]))[0])
        np.testing.assert_array_equal(labels, drawn.draw(int(case.name[1:]))[1])


def test_a_spacing_that_is_stated_must_fit(tmp_path: Path) -> None:
    """Control: without directions, but with voxels of another size, a mask is of another volume."""
    for number in range(4):
        image, labels = drawn.draw(number)
        drawn.save_nifti(tmp_path / f"images/c{number}.nii.gz", image, LPS)
        drawn.save_nifti(tmp_path / f"masks/c{number}.nii.gz", labels, np.diag([3.0, 3, 3, 1]), codes=(0, 0))
    assert {problem.kind for problem in scan_dataset(tmp_path, None).problems if problem.fatal} == {"geometry mismatch"}


def segmentation(path: Path, labels: np.ndarray, names: list[str]) -> None:
    image = sitk.GetImageFromArray(labels)
    for number, name in enumerate(names):
        fields = {"ID": f"S{number}", "Name": name, "LabelValue": str(number + 1), "Layer": "0"}
        for field, value in fields.items():
            image.SetMetaData(f"Segment{number}_{field}", value)
    sitk.WriteImage(image, str(path))


def test_names_of_segments_are_classes(tmp_path: Path) -> None:
    for number in range(4):
        image, labels = drawn.draw(number)
        sitk.WriteImage(sitk.GetImageFromArray(image), str(tmp_path / f"c{number}.nrrd"))
        segmentation(tmp_path / f"c{number}.seg.nrrd", labels, ["ball", "box"])
    assert load_dataset(tmp_path).classes == ("background", "ball", "box")
    segmentation(tmp_path / "c3.seg.nrrd", drawn.draw(3)[1], ["box", "ball"])
    problems = {problem.kind for problem in scan_dataset(tmp_path, None).problems if problem.fatal}
    assert problems == {"segments differ"}, "the same number is another structure"
    assert load_dataset(tmp_path, classes=("one", "two")).classes == ("background", "one", "two")


def test_a_volume_per_class_along_the_fourth_axis(tmp_path: Path) -> None:
    for number in range(4):
        image, labels = drawn.draw(number)
        drawn.save_nifti(tmp_path / f"images/c{number}.nii.gz", image, drawn.OBLIQUE)
        drawn.save_nifti(tmp_path / f"masks/c{number}.nii.gz", labels, drawn.OBLIQUE)
        path = tmp_path / f"one_hot/c{number}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        hot = np.stack([labels == 1, labels == 2], -1).astype(np.uint8).transpose(2, 1, 0, 3)
        nibabel.save(nibabel.Nifti1Image(hot, drawn.OBLIQUE), path)
    plain, hot = (load_dataset(tmp_path, images="images", masks=name) for name in ("masks", "one_hot"))
    for one, other in zip(plain.cases, hot.cases, strict=True):
        np.testing.assert_array_equal(plain.read_labels(one), hot.read_labels(other))
