"""`evaluate`: scores by hand, which cases count, what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import DataOptions, Dataset
from pixelwise.datasets.records import has_background
from pixelwise.errors import BadDataset, BadModel, BadOption, BadRun
from pixelwise.inference.predictor import Predictor
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.io.read import write_image, write_labels, write_mask
from pixelwise.labels.targets import TargetOptions
from pixelwise.metrics.instance import match
from pixelwise.model_file.model_file import ModelCard, save_model
from pixelwise.networks.architectures import NetworkOptions, build
from pixelwise.sampling.normalise import Normalisation
from pixelwise.workflow import evaluate as verb
from pixelwise.workflow.config import Config, save_config
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.evaluation import splits as understanding
from pixelwise.workflow.evaluation.mask_scores import CaseResult, rounded, score_case, summarise
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import describe_scores

PALETTE = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
SIDE = 48


def model_card(task: str, classes: tuple[str, ...], values: tuple[int, ...], kind: Any) -> ModelCard:
    channels = 2 if kind == "components" else len(classes)
    network = NetworkOptions(depth=1, base=4, classes=channels)
    return ModelCard(
        network=network,
        normalisation=Normalisation(kind="none"),
        target=TargetOptions(kind=kind),
        geometry=build(network).geometry(),
        task=task,
        classes=classes,
        values=values,
        colours=tuple(PALETTE[: len(classes)]),
        channels=1,
        tile=512,
        intensity_range=((0.0, 255.0),),
        trained={},
    )


BINARY = model_card("binary", ("background", "foreground"), (0, 255), "classes")
OBJECTS = model_card("instance", ("background", "object"), (), "components")


def reader(classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """A network that reads the class of a pixel off its brightness: 40 grey values a class."""

    def logits(tiles: np.ndarray) -> np.ndarray:
        index = np.minimum(tiles[:, 0] // 40, classes - 1).astype(int)
        return 20 * np.eye(classes, dtype=np.float32)[index].transpose(0, 3, 1, 2)

    return logits


def picture(predicted: np.ndarray, seed: int) -> np.ndarray:
    """An image in which `reader` sees `predicted`."""
    grain = np.random.default_rng(seed).integers(0, 40, predicted.shape)
    return (40 * predicted + grain).astype(np.uint8)[None]


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """A run whose network is `reader`."""

    def make(model_card: ModelCard, trained: tuple[str, ...] = ()) -> Run:
        run = Run.create(tmp_path / "run", Config(), {"splits": {"cases": {"train": list(trained)}}})
        channels = model_card.network.classes
        model = SegmentationModel(
            model_card, Predictor(reader(channels), model_card.geometry, channels, model_card.tile)
        )
        monkeypatch.setattr(verb, "open_model", lambda *_args, **_options: model)
        return run

    return make


def blocks(*places: tuple[int, int], side: int = 8) -> np.ndarray:
    """Squares numbered from 1."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, (top, left) in enumerate(places, start=1):
        labels[top : top + side, left : left + side] = number
    return labels


