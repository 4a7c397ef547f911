"""Units begin where one process begins a batch, and so have its batches."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelwise.cluster.image_batches import batch_starts, group_images
from pixelwise.inference.predictor import BATCH, Predictor
from pixelwise.inference.segmentation_model import SegmentationModel, load_model_for_prediction
from pixelwise.inference.tile_reading import Job
from pixelwise.io.windows import InMemoryReader
from pixelwise.sampling.normalise import Scale
from tiny import write_model

SIZES = [(16, 16), (20, 16), (40, 60), (64, 64), (70, 10), (130, 90)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SegmentationModel:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_model(path)
    return load_model_for_prediction(path)


def batches(predictor: Predictor, sizes: list[tuple[int, int]], first: int, offset: int = 0) -> list[list[int]]:
    """The images of each batch, as the predictor makes them."""

    def jobs() -> Iterator[Job]:
        for number, size in enumerate(sizes, offset):
            yield Job(InMemoryReader(np.full((1, *size), number, np.uint8)), Scale(np.ones(1), np.zeros(1)))

    made = predictor.make_batches(predictor.read_tiles(jobs()), first=first)
    return [[int(item.window.max()) for item in batch.items] for batch in made]


@given(st.lists(st.sampled_from(SIZES), min_size=1, max_size=40))
def test_units_have_the_batches_of_one_process(model: SegmentationModel, sizes: list[tuple[int, int]]) -> None:
    starts = batch_starts(model.predictor, sizes)
    assert starts[0]
    whole = batches(model.predictor, sizes, 1)
    rows = [([number], 1.0) for number in range(len(sizes))]
    joined: list[list[int]] = []
    for number, group in enumerate(group_images(rows, starts, lambda left: 3.0, 100)):
        own = [sizes[row[0]] for row in group]
        joined += batches(model.predictor, own, BATCH if number else 1, group[0][0])
    assert joined == whole


def test_control_other_divisions_have_other_batches(model: SegmentationModel) -> None:
    sizes = [(16, 16)] * 20
    assert [number for number, may in enumerate(batch_starts(model.predictor, sizes)) if may] == [0, 1, 9, 17]
    whole = batches(model.predictor, sizes, 1)
    assert batches(model.predictor, sizes[:5], 1) + batches(model.predictor, sizes[5:], BATCH, 5) != whole


def test_unreadable_images_are_in_no_batch(model: SegmentationModel) -> None:
    assert batch_starts(model.predictor, [(0, 0), (16, 16), (0, 0), (16, 16)]) == [True, True, True, True]


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=30), st.floats(0.1, 9), st.integers(1, 9))
def test_runs_keep_the_order(images: list[tuple[float, bool]], seconds: float, most: int) -> None:
    rows = [([number], cost) for number, (cost, _) in enumerate(images)]
    starts = [may or number == 0 for number, (_, may) in enumerate(images)]
    groups = list(group_images(rows, starts, lambda left: seconds, most))
    assert [row for group in groups for row in group] == [row for row, _ in rows]
    assert all(starts[group[0][0]] for group in groups)


@given(st.integers(1, 400), st.integers(1, 8))
def test_the_last_units_are_short(count: int, workers: int) -> None:
    rows = [([number], 1.0) for number in range(count)]
    groups = list(group_images(rows, [True] * count, lambda left: min(10.0, max(left / (2 * workers), 0.5)), 4096))
    sizes = [len(group) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) <= 10
    assert sizes[-1] <= max(1, count / workers), "the last one is not the whole share of a worker"
