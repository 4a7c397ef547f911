"""The order of images to label next, by a committee of networks that are made by hand."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from drawn import image, pairs, save
from exports import make_network
from pixelwise.active_learning import candidates as module
from pixelwise.active_learning.candidates import CandidateView, Ranking, committee_votes, find_candidates, rank
from pixelwise.datasets.dataset import DataOptions, Dataset, load_dataset
from pixelwise.progress import Progress


class Member:
    """A network that marks what is brighter than a value of its own, and is sure."""

    model_card = make_network()[1]

    def __init__(self, above: float) -> None:
        self.above = above

    def predict_pixels(self, pixels: np.ndarray, **options: Any) -> Any:
        marked = (pixels[0] > self.above).astype(np.float32)
        return SimpleNamespace(probabilities=np.stack([1 - marked, marked]))


COMMITTEE: list[Any] = [Member(100), Member(150)]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Six labelled images."""
    return load_dataset(pairs(tmp_path / "data"))


def ranked(dataset: Dataset, paths: list[Path], seconds: float | None = None) -> Ranking:
    return rank(COMMITTEE, paths, dataset, seconds=seconds, seed=0, progress=Progress())


def flat(folder: Path, name: str, value: int) -> Path:
    noise = np.random.default_rng(value).integers(-3, 4, (32, 40))
    return save(folder / f"{name}.png", (value + noise).astype(np.uint8))


def test_where_the_committee_disagrees_is_first(dataset: Dataset, tmp_path: Path) -> None:
    paths = [flat(tmp_path, name, value) for name, value in (("dark", 20), ("between", 125), ("bright", 220))]
    found = ranked(dataset, paths)
    assert [one.rank for one in found.candidates] == [1, 2, 3]
    first = found.candidates[0]
    assert first.image.name == "between.png"
    assert first.mutual_information == pytest.approx(1.0)
    assert first.uncertainty == pytest.approx(0.5)
    assert "highest disagreement among 3 images" in first.why
    assert first.to_json()["mutual_information"] == pytest.approx(1.0)
    assert all(one.mutual_information == pytest.approx(0.0, abs=1e-6) for one in found.candidates[1:])


def test_one_image_and_copies_of_labelled_and_ranked_ones(dataset: Dataset, tmp_path: Path) -> None:
    copy = save(tmp_path / "copy.png", image(2))
    (only,) = ranked(dataset, [copy]).candidates
    assert "the only image" in only.why
    assert "almost identical to a labelled image" in only.why
    assert only.distance < 0.02
    twin = flat(tmp_path, "a", 125)
    shutil.copy(twin, tmp_path / "b.png")
    first, second = ranked(dataset, [twin, tmp_path / "b.png"]).candidates
    assert f"almost identical to the higher-ranked {first.image.name}" in second.why


def test_unreadable_images_are_named(dataset: Dataset, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    good = flat(tmp_path, "good", 125)
    found = ranked(dataset, [broken, good])
    assert ([path for path, _ in found.failed], found.found) == ([broken], 2)
    assert [one.image for one in found.candidates] == [good]
    nothing = ranked(dataset, [broken])
    assert (nothing.candidates, nothing.found, len(nothing.failed)) == ((), 1, 1)
    assert ranked(dataset, []) == Ranking()


def test_labelled_images_that_can_no_longer_be_read_do_not_count(dataset: Dataset, tmp_path: Path) -> None:
    copy = save(tmp_path / "copy.png", image(2))
    for case in dataset.cases:
        case.image.write_bytes(b"no image")
    (only,) = ranked(dataset, [copy]).candidates
    assert only.distance == 1
    assert "unlike all" in only.why


def test_a_limit_of_time_leaves_a_least_number(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_CANDIDATES", 2)
    paths = [flat(tmp_path, f"i{value}", value) for value in range(60, 160, 20)]
    assert len(ranked(dataset, paths, seconds=0.0).candidates) == 2
    assert len(ranked(dataset, paths).candidates) == 5


def test_each_unlabelled_image_is_a_candidate_once(tmp_path: Path) -> None:
    data = pairs(tmp_path / "data")
    extra = save(data / "unlabelled" / "x.png", image(90))
    dataset = load_dataset(data)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "again.png").symlink_to(data / "images" / "case_0.png")
    other = save(tmp_path / "more" / "y.png", image(91))
    found = find_candidates(dataset, DataOptions(), tmp_path / "more")
    assert other in found
    assert found.count(extra) <= 1
    assert not {path.resolve() for path in found} & {case.image.resolve() for case in dataset.cases}


def test_networks_without_probabilities_cannot_vote() -> None:
    class Silent(Member):
        def predict_pixels(self, pixels: np.ndarray, **options: Any) -> Any:
            return SimpleNamespace(probabilities=None)

    silent: Any = Silent(0)
    with pytest.raises(ValueError, match="no probabilities"):
        committee_votes([silent], CandidateView(np.zeros((1, 8, 8), np.uint8), None))