def write_binary(folder: Path, pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> Path:
    for seed, (name, (truth, predicted)) in enumerate(pairs.items()):
        part, stem = name.split("/")
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        write_image(folder / part / "images" / f"{stem}.png", picture(predicted, seed))
        write_image(folder / part / "masks" / f"{stem}.png", (255 * (truth > 0)).astype(np.uint8)[None])
    return folder


@pytest.fixture
def binary_data(tmp_path: Path) -> Path:
    """Test images: one found to the half, one missed, one empty on both sides, one invented."""
    square, half = blocks((8, 8)), blocks((8, 8))
    half[8:12] = 0
    nothing = blocks()
    train = {f"train/t{i}": (blocks((4 * i, 20)), blocks((4 * i, 20))) for i in range(3)}
    return write_binary(
        tmp_path / "data",
        train
        | {
            "test/half": (square, half > 0),
            "test/missed": (blocks((20, 20)), nothing),
            "test/nothing": (nothing, nothing),
            "test/invented": (nothing, blocks((30, 4)) > 0),
        },
    )


def test_binary_scores_by_hand(make_run: Callable[..., Run], binary_data: Path):
    run = make_run(BINARY)
    scores = evaluate(run.folder, binary_data)
    assert (scores["split"], scores["data"], scores["task"]) == ("test", "data", "binary")
    # 32 hits, 32 + 64 missed, 64 invented, of 4 x 48 x 48 pixels
    total = 4 * SIDE * SIDE
    foreground = scores["classes"][1]
    assert foreground["iou"] == pytest.approx(32 / 192, abs=1e-6)
    assert foreground["dice"] == pytest.approx(64 / 224, abs=1e-6)
    assert foreground["precision"] == pytest.approx(32 / 96, abs=1e-6)
    assert foreground["recall"] == pytest.approx(32 / 128, abs=1e-6)
    assert foreground["dice_per_image"] == pytest.approx((2 / 3 + 0 + 0) / 3, abs=1e-6)
    assert foreground["images_in_mean"] == 3
    assert scores["confusion"] == [[total - 192, 64], [96, 32]]
    assert scores["scores"]["pixels"]["accuracy"] == pytest.approx(1 - 160 / total, abs=1e-6)
    assert scores["headline"]["name"] == "mean_dice"
    assert scores["headline"]["low"] <= scores["headline"]["value"] <= scores["headline"]["high"]
    cases = {case["name"].split("/")[-1]: case for case in scores["cases"]}
    assert cases["half"]["classes"]["foreground"]["iou"] == 0.5
    assert cases["nothing"]["mean_dice"] is None
    assert cases["nothing"]["v_rand"] is None


def test_empty_cases_are_told(make_run: Callable[..., Run], binary_data: Path):
    empty = evaluate(make_run(BINARY).folder, binary_data)["empty"]
    assert len(empty["policy"]) == 5
    assert empty["images_without_class"] == {"background": 0, "foreground": 1}
    assert empty["images_class_missed"] == {"background": 0, "foreground": 1}
    assert empty["images_class_invented"] == {"background": 0, "foreground": 1}
    assert empty["images_without_boundary_scores"] == 2
    assert empty["classes_nowhere"] == []


def test_the_record_in_the_run_is_what_is_returned(make_run: Callable[..., Run], binary_data: Path):
    run = make_run(BINARY)
    scores = evaluate(run.folder, binary_data)
    assert json.loads(run.scores_path.read_text("utf-8")) == scores
    assert evaluate(run.folder, binary_data) == scores


@pytest.mark.parametrize(("kind", "warned"), [("useful", False), ("few_steps", True)])
def test_the_outcome_of_the_training_is_repeated(
    make_run: Callable[..., Run], binary_data: Path, kind: str, warned: bool
) -> None:
    run = make_run(BINARY)
    atomic_write_json(run.summary_path, {"outcome": {"kind": kind, "steps": 3, "sentence": "Only 3 steps were made."}})
    scores = evaluate(run.folder, binary_data)
    assert scores.get("warnings") == (["Only 3 steps were made."] if warned else None)
    assert ("Only 3 steps were made." in describe_scores(scores)) == warned


def test_a_drawn_split_never_scores_what_was_trained_on(make_run: Callable[..., Run], tmp_path: Path):
    square = blocks((8, 8)), blocks((8, 8)) > 0
    data = write_binary(tmp_path / "data", {f"train/t{i}": square for i in range(6)})
    names = [case["name"] for case in evaluate(make_run(BINARY).folder, data, split="val")["cases"]]
    assert len(names) == 6  # of a folder that was not trained on, everything is scored
    run = tmp_path / "run"
    atomic_write_json(run / "splits.json", {"cases": {"train": names[:4]}})
    assert [case["name"] for case in evaluate(run, data)["cases"]] == names[4:]
    assert [case["name"] for case in evaluate(run, data, split="train")["cases"]] == names[:4]
    atomic_write_json(run / "splits.json", {"cases": {"train": names}})
    with pytest.raises(BadDataset, match="labelled images in the val split; got none"):
        evaluate(run, data)


def test_object_scores(make_run: Callable[..., Run], tmp_path: Path):
    data = tmp_path / "data"
    truths = [blocks((2, 2), (2, 20), (20, 2), (30, 30)), blocks((5, 5), (25, 25), (5, 25))]
    for i, truth in enumerate(truths):
        seen = truth > 0
        if i == 0:
            seen[2:8, 20:28] = False  # the second object shrinks to a quarter
        write_image_and_labels(data / "test", f"c{i}", seen, truth)
    scores = evaluate(make_run(OBJECTS).folder, data)
    objects = scores["scores"]["objects"]
    assert objects["ap"]["0.50"] == {"mean": pytest.approx((3 / 5 + 1) / 2), "pooled": 0.75}
    assert objects["mean_ap"] == pytest.approx(0.8)
    assert objects["pq"] == pytest.approx(2 * 6 / 14, abs=1e-6)
    assert (objects["sq"], objects["seg"]) == (1.0, pytest.approx(6 / 7, abs=1e-6))
    assert (objects["objects_true"], objects["objects_predicted"], objects["count_error_mean"]) == (7, 7, 0)
    assert [case["mean_ap"] for case in scores["cases"]] == [0.6, 1.0]
    assert scores["headline"] == {"name": "mean_ap", "value": 0.8, "low": 0.6, "high": 1.0}
    assert [row["name"] for row in scores["classes"]] == ["background", "object"]


def write_image_and_labels(folder: Path, stem: str, seen: np.ndarray, labels: np.ndarray) -> None:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    write_image(folder / "images" / f"{stem}.png", picture(seen, len(stem)))
    write_labels(folder / "masks" / f"{stem}.png", labels)


def test_masks_with_fewer_classes_are_read_in_the_models_classes(make_run: Callable[..., Run], tmp_path: Path):
    names = ("background", "leaf", "stem", "soil")
    folder = tmp_path / "data" / "test"
    truth = blocks((4, 4)) + 3 * blocks((20, 20))
    for stem, shift in (("a", 0), ("b", 3)):
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        moved = np.roll(truth, shift, 1)
        write_image(folder / "images" / f"{stem}.png", picture(moved, shift))
        write_mask(folder / "masks" / f"{stem}.png", moved.astype(np.uint8), PALETTE)
    run = make_run(model_card("multiclass", names, (0, 1, 2, 3), "classes"))
    legend = "0 background\n1 leaf\n3 soil\n"
    (tmp_path / "data" / "classes.txt").write_text(legend, encoding="utf-8")
    scores = evaluate(run.folder, tmp_path / "data")
    assert [row["dice"] for row in scores["classes"]] == [1.0, 1.0, None, 1.0]
    assert scores["scores"]["pixels"]["classes_in_mean_iou"] == 3
    assert scores["scores"]["pixels"]["classes_in_mean_dice"] == 2  # leaf and soil
    assert scores["empty"]["classes_nowhere"] == ["stem"]
    (tmp_path / "data" / "classes.txt").write_text(legend.replace("leaf", "car"), encoding="utf-8")
    with pytest.raises(BadDataset, match=r"the model's classes \(background, leaf, stem, soil\); got background, car"):
        evaluate(run.folder, tmp_path / "data")


@pytest.mark.parametrize("model_name", ["building", "foreground"])
@pytest.mark.parametrize("data_name", ["building", "foreground", "car"])
def test_binary_masks_without_a_name_are_the_foreground_of_the_model(
    make_run: Callable[..., Run], binary_data: Path, model_name: str, data_name: str
) -> None:
    run = make_run(replace(BINARY, classes=("background", model_name)))
    options = DataOptions(classes=() if data_name == "foreground" else (data_name,))
    if model_name == "building" and data_name == "car":
        with pytest.raises(BadDataset, match=r"the model's classes \(background, building\); got background, car"):
            evaluate(run.folder, binary_data, options=options)
        return
    scores = evaluate(run.folder, binary_data, options=options)
    assert [row["name"] for row in scores["classes"]] == ["background", model_name]
    assert scores["classes"][1]["dice"] > 0


def test_another_task_is_refused(make_run: Callable[..., Run], binary_data: Path):
    with pytest.raises(BadDataset, match="instance masks, as the model was trained on; got binary"):
        evaluate(make_run(OBJECTS).folder, binary_data)


def test_answers_given_in_training_hold_until_others_are_given(
    make_run: Callable[..., Run], binary_data: Path, monkeypatch: pytest.MonkeyPatch
):
    run = make_run(BINARY)
    save_config(run.config_path, Config(data=DataOptions(val_share=0.4, allow_duplicates=True)))
    asked: list[DataOptions] = []

    def examine(root: Path, options: DataOptions, *rest: Any) -> Dataset:
        asked.append(options)
        return real(root, options, *rest)

    real = understanding.scan_dataset
    monkeypatch.setattr(understanding, "scan_dataset", examine)
    evaluate(run.folder, binary_data)
    evaluate(run.folder, binary_data, options=DataOptions(val_share=0.3))
    assert asked == [DataOptions(val_share=share, allow_duplicates=True) for share in (0.4, 0.3)]


def test_a_part_that_is_none_is_refused(make_run: Callable[..., Run], binary_data: Path):
    with pytest.raises(BadOption, match="a split: train, val, test, or for a run with folds out_of_fold; got `tst`"):
        evaluate(make_run(BINARY).folder, binary_data, split="tst")


def test_a_run_without_model_is_refused(tmp_path: Path, binary_data: Path):
    run = Run.create(tmp_path / "run", Config(), {"splits": {"cases": {}}})
    with pytest.raises(BadModel, match=r"model\.safetensors"):
        evaluate(run.folder, binary_data)
    with pytest.raises(BadRun, match="a run folder"):
        evaluate(tmp_path / "nowhere", binary_data)


def test_a_real_model_file_is_scored(tmp_path: Path, binary_data: Path):
    run = Run.create(tmp_path / "run", Config(), {"splits": {"cases": {}}})
    save_model(run.model_path, build(BINARY.network), BINARY)
    scores = evaluate(run.folder, binary_data, device="cpu")
    assert len(scores["cases"]) == 4
    assert 0 <= scores["scores"]["pixels"]["accuracy"] <= 1


def test_nothing_at_all_gives_none_and_no_nan():
    ignored = np.full((4, 4), 255, np.int32)
    results = [score_case(name, ignored, np.ones((4, 4), np.uint8), "binary", 2) for name in "ab"]
    record = summarise(results, ("background", "foreground"), 1)
    json.dumps(record, allow_nan=False)
    assert record["headline"] == {"name": "mean_dice", "value": None, "low": None, "high": None}
    assert record["empty"]["images_all_ignored"] == 2
    objects = [score_case(name, np.full((4, 4), -1), np.ones((4, 4), np.int32), "instance", 2) for name in "ab"]
    record = summarise(objects, ("background", "object"), 1)
    json.dumps(record, allow_nan=False)
    assert record["headline"]["value"] is None
    assert record["empty"]["images_without_objects"] == 2


def test_images_without_objects_are_left_out_of_the_mean():
    nothing, one = np.zeros((6, 6), np.int32), np.ones((6, 6), np.int32)
    both = [
        CaseResult(name, np.eye(2, dtype=np.int64), match(labels, labels))
        for name, labels in (("a", nothing), ("b", one))
    ]
    objects = summarise(both, ("background", "object"), 1)["scores"]["objects"]
    assert objects["mean_ap"] == 1.0
    assert objects["pq"] == 1.0


def test_rounding_takes_away_what_is_not_a_number():
    assert rounded({"a": [float("nan"), np.float64(1 / 3), 2, None, True]}) == {"a": [None, 0.333333, 2, None, True]}


@pytest.mark.parametrize(
    ("task", "classes", "background"),
    [
        ("binary", ("sky", "bird"), True),
        ("instance", ("background", "nucleus"), True),
        ("multiclass", ("Background", "leaf", "stem"), True),
        ("multiclass", ("Unlabelled", "leaf", "stem"), True),
        ("multiclass", ("Sky", "Building", "Pole"), False),
    ],
)
def test_background_is_a_class_by_name_or_the_rest(task: str, classes: tuple[str, ...], background: bool) -> None:
    assert has_background(task, classes) == background


def test_mean_dice_leaves_out_a_background_and_nothing_else() -> None:
    # truth: 8 sky, 4 road; predicted: 6 sky, 6 road, of which 4 right -> Dice sky 12/14, road 8/10
    truth = np.array([[0] * 8 + [1] * 4])
    predicted = np.array([[0] * 6 + [1] * 6])
    results = [score_case(name, truth, predicted, "multiclass", 2) for name in "ab"]
    with_sky = summarise(results, ("Sky", "Road"), 0)
    assert with_sky["scores"]["pixels"]["mean_dice"] == pytest.approx((12 / 14 + 8 / 10) / 2, abs=1e-6)
    assert with_sky["scores"]["pixels"]["classes_in_mean_dice"] == 2
    assert with_sky["cases"][0]["mean_dice"] == with_sky["headline"]["value"]
    low, high = with_sky["scores"]["intervals"]["mean_dice"]
    assert low <= with_sky["headline"]["value"] <= high
    without = summarise(results, ("background", "Road"), 1)
    assert without["scores"]["pixels"]["mean_dice"] == pytest.approx(8 / 10, abs=1e-6)
