"""What the worker that reads images answers, on images, results and volumes drawn here."""

import io
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from bright import drawn_image, drawn_volume
from drawn_volumes import OBLIQUE, draw, folders, save_nifti, save_stack, save_zarr
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadImage, BadOption
from pixelwise.io.read import read_mask
from pixelwise.io.write import write_image, write_labels
from pixelwise.server.workers import reader as module
from pixelwise.server.workers.protocol import Reply
from pixelwise.server.workers.reader import Reader, main

SQUARE = {
    "kind": "objects",
    "action": "accept",
    "objects": [{"class_index": 1, "rings": [[[20, 20], [28, 20], [28, 28], [20, 28]]]}],
}


def picture(reply: Reply) -> np.ndarray:
    return np.asarray(Pillow.open(io.BytesIO(reply.payload)))


def numbers(reply: Reply) -> np.ndarray:
    """The numbers in the red and green of a tile."""
    tile = picture(reply).astype(np.int64)
    return tile[..., 0] * 256 + tile[..., 1]


def written(path: Path, value: dict[str, Any]) -> str:
    path.write_text(json.dumps(value), "utf-8")
    return str(path)


def saved(path: Path, pixels: np.ndarray) -> Path:
    write_image(path, pixels)
    return path


def labels(path: Path) -> np.ndarray:
    """Write and return a result with the objects 1 and 300."""
    values = np.zeros((40, 60), np.int32)
    values[4:12, 5:15], values[20:30, 30:50] = 1, 300
    write_labels(path, values)
    return values


@pytest.fixture
def reader() -> Generator[Reader, None, None]:
    """A worker whose files are closed: it leaves that to the end of the process, or of the thread that uses them."""
    made = Reader()
    yield made
    close(made)


def close(reader: Reader) -> None:
    for pyramid in reader._pyramids._items.values():
        pyramid.source.close()
    for opened in reader._labels._items.values():
        opened.close()
    for volume in reader._volumes._labels._items.values():
        volume.close()
    if reader._volumes._opened is not None:
        reader._volumes._opened[1].reader.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return saved(tmp_path / "image.png", drawn_image())


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    write_demo(folder, train=2, val=1, test=0, size=64)
    return folder


def test_the_header_of_an_image_says_how_large_it_is(reader: Reader, image: Path) -> None:
    found = reader.probe(str(image)).value
    assert found == {"channels": 1, "height": 96, "width": 96, "depth": None, "bytes": 96 * 96}


def test_a_zarr_of_two_dimensions_is_an_image(reader: Reader, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "flat.ome.zarr"), mode="w", zarr_format=3)
    group.create_array("full", shape=(2, 30, 50), dtype=np.uint16, chunks=(1, 16, 16))[...] = 7
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space"} for name in "yx")]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    multiscale = {"axes": axes, "datasets": [{"path": "full", "coordinateTransformations": scale}]}
    group.attrs.update({"ome": {"version": "0.5", "multiscales": [multiscale]}})
    found = reader.probe(str(tmp_path / "flat.ome.zarr")).value
    assert found == {"channels": 2, "height": 30, "width": 50, "depth": None, "bytes": 2 * 30 * 50 * 2}


def test_an_image_of_16_bits_is_shown_between_its_percentiles(reader: Reader, tmp_path: Path) -> None:
    values = np.linspace(100, 5000, 64 * 80).reshape(1, 64, 80).astype(np.uint16)
    path = saved(tmp_path / "deep.tif", values)
    found = reader.describe(str(path)).value
    ((low, high),) = found["range"]
    assert (found["height"], found["width"], found["channels"], found["levels"]) == (64, 80, 1, 1)
    assert found["dtype"] == "uint16"
    assert (low, high) == pytest.approx(np.percentile(values, (0.5, 99.5)))
    shown = picture(reader.tile(str(path), 0, 0, 0))
    assert shown.shape[:2] == (64, 80)
    assert shown[0, 0] <= 2
    assert shown[-1, -1] >= 253
    darker = picture(reader.tile(str(path), 0, 0, 0, low=2500.0))
    assert darker[:30].max() <= 2, "a new lower limit, the upper one as it is"
    assert darker[-1, -1] >= 253
    assert picture(reader.tile(str(path), 0, 0, 0, high=200.0))[10:].min() >= 253
    assert picture(reader.tile(str(path), 0, 0, 0, gamma=4.0))[32, 40] > shown[32, 40] + 40
    with pytest.raises(BadImage, match="a tile of the image"):
        reader.tile(str(path), 3, 0, 0)


