"""The race between views of volumes: who takes part, when there is none, and who wins; short trainings at the end."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.datasets.dataset import DataOptions, load_dataset
from pixelwise.errors import Diverged, Interrupted
from pixelwise.progress import Progress
from pixelwise.sampling.volume_fingerprint import measure_volume_fingerprint
from pixelwise.workflow.planning import race as module
from pixelwise.workflow.planning.choices import PlanRequest, TrainingBudget
from pixelwise.workflow.planning.dimensions import propose_views
from pixelwise.workflow.planning.plan_masks import PlanInputs
from pixelwise.workflow.planning.race import MARGIN, choose_view, race
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import Settings
from workflow.planning.test_volumes import LABELS, MACHINE, fingerprint

THICK = fingerprint((40, 256, 256), (5.0, 1.0, 1.0))
SCORES = {3.0: 0.5, 2.5: 0.7, 2.0: 0.6}


class Data:
    """A data set with one validation volume, of which the race asks nothing else before the trainings."""

    splits: ClassVar = {"val": ("a volume",)}


class Unvalidated(Data):
    """One without."""

    splits: ClassVar = {"val": ()}


def probe(config: Any, baseline: Any = None) -> float:
    return 0.01


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the trainings: the dimensions of those that were asked for."""
    asked: list[float] = []

    def train_all(contenders: Any, *rest: Any) -> list[tuple[float, float]]:
        asked.extend(contenders)
        return [(each, SCORES[each]) for each in contenders]

    monkeypatch.setattr(module, "_train_all", train_all)
    return asked


def run(found: Any, *words: str, seconds: float | None = 3600.0, used: float = 0.0, data: Any = None) -> PlanInputs:
    inputs = PlanInputs(fingerprint=found, labelling=LABELS, data=DataOptions(), machine=MACHINE, oriented=0.0)
    request = PlanRequest(
        dataset=data or Data(),  # type: ignore[arg-type]
        fingerprint=found,
        data=DataOptions(),
        machine=MACHINE,
        limit=TrainingBudget(seconds=seconds) if seconds else TrainingBudget(steps=5),
        seed=0,
        settings=Settings.parse(words),
        began=time.monotonic() - used,
    )
    return race(inputs, request, lambda limit: probe)


def test_the_best_of_the_views_is_taken(trained: list[float]) -> None:
    view = run(THICK).view
    assert trained == [3.0, 2.5, 2.0]
    assert view is not None
    assert view[0] == 2.5
    assert all(part in view[1] for part in ("5.0 times", "0.500 in 3-D", "0.700 in 2.5-D", "0.600 in 2-D"))


def test_slices_very_far_apart_are_seen_alone_or_with_neighbours(trained: list[float]) -> None:
    view = run(fingerprint((40, 256, 256), (10.0, 1.0, 1.0))).view
    assert (trained, view and view[0]) == ([2.0, 2.5], 2.5)


@pytest.mark.parametrize(
    ("found", "words", "given", "first", "reason"),
    [
        (fingerprint(), (), {}, 3.0, "near enough"),
        (fingerprint((200, 3, 200), None), (), {}, 2.0, "3 slices"),
        (THICK, (), {"seconds": 60.0}, 3.0, "a budget of 10 min"),
        (THICK, (), {"seconds": None}, 3.0, "a number of steps"),
        (THICK, (), {"used": 100.0}, 3.0, "reading the data"),
        (THICK, ("network=vnet",), {"seconds": 60.0}, 3.0, "with 2-D"),
        (THICK, (), {"data": Unvalidated()}, 3.0, "no validation volumes"),
    ],
)
def test_without_a_race_the_reason_says_why(
    trained: list[float], found: Any, words: tuple[str, ...], given: dict[str, Any], first: float, reason: str
) -> None:
    view = run(found, *words, **given).view
    assert not trained
    assert view is not None
    assert view[0] == first
    assert reason in view[1]


def test_nothing_is_raced_for_what_the_user_has_set(trained: list[float]) -> None:
    for word in ("dimensions=3", "network.context=1", "network.strides=[[1,2,2]]"):
        assert run(THICK, word).view is None
    assert not trained


def test_a_small_lead_is_noise() -> None:
    views = propose_views((40, 256, 256), (5.0, 1.0, 1.0))
    for lead, expected in ((0.9 * MARGIN, 3.0), (1.1 * MARGIN, 2.0)):
        assert choose_view([(3.0, 0.5), (2.0, 0.5 + lead)], views, 30.0)[0] == expected


@pytest.mark.parametrize(("error", "raised"), [(Diverged, None), (Interrupted, KeyboardInterrupt)])
def test_a_contender_that_diverges_scores_nothing_and_an_interruption_ends_all(
    error: type[Exception], raised: type[BaseException] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ends:
        def __init__(self, *words: Any) -> None:
            pass

        def go(self) -> None:
            raise error("a finite loss", "NaN", "Lower the learning rate.")

    monkeypatch.setattr(module, "Training", Ends)
    request = PlanRequest(
        dataset=Data(),  # type: ignore[arg-type]
        fingerprint=THICK,
        data=DataOptions(),
        machine=MACHINE,
        limit=TrainingBudget(seconds=600.0),
        seed=0,
        settings=Settings.parse(()),
        began=time.monotonic(),
    )
    own = Run(tmp_path)
    if raised is None:
        assert module._train(own, request, 0.0) == 0.0
    else:
        with pytest.raises(raised):
            module._train(own, request, 0.0)


def test_contenders_are_trained_and_scored_on_the_same_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nibabel")
    for number in range(4):
        image, labels = drawn.draw(number)
        for kind, volume in (("images", image), ("masks", labels)):
            path = tmp_path / ("train" if number < 3 else "val") / kind / f"case{number}.nii.gz"
            drawn.save_nifti(path, volume, np.diag([1.0, 1.0, 5.0, 1.0]))
    monkeypatch.setattr(module, "MIN_SECONDS", 0.1)
    monkeypatch.setattr(module, "READING_SHARE", 1000.0)
    scored: list[tuple[int, ...]] = []
    make = module.make_validation

    def spy(run: Any, dataset: Any, geometry: Any, images: Any, *rest: Any) -> Any:
        scored.append(tuple(image.target.size for image in images))
        return make(run, dataset, geometry, images, *rest)

    monkeypatch.setattr(module, "make_validation", spy)
    dataset = load_dataset(tmp_path)
    found = measure_volume_fingerprint(dataset, Progress())
    inputs = PlanInputs(
        fingerprint=found, labelling=dataset.labelling, data=DataOptions(), machine=MACHINE, oriented=0.0
    )
    request = PlanRequest(
        dataset=dataset,
        fingerprint=found,
        data=DataOptions(),
        machine=replace(MACHINE, threads=1),
        limit=TrainingBudget(seconds=6.0),
        seed=0,
        settings=Settings.parse(["network.base=4", "network.depth=2", "training.precision=float32"]),
        began=time.monotonic(),
    )
    view = race(inputs, request, lambda limit: probe).view
    assert len(scored) == 3
    assert len(set(scored)) == 1
    assert view is not None
    assert "validation Dice is" in view[1]
