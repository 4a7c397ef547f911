"""ImageJ ROI sets: written ones are read again, and those of roifile and ImageJ with every kind of area."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import drawn
from pixelwise.datasets.annotations import AnnotatedSet, Shapes
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.formats import imagej_roi
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.datasets.writers.imagej_roi import write_imagej
from pixelwise.datasets.writers.labelled_set import LabelledSet
from pixelwise.errors import BadDataset, BadOption
from pixelwise.io.read import write_image, write_labels

roifile = pytest.importorskip("roifile")


def labels_of(found: AnnotatedSet, number: int = 0, size: tuple[int, int] = drawn.SIZE) -> np.ndarray:
    annotation = found.images[number].annotation
    assert isinstance(annotation, Shapes)
    return rasterise(annotation, size, found.classes, "instance" if found.instances else "multiclass")


def save(folder: Path, *rois: Any, name: str = "a_rois.zip") -> AnnotatedSet:
    drawn.save(folder / "a.png", drawn.image(0))
    with zipfile.ZipFile(folder / name, "w") as archive:
        for number, roi in enumerate(rois):
            archive.writestr(f"{number}.roi", roi.tobytes())
    return imagej_roi.read(folder, DataOptions())


def polygon(*points: tuple[float, float], **values: Any) -> Any:
    roi = roifile.ImagejRoi.frompoints(np.array(points))
    for key, value in values.items():
        setattr(roi, key, value)
    return roi


SQUARE = ((2, 1), (6, 1), (6, 5), (2, 5))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_objects_with_holes_that_touch_are_read_again(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder, random = tmp_path_factory.mktemp("any"), np.random.default_rng(seed)
    for index in range(2):
        labels = np.kron(random.permuted(np.arange(30) % 4).reshape(5, 6), np.ones((2, 3), int))
        write_image(folder / f"in/images/{index}.png", drawn.image(index, labels.shape)[None])
        write_labels(folder / f"in/masks/{index}.tif", labels)
    dataset = load_dataset(folder / "in", task="instance")
    assert write_imagej(LabelledSet(dataset=dataset), folder / "out") == ()
    assert imagej_roi.recognise(folder / "out")
    found = imagej_roi.read(folder / "out", DataOptions())
    assert found.instances
    by_name = {image.name: number for number, image in enumerate(found.images)}
    for case in dataset.cases:
        assert np.array_equal(labels_of(found, by_name[case.name], (10, 18)), dataset.read(case).labels)


def test_classes_are_read_again(tmp_path: Path) -> None:
    dataset = load_dataset(drawn.pairs(tmp_path / "in", draw=drawn.several(1, 2)), task="multiclass")
    write_imagej(LabelledSet(dataset=dataset), tmp_path / "out")
    found = imagej_roi.read(tmp_path / "out", DataOptions())
    assert found.classes == dataset.classes[1:]
    assert not found.instances
    by_name = {image.name: number for number, image in enumerate(found.images)}
    for case in dataset.cases:
        assert np.array_equal(labels_of(found, by_name[case.name]), dataset.read(case).labels)


def test_one_region_of_all_parts_is_an_area(tmp_path: Path) -> None:
    dataset = load_dataset(drawn.pairs(tmp_path / "in", draw=lambda seed: np.minimum(drawn.objects(seed), 1) * 255))
    write_imagej(LabelledSet(dataset=dataset), tmp_path / "out")
    found = imagej_roi.read(tmp_path / "out", DataOptions())
    assert not found.instances
    assert labels_of(found).max() == 1
    assert imagej_roi.read(tmp_path / "out", DataOptions(task="instance")).instances


def test_roifile_reads_what_is_written(tmp_path: Path) -> None:
    for index in range(4):
        labels = drawn.objects(index)
        labels[3, 3] = 0  # a hole
        drawn.save(tmp_path / f"in/images/{index}.png", drawn.image(index))
        drawn.save(tmp_path / f"in/masks/{index}.png", labels)
    dataset = load_dataset(tmp_path / "in", task="instance")
    write_imagej(LabelledSet(dataset=dataset), tmp_path / "out")
    rois = roifile.roiread(tmp_path / "out/0_rois.zip")
    assert [roi.name for roi in rois] == ["00001", "00002", "00003"]
    assert [roi.composite for roi in rois] == [True, False, False]
    assert [len(ring) for ring in rois[0].coordinates(multi=True)] == [5, 5]
    assert (rois[1].left, rois[1].top) == (9, 1)
    assert rois[1].properties == {"class": "object"}


def test_every_kind_of_area_is_read(tmp_path: Path) -> None:
    rectangle = roifile.ImagejRoi()
    rectangle.roitype, rectangle.left, rectangle.top, rectangle.right, rectangle.bottom = 1, 10, 2, 14, 6
    rectangle.roitype = roifile.ROI_TYPE.RECT
    oval = roifile.ImagejRoi()
    oval.roitype, oval.left, oval.top, oval.right, oval.bottom = roifile.ROI_TYPE.OVAL, 20, 10, 30, 20
    found = save(
        tmp_path, polygon(*SQUARE), rectangle, oval, polygon((2.5, 20.5), (6.5, 20.5), (6.5, 24.5), (2.5, 24.5))
    )
    counts = np.bincount(labels_of(found).ravel())[1:]
    assert counts.tolist()[:2] == [16, 16]
    assert abs(counts[2] - np.pi * 25) < 3
    assert counts[3] == 16


def test_lines_points_and_other_slices_are_left_out_and_counted(tmp_path: Path) -> None:
    line = polygon(*SQUARE)
    line.roitype = roifile.ROI_TYPE.POLYLINE
    found = save(tmp_path, line, polygon((1, 1), (2, 2)), polygon(*SQUARE, position=3), polygon(*SQUARE))
    assert labels_of(found).max() == 1
    text = " ".join(found.messages)
    assert "lines" in text
    assert "slice" in text


def test_groups_are_classes_and_regions_without_one_are_left_out(tmp_path: Path) -> None:
    far = tuple((x + 20, y) for x, y in SQUARE)
    found = save(tmp_path, polygon(*SQUARE, group=2), polygon(*far, group=7), polygon((1, 20), (4, 20), (4, 24)))
    assert found.classes == ("group_2", "group_7")
    assert sorted(set(labels_of(found).ravel().tolist())) == [0, 1, 2]
    assert any("without a class" in text for text in found.messages)


@pytest.mark.parametrize(
    "name", ["a.zip", "a_rois.zip", "a_RoiSet.zip", "RoiSet_a.zip", "a.png.zip", "RoiSet.zip", "a-ROIs.zip"]
)
def test_usual_names_find_their_image(tmp_path: Path, name: str) -> None:
    assert labels_of(save(tmp_path, polygon(*SQUARE), name=name)).sum() == 16


def test_a_single_roi_file_is_read(tmp_path: Path) -> None:
    drawn.save(tmp_path / "a.png", drawn.image(0))
    (tmp_path / "a.roi").write_bytes(polygon(*SQUARE).tobytes())
    assert imagej_roi.recognise(tmp_path)
    assert labels_of(imagej_roi.read(tmp_path, DataOptions())).sum() == 16


def test_a_set_without_an_image_and_two_sets_of_one_are_refused(tmp_path: Path) -> None:
    drawn.save(tmp_path / "b.png", drawn.image(1))
    with pytest.raises(BadDataset, match=r"none for other\.zip"):
        save(tmp_path, polygon(*SQUARE), name="other.zip")
    (tmp_path / "other.zip").unlink()
    save(tmp_path, polygon(*SQUARE), name="a.zip")
    with pytest.raises(BadDataset, match="one ROI file per image"):
        save(tmp_path, polygon(*SQUARE))


def test_a_damaged_region_is_refused_by_name(tmp_path: Path) -> None:
    drawn.save(tmp_path / "a.png", drawn.image(0))
    for content in (b"Iout", polygon(*SQUARE).tobytes()[:70]):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("bad.roi", content)
        with pytest.raises(BadDataset, match=r"bad\.roi"):
            imagej_roi.read(tmp_path, DataOptions())


def test_other_zip_files_are_not_taken_for_regions(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"")
    (tmp_path / "b.zip").write_bytes(b"PK nothing")
    (tmp_path / "c.roi").write_bytes(b"other")
    assert not imagej_roi.recognise(tmp_path)


def test_without_the_library_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "roifile", None)
    with pytest.raises(BadOption, match="pip install"):
        save(tmp_path, polygon(*SQUARE))


def test_a_set_whose_compression_is_damaged_is_refused(tmp_path: Path) -> None:
    """zlib raises its own error, which is none of zipfile's."""
    save(tmp_path, polygon(*SQUARE))
    path = tmp_path / "a_rois.zip"
    with zipfile.ZipFile(path) as archive:
        name, content = archive.namelist()[0], archive.read(archive.namelist()[0])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    damaged = bytearray(path.read_bytes())
    start = 30 + len(name)
    damaged[start : start + 8] = b"\xff" * 8
    path.write_bytes(damaged)
    with pytest.raises(BadDataset, match="a damaged zip file"):
        imagej_roi.read(tmp_path, DataOptions())


@pytest.mark.parametrize("single", [False, True])
def test_a_region_of_too_many_points_is_refused_before_it_is_read(
    single: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, polygon(*SQUARE))  # the control: small regions are read
    content = polygon(*SQUARE).tobytes().ljust(2000, b"\0")
    monkeypatch.setattr(imagej_roi, "_MAX_REGION", 1000)
    if single:
        (tmp_path / "a_rois.zip").unlink()
        (tmp_path / "a.roi").write_bytes(content)
    else:
        with zipfile.ZipFile(tmp_path / "a_rois.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("1.roi", content)
    with pytest.raises(BadDataset, match="got 2,000 bytes"):
        imagej_roi.read(tmp_path, DataOptions())
