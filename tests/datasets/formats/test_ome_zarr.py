"""OME-Zarr with images and labels in one store, written by convert and read again; images and masks in two folders."""

import json
from pathlib import Path

import numpy as np
import pytest

import drawn
from pixelwise.datasets.dataset import Dataset, load_dataset
from pixelwise.errors import BadDataset, BadImage
from pixelwise.io.read import probe, read_image, read_mask, write_image, write_labels
from pixelwise.io.zarr import label_names
from pixelwise.io.zarr_write import PixelMetadata, write_labelled_image
from pixelwise.progress import Progress
from pixelwise.workflow.convert import convert

zarr = pytest.importorskip("zarr")


def equal(first: Dataset, second: Dataset) -> bool:
    pairs = [
        (expected, got)
        for one, other in zip(first.cases, second.cases, strict=True)
        for expected, got in zip(first.read(one), second.read(other), strict=True)
    ]
    return all(np.array_equal(a, b) and np.asarray(a).dtype == np.asarray(b).dtype for a, b in pairs)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_pixels_of_any_type_and_their_size_are_kept(tmp_path: Path, kind: type[np.generic]) -> None:
    pixels = drawn.image(1, (5, 600, 40)).astype(kind)
    labels = np.tile(drawn.objects(2), (19, 1))[:600].astype(np.uint16)
    write_labelled_image(tmp_path / "a.ome.zarr", pixels, labels, "cells", PixelMetadata(spacing=(0.5, 0.25)))
    image, mask = read_image(tmp_path / "a.ome.zarr"), read_mask(tmp_path / "a.ome.zarr/labels/cells")
    assert np.array_equal(image.pixels, pixels)
    assert (image.pixels.dtype, image.spacing) == (kind, (0.5, 0.25))
    assert np.array_equal(mask.values, labels)
    assert probe(tmp_path / "a.ome.zarr").channels == 5


def test_classes_colours_and_ignored_pixels_come_back(tmp_path: Path) -> None:
    from yaozarrs import validate_zarr_store

    folder = drawn.pairs(tmp_path / "in", draw=drawn.several(1, 2, 255))
    (folder / "classes.txt").write_text("0 sky 10,20,30\n1 road 1,2,3\n2 car 9,8,7\n255 void 0,0,0\n", "utf-8")
    before = load_dataset(folder)
    assert convert(folder, to="ome-zarr", out=tmp_path / "out", progress=Progress()).losses == ()
    again = load_dataset(tmp_path / "out")
    assert (again.classes, again.labelling.colours) == (before.classes, before.labelling.colours)
    assert equal(before, again)
    assert any((again.read(case).labels == 255).any() for case in again.cases)
    store = again.cases[0].image
    validate_zarr_store(str(store))
    validate_zarr_store(str(store / "labels/classes"))
    label = json.loads((store / "labels/classes/zarr.json").read_text("utf-8"))["attributes"]["ome"]["image-label"]
    assert label["properties"][2] == {"label-value": 2, "name": "car"}
    assert label["colors"][2] == {"label-value": 2, "rgba": [9, 8, 7, 255]}
    assert label["source"] == {"image": "../../"}
    assert np.array_equal(zarr.open_group(store, mode="r")["0"][...], again.read(again.cases[0]).image[0])


def test_the_place_on_a_map_is_named_as_lost(tmp_path: Path) -> None:
    for index in range(3):
        write_labels(tmp_path / f"in/images/{index}.tif", drawn.image(index).astype(np.uint16))
        (tmp_path / f"in/images/{index}.tfw").write_text("2.0\n0.0\n0.0\n-2.0\n500000.0\n200000.0\n", "utf-8")
        drawn.save(tmp_path / f"in/masks/{index}.png", drawn.mask(index))
    losses = convert(tmp_path / "in", to="ome-zarr", out=tmp_path / "out", progress=Progress()).losses
    assert len(losses) == 1
    assert losses[0].startswith("3 images")


def test_the_label_image_is_chosen_by_name(tmp_path: Path) -> None:
    for index in range(4):
        store = tmp_path / f"set/{index}.zarr"
        write_labelled_image(store, drawn.image(index)[None], drawn.objects(index), "cells", PixelMetadata())
        group = zarr.open_group(store / "labels")
        other = tmp_path / f"{index}.zarr"
        write_labelled_image(other, drawn.image(index)[None], drawn.objects(1), "nuclei", PixelMetadata())
        (other / "labels/nuclei").rename(store / "labels/nuclei")
        group.attrs["ome"] = {"version": "0.5", "labels": ["cells", "nuclei"]}
    dataset = load_dataset(tmp_path / "set", task="instance")
    assert any("cells" in text and "--masks nuclei" in text for text in dataset.messages)
    assert [np.asarray(dataset.read(case).labels).max() for case in dataset.cases if case.name == "3"] == [6]
    dataset = load_dataset(tmp_path / "set", task="instance", format="ome-zarr", masks="nuclei")
    assert {np.asarray(dataset.read(case).labels).max() for case in dataset.cases} == {4}
    with pytest.raises(BadDataset, match="cells, nuclei"):
        load_dataset(tmp_path / "set", format="ome-zarr", masks="axons")


def test_planes_in_folders_of_images_and_masks(tmp_path: Path) -> None:
    """The label images that they contain are not those of the set."""
    for index in range(4):
        for folder, values in (("images", drawn.image(index)), ("masks", drawn.mask(index))):
            store, wrong = tmp_path / folder / f"{index}.ome.zarr", drawn.objects(1)
            write_labelled_image(store, values[None], wrong, "other", PixelMetadata())
    dataset = load_dataset(tmp_path)
    assert (dataset.task, len(dataset.cases)) == ("binary", 4)
    case = dataset.cases[0]
    assert np.array_equal(np.asarray(dataset.read(case).labels) > 0, drawn.mask(int(case.name.split(".")[0])) > 0)


def test_names_of_labels_that_leave_the_store_are_refused(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_labelled_image(store, drawn.image(1)[None], drawn.objects(1), "cells", PixelMetadata())
    assert label_names(store) == ("cells",)
    for names in (["../../b"], ["/etc"], [1], "cells", [""]):
        zarr.open_group(store / "labels").attrs["ome"] = {"version": "0.5", "labels": names}
        with pytest.raises(BadImage):
            label_names(store)


def test_sizes_of_pixels_reach_other_formats(tmp_path: Path) -> None:
    for index in range(3):
        write_labels(tmp_path / f"in/images/{index}.tif", drawn.image(index).astype(np.uint16), spacing=(0.5, 0.25))
        write_labels(tmp_path / f"in/masks/{index}.tif", drawn.objects(index))
    convert(tmp_path / "in", to="ome-zarr", out=tmp_path / "a", task="instance", progress=Progress())
    convert(tmp_path / "a", to="stardist", out=tmp_path / "b", progress=Progress())
    assert read_image(next((tmp_path / "b/masks").iterdir())).spacing == (0.5, 0.25)


def test_a_store_without_its_pixels_is_a_problem_of_its_file(tmp_path: Path) -> None:
    for index in range(3):
        write_image(tmp_path / f"in/images/{index}.png", drawn.image(index)[None])
        drawn.save(tmp_path / f"in/masks/{index}.png", drawn.mask(index))
    convert(tmp_path / "in", to="ome-zarr", out=tmp_path / "out", progress=Progress())
    (tmp_path / "out/1.ome.zarr/0/zarr.json").unlink()
    with pytest.raises(BadDataset, match=r"1\.ome\.zarr"):
        load_dataset(tmp_path / "out")
