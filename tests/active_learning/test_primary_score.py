"""The score of a forecast is the primary metric of `evaluate`."""

import numpy as np
import pytest

from pixelwise.active_learning.primary_score import primary_metric_of
from pixelwise.datasets.records import Labelling
from pixelwise.workflow.evaluation.mask_scores import score_case, summarise

COLOURS = ((0, 0, 0), (255, 255, 255), (0, 158, 115))


@pytest.mark.parametrize(
    ("task", "names"),
    [("binary", ("ground", "cell")), ("multiclass", ("sky", "road", "tree")), ("instance", ("background", "object"))],
)
def test_rows_of_all_images_make_the_headline(task: str, names: tuple[str, ...], rng: np.random.Generator) -> None:
    labelling = Labelling(task=task, classes=names, values=(0, 1, 2)[: len(names)], colours=COLOURS)  # type: ignore[arg-type]
    metric = primary_metric_of(labelling)
    results = []
    for index in range(4):
        truth = rng.integers(0, len(names), (6, 8)).repeat(5, 0).repeat(5, 1).astype(np.int32)
        if index == 3 and task == "instance":
            truth[:] = 0  # no object: this image has no AP
        predicted = np.where(rng.random(truth.shape) < 0.9, truth, 0).astype(np.int32)
        results.append(score_case(f"c{index}", truth, predicted, task, metric.classes))
    head = summarise(results, names, metric.first)["headline"]
    found = metric.score(np.array([metric.row(result) for result in results]).sum(0))
    assert metric.name == head["name"]
    assert found == pytest.approx(head["value"], abs=1e-6)


def test_nothing_in_truth_and_prediction_has_no_score() -> None:
    labelling = Labelling(task="binary", classes=("ground", "cell"), values=(0, 1), colours=COLOURS[:2])
    assert primary_metric_of(labelling).score(np.array([40.0, 0, 0, 0])) is None
    objects = Labelling(task="instance", classes=("background", "object"), values=(), colours=COLOURS[:2])
    assert primary_metric_of(objects).score(np.zeros(2)) is None
