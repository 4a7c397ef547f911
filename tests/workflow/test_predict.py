"""Files in, masks out; nothing beside the user's images, nothing half written, nothing heavy loaded."""

import csv
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from pixelwise.errors import BadDataset, BadImage, OutputFailed
from pixelwise.io.read import read_image, read_mask, write_image
from pixelwise.progress import Progress
from pixelwise.runtimes.torch import TorchRuntime
from pixelwise.workflow.predict import Predictions, load, predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.writing import ImageOutputs, OutputSummary
from tiny import make_recipe, write_model


@pytest.fixture
def images(tmp_path: Path, rng: np.random.Generator) -> Path:
    folder = tmp_path / "images"
    for name, shape in (("a.png", (40, 60)), ("b.tif", (33, 21)), ("c.png", (1, 1))):
        write_image(folder / name, rng.integers(0, 256, (1, *shape)).astype(np.uint8))
    return folder


def run(tmp_path: Path, images: Path, task: str = "binary", **options: object) -> Predictions:
    write_model(tmp_path / "model.safetensors", make_recipe(task))
    return predict(
        tmp_path / "model.safetensors", [images], tmp_path / "out", PredictOptions(**options), progress=Progress()
    )


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_masks_are_indexed_pictures_of_the_original_size(tmp_path: Path, images: Path) -> None:
    result = run(tmp_path, images)
    assert result.failed == ()
    assert listing(tmp_path / "out") == ["a.png", "b.png", "c.png", "classes.json"]
    model = load(tmp_path / "model.safetensors")
    for name, source in (("a.png", "a.png"), ("b.png", "b.tif"), ("c.png", "c.png")):
        mask = read_mask(tmp_path / "out" / name)
        pixels = read_image(images / source).pixels
        assert mask.palette is not None
        assert mask.palette[1] == (255, 255, 255)
        assert np.array_equal(mask.values, model.predict(pixels[0]))
    classes = json.loads((tmp_path / "out" / "classes.json").read_text(encoding="utf-8"))
    assert [entry["name"] for entry in classes["classes"]] == ["background", "object"]
    assert listing(images) == ["a.png", "b.tif", "c.png"]


@pytest.mark.parametrize("options", [{}, {"format": "tiff"}])
def test_a_name_that_is_too_long_for_the_results_is_left_out(
    tmp_path: Path, images: Path, options: dict[str, Any]
) -> None:
    long = images / ("é" * 120 + ".png")
    write_image(long, np.zeros((1, 8, 8), np.uint8))
    result = run(tmp_path, images, **options)
    assert [path for path, _ in result.failed] == [long]
    assert {"a", "b", "c"} <= {name.split(".")[0] for name in listing(tmp_path / "out")}


