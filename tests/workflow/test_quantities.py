"""Counts and sizes from the validation images to the tables of `predict` and the scores of `evaluate`."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.cluster.join_tables import join_parts
from pixelwise.datasets.cases import Case
from pixelwise.geometry.grid import Grid
from pixelwise.io.read import Image
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.quantity_record import record_of
from pixelwise.workflow.evaluation.quantity_scores import QuantityEvaluation, record_of_scores
from pixelwise.workflow.fit.select.quantities import select_quantities
from pixelwise.workflow.fit.select.validation_predictions import ValidationPrediction
from pixelwise.workflow.prediction.quantities import (
    QUANTITIES,
    describe_totals,
    quantity_rows,
    read_totals,
    write_quantities,
    write_totals,
)
from pixelwise.workflow.quantities import count_quantities, counted_names, estimate_quantities, pair_quantities
from pixelwise.workflow.summary import list_quantities
from tiny import make_recipe

SIDE = 48


def drawn(rng: np.random.Generator, spots: int) -> np.ndarray:
    """Squares of 3 x 3 pixels that do not touch."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for place in rng.choice(81, spots, replace=False).tolist():
        row, column = 5 * (place // 9) + 1, 5 * (place % 9) + 1
        mask[row : row + 3, column : column + 3] = 1
    return mask


def mistaken(rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    """The mask without a tenth of its squares."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    lost = rng.random((10, 10)) < 0.1
    return np.where(lost[rows // 5, columns // 5], 0, truth).astype(np.uint8)


def predicted(name: str, seed: int, **changes: Any) -> ValidationPrediction:
    rng = np.random.default_rng(seed)
    truth = drawn(rng, int(rng.integers(10, 70)))
    found = mistaken(rng, truth)
    probabilities = np.stack([1.0 - found, found]).astype(np.float32)
    return ValidationPrediction(name, truth, probabilities)._replace(**changes)


def learned(images: int = 20) -> ModelCard:
    return select_quantities([predicted(f"v{i}", i) for i in range(images)], make_recipe(), None)[0]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_records_what_it_predicted_and_what_is_true() -> None:
    images = [predicted(f"v{i}", i) for i in range(9)]
    card, note = select_quantities(images, make_recipe(), None)
    assert card.quantities is not None
    expected = [
        [[(mask == 1).sum() / 9 for mask in (one.probabilities.argmax(0), one.truth)] for one in images],
        [[(mask == 1).sum() for mask in (one.probabilities.argmax(0), one.truth)] for one in images],
    ]
    assert np.allclose(np.moveaxis(card.quantities.pairs[:, 0], 1, 0), expected)
    assert "90 %" in note
    assert card.trained["quantities"] == note


def test_parts_of_images_and_images_with_few_labels_are_left_out() -> None:
    few = predicted("few", 3)
    few.truth[:24] = 255
    images = [predicted("a", 1), predicted("b", 2, whole=False), few]
    card, note = select_quantities(images, make_recipe(), None)
    assert card.quantities is not None
    assert len(card.quantities.pairs) == 1
    assert "need 4" in note


def test_ignored_pixels_count_neither_as_predicted_nor_as_true() -> None:
    truth, labels = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    truth[0, :5], labels[0, :5], labels[4, :7] = 255, 1, 1
    truth[4, :7] = 1
    pairs = pair_quantities(truth, labels, make_recipe())
    assert pairs is not None
    assert pairs.tolist() == [[[1, 1], [7, 7]]]


def test_objects_and_object_targets_are_counted() -> None:
    labels = np.array([[3, 3, 0, 9], [0, 0, 0, 9]], np.int32)
    assert count_quantities(labels, make_recipe("instance")).tolist() == [[2, 4]]
    semantic = replace(make_recipe(), target=TargetOptions(kind="components"))
    assert count_quantities(labels, semantic).tolist() == [[2, 4]]
    assert counted_names(make_recipe("multiclass")) == ("sky", "road", "tree")
    assert counted_names(make_recipe("instance")) == ("object",)


def test_the_table_of_an_image_has_its_counts_with_intervals_and_units() -> None:
    card = learned()
    labels = drawn(np.random.default_rng(5), 30)
    image = Image(pixels=np.zeros((1, SIDE, SIDE), np.uint8), spacing=(0.5, 0.5))
    ((name, class_name, objects, low, high, *rest),) = quantity_rows("a", image, count_quantities(labels, card), card)
    assert (name, class_name, objects) == ("a", "object", "30")
    assert int(low) < 30 < int(high)
    area, area_low, area_high, *micrometres, level = rest
    assert (area, level) == ("270", "0.9")
    assert int(area_low) < 270 < int(area_high)
    assert float(micrometres[0]) == 270 / 4
    assert float(micrometres[2]) / float(micrometres[0]) == pytest.approx(int(area_high) / 270, abs=0.01)


def test_with_four_images_the_level_is_eighty_percent_and_with_three_there_is_none() -> None:
    image, counts = Image(pixels=np.zeros((1, SIDE, SIDE), np.uint8)), np.array([[30, 270]])
    (four,), (three,) = (quantity_rows("a", image, counts, learned(images)) for images in (4, 3))
    assert four[-1] == "0.8"
    assert three[2:] == ["30", "", "", "270", "", "", "", "", "", ""]
    assert quantity_rows("a", image, counts, make_recipe()) == [], "an older model"


def test_totals_of_parts_that_are_joined_are_those_of_one_process(tmp_path: Path) -> None:
    card, rng = learned(), np.random.default_rng(7)
    image = Image(pixels=np.zeros((1, SIDE, SIDE), np.uint8), spacing=(2.0, 2.0))
    rows = [
        quantity_rows(f"{i}", image, count_quantities(drawn(rng, int(rng.integers(0, 60))), card), card)[0]
        for i in range(6)
    ]
    for folder, kept in (("all", rows), ("one", rows[:2]), ("two", rows[2:]), ("joined", [])):
        (tmp_path / folder).mkdir()
        if kept:
            write_quantities(tmp_path / folder, kept, card)
    join_parts(QUANTITIES, [tmp_path / part / QUANTITIES for part in ("one", "two")], tmp_path / "joined" / QUANTITIES)
    joined = write_totals(tmp_path / "joined", card)
    assert joined.read_bytes() == (tmp_path / "all" / "totals.csv").read_bytes()
    (total,) = rows_of(joined)
    assert int(total["objects"]) == sum(int(row[2]) for row in rows)
    assert int(total["objects_low"]) < int(total["objects"]) * 1.2 < int(total["objects_high"]) * 1.2
    assert float(total["area_um2_high"]) == pytest.approx(4 * float(total["area_px_high"]), rel=1e-2)
    (line,) = describe_totals(read_totals(joined))
    assert f"{int(total['objects_low']):,}" in line
    assert "90 %" in line


def test_pixels_of_several_sizes_have_no_total_interval_in_square_micrometres(tmp_path: Path) -> None:
    card, counts = learned(), np.array([[30, 270]])
    images = [Image(pixels=np.zeros((1, 4, 4), np.uint8), spacing=(side, side)) for side in (1.0, 2.0)]
    write_quantities(tmp_path, [quantity_rows("a", image, counts, card)[0] for image in images], card)
    (total,) = rows_of(tmp_path / "totals.csv")
    assert (total["area_um2"], total["area_um2_low"]) == ("1350", "")
    assert total["area_px_low"]


def test_volumes_of_other_voxels_are_compared_in_those_of_the_model(tmp_path: Path) -> None:
    """Two volumes of 100 cubic millimetres; one has voxels of half the size along each axis."""
    card = make_recipe(dimensions=3)
    pairs = np.array([[[[9.0, 9.0 + i % 3], [100.0, 100.0 + 10 * (i % 3)]]] for i in range(20)])
    card = replace(card, spacing=(1.0, 1.0, 1.0), quantities=record_of(pairs))
    rows: list[list[str]] = []
    for side, voxels in ((1.0, 100), (0.5, 800)):
        grid = Grid(axes=("z", "y", "x"), spacing=(side,) * 3, unit="millimeter")
        image = Image(pixels=np.zeros((1, 4, 4, 4), np.uint8), grid=grid)
        rows += quantity_rows("a", image, np.array([[9, voxels]]), card)
    millilitres = [[float(cell) for cell in row[8:11]] for row in rows]
    assert millilitres[0] == pytest.approx(millilitres[1], rel=1e-3)
    assert millilitres[0][0] == pytest.approx(0.1)
    assert 7 < (int(rows[1][7]) - 800) / (int(rows[0][7]) - 100) < 9
    write_quantities(tmp_path, rows, card)
    (total,) = rows_of(tmp_path / "totals.csv")
    assert float(total["millilitres_low"]) < 0.2 < float(total["millilitres_high"]) + 0.02
    assert total["voxels_low"] == ""


def score(card: ModelCard, images: int, seed: int, *, scale: float = 1.0) -> dict[str, Any]:
    """Scores of new images by the intervals of a model; `scale` makes them narrower."""
    if scale != 1.0 and card.quantities is not None:
        pairs = card.quantities.pairs
        roots = np.sqrt(pairs)
        roots[..., 1] = roots[..., 0] + scale * (roots[..., 1] - roots[..., 0])
        card = replace(card, quantities=record_of(np.maximum(roots, 0) ** 2))
    evaluation, rows = QuantityEvaluation(card, {}), []
    for index in range(images):
        one = predicted(f"t{index}", 1000 * seed + index)
        case = Case(name=one.name, image=Path(one.name), annotation=None, split="test")
        evaluation.add(case, one.truth, one.probabilities.argmax(0).astype(np.uint8))
        rows.append({"name": one.name})
    return evaluation.add_to({"cases": rows}, 0)


def test_evaluate_measures_the_coverage_and_a_control_of_half_the_width_fails() -> None:
    (row,) = score(learned(40), 120, 5)["quantities"]["classes"]
    assert row["objects"]["intervals"] == 120
    assert row["objects"]["share"] >= 0.85
    assert row["size"]["share"] >= 0.85
    assert row["objects"]["low"] <= row["objects"]["true"] <= row["objects"]["high"]
    (half,) = score(learned(40), 120, 5, scale=0.5)["quantities"]["classes"]
    assert half["objects"]["share"] < 0.85


def test_scores_are_described_with_their_verdict() -> None:
    good = list_quantities(score(learned(40), 40, 6)["quantities"])
    assert any("; valid" in line for line in good)
    narrow = list_quantities(score(learned(40), 40, 6, scale=0.1)["quantities"])
    assert all("not valid here" in line for line in narrow[1:])
    none = list_quantities(score(make_recipe(), 3, 6)["quantities"])
    assert all("no intervals" in line for line in none[1:])
    assert list_quantities(None) == []


def test_out_of_fold_intervals_come_from_the_other_folds() -> None:
    evaluation, card = QuantityEvaluation(make_recipe(), {}), make_recipe()
    rows: list[dict[str, Any]] = []
    for index in range(20):
        one = predicted(f"t{index}", index)
        labels = one.probabilities.argmax(0).astype(np.uint8)
        truth = one.truth if index < 10 else labels  # the second fold is predicted without errors
        case = Case(name=one.name, image=Path(one.name), annotation=None, split="val")
        evaluation.add(case, truth, labels)
        rows.append({"name": one.name})
    folds = {f"t{index}": 1 + index // 10 for index in range(20)}
    cases = evaluation.add_to_folds({"cases": rows}, folds)["cases"]
    first, second = ([case["quantities"][0]["objects"] for case in cases[part]] for part in (slice(10), slice(10, 20)))
    assert all(row["low"] == row["predicted"] == row["high"] for row in first)
    assert all(row["low"] < row["predicted"] < row["high"] for row in second)
    record = record_of_scores({"cases": cases})
    assert record is not None
    assert len(record.pairs) == 20
    assert record.fits(card.counted_classes)


def test_the_whole_numbers_of_an_interval_hold_the_predicted_one() -> None:
    pairs = np.array([[[[4.0, 4.0], [36.0, 36.0]]]] * 9)
    (row,) = estimate_quantities(np.array([[7, 50]]), ("cell",), pairs)
    assert (row.objects.whole, row.size.whole) == ((7, 7), (50, 50))