def test_which_channels_are_shown(reader: Reader, tmp_path: Path) -> None:
    levels = np.array([10, 60, 120, 250], np.uint8)
    path = saved(tmp_path / "four.tif", np.broadcast_to(levels[:, None, None], (4, 32, 32)).copy())

    def colour(channels: list[int] | None) -> list[int]:
        pixel = picture(reader.tile(str(path), 0, 0, 0, channels=channels))[16, 16]
        return np.atleast_1d(pixel).tolist()

    assert colour(None) == pytest.approx([10, 60, 120], abs=3), "the first three"
    assert colour([3]) == pytest.approx([250], abs=3)
    assert colour([3, 0]) == pytest.approx([250, 10, 10], abs=3), "two: the last one twice"
    assert colour([9, 1, 2, 3, 0]) == pytest.approx([60, 120, 250], abs=3), "those there are, at most three"
    with pytest.raises(BadOption, match="channels from 0 to 3"):
        colour([4])


def test_thumbnails_are_small(reader: Reader, tmp_path: Path, image: Path) -> None:
    large = saved(tmp_path / "large.png", drawn_image(side=500))
    assert picture(reader.thumbnail(str(large))).shape == (250, 250)
    assert picture(reader.thumbnail(str(image))).shape == (96, 96)


def test_tiles_of_a_result_hold_its_numbers_and_how_sure_they_are(reader: Reader, tmp_path: Path) -> None:
    values = labels(tmp_path / "mask.tif")
    unsure = np.zeros((40, 60), np.uint8)
    unsure[5, 6] = 55
    write_image(tmp_path / "uncertainty.png", unsure[None])
    tile = reader.label_tile(str(tmp_path / "mask.tif"), 0, 0, 0, uncertainty=str(tmp_path / "uncertainty.png"))
    assert np.array_equal(numbers(tile), values)
    assert (picture(tile)[5, 6, 2], picture(tile)[0, 0, 2]) == (200, 255)
    for row, column, number in ((4, 5, 1), (29, 49, 300), (0, 0, 0), (40, 0, 0), (-1, 3, 0)):
        assert reader.label_at(str(tmp_path / "mask.tif"), row, column).value == {"id": number}
    write_image(tmp_path / "colours.png", np.arange(192, dtype=np.uint8).reshape(3, 8, 8))
    with pytest.raises(BadImage, match="a label image"):
        reader.label_at(str(tmp_path / "colours.png"), 0, 0)


def test_outlines_as_geojson(reader: Reader, tmp_path: Path) -> None:
    labels(tmp_path / "mask.tif")
    file = tmp_path / "a.geojson"
    reader.geojson(str(tmp_path / "mask.tif"), ["background", "cell"], "instance", str(file), str(tmp_path / "share"))
    found = json.loads(file.read_text("utf-8"))
    assert float((tmp_path / "share").read_text("utf-8")) == 1
    assert [feature["properties"]["id"] for feature in found["features"]] == [1, 300], "numbers without object are left"
    assert {feature["properties"]["classification"]["name"] for feature in found["features"]} == {"cell"}
    (ring,) = found["features"][0]["geometry"]["coordinates"]
    assert sorted(set(map(tuple, ring))) == [(5, 4), (5, 12), (15, 4), (15, 12)]


def test_a_correction_acts_on_the_result_and_the_marks_over_it(reader: Reader, tmp_path: Path) -> None:
    values = labels(tmp_path / "mask.tif")
    objects = written(tmp_path / "objects.json", {})
    Path(objects).write_text(json.dumps([{"box": [4, 5, 12, 15]}, {"box": [20, 30, 30, 50]}]), "utf-8")
    request: dict[str, Any] = {"mask": str(tmp_path / "mask.tif"), "objects": objects, "task": "instance"}
    request |= {"shapes": [], "foreground": 1, "action": "delete", "points": [[7.5, 6.5]], "key": "k1"}
    mark = json.loads(reader.correct(written(tmp_path / "request.json", request)).payload)
    assert (mark["action"], mark["key"]) == ("delete", "k1")
    assert [outline["class_index"] for outline in mark["objects"]] == [0]
    request["shapes"] = [mark, SQUARE]
    result = tmp_path / "corrected.tif"
    answer = reader.corrected(written(tmp_path / "second.json", request), str(result))
    assert answer.value == {"file": str(result)}
    after = read_mask(result).values
    assert not after[4:12, 5:15].any(), "deleted"
    assert len(np.unique(after[20:28, 20:28])) == 1, "the drawn one is one object"
    assert after[20, 20] > 0
    assert after[25, 45] not in (0, after[20, 20])
    assert (after > 0).sum() == 64 + (values == 300).sum()


