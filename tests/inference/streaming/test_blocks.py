"""Blocks computed apart and put together are the file that one stream writes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pixelwise.errors import BadImage, BadRun
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.inference.streaming.blocks import (
    JOURNAL,
    TILES,
    BlockPlan,
    collect_blocks,
    compute_block,
    plan_blocks,
    plan_from_json,
    plan_to_json,
)
from pixelwise.inference.streaming.images import StreamOptions, StreamTask, stream_image
from pixelwise.io.windows import InMemoryReader
from pixelwise.progress import Progress
from pixelwise.runtimes.base import Runtime
from tiny import make_recipe, write_model


@pytest.fixture
def task(tmp_path: Path, rng: np.random.Generator) -> StreamTask:
    write_model(tmp_path / "model.safetensors", make_recipe("instance"))
    model = load_model_for_prediction(tmp_path / "model.safetensors")
    source = InMemoryReader(rng.integers(0, 256, (1, 130, 150)).astype(np.uint8))
    return StreamTask(
        model_card=model.model_card,
        predictor=model.predictor,
        source=source,
        identity="i",
        options=StreamOptions(core=32),
    )


def stream(task: StreamTask, path: Path) -> bytes:
    stream_image(task, path, Progress())
    return path.read_bytes()


def computed(task: StreamTask, plan: BlockPlan, folder: Path) -> list[tuple[Path, Path]]:
    files: list[tuple[Path, Path]] = []
    for number, block in enumerate(plan.blocks):
        place = folder / str(number)
        place.mkdir(parents=True)
        compute_block(task, plan, block, place, Progress())
        files.append((place / TILES, place / JOURNAL))
        assert sorted(path.name for path in place.iterdir()) == sorted([TILES, JOURNAL])
    return files


def test_blocks_are_the_bytes_of_one_stream(task: StreamTask, tmp_path: Path) -> None:
    whole = stream(task, tmp_path / "one.tif")
    plan = plan_blocks(task, tmp_path / "scratch", lambda left: 3.0, 25.0, Progress())
    assert len(plan.blocks) > 5
    assert [first for first, _ in plan.blocks][1:] == [stop for _, stop in plan.blocks][:-1]
    assert not list(tmp_path.glob("*scratch*"))
    again = plan_from_json(plan_to_json(plan), plan.blocks)
    assert again == plan
    files = computed(task, again, tmp_path / "blocks")
    collect_blocks(task, again, files, tmp_path / "many.tif")
    assert stream(task, tmp_path / "many.tif") == whole


def test_nothing_is_computed_again(task: StreamTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_blocks(task, tmp_path / "scratch", lambda left: 3.0, 25.0, Progress())
    collect_blocks(task, plan, computed(task, plan, tmp_path / "blocks"), tmp_path / "many.tif")
    result = stream_image(task, tmp_path / "many.tif", Progress())
    assert (result.computed, result.resumed) == (0, plan.blocks[-1][1])


def test_each_tile_is_computed_alone(task: StreamTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    predict = Predictor._predict

    def spy(self: Predictor, stack: np.ndarray, runtime: Runtime) -> np.ndarray:
        sizes.append(len(stack))
        return predict(self, stack, runtime)

    monkeypatch.setattr(Predictor, "_predict", spy)
    stream(task, tmp_path / "one.tif")
    assert len(sizes) == 25
    assert set(sizes) == {1}, "its bits would depend on what else the process computes"


def test_blocks_become_smaller_towards_the_end(task: StreamTask, tmp_path: Path) -> None:
    plan = plan_blocks(task, tmp_path / "scratch", lambda left: left / 2, 25.0, Progress())
    sizes = [stop - first for first, stop in plan.blocks]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 3 * sizes[-1]


def test_one_block_where_nothing_is_gained(task: StreamTask, tmp_path: Path) -> None:
    assert len(plan_blocks(task, tmp_path / "scratch", lambda left: 100.0, 25.0, Progress()).blocks) == 1


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda tiles, journal: tiles.write_bytes(b"x" * tiles.stat().st_size), BadImage),
        (lambda tiles, journal: journal.write_bytes(journal.read_bytes()[:-9]), BadRun),
    ],
)
def test_damaged_blocks_are_refused(
    task: StreamTask, tmp_path: Path, spoil: Callable[[Path, Path], object], error: type[Exception]
) -> None:
    plan = plan_blocks(task, tmp_path / "scratch", lambda left: 3.0, 25.0, Progress())
    files = computed(task, plan, tmp_path / "blocks")
    spoil(*files[1])
    with pytest.raises(error):
        collect_blocks(task, plan, files, tmp_path / "many.tif")


def test_another_division_is_refused(task: StreamTask, tmp_path: Path) -> None:
    plan = plan_blocks(task, tmp_path / "scratch", lambda left: 3.0, 25.0, Progress())
    other = BlockPlan(notes=plan.notes, windows="0" * 64, blocks=plan.blocks)
    (tmp_path / "b").mkdir()
    with pytest.raises(BadRun, match="the windows for which the job was made"):
        compute_block(task, other, plan.blocks[0], tmp_path / "b", Progress())