def test_objects_come_with_a_table(tmp_path: Path, images: Path) -> None:
    run(tmp_path, images, "instance")
    with (tmp_path / "out" / "objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels = {name: read_mask(tmp_path / "out" / f"{name}.png").values for name in "abc"}
    counted = {name: int(values.max()) for name, values in labels.items()}
    assert len(rows) == sum(counted.values())
    for row in rows:
        values = labels[row["image"][0]]
        assert int(row["area"]) == int((values == int(row["id"])).sum())


def test_probabilities_and_overlays_on_request(tmp_path: Path, images: Path) -> None:
    run(tmp_path, images, probabilities=True, overlays=True)
    assert {"a.overlay.png", "a.probabilities.tif"} <= set(listing(tmp_path / "out"))
    probabilities = read_image(tmp_path / "out" / "a.probabilities.tif").pixels
    assert probabilities.shape == (2, 40, 60)
    assert np.abs(probabilities.astype(int).sum(0) - 255).max() <= 2
    assert read_image(tmp_path / "out" / "a.overlay.png").pixels.shape == (3, 40, 60)


def test_a_bad_file_is_named_and_the_others_go_on(tmp_path: Path, images: Path) -> None:
    (images / "broken.png").write_text("hello", encoding="utf-8")
    result = run(tmp_path, images)
    ((path, text),) = result.failed
    assert path.name == "broken.png"
    assert "broken.png: expected" in text
    assert {"a.png", "b.png", "c.png"} <= set(listing(tmp_path / "out"))


def test_nothing_but_bad_files_is_told_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_text("hello", encoding="utf-8")
    result = run(tmp_path, tmp_path / "images")
    assert [path.name for path, _ in result.failed] == ["a.png", "b.png"]
    assert listing(tmp_path / "out") == ["classes.json"]


def test_results_keep_the_order_of_the_images_whichever_thread_is_done_first(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{index:02d}" for index in range(30)]
    for name in names:
        write_image(tmp_path / "images" / f"{name}.png", rng.integers(0, 256, (1, 24, 24)).astype(np.uint8))
    save, workers = OutputSummary.save, set[str]()

    def slowly(self: OutputSummary, name: str, *given: Any) -> ImageOutputs:
        workers.add(threading.current_thread().name)
        time.sleep(0.03 if int(name) % 3 == 0 else 0.0)
        return save(self, name, *given)

    monkeypatch.setattr(OutputSummary, "save", slowly)
    result = run(tmp_path, tmp_path / "images", "instance")
    assert [path.name for path in result.outputs] == [*(f"{n}.png" for n in names), "objects.csv", "classes.json"]
    with (tmp_path / "out" / "objects.csv").open() as file:
        rows = [row["image"] for row in csv.DictReader(file)]
    assert rows == sorted(rows)
    assert len(workers) > 1
    assert threading.current_thread().name not in workers


def test_the_first_image_is_computed_alone_and_others_together(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(20):
        write_image(tmp_path / "images" / f"{index}.png", rng.integers(0, 256, (1, 24, 24)).astype(np.uint8))
    batches: list[int] = []
    compute = TorchRuntime.__call__

    def noted(self: TorchRuntime, tiles: np.ndarray) -> np.ndarray:
        batches.append(len(tiles))
        return compute(self, tiles)

    monkeypatch.setattr(TorchRuntime, "__call__", noted)
    run(tmp_path, tmp_path / "images", runtime="torch")
    assert batches == [1, 8, 8, 3]


def test_nothing_is_written_beside_the_images(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    with pytest.raises(OutputFailed, match=r"got the folder of the images\. Choose another --out"):
        predict(tmp_path / "model.safetensors", [images / "a.png"], images, progress=Progress())
    assert listing(images) == ["a.png", "b.tif", "c.png"]


def test_results_that_are_there_are_kept_unless_told(tmp_path: Path, images: Path) -> None:
    run(tmp_path, images)
    with pytest.raises(OutputFailed, match=r"got 3, such as a\.png\. Replace them with --overwrite"):
        run(tmp_path, images)
    assert len(run(tmp_path, images, overwrite=True).outputs) == 4, "three masks and classes.json"


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path: Path, images: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputFailed, match="expected a writable path"):
        run(tmp_path, images)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_equal_stems_get_different_names(tmp_path: Path, images: Path, rng: np.random.Generator) -> None:
    write_image(images / "a.tif", rng.integers(0, 256, (1, 8, 8)).astype(np.uint8))
    run(tmp_path, images)
    assert {"images_a_png.png", "images_a_tif.png", "b.png"} <= set(listing(tmp_path / "out"))


def test_the_same_image_twice_is_refused(tmp_path: Path, images: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    with pytest.raises(BadImage, match="expected a unique name for every image"):
        predict(tmp_path / "model.safetensors", [images, images], tmp_path / "out", progress=Progress())


def test_prediction_loads_neither_the_compiler_nor_matplotlib() -> None:
    code = (
        "import sys, pixelwise.workflow.predict; heavy = {'torch._dynamo', 'matplotlib', 'typer'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    messages = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert messages.stdout.strip() == "[]"


def test_a_path_without_anything_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    with pytest.raises(BadDataset, match="expected an image or a folder of images; got a path that does not exist"):
        predict(tmp_path / "model.safetensors", [tmp_path / "a.png"], tmp_path / "out", progress=Progress())
    assert not (tmp_path / "out").exists()


def test_the_summary_counts_every_file(tmp_path: Path, images: Path) -> None:
    result = run(tmp_path, images)
    assert sorted(path.name for path in result.outputs) == listing(tmp_path / "out")
    assert result.to_text(tmp_path / "out") == f"4 files written to {tmp_path / 'out'}."
    one = Predictions((Path("a.png"),), ((Path("b.png"), "broken"),))
    assert one.to_text(Path("out")) == "1 file written to out, 1 image failed."


def test_gray_images_for_a_colour_model_are_told_once(tmp_path: Path, images: Path) -> None:
    messages: list[str] = []

    class Listener(Progress):
        def message(self, *sentences: str) -> None:
            messages.extend(sentences)

    write_model(tmp_path / "model.safetensors", make_recipe(channels=3))
    predict(tmp_path / "model.safetensors", [images], tmp_path / "out", progress=Listener())
    repeated = [text for text in messages if "gray" in text]
    assert repeated == ["3 images: gray, repeated to the 3 channels that the model takes"]
    messages.clear()
    predict(tmp_path / "model.safetensors", [images / "a.png"], tmp_path / "one", progress=Listener())
    assert "a.png: gray, repeated to the 3 channels that the model takes" in messages
    # the control: a model of one channel has nothing to repeat
    messages.clear()
    write_model(tmp_path / "model.safetensors", make_recipe())
    predict(tmp_path / "model.safetensors", [images], tmp_path / "gray", progress=Listener())
    assert not any("gray, repeated" in text for text in messages)


@pytest.mark.parametrize("form", [None, "tiff"], ids=["in memory", "streamed"])
def test_gray_saved_as_rgb_is_predicted_as_gray(tmp_path: Path, form: str | None) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (40, 60)).astype(np.uint8)
    for name, channels in (("rgb", 3), ("gray", 1)):
        write_image(tmp_path / name / "a.png", gray[None].repeat(channels, axis=0))
    write_model(tmp_path / "model.safetensors", make_recipe())
    masks = []
    for name in ("rgb", "gray"):
        options = PredictOptions(format=form) if form else None
        result = predict(
            tmp_path / "model.safetensors", [tmp_path / name], tmp_path / f"out {name}", options, progress=Progress()
        )
        masks.append(read_mask(next(path for path in result.outputs if path.stem == "a")).values)
    assert np.array_equal(*masks)


@pytest.mark.parametrize(("value", "flag"), [(np.nan, "nan"), (np.inf, "nan"), (np.nan, "-9999")])
def test_pixels_without_data_can_be_declared(tmp_path: Path, value: float, flag: str) -> None:
    pixels = np.random.default_rng(0).normal(size=(40, 60)).astype(np.float32)
    pixels[:, :20] = value
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images/a.tif", pixels)
    ((_, text),) = run(tmp_path, tmp_path / "images").failed
    assert "--nodata nan" in text
    assert not run(tmp_path, tmp_path / "images", nodata=flag, overwrite=True).failed
    assert read_mask(tmp_path / "out/a.png").values.shape == (40, 60)


def write_video(path: Path, codec: str, frames: int = 12, channels: int = 3) -> None:
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10.0, (64, 48))
    random = np.random.default_rng(0)
    for _ in range(frames):
        frame = random.integers(0, 256, (48, 64, channels)).astype(np.uint8)
        writer.write(frame.repeat(3 // channels, axis=2))
    writer.release()


class TestVideos:
    """Videos given to `predict`."""

    @pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a b.AVI", "MJPG")])
    def test_a_mask_per_frame(self, tmp_path: Path, name: str, codec: str) -> None:
        write_video(tmp_path / name, codec)
        write_model(tmp_path / "model.safetensors", make_recipe(channels=3))
        result = predict(tmp_path / "model.safetensors", [tmp_path / name], tmp_path / "out", progress=Progress())
        assert not result.failed
        masks = [file for file in listing(tmp_path / "out") if file.endswith(".png")]
        assert masks == [f"{Path(name).stem}_{index:02d}.png" for index in range(12)]
        assert read_mask(tmp_path / "out" / masks[0]).values.shape == (48, 64)

    @pytest.mark.parametrize(("codec", "channels", "failed"), [("mp4v", 1, 0), ("FFV1", 1, 0), ("mp4v", 3, 12)])
    def test_a_gray_model_predicts_gray_films(self, tmp_path: Path, codec: str, channels: int, failed: int) -> None:
        """Frames are RGB in every video; coloured ones are refused as coloured images are."""
        path = tmp_path / ("a.avi" if codec == "FFV1" else "a.mp4")
        write_video(path, codec, channels=channels)
        write_model(tmp_path / "model.safetensors", make_recipe())
        result = predict(tmp_path / "model.safetensors", [path], tmp_path / "out", progress=Progress())
        assert len(result.failed) == failed
        assert all("1 channel (gray)" in text for _, text in result.failed)

    def test_a_damaged_one_is_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(b"0123")
        with pytest.raises(BadImage, match="a video"):
            run(tmp_path, tmp_path / "a.mp4")
        assert not (tmp_path / "out").exists()

    def test_a_folder_of_them_names_one(self, tmp_path: Path) -> None:
        (tmp_path / "videos").mkdir()
        write_video(tmp_path / "videos/a.avi", "MJPG")
        with pytest.raises(BadDataset, match=r"a\.avi"):
            run(tmp_path, tmp_path / "videos")