def test_the_most_useful_place_is_an_unsure_one_without_a_mark(reader: Reader, tmp_path: Path) -> None:
    unsure = np.zeros((1, 100, 200), np.uint8)
    unsure[0, 40:60, 150:170], unsure[0, 40:60, 20:40] = 200, 100
    write_image(tmp_path / "unsure.png", unsure)
    stroke = {"kind": "stroke", "class_index": 1, "radius": 20, "points": [[130, 50], [190, 50]]}
    request: dict[str, Any] = {"uncertainty": str(tmp_path / "unsure.png"), "shapes": []}
    first = reader.useful_place(written(tmp_path / "request.json", request)).value["box"]
    request["shapes"] = [stroke]
    second = reader.useful_place(written(tmp_path / "request.json", request)).value["box"]
    assert first[1] <= 150 < 170 <= first[3]
    assert second[3] < 150


def test_a_data_set_is_read_once_and_results_are_compared_with_it(reader: Reader, cells: Path, tmp_path: Path) -> None:
    found = json.loads(reader.understand(str(cells)).payload)
    assert (found["task"], found["volumes"], found["channels"]) == ("instance", False, 1)
    assert sorted(case["split"] for case in found["cases"]) == ["train", "train", "val"]
    assert all(case["labelled"] for case in found["cases"])
    truth = numbers(reader.truth_tile(str(cells), 0, 0, 0, 0))
    assert truth.shape == (64, 64)
    assert truth.any()
    perfect, empty, other = tmp_path / "perfect.tif", tmp_path / "empty.tif", tmp_path / "other.tif"
    write_labels(perfect, truth.astype(np.int32))
    write_labels(empty, np.zeros((64, 64), np.int32))
    write_labels(other, np.zeros((32, 64), np.int32))

    def score(mask: Path, task: str = "instance") -> object:
        return reader.score(str(cells), 0, str(mask), task, found["classes"]).value["score"]

    assert (score(perfect), score(empty)) == (1.0, 0.0)
    assert (score(other), score(perfect, "binary")) == (None, None), "another size, another task"
    with pytest.raises(BadOption):
        reader.truth_tile(str(cells), 3, 0, 0, 0)


