"""Large images through the verb: they stream, are continued after a stop, and small ones beside them are as ever."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile

from pixelwise.errors import Interrupted, OutputFailed
from pixelwise.inference.streaming import images as streaming
from pixelwise.io.read import read_mask, write_image
from pixelwise.io.tiled_writer import TileFile
from pixelwise.io.windows import open_windows
from pixelwise.model_file.quantity_record import record_of
from pixelwise.progress import Progress
from pixelwise.workflow.predict import load, predict
from pixelwise.workflow.prediction import large
from pixelwise.workflow.prediction.options import PredictOptions
from tiny import make_recipe, write_model


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def message(self, *sentences: str) -> None:
        self.sentences += sentences


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A model, a folder of a small PNG and two larger tiled TIFFs."""
    write_model(tmp_path / "model.safetensors", make_recipe("multiclass"))
    (tmp_path / "images").mkdir()
    for seed, (name, side) in enumerate({"a.tif": 150, "b.tif": 130}.items()):
        tifffile.imwrite(tmp_path / "images" / name, drawn(side, seed), tile=(64, 64), compression="zlib")
    write_image(tmp_path / "images" / "small.png", drawn(40, 9)[None])
    return tmp_path


def drawn(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)


@pytest.fixture
def lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "STREAMED", 10_000)


def run(world: Path, **options: Any) -> Listener:
    listener = Listener()
    predict(
        world / "model.safetensors",
        [world / "images"],
        world / "out",
        PredictOptions(runtime="torch", tile=64, **options),
        progress=listener,
    )
    return listener


def results(world: Path) -> list[str]:
    return sorted(path.name for path in (world / "out").iterdir())


@pytest.mark.usefixtures("lowered")
def test_large_images_stream_and_small_ones_do_not(world: Path) -> None:
    listener = run(world)
    assert results(world) == ["a.tif", "b.tif", "classes.json", "small.png"]
    model: Any = load(world / "model.safetensors")
    for name, side, seed in (("a.tif", 150, 0), ("b.tif", 130, 1)):
        mask = read_mask(world / "out" / name)
        assert mask.palette is not None
        assert mask.palette[2] == (0, 158, 115)
        assert (mask.values != model.predict(drawn(side, seed))).mean() < 1e-3
    assert sum("Memory stays below" in sentence for sentence in listener.sentences) == 2


def test_a_format_makes_all_images_stream(world: Path) -> None:
    run(world, format="zarr", probabilities=True)
    assert results(world) == ["a.ome.zarr", "b.ome.zarr", "classes.json", "small.ome.zarr"]
    model: Any = load(world / "model.safetensors")
    found = open_windows(world / "out" / "a.ome.zarr").read((0, 150), (0, 150))[0]
    assert (found != model.predict(drawn(150, 0))).mean() < 1e-3
    with pytest.raises(OutputFailed, match=r"expected a folder without existing results; got 3, such as a\.ome\.zarr"):
        run(world, format="zarr")


def test_ome_zarr_images_are_found_and_predicted(world: Path) -> None:
    run(world, format="zarr")
    (world / "out" / "a.ome.zarr").rename(world / "images" / "c.ome.zarr")
    predict(
        world / "model.safetensors",
        [world / "images"],
        world / "again",
        PredictOptions(runtime="torch"),
        progress=Progress(),
    )
    assert (world / "again" / "c.ome.tif").is_file()


