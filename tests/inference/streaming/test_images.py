"""Streamed prediction equals prediction in memory, resumes after a kill, and stays within the memory bound."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from pixelwise.errors import OutputFailed
from pixelwise.inference import predictor as predictors
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from pixelwise.inference.streaming import instances as streaming_instances
from pixelwise.inference.streaming.images import StreamOptions, StreamResult, StreamTask, stream_image
from pixelwise.io.label_writer import Format
from pixelwise.io.windows import ImageReader, open_windows
from pixelwise.labels.region_properties import measure_objects
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import save_model
from pixelwise.networks.architectures import build
from pixelwise.progress import Progress
from pixelwise.runtimes.torch import TorchRuntime
from tiny import make_recipe


class MessageRecorder(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def message(self, *sentences: str) -> None:
        self.sentences += sentences


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an 8-bit image of smooth spots with noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    drawn = np.sin(rows / 6) * np.cos(columns / 5) * 60 + 120 + rng.normal(0, 12, (height, width))
    return drawn.clip(0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib", resolution=(20000, 40000), resolutionunit=3)
    return path


def balanced_network(model_card: ModelCard) -> torch.nn.Module:
    """Return a random network with a bias that balances the classes, so that each is predicted somewhere."""
    torch.manual_seed(0)
    network = build(model_card.network).eval()
    pixels = picture(128, 128).astype(np.float32)
    with torch.no_grad():
        logits = network(torch.from_numpy((pixels - pixels.mean()) / pixels.std())[None, None])
        last = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)][-1]
        assert last.bias is not None
        last.bias -= logits.median(-1).values.median(-1).values[0]
    return network


def model_of(tmp_path: Path, kind: str = "classes", **network: Any) -> SegmentationModel:
    objects = kind in ("boundary", "distance")
    channels = {"classes": 4} if kind == "distance" else {}
    model_card = make_recipe("instance" if objects else "binary", **channels, **network)
    seeds = 0.2 if kind == "distance" else 0.4
    model_card = replace(model_card, target=TargetOptions(kind=kind, seed_threshold=seeds, foreground_threshold=0.5))
    save_model(tmp_path / "model.safetensors", balanced_network(model_card), model_card)
    return load_model_for_prediction(tmp_path / "model.safetensors", tile=64)


def stream(
    model: SegmentationModel, source: ImageReader, path: Path, form: Format = "tiff", progress: Progress | None = None
) -> StreamResult:
    return stream_image(task_of(model, source, StreamOptions(form=form, core=64)), path, progress or Progress())


def task_of(model: SegmentationModel, source: ImageReader, options: StreamOptions) -> StreamTask:
    return StreamTask(
        model_card=model.model_card, predictor=model.predictor, source=source, identity="test", options=options
    )


def read(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        return np.asarray(tiff.pages[0].asarray())


@pytest.mark.parametrize("form", ["tiff", "zarr"])
@pytest.mark.parametrize("kind", ["classes", "components", "boundary", "distance"])
def test_streamed_equals_predicted_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, form: Format
) -> None:
    monkeypatch.setattr(streaming_instances, "STRIP", 64)
    monkeypatch.setattr(streaming_instances, "WINDOW", 128)
    pixels = picture(210, 330)
    model = model_of(tmp_path, kind)
    expected = model.predict_pixels(pixels[None]).labels
    assert len(np.unique(expected)) > 1, "the mask is not empty"
    out = tmp_path / "out"
    with_windows = open_windows(save(tmp_path / "image.tif", pixels))
    path = out / ("mask.tif" if form == "tiff" else "mask.ome.zarr")
    messages = MessageRecorder()
    streamed = stream(model, with_windows, path, form, messages)
    with_windows.close()
    assert (streamed.computed, streamed.resumed) == (24, 0)
    assert [p.name for p in out.iterdir()] == [path.name], "no temporary files"
    result = open_windows(path)
    assert result.spacing == (0.25, 0.5)
    actual = read(path) if form == "tiff" else result.read((0, 210), (0, 330))[0]
    result.close()
    if kind == "classes":
        assert (actual != expected).mean() < 1e-4, "rounding at most"
    else:
        assert streamed.objects is not None
        assert len(streamed.objects) == actual.max() == expected.max()
        assert list(streamed.objects) == list(measure_objects(actual.astype(np.int32), pixels[None]))
        assert (actual != expected).mean() < 1e-3
    assert any("tiles of 64 pixels per side. Memory stays below" in sentence for sentence in messages.sentences)


def test_the_foreground_threshold_applies_to_streamed_masks(tmp_path: Path) -> None:
    pixels = picture(210, 330)
    model = model_of(tmp_path)
    plain, probabilities = model.predict_pixels(pixels[None]).labels, model.probabilities(pixels)
    middle = float(np.median(probabilities[1][plain == 1]))
    model.model_card = replace(model.model_card, target=TargetOptions(foreground_threshold=middle))
    expected = model.predict_pixels(pixels[None]).labels
    assert expected.sum() == pytest.approx(plain.sum() / 2, rel=0.01)
    assert (expected != (probabilities[1] > middle)).mean() < 0.01, "probabilities are kept in 16 bits"
    source = open_windows(save(tmp_path / "image.tif", pixels))
    stream(model, source, tmp_path / "out" / "mask.tif")
    source.close()
    assert (read(tmp_path / "out" / "mask.tif") != expected).mean() < 1e-4, "rounding at most"


@pytest.mark.parametrize("form", ["tiff", "zarr"])
@pytest.mark.parametrize("core", [64, 512])
def test_small_regions_are_removed_from_streamed_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Format, core: int
) -> None:
    monkeypatch.setattr(streaming_instances, "STRIP", 64)
    pixels = picture(210, 330)
    model = model_of(tmp_path)
    plain = model.predict_pixels(pixels[None]).labels
    model.model_card = replace(model.model_card, target=TargetOptions(class_areas=(0, 60)))
    expected = model.predict_pixels(pixels[None]).labels
    assert 0 < np.count_nonzero(expected) < np.count_nonzero(plain), "some regions are removed"
    source = open_windows(save(tmp_path / "image.tif", pixels))
    path = tmp_path / "out" / ("mask.tif" if form == "tiff" else "mask.ome.zarr")
    messages = MessageRecorder()
    options = StreamOptions(form=form, core=core)
    streamed = stream_image(task_of(model, source, options), path, messages)
    source.close()
    assert streamed.objects is None
    assert [p.name for p in path.parent.iterdir()] == [path.name], "no temporary files"
    result = open_windows(path)
    actual = read(path) if form == "tiff" else result.read((0, 210), (0, 330))[0]
    result.close()
    assert (actual != expected).mean() < 1e-4, "rounding at most"
    assert not any("Each object" in sentence for sentence in messages.sentences)


@pytest.mark.parametrize("areas", [(), (0, 60)])
def test_regions_of_streamed_masks_are_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, areas: tuple[int, ...]
) -> None:
    monkeypatch.setattr(streaming_instances, "STRIP", 64)
    monkeypatch.setattr(streaming_instances, "WINDOW", 128)
    pixels = picture(210, 330)
    model = model_of(tmp_path)
    probabilities = model.probabilities(pixels)[1]
    target = TargetOptions(split_threshold=float(np.quantile(probabilities, 0.6)), split_depth=2, class_areas=areas)
    model.model_card = replace(model.model_card, target=replace(target, split_depth=0))
    plain = model.predict_pixels(pixels[None]).labels
    model.model_card = replace(model.model_card, target=target)
    expected = model.predict_pixels(pixels[None]).labels
    assert np.count_nonzero(plain) - np.count_nonzero(expected) > 100, "lines are cut"
    source = open_windows(save(tmp_path / "image.tif", pixels))
    streamed = stream(model, source, tmp_path / "out" / "mask.tif")
    source.close()
    assert streamed.objects is None
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mask.tif"], "no temporary files"
    assert (read(tmp_path / "out" / "mask.tif") != expected).mean() < 1e-4, "rounding at most"


def test_an_image_of_one_tile(tmp_path: Path) -> None:
    pixels = picture(20, 30)
    model = model_of(tmp_path)
    source = open_windows(save(tmp_path / "image.tif", pixels))
    stream(model, source, tmp_path / "mask.tif")
    source.close()
    assert np.array_equal(read(tmp_path / "mask.tif"), model.predict_pixels(pixels[None]).labels)


def test_networks_with_whole_image_layers_are_exact(tmp_path: Path) -> None:
    pixels = picture(150, 170)
    model = model_of(tmp_path, normalisation="instance")
    messages = MessageRecorder()
    with closing(open_windows(save(tmp_path / "image.tif", pixels))) as source:
        streamed = stream(model, source, tmp_path / "mask.tif", progress=messages)
    assert streamed.computed == 9
    assert any(text.startswith("Exact") for text in messages.sentences)
    assert "blending" not in {name for name, size in streamed.memory.terms.items() if size}
    whole = SegmentationModel(model.model_card, model.predictor.with_core(1000)).predict_pixels(pixels[None]).labels
    mask = read(tmp_path / "mask.tif")
    assert np.array_equal(mask, model.predict_pixels(pixels[None]).labels)
    assert np.mean(mask != whole) < 1e-4, "up to rounding"
    assert 0.1 < whole.mean() < 0.9


def test_statistics_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tmp_path, normalisation="group")
    image = save(tmp_path / "image.tif", picture(150, 170))
    with closing(open_windows(image)) as source:
        stream(model, source, tmp_path / "whole.tif")
    calls, compute = iter(range(100)), TorchRuntime.__call__

    def interrupted(runtime: TorchRuntime, tiles: np.ndarray) -> np.ndarray:
        if next(calls) == 6:
            raise KeyboardInterrupt
        return compute(runtime, tiles)

    with closing(open_windows(image)) as source, monkeypatch.context() as patch:
        patch.setattr(TorchRuntime, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stream(model, source, tmp_path / "mask.tif")
    with closing(open_windows(image)) as source, monkeypatch.context() as patch:
        patch.setattr(Predictor, "measure", None)
        streamed = stream(model, source, tmp_path / "mask.tif")
    assert streamed.resumed > 0
    assert (tmp_path / "mask.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_networks_whose_statistics_cost_too_much_are_blended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictors, "MAX_RATIO", 0.0)
    pixels, messages = picture(150, 170), MessageRecorder()
    model = model_of(tmp_path, normalisation="instance")
    with closing(open_windows(save(tmp_path / "image.tif", pixels))) as source:
        streamed = stream(model, source, tmp_path / "mask.tif", progress=messages)
    assert streamed.computed == 9
    assert np.array_equal(read(tmp_path / "mask.tif"), model.predict_pixels(pixels[None]).labels)
    assert streamed.memory.terms["blending"] > 0
    assert any("times as much" in text for text in messages.sentences)


class InterruptedRuntime:
    """A runtime that is interrupted after some tiles."""

    def __init__(self, runtime: Any, calls: int) -> None:
        self.runtime, self.left, self.calls = runtime, calls, 0

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        if self.calls == self.left:
            raise KeyboardInterrupt
        self.calls += 1
        return self.runtime(tiles)


def with_runtime(model: SegmentationModel, runtime: Any) -> SegmentationModel:
    old = model.predictor
    return SegmentationModel(model.model_card, Predictor(runtime, old.geometry, old.classes, old.core))


@pytest.mark.parametrize("kind", ["classes", "classes without small regions", "classes split", "boundary"])
def test_resuming_computes_no_tile_twice(tmp_path: Path, kind: str) -> None:
    image = save(tmp_path / "image.tif", picture(210, 330))
    model = model_of(tmp_path, kind.partition(" ")[0])
    if kind.endswith("regions"):
        model.model_card = replace(model.model_card, target=TargetOptions(class_areas=(0, 60)))
    if kind.endswith("split"):
        model.model_card = replace(model.model_card, target=TargetOptions(split_depth=2, split_threshold=0.6))
    source = open_windows(image)
    stream(model, source, tmp_path / "whole.tif")
    calls, messages = 0, MessageRecorder()
    for limit in (9, 11, 1000):
        runtime = InterruptedRuntime(model.predictor.runtime, limit)
        try:
            stream(with_runtime(model, runtime), source, tmp_path / "mask.tif", progress=messages)
        except KeyboardInterrupt:
            assert not (tmp_path / "mask.tif").exists()
        calls += runtime.calls - 2  # two calls each measure the memory of a tile
    source.close()
    assert calls == 24
    assert (tmp_path / "mask.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert "Resumed: 7 of 24 tiles already done." in messages.sentences
    assert "Resumed: 16 of 24 tiles already done." in messages.sentences


def test_another_model_is_not_resumed(tmp_path: Path) -> None:
    image = save(tmp_path / "image.tif", picture(150, 170))
    model = model_of(tmp_path)
    source = open_windows(image)
    with pytest.raises(KeyboardInterrupt):
        stream(with_runtime(model, InterruptedRuntime(model.predictor.runtime, 4)), source, tmp_path / "mask.tif")
    other = SegmentationModel(
        replace(model.model_card, target=TargetOptions(kind="classes", min_area=3)), model.predictor
    )
    assert stream(other, source, tmp_path / "mask.tif").resumed == 0
    source.close()


def test_errors_of_threads_reach_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_windows(save(tmp_path / "image.tif", picture(150, 170)))

    def full(*_: Any) -> None:
        raise OutputFailed("free disk space", "a full disk", "Free some.")

    monkeypatch.setattr("pixelwise.io.tiled_writer.TileFile.write", full)
    with pytest.raises(OutputFailed, match="full disk"):
        stream(model_of(tmp_path), source, tmp_path / "mask.tif")
    source.close()


CHILD = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from pixelwise.inference.memory import peak_memory
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.inference.streaming.images import StreamOptions, StreamTask, stream_image
from pixelwise.io.tiled_writer import TileFile
from pixelwise.io.windows import open_windows
from pixelwise.progress import Progress
keep_large_blocks()
folder, out, die = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
model = load_model_for_prediction(folder / "model.safetensors", tile=64)
source = open_windows(folder / "image.tif")
write = TileFile.write
def counted(self, window, numbers):
    write(self, window, numbers)
    if die and len(self.done) == die:
        os.kill(os.getpid(), signal.SIGKILL)
TileFile.write = counted
options = StreamOptions(core=int(sys.argv[5]))
given = {"model_card": model.model_card, "predictor": model.predictor, "source": source}
done = stream_image(StreamTask(**given, identity="x", options=options), out, Progress())
print(done.computed, done.resumed, done.memory.total, peak_memory())
"""