def test_photos_of_classes_have_no_masks_to_show(reader: Reader, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for kind, level in (("dark", 20), ("light", 200)):
            for number in range(3):
                folder = tmp_path / split / kind
                folder.mkdir(parents=True, exist_ok=True)
                write_image(folder / f"{number}.png", np.full((3, 24, 24), level + number, np.uint8))
    assert json.loads(reader.understand(str(tmp_path)).payload)["task"] == "classification"
    with pytest.raises(BadOption, match="an image with a mask"):
        reader.truth_tile(str(tmp_path), 0, 0, 0, 0)


def test_a_folder_without_masks_is_a_list_of_images(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.png", "deep/b.png"):
        write_image(tmp_path / name, drawn_image(side=32))
    found = json.loads(reader.understand(str(tmp_path)).payload)
    assert sorted(case["name"] for case in found["cases"]) == ["a.png", "deep/b.png"]
    assert not any(case["labelled"] for case in found["cases"])
    assert (found["task"], found["volumes"]) == ("", False)
    one = json.loads(reader.understand(str(tmp_path / "a.png")).payload)
    assert [case["name"] for case in one["cases"]] == ["a.png"]


def test_the_example_has_images_and_masks_of_each_split(reader: Reader, tmp_path: Path) -> None:
    reader.write_example(str(tmp_path))
    counts = {split: len(list((tmp_path / split / "masks").iterdir())) for split in ("train", "val", "test")}
    assert counts == {"train": 8, "val": 2, "test": 2}
    mask = read_mask(next((tmp_path / "val" / "masks").iterdir())).values
    assert mask.max() > 3, "objects with numbers"


def test_marks_become_a_data_set(reader: Reader, image: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other.png", drawn_image(1))
    strokes = [
        {"kind": "stroke", "class_index": index, "radius": 3, "points": [[10 + 30 * index, 40], [20 + 30 * index, 44]]}
        for index in (0, 1)
    ]
    images = {"one": image, "two": other}
    rows = [
        {"id": name, "path": str(path), "shapes": strokes, "held_out": [1] if name == "two" else []}
        for name, path in images.items()
    ]
    request = tmp_path / "request.json"
    request.write_text(json.dumps(rows), "utf-8")
    made = reader.write_crops(str(request), str(tmp_path / "crops")).value
    assert (made["objects"], made["channels"]) == (False, 1)
    masks = list((tmp_path / "crops" / "masks").rglob("*.png"))
    assert masks
    values = set(np.unique(np.concatenate([read_mask(path).values.ravel() for path in masks])).tolist())
    assert {0, 1} < values, "both classes, and unknown pixels"


def test_volumes_are_described_and_cut(reader: Reader, tmp_path: Path) -> None:
    volume, truth = draw(shape=(12, 20, 16))
    for suffix in ("nii.gz", "ome.zarr"):
        path, mask = tmp_path / f"v.{suffix}", tmp_path / f"m.{suffix}"
        for target, values in ((path, volume), (mask, truth)):
            if suffix == "nii.gz":
                save_nifti(target, values, np.diag([1.0, 1.0, 2.0, 1.0]))
            else:
                save_zarr(target, values, (2.0, 1.0, 1.0))
        assert reader.probe(str(path)).value["depth"] == 12
        found = reader.describe(str(path)).value
        assert found["volume"]["shape"] == [12, 20, 16]
        assert found["volume"]["planes"]["coronal"]["height"] == 24, "slices are twice as far apart as pixels"
        assert picture(reader.tile(str(path), 0, 0, 0, plane="axial", at=5)).shape == (20, 16)
        thumbnail = picture(reader.thumbnail(str(path))).astype(int)
        assert thumbnail.shape == (20, 16)
        middle = volume[6][::-1] if suffix == "nii.gz" else volume[6]
        assert np.corrcoef(thumbnail.ravel(), middle.ravel())[0, 1] > 0.95, "the slice in the middle"
        drawn = numbers(reader.label_tile(str(mask), 0, 0, 0, image=str(path), plane="axial", at=6))
        assert np.array_equal(drawn, truth[6][::-1] if suffix == "nii.gz" else truth[6]), "a body is shown upright"
        row, column = np.argwhere(drawn == 1)[0].tolist()
        assert reader.label_at(str(mask), row, column, image=str(path), plane="axial", at=6).value == {"id": 1}
        with pytest.raises(BadImage, match="a plane from 0 to 11"):
            reader.tile(str(path), 0, 0, 0, plane="axial", at=12)


def test_a_plane_of_an_image_is_refused(reader: Reader, image: Path) -> None:
    with pytest.raises(BadImage, match="a volume"):
        reader.tile(str(image), 0, 0, 0, plane="axial")


def test_a_stack_is_a_volume_if_the_server_was_started_so(reader: Reader, tmp_path: Path) -> None:
    save_stack(tmp_path / "stack.tif", drawn_volume().astype(np.uint16))
    stacks = Reader(stacks=True)
    assert stacks.describe(str(tmp_path / "stack.tif")).value["volume"]["shape"] == [12, 40, 48]
    close(stacks)
    with pytest.raises(BadImage):
        reader.describe(str(tmp_path / "stack.tif"))


def test_results_of_volumes_are_compared_with_their_masks(reader: Reader, tmp_path: Path) -> None:
    data = str(folders(tmp_path / "data", (2, 1, 0)))
    found = json.loads(reader.understand(data).payload)
    assert found["volumes"]
    case = next(number for number, case in enumerate(found["cases"]) if case["name"].endswith("case_000"))
    truth = draw(0)[1]
    save_nifti(tmp_path / "perfect.nii.gz", truth, OBLIQUE)
    tile = numbers(reader.truth_tile(data, case, 0, 0, 0, plane="axial", at=0))
    assert tile.any() or not truth[0].any()
    assert reader.score(data, case, str(tmp_path / "perfect.nii.gz"), found["task"], found["classes"]).value == {
        "score": 1.0
    }
    save_nifti(tmp_path / "wrong.nii.gz", np.where(truth == 1, 2, 0).astype(np.uint8), OBLIQUE)
    assert reader.score(data, case, str(tmp_path / "wrong.nii.gz"), found["task"], found["classes"]).value == {
        "score": 0.0
    }


def test_volumes_without_masks_can_be_predicted(reader: Reader, tmp_path: Path) -> None:
    save_nifti(tmp_path / "a.nii.gz", draw()[0], OBLIQUE)
    found = json.loads(reader.understand(str(tmp_path)).payload)
    assert found["volumes"]
    assert "volumes" in found["messages"][0]


def test_the_worker_offers_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: dict[str, Any] = {}

    def record(calls: dict[str, Any], **options: Any) -> None:
        offered.update(calls, **options)

    monkeypatch.setattr(module, "run_worker", record)
    main("volumes")
    assert offered.pop("threads") == module.THREADS
    assert set(offered) == {name for name in vars(Reader) if not name.startswith("_")}
    assert offered["probe"].__self__._stacks