@pytest.mark.usefixtures("lowered")
def test_a_stopped_command_is_continued_by_the_same_command(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(world)
    expected = {name: (world / "out" / name).read_bytes() for name in ("a.tif", "b.tif")}
    (world / "out").rename(world / "whole")
    written: list[str] = []
    write = TileFile.write

    def stopping(self: TileFile, window: Any, numbers: np.ndarray) -> None:
        if len(written) == 9 + 4:
            raise KeyboardInterrupt
        written.append(self.path.name)
        write(self, window, numbers)

    monkeypatch.setattr(TileFile, "write", stopping)
    with pytest.raises(Interrupted, match=r"b\.tif: .*Run the same command again to resume; finished tiles are kept"):
        run(world)
    assert written == ["a.tif"] * 9 + ["b.tif"] * 4
    written.append("")  # resumed from here
    listener = run(world)
    assert written[14:] == ["b.tif"] * 5
    assert "a.tif is already finished." in listener.sentences
    assert "Resumed: 4 of 9 tiles already done." in listener.sentences
    assert {name: (world / "out" / name).read_bytes() for name in expected} == expected
    assert results(world) == ["a.tif", "b.tif", "classes.json", "small.png"]


@pytest.mark.usefixtures("lowered")
def test_another_model_does_not_continue(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(world)
    (world / "out" / ".b.tif.journal").touch()
    (world / "out" / ".a.tif.done").write_text("another command", encoding="utf-8")
    written: list[str] = []
    write = TileFile.write

    def counted(self: TileFile, window: Any, numbers: np.ndarray) -> None:
        written.append(self.path.name)
        write(self, window, numbers)

    monkeypatch.setattr(TileFile, "write", counted)
    listener = run(world)
    assert any(sentence.startswith("Resuming the prediction") for sentence in listener.sentences)
    assert len(written) == 18


def test_objects_of_large_images_have_a_table_each(world: Path) -> None:
    write_model(world / "model.safetensors", make_recipe("instance"))
    run(world, format="tiff")
    assert results(world) == [
        *("a.objects.csv", "a.tif", "b.objects.csv", "b.tif", "classes.json"),
        *("objects.csv", "small.objects.csv", "small.tif"),
    ]
    labels = tifffile.imread(world / "out" / "a.tif", key=0)
    with (world / "out" / "a.objects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == labels.max()


def test_a_damaged_large_image_is_left_out(world: Path) -> None:
    data = bytearray((world / "images" / "a.tif").read_bytes())
    data[2000:6000] = bytes(4000)
    (world / "images" / "a.tif").write_bytes(data)
    listener = Listener()
    done = predict(
        world / "model.safetensors",
        [world / "images"],
        world / "out",
        PredictOptions(runtime="torch", format="tiff"),
        progress=listener,
    )
    assert [path.name for path, _ in done.failed] == ["a.tif"]
    assert (world / "out" / "b.tif").is_file()


def test_a_tolerance_is_measured_and_reported(world: Path) -> None:
    listener = run(world, tolerance=0.05)
    assert sum("Tiles have a halo of" in sentence for sentence in listener.sentences) == 1
    exact = run(world, overwrite=True)
    assert not any("a halo of" in sentence for sentence in exact.sentences)


@pytest.mark.parametrize("form", ["tiff", "zarr"])
def test_the_bytes_do_not_depend_on_the_size_of_the_tiles(world: Path, form: Literal["tiff", "zarr"]) -> None:
    tifffile.imwrite(world / "images" / "a.tif", drawn(1100, 0), tile=(64, 64))

    def written(tile: int | None) -> dict[str, bytes]:
        out = world / f"out-{tile}"
        options = PredictOptions(runtime="torch", format=form, tile=tile)
        predict(world / "model.safetensors", [world / "images" / "a.tif"], out, options, progress=Progress())
        files = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}

    first = written(None)
    assert first
    assert written(256) == first
    assert written(512) == first


def test_the_weights_of_an_openvino_export_belong_to_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, weights = tmp_path / "model.xml", tmp_path / "model.bin"
    graph.write_text("<net/>", encoding="utf-8")
    weights.write_bytes(b"old weights")
    before = large.model_digest(graph)
    weights.write_bytes(b"new weights")
    assert large.model_digest(graph) != before, "results of the old weights are not continued with the new ones"
    monkeypatch.setattr(large, "model_files", lambda file: [file])
    alone = large.model_digest(graph)
    weights.write_bytes(b"newer weights")
    assert large.model_digest(graph) == alone, "the control: the graph alone says nothing of them"


@pytest.mark.parametrize(("chosen", "tag"), [(None, 8), ("deflate", 8), ("zstd", 50000)])
def test_tiles_of_a_tiff_are_compressed_as_wished(world: Path, chosen: str | None, tag: int) -> None:
    run(world, format="tiff", compression=chosen)
    with tifffile.TiffFile(world / "out" / "a.tif") as file:
        assert {int(page.compression) for page in file.pages} == {tag}
        model: Any = load(world / "model.safetensors")
        assert (file.pages[0].asarray() != model.predict(drawn(150, 0))).mean() < 1e-3


@pytest.mark.parametrize(("chosen", "codec"), [(None, "zstd"), ("zstd", "zstd"), ("deflate", "gzip")])
def test_chunks_of_zarr_are_compressed_as_wished(world: Path, chosen: str | None, codec: str) -> None:
    run(world, format="zarr", compression=chosen)
    meta = json.loads((world / "out" / "a.ome.zarr" / "0" / "zarr.json").read_text(encoding="utf-8"))
    (sharding,) = meta["codecs"]
    assert codec in [inner["name"] for inner in sharding["configuration"]["codecs"]]
    model: Any = load(world / "model.safetensors")
    found = open_windows(world / "out" / "a.ome.zarr").read((0, 150), (0, 150))[0]
    assert (found != model.predict(drawn(150, 0))).mean() < 1e-3


def test_sampled_intensities_are_reported_and_need_no_extra_pass(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    measure = streaming.source_scale

    def noted(*given: Any, sampled: bool) -> Any:
        asked.append(sampled)
        return measure(*given, sampled=sampled)

    monkeypatch.setattr(streaming, "source_scale", noted)
    messages = "The intensity scale is estimated from windows spread over the image."
    assert messages not in run(world, format="tiff").sentences
    assert messages in run(world, format="tiff", sampled_intensities=True, overwrite=True).sentences
    assert asked == [False] * 3 + [True] * 3


@pytest.mark.parametrize("task", ["multiclass", "instance"])
def test_streamed_images_have_rows_in_the_tables_of_quantities(
    world: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """Counts and areas are those of the result, also after a stop; without streaming they are the same."""
    card = make_recipe(task)
    pairs = np.random.default_rng(0).uniform(1, 9, (12, card.counted_classes, 2, 2))
    write_model(world / "model.safetensors", replace(card, quantities=record_of(pairs)))
    options: dict[str, Any] = {"runtime": "torch", "tile": 64}
    for out, limit in (("whole", 10**9), ("out", 10_000)):
        monkeypatch.setattr(large, "STREAMED", limit)
        predict(world / "model.safetensors", [world / "images"], world / out, PredictOptions(**options))
    found, expected = (rows_by_image(world / out / "quantities.csv") for out in ("out", "whole"))
    assert found.keys() == expected.keys()
    exact = ("class", "objects", "area_px")
    for key, row in expected.items():
        assert [found[key][name] for name in exact] == [row[name] for name in exact], key
    assert any(row["objects_low"] for row in found.values())
    total = rows_by_image(world / "out" / "totals.csv", "class")
    assert all(row["images"] == "3" for row in total.values())
    assert not list((world / "out").glob(".*")), "nothing hidden is left"


def rows_by_image(path: Path, *keys: str) -> dict[tuple[str, ...], dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {tuple(row[key] for key in keys or ("image", "class")): row for row in csv.DictReader(file)}
