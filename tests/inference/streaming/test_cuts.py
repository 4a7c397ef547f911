"""Streamed prediction with a cut network: equal to prediction in memory, and resumed byte for byte."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.streaming.test_images import MessageRecorder, balanced_network, picture, read, save, task_of
from pixelwise.geometry.subgraphs import MapKey, NetworkStages
from pixelwise.inference import cut_plan, predictor
from pixelwise.inference.memory import MemoryBudget
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.inference.streaming.images import StreamOptions, StreamResult, stream_image
from pixelwise.io.scratch import SCRATCH_BYTES
from pixelwise.io.windows import open_windows
from pixelwise.progress import Progress
from pixelwise.runtimes.torch import TorchRuntime
from tiny import make_recipe

SIZE = (600, 1100)
TIGHT = MemoryBudget(
    bytes=0, image_pixel=0, tile_pixel=1
)  # tiles of the whole network would be as small as they can be


class Interrupted:
    """A runtime that is interrupted after a number of calls."""

    def __init__(self, runtime: TorchRuntime, calls: int) -> None:
        self.runtime, self.left, self.calls = runtime, calls, 0
        self.stages, self.memory = runtime.stages, runtime.memory

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        raise AssertionError("a tile of the whole network")

    def run_subgraph(self, subgraph: Any, *maps: np.ndarray) -> np.ndarray:
        if self.calls == self.left:
            raise KeyboardInterrupt
        self.calls += 1
        return self.runtime.run_subgraph(subgraph, *maps)


def model_of(runtime: Any) -> SegmentationModel:
    predictor = Predictor(runtime, MODEL_CARD.geometry, 2, 64, memory_budget=TIGHT)
    return SegmentationModel(MODEL_CARD, predictor)


MODEL_CARD = make_recipe(encoder="resnet18", base=2)


def stream(runtime: Any, image: Path, path: Path, progress: Progress | None = None) -> StreamResult:
    model, source = model_of(runtime), open_windows(image)
    try:
        return stream_image(task_of(model, source, StreamOptions()), path, progress or Progress())
    finally:
        source.close()


@pytest.fixture(scope="module")
def runtime() -> TorchRuntime:
    return TorchRuntime(balanced_network(MODEL_CARD))


def store_all(stages: NetworkStages, cuts: Sequence[int], scratch: int) -> Iterator[frozenset[MapKey]]:
    """Return the largest set of `_stored_sets` alone."""
    assert scratch
    yield frozenset(("encoder", level) for level in cuts if level < stages.deepest)


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in a file"])
def test_streamed_equals_the_whole_image_and_is_resumed(
    stored: bool, tmp_path: Path, runtime: TorchRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stored:
        monkeypatch.setattr(cut_plan, "_stored_sets", store_all)
        monkeypatch.setattr(predictor, "scratch_bytes", lambda _: SCRATCH_BYTES)  # disks of any size
    pixels = picture(*SIZE)
    image, messages = save(tmp_path / "image.tif", pixels), MessageRecorder()
    counted = Interrupted(runtime, -1)
    once = stream(counted, image, tmp_path / "once" / "mask.tif", messages)
    assert once.computed == 6, "windows of 512 pixels"
    (cut,) = (sentence for sentence in messages.sentences if "cut at encoder level" in sentence)
    assert ("temporary file" in cut) is stored
    assert [path.name for path in (tmp_path / "once").iterdir()] == ["mask.tif"]
    whole = SegmentationModel(MODEL_CARD, Predictor(runtime, MODEL_CARD.geometry, 2, 2000)).predict_pixels(pixels[None])
    mask = read(tmp_path / "once" / "mask.tif")
    assert len(np.unique(mask)) == 2
    assert (mask != whole.labels).mean() < 1e-4, "rounding at most"
    path = tmp_path / "resumed" / "mask.tif"
    with pytest.raises(KeyboardInterrupt):
        stream(Interrupted(runtime, counted.calls - 3), image, path)
    assert not path.exists()
    resumed = stream(Interrupted(runtime, -1), image, path)
    assert 0 < resumed.resumed < 6
    assert resumed.resumed + resumed.computed == 6
    assert path.read_bytes() == (tmp_path / "once" / "mask.tif").read_bytes()


def test_a_chosen_tile_size_is_kept(tmp_path: Path, runtime: TorchRuntime) -> None:
    image = save(tmp_path / "image.tif", picture(100, 130))
    model, source, messages = model_of(runtime), open_windows(image), MessageRecorder()
    options = StreamOptions(core=64)
    stream_image(task_of(model, source, options), tmp_path / "mask.tif", messages)
    source.close()
    assert not any("cut at" in sentence for sentence in messages.sentences)