def child(folder: Path, out: Path, die: int = 0, core: int = 64) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", CHILD, str(folder), str(out), str(die), str(Path(__file__).parent), str(core)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_a_killed_prediction_resumes_to_the_same_file(tmp_path: Path) -> None:
    save(tmp_path / "image.tif", picture(210, 330))
    model_of(tmp_path)
    assert child(tmp_path, tmp_path / "whole.tif").stdout.split()[:2] == ["24", "0"]
    for die in (5, 17):
        assert child(tmp_path, tmp_path / "mask.tif", die).returncode == -signal.SIGKILL
        assert not (tmp_path / "mask.tif").exists()
    last = child(tmp_path, tmp_path / "mask.tif")
    assert last.stdout.split()[:2] == ["7", "17"], last.stderr
    assert (tmp_path / "mask.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


@pytest.mark.parametrize("kind", ["classes", pytest.param("boundary", marks=pytest.mark.slow)])
def test_memory_stays_below_the_bound(tmp_path: Path, kind: str) -> None:
    save(tmp_path / "image.tif", picture(3000, 6000))
    model_of(tmp_path, kind, base=8)
    done = child(tmp_path, tmp_path / "mask.tif", core=512)
    computed, _, bound, peak = (int(number) for number in done.stdout.split())
    assert computed == 6 * 12, done.stderr
    assert peak < bound
    assert bound < 2 * peak, "the bound is not trivial"
