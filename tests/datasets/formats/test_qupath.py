"""QuPath GeoJSON: what is written is read again, and the variants of its versions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import drawn
from pixelwise.datasets.annotations import AnnotatedSet, MaskFile, Shapes
from pixelwise.datasets.dataset import load_dataset
from pixelwise.datasets.examples import Dataset
from pixelwise.datasets.formats import qupath
from pixelwise.datasets.layouts import qupath_tiles
from pixelwise.datasets.options import DataOptions
from pixelwise.datasets.shapes.rasterise import rasterise
from pixelwise.datasets.writers.labelled_set import LabelledSet
from pixelwise.datasets.writers.qupath import write_qupath
from pixelwise.errors import BadDataset
from pixelwise.io.read import write_image, write_labels

SQUARE = [[[2, 1], [6, 1], [6, 5], [2, 5], [2, 1]]]


def feature(coordinates: list[Any] = SQUARE, kind: str = "Polygon", **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def named(name: str, coordinates: list[Any] = SQUARE, **more: Any) -> dict[str, Any]:
    return feature(coordinates, objectType="annotation", classification={"name": name, **more})


def write(folder: Path, content: Any, name: str = "a") -> AnnotatedSet:
    drawn.save(folder / f"{name}.png", drawn.image(0))
    (folder / f"{name}.geojson").write_text(json.dumps(content), "utf-8")
    return qupath.read(folder, DataOptions())


def labels_of(found: AnnotatedSet, number: int = 0, size: tuple[int, int] = drawn.SIZE) -> np.ndarray:
    annotation = found.images[number].annotation
    assert isinstance(annotation, Shapes)
    task = "instance" if found.instances else "multiclass"
    return rasterise(annotation, size, found.classes, task)


def dataset_of(folder: Path, labels: list[np.ndarray], **options: Any) -> Dataset:
    for index, drawn_labels in enumerate(labels):
        write_image(folder / f"images/{index}.png", drawn.image(index, drawn_labels.shape)[None])
        write_labels(folder / f"masks/{index}.tif", drawn_labels)
    return load_dataset(folder, **options)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32))
def test_objects_with_holes_that_touch_are_read_again(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    folder, random = tmp_path_factory.mktemp("any"), np.random.default_rng(seed)
    labels = [np.kron(random.permuted(np.arange(30) % 4).reshape(5, 6), np.ones((2, 3), int)) for _ in range(2)]
    dataset = dataset_of(folder / "in", labels, task="instance")
    assert write_qupath(LabelledSet(dataset=dataset), folder / "out") == ()
    assert qupath.recognise(folder / "out")
    found = qupath.read(folder / "out", DataOptions())
    assert found.instances
    by_name = {image.name: number for number, image in enumerate(found.images)}
    for case in dataset.cases:
        assert np.array_equal(labels_of(found, by_name[case.name], (10, 18)), dataset.read(case).labels)


def test_classes_and_ignored_pixels_are_read_again(tmp_path: Path) -> None:
    folder = drawn.pairs(tmp_path / "in", draw=drawn.several(1, 2, 255))
    (folder / "classes.txt").write_text("0 background 0,0,0\n1 stroma 1,2,3\n2 fat 9,8,7\n255 void 5,5,5\n", "utf-8")
    dataset = load_dataset(folder)
    write_qupath(LabelledSet(dataset=dataset), tmp_path / "out")
    found = qupath.read(tmp_path / "out", DataOptions())
    assert (found.classes, found.colours, found.instances) == (("stroma", "fat"), ((1, 2, 3), (9, 8, 7)), False)
    by_name = {image.name: number for number, image in enumerate(found.images)}
    for case in dataset.cases:
        assert np.array_equal(labels_of(found, by_name[case.name]), dataset.read(case).labels)


def test_a_name_of_what_is_not_covered_is_lost_and_said(tmp_path: Path) -> None:
    dataset = load_dataset(drawn.pairs(tmp_path / "in"), classes=("glass", "cell"))
    assert any("glass" in text for text in write_qupath(LabelledSet(dataset=dataset), tmp_path / "out"))


@pytest.mark.parametrize(
    "content",
    [
        {"type": "FeatureCollection", "features": [named("cell")]},
        [named("cell")],
        named("cell"),
        [feature(object_type="annotation", classification={"name": "cell", "colorRGB": -16711936})],
        [feature(objectType="annotation", classification={"names": ["cell"], "color": [0, 255, 0]})],
        [{**feature(classification={"name": "cell"}), "id": "PathAnnotationObject"}],
        [feature([SQUARE], "MultiPolygon", classification={"name": "cell"})],
        [{**feature(), "geometry": {"type": "GeometryCollection", "geometries": [feature()["geometry"]]},
          "properties": {"classification": {"name": "cell"}}}],
        [named("cell", [[[*point, 0] for point in SQUARE[0]]])],
        [named("cell", [SQUARE[0][:-1]])],
    ],
)  # fmt: skip
def test_every_version_of_a_classified_annotation_is_read(tmp_path: Path, content: Any) -> None:
    found = write(tmp_path, content)
    assert qupath.recognise(tmp_path)
    assert (found.classes, found.instances) == (("cell",), False)
    labels = labels_of(found)
    assert labels.sum() == 16
    assert (labels[1:5, 2:6] == 1).all()


def test_a_packed_colour_is_read(tmp_path: Path) -> None:
    content = [feature(object_type="annotation", classification={"name": "cell", "colorRGB": -16711936})]
    assert write(tmp_path, content).colours == ((0, 255, 0),)


def test_cells_are_objects_and_the_annotation_around_them_is_not(tmp_path: Path) -> None:
    cell = {**feature(objectType="cell"), "nucleusGeometry": feature()["geometry"]}
    around = feature([[[0, 0], [20, 0], [20, 20], [0, 20]]], objectType="annotation")
    found = write(tmp_path, [around, cell])
    assert found.instances
    assert labels_of(found).sum() == 16


def test_annotations_without_a_class_are_objects(tmp_path: Path) -> None:
    found = write(tmp_path, [feature(objectType="annotation"), feature([[[10, 10], [12, 10], [12, 12], [10, 12]]])])
    assert found.instances
    assert labels_of(found).max() == 2


def test_of_regions_that_overlap_the_smaller_is_on_top_and_one_without_a_class_is_left_out(tmp_path: Path) -> None:
    large = [[[0, 0], [20, 0], [20, 20], [0, 20]]]
    found = write(tmp_path, [named("b"), named("a", large), feature(large, objectType="annotation")])
    labels = labels_of(found)
    assert (labels[2, 3], labels[10, 10]) == (2, 1)
    assert any("without a class" in text for text in found.messages)


def test_what_has_no_area_and_tma_cores_are_left_out_and_counted(tmp_path: Path) -> None:
    content = [
        named("cell"),
        feature([1, 2], "Point"),
        feature([[1, 2], [3, 4]], "LineString"),
        feature(objectType="tmaCore"),
    ]
    text = " ".join(write(tmp_path, content).messages)
    assert "Point" in text
    assert "LineString" in text
    assert "tmaCore" in text


def test_files_are_matched_by_the_whole_name_in_other_folders_and_by_split(tmp_path: Path) -> None:
    for part in ("train", "test"):
        drawn.save(tmp_path / part / "images/slide.ome.png", drawn.image(len(part)))
        annotations = tmp_path / part / "annotations"
        annotations.mkdir()
        (annotations / "slide.ome.png.geojson").write_text(json.dumps([named(part)]), "utf-8")
    found = qupath.read(tmp_path, DataOptions())
    assert [image.split for image in found.images] == ["train", "test"]
    for image in found.images:
        assert isinstance(image.annotation, Shapes)
        assert image.annotation.shapes[0].class_name == image.split


def test_an_image_without_a_file_is_not_annotated_and_a_file_without_an_image_is_reported(tmp_path: Path) -> None:
    drawn.save(tmp_path / "b.png", drawn.image(1))
    (tmp_path / "c.geojson").write_text(json.dumps([named("cell")]), "utf-8")
    found = write(tmp_path, [named("cell")])
    assert [image.annotation is None for image in found.images] == [False, True]
    assert any("c.geojson" in text for text in found.messages)


def test_a_task_overrides_what_is_detected(tmp_path: Path) -> None:
    write(tmp_path, [named("cell")])
    assert qupath.read(tmp_path, DataOptions(task="instance")).instances


@pytest.mark.parametrize(
    "geometry",
    [
        "7",
        '{"type": "Polygon", "coordinates": [3]}',
        '{"type": "Polygon", "coordinates": [[[1, "x"], [2, 3]]]}',
        '{"type": "Polygon", "coordinates": [[[1, NaN], [2, 3], [4, 5]]]}',
        '{"type": "Polygon", "coordinates": [[[1e30, 1], [2, 3], [4, 5]]]}',
        '{"type": "MultiPolygon", "coordinates": [[3]]}',
        '{"type": "Polygon"',
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, geometry: str) -> None:
    drawn.save(tmp_path / "a.png", drawn.image(0))
    text = f'[{{"type": "Feature", "properties": {{"objectType": "cell"}}, "geometry": {geometry}}}]'
    (tmp_path / "a.geojson").write_text(text, "utf-8")
    with pytest.raises(BadDataset, match=r"a\.geojson"):
        qupath.read(tmp_path, DataOptions())


def test_a_map_is_not_taken_for_qupath(tmp_path: Path) -> None:
    content = {"type": "FeatureCollection", "features": [feature(name="Berlin")]}
    (tmp_path / "a.geojson").write_text(json.dumps(content), "utf-8")
    (tmp_path / "b.json").write_text('{"images": []}', "utf-8")
    assert not qupath.recognise(tmp_path)
    (tmp_path / "c.geojson").write_text('{"type": "FeatureCollection", "features": []}', "utf-8")
    assert qupath.recognise(tmp_path), "an image without objects"


def test_tiles_are_paired_and_grouped_by_slide(tmp_path: Path) -> None:
    for slide in ("s1", "s2"):
        for x in (0, 32):
            name = f"{slide} [x={x},y=0,w=40,h=32]"
            drawn.save(tmp_path / f"{name}.jpg", drawn.image(x))
            drawn.save(tmp_path / f"{name}-labelled.png", drawn.mask(x, 1))
    assert qupath_tiles.recognise(tmp_path)
    found = qupath_tiles.read(tmp_path, DataOptions())
    assert [image.group for image in found.images] == ["s1", "s1", "s2", "s2"]
    for image in found.images:
        assert isinstance(image.annotation, MaskFile)
        assert image.annotation.path.name == f"{image.image.stem}-labelled.png"
