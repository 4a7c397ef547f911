"""Bright discs of which some are not annotated, and runs whose models, made by hand, find what is bright."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bright import write_bright_model
from drawn import save
from pixelwise.cli.main import app
from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset
from pixelwise.model_file.model_file import load_network, save_model
from pixelwise.progress import Progress
from pixelwise.workflow.annotation_errors.ranking import rank_annotation_errors
from pixelwise.workflow.annotation_errors.result import AnnotationErrors
from pixelwise.workflow.config import Config
from pixelwise.workflow.doctor import doctor
from pixelwise.workflow.run import Run
from tiny import make_recipe, write_model

IMAGES, SIDE = 10, 96
DROPPED = {(2, 1), (5, 4), (7, 0)}  # image and disc
QUIET = Progress()
OBJECTS = DataOptions(task="instance")


def place(index: int) -> tuple[int, int]:
    row, column = divmod(index, 3)
    return 24 + 44 * row, 18 + 30 * column


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of six bright discs, and its label image."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image, objects = random.normal(40, 8, (SIDE, SIDE)), np.zeros((SIDE, SIDE), np.uint16)
    for index in range(6):
        row, column = place(index) + random.integers(-3, 4, 2)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < random.integers(36, 82)
        image[disc] += 120
        objects[disc] = index + 1
    return image.clip(0, 255).astype(np.uint8), objects


def write_data(folder: Path, split: Callable[[int], str] = lambda _: "") -> Path:
    for seed in range(IMAGES):
        image, objects = draw(seed)
        wrong = [index + 1 for number, index in DROPPED if number == seed]
        objects[np.isin(objects, wrong)] = 0
        save(folder / split(seed) / "images" / f"{seed}.png", image)
        save(folder / split(seed) / "masks" / f"{seed}.png", objects)
    return folder


def write_run(folder: Path, trained: tuple[str, ...] = (), folds: tuple[tuple[str, ...], ...] = ()) -> Run:
    card = make_recipe("instance")
    splits = {"cases": {"train": list(trained), "val": [], "test": []}, "groups": {}, "seed": 0}
    records = {"splits": splits, **({"folds": {"left_out": [list(names) for names in folds]}} if folds else {})}
    run = Run.create(folder, Config(network=card.network, target=card.target, data=OBJECTS), records)
    for one in (run, *(run.fold(number) for number in range(1, len(folds) + 1))):
        one.folder.mkdir(parents=True, exist_ok=True)
        write_bright_model(one.model_path)
    return run


@dataclass(frozen=True)
class World:
    data: Path
    dataset: Dataset
    run: Run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    base = tmp_path_factory.mktemp("discs")
    data = write_data(base / "data")
    names = [str(seed) for seed in range(IMAGES)]
    run = write_run(base / "run", folds=(tuple(names[:5]), tuple(names[5:])))
    return World(data, scan_dataset(data, OBJECTS), run)


def planted_in(errors: tuple[tuple[str, tuple[int, int, int, int]], ...]) -> set[tuple[int, int]]:
    """Return the dropped discs whose centre is in a box of their image."""
    return {
        (number, index)
        for number, index in DROPPED
        for case, (top, left, bottom, right) in errors
        if case == str(number) and top <= place(index)[0] < bottom and left <= place(index)[1] < right
    }


def recall(found: AnnotationErrors, order: list[int]) -> float:
    """Return the share of the dropped discs among the first errors of an order."""
    first = tuple((found.ranked[index].case, found.ranked[index].box) for index in order[: len(DROPPED)])
    return len(planted_in(first)) / len(DROPPED)


def test_the_first_five_percent_are_the_dropped_objects(world: World) -> None:
    found = rank_annotation_errors(world.run, world.dataset, progress=QUIET)
    assert found.regions == 6 * IMAGES
    assert round(0.05 * found.regions) == len(DROPPED)
    assert recall(found, list(range(len(found.ranked)))) == 1
    assert {error.kind for error in found.likely} == {"missed object"}
    assert {(error.annotated, error.predicted) for error in found.likely} == {("background", "object")}
    assert not any(error.seen for error in found.ranked)
    assert found.likely[0].files == (f"images/{found.likely[0].case}.png", f"masks/{found.likely[0].case}.png")


def test_control_a_random_order_does_not_hold_them(world: World) -> None:
    found = rank_annotation_errors(world.run, world.dataset, progress=QUIET)
    random = np.random.default_rng(0)
    recalls = [recall(found, random.permutation(len(found.ranked)).tolist()) for _ in range(50)]
    assert np.mean(recalls) < 0.3


def test_control_models_that_see_nothing_do_not_hold_them(world: World, tmp_path: Path) -> None:
    names = [str(seed) for seed in range(IMAGES)]
    run = write_run(tmp_path / "run", folds=(tuple(names[:5]), tuple(names[5:])))
    for number in (1, 2):
        write_model(run.fold(number).model_path, make_recipe("instance"))  # random weights
    found = rank_annotation_errors(run, world.dataset, progress=QUIET)
    assert recall(found, list(range(len(found.ranked)))) < 0.6


def test_each_image_is_predicted_by_the_model_of_its_fold(world: World, tmp_path: Path) -> None:
    """A fold whose model is blind makes every object of its images spurious, and of no other image."""
    names = [str(seed) for seed in range(IMAGES)]
    run = write_run(tmp_path / "run", folds=(tuple(names[:5]), tuple(names[5:])))
    network, card = load_network(run.fold(2).model_path)
    state = network.state_dict()
    state["head.layer.bias"][1] = -50.0
    network.load_state_dict(state)
    save_model(run.fold(2).model_path, network, card)
    found = rank_annotation_errors(run, world.dataset, progress=QUIET)
    spurious = [int(error.case) for error in found.ranked if error.kind == "spurious object"]
    objects = [6 - sum(number == seed for number, _ in DROPPED) for seed in range(5, IMAGES)]
    assert [spurious.count(seed) for seed in range(IMAGES)] == [0] * 5 + objects


def test_without_folds_seen_images_are_marked_and_the_test_split_is_left_out(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", lambda seed: "train" if seed < 5 else "val" if seed < 8 else "test")
    run = write_run(tmp_path / "run")
    found = rank_annotation_errors(run, scan_dataset(data, OBJECTS), progress=QUIET)
    assert {error.case for error in found.ranked if error.seen} <= {f"train/{seed}" for seed in range(5)}
    assert {error.case for error in found.ranked if not error.seen} <= {f"val/{seed}" for seed in range(5, 8)}
    assert [error.seen for error in found.likely] == [error.case.startswith("train") for error in found.likely]
    assert len(found.likely) == len(DROPPED)
    assert found.images == 8
    text = " ".join(found.messages)
    assert "--folds" in text
    assert "test split" in text


def test_images_added_after_the_training_are_predicted_by_the_ensemble(world: World, tmp_path: Path) -> None:
    names = [str(seed) for seed in range(IMAGES)]
    run = write_run(tmp_path / "run", folds=(tuple(names[:3]), (*names[3:5], "gone")))
    found = rank_annotation_errors(run, world.dataset, progress=QUIET)
    assert found.images == IMAGES
    assert recall(found, list(range(len(found.ranked)))) == 1
    assert any("gone" in message for message in found.messages)


def test_the_gain_is_the_dice_of_a_corrected_set(world: World, tmp_path: Path) -> None:
    """Correcting the masks as predicted, and ranking again, gives the Dice that was expected."""
    found = rank_annotation_errors(world.run, world.dataset, progress=QUIET)
    assert found.dice is not None
    assert found.gains[-1].errors == len(found.likely) == len(DROPPED)
    right = write_data(tmp_path / "right")
    for seed, _ in DROPPED:
        save(right / "masks" / f"{seed}.png", draw(seed)[1])
    again = rank_annotation_errors(world.run, scan_dataset(right, OBJECTS), progress=QUIET)
    assert again.dice is not None
    assert found.gains[-1].dice > found.dice
    assert found.gains[-1].dice == pytest.approx(again.dice, abs=0.01)  # up to the outlines of three discs
    assert again.likely == ()
    assert again.gains == ()


def test_masks_of_classes_with_objects_as_target(tmp_path: Path) -> None:
    """A binary mask that is predicted as objects is compared as a class map."""
    data = write_data(tmp_path / "data")
    for path in (data / "masks").iterdir():
        number = int(path.stem)
        wrong = [index + 1 for image, index in DROPPED if image == number]
        objects = draw(number)[1]
        save(path, np.where(objects * ~np.isin(objects, wrong) > 0, 255, 0).astype(np.uint8))
    names = [str(seed) for seed in range(IMAGES)]
    run = write_run(tmp_path / "run", folds=(tuple(names[:5]), tuple(names[5:])))
    for one in (run, run.fold(1), run.fold(2)):
        network, card = load_network(one.model_path)
        save_model(
            one.model_path, network, replace(card, task="binary", classes=("background", "foreground"), values=(0, 255))
        )
    found = rank_annotation_errors(run, scan_dataset(data, DataOptions()), progress=QUIET)
    assert recall(found, list(range(len(found.ranked)))) == 1
    assert len(found.likely) == len(DROPPED)


def test_doctor_shows_them_in_text_json_and_page(world: World, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in world.data.rglob("*.png")}
    page = tmp_path / "page.html"
    shown = CliRunner().invoke(
        app, ["doctor", str(world.data), "--run", str(world.run.folder), "--html", str(page), "--json"]
    )
    record = json.loads(shown.stdout)["annotation_errors"]
    assert record["counts"] == {"missed object": len(DROPPED)}
    boxes = tuple((error["case"], tuple(error["box"].values())) for error in record["errors"])
    assert planted_in(boxes) == DROPPED
    assert record["gains"][-1]["errors"] == len(DROPPED)
    html = page.read_text("utf-8")
    assert html.count("data:image/png") == 3 * len(DROPPED)
    assert "http" not in html
    assert {path: path.read_bytes() for path in world.data.rglob("*.png")} == before
    text = CliRunner().invoke(app, ["doctor", str(world.data), "--run", str(world.run.folder)]).stdout
    assert text.count("missed object (") == len(DROPPED)


def test_without_a_run_there_is_no_ranking(world: World) -> None:
    found = doctor(world.data, progress=QUIET)
    assert found.annotation_errors is None
    assert found.to_json()["annotation_errors"] is None
