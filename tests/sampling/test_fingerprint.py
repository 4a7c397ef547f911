"""Fingerprint of a segmentation data set, compared with values by hand or by numpy."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.datasets.annotations import ObjectMasks
from pixelwise.datasets.dataset import Case, Dataset, Labelling, detect_dataset
from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import BadDataset
from pixelwise.io.read import Image
from pixelwise.progress import Progress
from pixelwise.sampling import fingerprint
from pixelwise.sampling.fingerprint import Fingerprint, measure_fingerprint

Pairs = list[tuple[np.ndarray, np.ndarray]]
Measure = Callable[[Pairs, str, tuple[str, ...]], Fingerprint]


def labelling(task: Any, classes: tuple[str, ...]) -> Labelling:
    return Labelling(
        task=task,
        classes=classes,
        values=() if task == "instance" else tuple(range(len(classes))),
        colours=((0, 0, 0),) * len(classes),
        coded_by_colour=False,
        ignore_value=None,
    )


def make_dataset(names: list[str], labelling: Labelling, channels: int) -> Dataset:
    cases = tuple(
        Case(name=name, image=Path(f"{name}.png"), annotation=ObjectMasks(paths=()), split="train") for name in names
    )
    return Dataset(root=Path(), cases=cases, labelling=labelling, channels=channels)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Measure arrays instead of files."""

    def go(pairs: Pairs, task: Any, classes: tuple[str, ...]) -> Fingerprint:
        arrays = {str(i): pair for i, pair in enumerate(pairs)}
        monkeypatch.setattr(
            Dataset, "read_image", lambda self, case: Image(arrays[case.name][0], dtype=str(arrays[case.name][0].dtype))
        )
        monkeypatch.setattr(Dataset, "read_labels", lambda self, case: arrays[case.name][1].astype(np.int32))
        dataset = make_dataset(list(arrays), labelling(task, classes), pairs[0][0].shape[0])
        return measure_fingerprint(dataset, Progress())

    return go


@pytest.mark.parametrize(
    ("found", "common"),
    [
        ([(0.5, 0.25), (0.501, 0.25)], (0.5, 0.25)),
        ([(0.5, 0.25), (0.6, 0.25)], None),
        ([(0.5, 0.25), None], None),
        ([None, None], None),
    ],
)
def test_the_spacing_is_known_if_all_files_agree(
    found: list[tuple[float, float] | None], common: tuple[float, float] | None
) -> None:
    assert fingerprint._common_spacing(found) == common


def test_two_synthetic_cases_by_hand(measure: Measure) -> None:
    first, second = np.zeros((1, 10, 20), np.uint8), np.full((1, 30, 20), 4, np.uint8)
    first[0, :, 10:] = 8
    mask_one, mask_two = np.zeros((10, 20), int), np.zeros((30, 20), int)
    mask_one[2:6, 2:6] = 1  # 16 pixels
    mask_one[9] = 255
    found = measure([(first, mask_one), (second, mask_two)], "multiclass", ("ground", "thing", "rarity"))
    assert (found.cases, found.channels, found.pixels, found.dtype) == (2, 1, 800, "uint8")
    assert found.heights == (10, 20, 30)
    assert found.widths == (20, 20, 20)
    assert found.intensity_mean == (4.0,)
    assert found.intensity_std == pytest.approx((np.sqrt(16 / 2),))  # variances 16 and 0, equal means
    assert found.intensity_range == ((0.0, 8.0),)
    assert found.class_shares == pytest.approx((764 / 780, 16 / 780, 0.0))
    assert found.class_cases == (2, 1, 0)
    assert found.empty_share == 0.5
    assert found.ignored_share == 20 / 800
    assert found.objects_per_case == (0, 0, 1)
    assert found.object_diameter == pytest.approx((np.sqrt(64 / np.pi),) * 3)
    assert found.touching_share == 0.0


