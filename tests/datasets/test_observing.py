"""Cases measured while they are decoded: the results are those of reading them again, and no file is decoded twice."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelwise.datasets import observing
from pixelwise.datasets.dataset import Dataset, scan_dataset
from pixelwise.datasets.observing import CaseObserver, ObservedCase
from pixelwise.datasets.options import DataOptions
from pixelwise.io import decode


@pytest.fixture(autouse=True)
def small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "FIRST", 3)


def write(folder: Path, masks: list[np.ndarray], *, mode: str = "RGB") -> Path:
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index, mask in enumerate(masks):
        pixels = rng.integers(0, 255, (*mask.shape, len(mode))).astype(np.uint8)
        Image.fromarray(pixels if len(mode) > 1 else pixels[..., 0]).save(folder / "images" / f"{index:02}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index:02}.png")
    return folder


def classes(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, (6, 5)).repeat(8, 0).repeat(8, 1).astype(np.uint8)


def arrays(case: ObservedCase) -> tuple[np.ndarray, np.ndarray]:
    return case.image.pixels, case.labels()


def observed(folder: Path, **options: object) -> tuple[Dataset, dict[str, tuple[np.ndarray, np.ndarray]]]:
    observer = CaseObserver(arrays)
    dataset = scan_dataset(folder, DataOptions(**options), observer=observer)
    return dataset, observer.results(dataset)


def check(dataset: Dataset, results: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for case in dataset.cases:
        if case.name in results:
            for one, other in zip(dataset.read(case), results[case.name], strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [2, 3, 4, 11])
def test_every_case_is_measured_as_it_is_read_later(tmp_path: Path, count: int) -> None:
    dataset, results = observed(write(tmp_path, [classes(seed, 3) for seed in range(count)]))
    assert set(results) == {case.name for case in dataset.cases}
    check(dataset, results)


def test_no_file_is_decoded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, [classes(seed, 3) for seed in range(9)])
    decoded = Counter[str]()
    decode_file = decode._decode
    monkeypatch.setattr(
        decode, "_decode", lambda file, path, header: (decoded.update([str(path)]), decode_file(file, path, header))[1]
    )
    _, results = observed(folder)
    assert len(results) == 9
    assert len(decoded) == 18
    assert set(decoded.values()) == {1}


def test_a_class_that_appears_late_changes_what_masks_mean(tmp_path: Path) -> None:
    masks = [classes(seed, 3) * np.uint8(5) for seed in range(7)]
    masks[-1][:9, :9] = 3  # between two of the values: the indices of others change
    dataset, results = observed(write(tmp_path, masks), task="multiclass")
    assert dataset.labelling.values == (0, 3, 5, 10)
    assert len(results) < 7  # those before it are read again
    check(dataset, results)


def test_gray_images_among_colours_are_measured_with_three_channels(tmp_path: Path) -> None:
    write(tmp_path, [classes(seed, 3) for seed in range(8)])
    write(tmp_path, [classes(seed, 3) for seed in range(4)], mode="L")
    dataset, results = observed(tmp_path)
    assert dataset.channels == 3
    check(dataset, results)


def test_dropped_transparency_is_no_reason_to_read_again(tmp_path: Path) -> None:
    write(tmp_path, [classes(seed, 3) for seed in range(5)], mode="RGBA")
    for path in (tmp_path / "images").iterdir():
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., 3] = 255
        Image.fromarray(pixels).save(path)
    dataset, results = observed(tmp_path)
    assert len(results) == 5
    check(dataset, results)


def test_an_alpha_channel_that_is_data_is_read_again(tmp_path: Path) -> None:
    dataset, results = observed(write(tmp_path, [classes(seed, 3) for seed in range(5)], mode="RGBA"))
    assert dataset.channels == 4
    assert not results


def test_cases_that_wait_stay_within_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "_MEMORY", 0)
    dataset, results = observed(write(tmp_path, [classes(seed, 3) for seed in range(8)]))
    assert len(results) == 5  # without the first turn
    check(dataset, results)


def test_class_folders_are_observed_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(8):
        path = tmp_path / f"class_{index % 2}" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 20, 3)).astype(np.uint8)).save(path)
    observer = CaseObserver(lambda case: (case.labelled, case.image.pixels))
    dataset = scan_dataset(tmp_path, observer=observer)
    results = observer.results(dataset)
    assert len(results) == 8
    for case in dataset.cases:
        assert not results[case.name][0]
        np.testing.assert_array_equal(results[case.name][1], dataset.read(case).image)
