"""The time of a cross-validation: equal shares, and time reserved for the scores, measured on an image."""

from dataclasses import replace
from pathlib import Path

import pytest

from drawn import pairs
from pixelwise.datasets.dataset import detect_dataset
from pixelwise.errors import BadOption
from pixelwise.networks.architectures import NetworkOptions
from pixelwise.progress import Progress
from pixelwise.sampling.fingerprint import measure_fingerprint
from pixelwise.training.learner import TrainingOptions
from pixelwise.workflow.config import Config, Origin
from pixelwise.workflow.planning.fold_time import go_to_the_end, seconds_to_score_masks, share_time

PLANNED = Config(training=TrainingOptions(budget=100.0, steps=1000, patience=10))


def test_each_fold_gets_its_share_and_as_many_steps_as_fit_into_it() -> None:
    config = share_time(PLANNED, folds=5, left=500.0, total=600.0, scoring=100.0)
    assert config.training.budget == 80.0
    assert config.training.steps == 800
    why = config.reasons["training.budget"]
    assert why.startswith("An equal share of 500 s for each of 5 folds; 100 s are reserved")


def test_a_student_gets_a_share_of_its_own() -> None:
    config = share_time(PLANNED, folds=4, left=500.0, total=600.0, scoring=100.0, distil=True)
    assert config.training.budget == 80.0
    assert config.reasons["training.budget"].startswith("An equal share of 500 s for each of 4 folds and the student")


def test_too_many_folds_for_the_time_are_refused() -> None:
    with pytest.raises(
        BadOption, match="a budget of at least 10 s per fold; got 8 s for each of 5 folds, 60 s in total"
    ):
        share_time(PLANNED, folds=5, left=50.0, total=60.0, scoring=10.0)


def test_a_fold_chooses_nothing_unless_the_user_says_so() -> None:
    assert (go_to_the_end(PLANNED).training.keep, go_to_the_end(PLANNED).training.patience) == ("last", 0)


@pytest.mark.parametrize(("origin", "patience"), [("user", 10), ("file", 10), ("preset", 0), ("planned", 0)])
def test_what_the_user_has_decided_stays_in_a_fold(origin: Origin, patience: int) -> None:
    config = go_to_the_end(replace(PLANNED, origins={"training.patience": origin}))
    assert config.training.patience == patience
    # control: the words of a reason decide nothing
    assert go_to_the_end(replace(PLANNED, reasons={"training.patience": "Set by you."})).training.patience == 0


def test_one_image_is_measured_and_all_are_counted(tmp_path: Path) -> None:
    """A clock cannot be tested; that a thousand times the pixels take far longer can."""
    dataset = detect_dataset(pairs(tmp_path, 6))
    fingerprint = measure_fingerprint(dataset.splits["train"], dataset.labelling, dataset.channels, Progress())
    config = Config(network=NetworkOptions(base=4, depth=2))
    few = seconds_to_score_masks(config, dataset, fingerprint, "cpu")
    many = seconds_to_score_masks(config, dataset, replace(fingerprint, pixels=1000 * fingerprint.pixels), "cpu")
    assert 0 < 20 * few < many