def test_json_round_trip(measure: Measure, rng: np.random.Generator) -> None:
    image = rng.integers(0, 2**16, (3, 12, 14)).astype(np.uint16)
    found = measure([(image, np.zeros((12, 14), int))], "binary", ("ground", "thing"))
    messages = json.loads(json.dumps(asdict(found)))
    assert messages["intensity_mean"] == list(found.intensity_mean)
    assert messages["heights"] == [12, 12, 12]
    assert len(messages["intensity_range"]) == 3


def test_percentiles_agree_with_numpy(measure: Measure, rng: np.random.Generator) -> None:
    images = [rng.normal(100, 10, (1, 200, 200)).astype(np.float32) for _ in range(3)]
    found = measure([(i, np.zeros((200, 200), int)) for i in images], "binary", ("ground", "thing"))
    everything = np.stack(images)
    np.testing.assert_allclose(found.intensity_range[0], np.percentile(everything, (0.5, 99.5)), atol=1.0)
    assert found.intensity_mean[0] == pytest.approx(everything.mean(), rel=1e-5)
    assert found.intensity_std[0] == pytest.approx(everything.std(), rel=1e-5)


def test_instances_are_counted_by_their_numbers_and_touch(measure: Measure) -> None:
    labels = np.zeros((40, 40), int)
    labels[2:10, 2:10], labels[2:10, 10:18] = 5, 9  # side by side
    labels[30:36, 30:36] = 300
    labels[0] = -1  # ignored
    found = measure([(np.zeros((1, 40, 40), np.uint8), labels)], "instance", ("background", "object"))
    assert found.objects_per_case == (3, 3, 3)
    assert found.touching_share == pytest.approx(2 / 3)
    assert found.class_shares == pytest.approx(((1560 - 164) / 1560, 164 / 1560))
    assert found.ignored_share == 40 / 1600
    assert found.object_diameter[1] == pytest.approx(np.sqrt(64 * 4 / np.pi))


def test_regions_of_different_classes_are_different_objects(measure: Measure) -> None:
    mask = np.zeros((20, 20), int)
    mask[5:10, 2:8], mask[5:10, 8:14] = 1, 2
    found = measure([(np.zeros((1, 20, 20), np.uint8), mask)], "multiclass", ("ground", "a", "b"))
    assert found.objects_per_case == (2, 2, 2)


def test_no_foreground_at_all(measure: Measure) -> None:
    found = measure([(np.zeros((1, 8, 8), np.uint8), np.zeros((8, 8), int))], "binary", ("ground", "thing"))
    assert found.empty_share == 1.0
    assert found.object_diameter == (0.0, 0.0, 0.0)


def test_without_masks_there_is_nothing_to_measure() -> None:
    dataset = make_dataset(["a"], labelling("binary", ("a", "b")), 1)
    bare = replace(dataset, cases=(replace(dataset.cases[0], annotation=None),))
    with pytest.raises(BadDataset, match="training images with masks; got none"):
        measure_fingerprint(bare)


def test_a_subset_is_measured_within_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_demo(tmp_path / "cells", train=40, val=1, test=1, size=64)
    dataset = detect_dataset(tmp_path / "cells")
    read: list[str] = []
    read_image = Dataset.read_image
    monkeypatch.setattr(Dataset, "read_image", lambda self, case: (read.append(case.name), read_image(self, case))[1])
    whole = measure_fingerprint(dataset)
    assert len(read) == 40
    read.clear()
    part = measure_fingerprint(dataset, seconds=0.0)
    assert len(read) == fingerprint.CASES_PER_CHECK
    assert (part.cases, part.pixels, part.class_cases) == (whole.cases, whole.pixels, whole.class_cases)
    assert part.object_diameter[1] == pytest.approx(whole.object_diameter[1], rel=0.2)
    # spread over the data set: cases of every quarter are measured
    assert all(
        any(f"cells_{10 * quarter + one:02d}" in name for name in read for one in range(10)) for quarter in range(4)
    )
