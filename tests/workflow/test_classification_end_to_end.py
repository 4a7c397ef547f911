"""Discs, squares and stripes in class folders: train, stop and continue, evaluate, predict, report, inspect."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import run_here
from drawn import pairs, save
from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadDataset, BadModel, BadOption, OutputFailed
from pixelwise.inference.classification_model import ClassificationModel
from pixelwise.io.read import read_image
from pixelwise.progress import Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.inspect import inspect
from pixelwise.workflow.inspection.data import InspectedData
from pixelwise.workflow.predict import load, predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.report import report
from pixelwise.workflow.reporting.classification import MISTAKES, RIGHT
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import describe_scores
from pixelwise.workflow.train import train
from shapes import SHAPES, class_folders, picture
from tiny import write_model

SETTINGS = (
    "network.base=8", "classification.batch=32", "training.precision=float32", "training.validate_every=20",
    "training.checkpoint_every=7",
)  # fmt: skip
STEPS = 60


class Listener(Progress):
    """Records messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    class_folders(folder / "train", 60)
    class_folders(folder / "test", 15, 1000)
    return folder


def start(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pixelwise", "train", str(data), "--out", str(out), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def first(data: Path, out: Path) -> subprocess.Popen[str]:
    return start(data, out, *SETTINGS, "--steps", str(STEPS), "--seed", "3")


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, messages = process.communicate(timeout=120)
    return process.returncode, messages


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, made by the command line; tests that write into it work on a copy."""
    out = tmp_path_factory.mktemp("runs") / "shapes"
    code, messages = finish(first(data, out))
    assert code == 0, messages
    assert "Task classification (class folders without masks" in messages
    assert f"Plan: resnet20, {STEPS} steps of 32 images of 24 x 24, float32 on cpu" in messages
    assert "(accuracy) at step" in messages
    return Run.open(out)


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    shutil.copytree(trained.folder, tmp_path / "shapes")
    return Run(tmp_path / "shapes")


def learned(run: Run) -> dict[str, bytes]:
    """Collect what a finished run has learned: the model, the last state, the curve without its clock."""
    last = sorted(run.checkpoints.glob("step-*"))[-1]
    rows = [line.split(",") for line in run.metrics_path.read_text(encoding="utf-8").splitlines()]
    curve = "\n".join(",".join(row[:1] + row[2:]) for row in rows).encode()
    states = {f"{last.name}/{path.name}": path.read_bytes() for path in last.glob("*.safetensors")}
    return {"model": run.model_path.read_bytes(), "curve": curve, **states}


def test_the_run_holds_plan_curve_split_and_model(trained: Run) -> None:
    config = trained.config
    assert config.network.name == "resnet20"
    assert config.reasons["classification.padding"].startswith("Random crop of the image with 3 pixels of padding")
    assert "network.base" in config.user_set
    with trained.metrics_path.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [20, 40, 60]
    best = max(float(row["val_score"]) for row in rows)
    model_card = load(trained.folder).model_card
    assert float(model_card.trained["validation_accuracy"]) == pytest.approx(best, abs=1e-4)
    assert model_card.trained["step"] in [row["step"] for row in rows if float(row["val_score"]) == best]
    assert {part: len(names) for part, names in trained.splits["cases"].items()} == {
        "train": 144,
        "val": 36,
        "test": 45,
    }
    assert trained.understood["task"] == "classification"
    assert trained.fingerprint["class_cases"] == [48, 48, 48]


@pytest.fixture
def killed(data: Path, tmp_path: Path) -> Run:
    """A run whose process was killed after a checkpoint in the middle."""
    out = tmp_path / "run"
    process = first(data, out)
    deadline = time.monotonic() + 90
    while not (out / "checkpoints" / "step-00000028" / "MANIFEST.json").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    assert not (out / "checkpoints" / f"step-{STEPS:08d}").exists()
    return Run(out)


def test_kill_minus_nine_and_go_on_ends_in_the_same_bits(data: Path, trained: Run, killed: Run) -> None:
    code, messages = finish(start(data, killed.folder, "--resume"))
    assert code == 0, messages
    assert "Continuing from the checkpoint of step" in messages
    assert learned(killed) == learned(trained)


def test_control_photos_drawn_from_the_start_again_end_in_other_bits(data: Path, trained: Run, killed: Run) -> None:
    code = (
        "import pixelwise.workflow.fit.batches as t; draw = t.prefetch\n"
        "t.prefetch = lambda sampler, step, end: draw(sampler, 0, end)\n"
        f"import pixelwise; pixelwise.train({str(data)!r}, out={str(killed.folder)!r}, resume=True)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, timeout=120)
    assert learned(killed)["model"] != learned(trained)["model"]


def test_scores_are_far_above_chance_and_agree_with_themselves(run: Run, data: Path) -> None:
    scores = evaluate(run.folder, data, progress=Progress())
    assert scores == json.loads(run.scores_path.read_text(encoding="utf-8"))
    assert (scores["split"], scores["task"], scores["headline"]["name"]) == ("test", "classification", "top_1")
    top = scores["scores"]["images"]["top_1"]
    assert top > 0.8, "a third is random for three classes"
    assert scores["headline"]["low"] <= top <= scores["headline"]["high"]
    assert scores["scores"]["images"]["top_5"] is None, "undefined with three classes"
    matrix = np.array(scores["confusion"])
    assert matrix.sum() == 45
    assert np.trace(matrix) / 45 == pytest.approx(top, abs=1e-6)
    assert [row["accuracy"] for row in scores["classes"]] == pytest.approx((np.diag(matrix) / 15).tolist(), abs=1e-6)
    assert sum(case["predicted"] == case["truth"] for case in scores["cases"]) == np.trace(matrix)
    messages = describe_scores(scores)
    assert "shapes, test split, 45 images: top-1 accuracy" in messages
    assert all(re.search(rf"  {shape} +[01]\.\d+ +[01]\.\d+ +15", messages) for shape in SHAPES)


def test_evaluation_says_what_prediction_says(run: Run, data: Path, tmp_path: Path) -> None:
    scores = evaluate(run.folder, data, progress=Progress())
    done = predict(run.folder, [data / "test"], tmp_path / "out", progress=Progress())
    predicted = {str(messages.file.resolve()): messages.classes[0] for messages in done.predictions}
    assert predicted == {case["files"][0]: case["predicted"] for case in scores["cases"]}


def test_the_drawn_validation_part_is_that_of_the_run(run: Run, data: Path, tmp_path: Path) -> None:
    scores = evaluate(run.folder, data, split="val", progress=Progress())
    assert [case["name"] for case in scores["cases"]] == run.splits["cases"]["val"]
    lone = class_folders(tmp_path / "lone" / "test", 4, 2000, shapes=("disc",))
    scores = evaluate(run.folder, lone.parent, progress=Progress())
    assert scores["confusion"][1:] == [[0, 0, 0], [0, 0, 0]]
    assert scores["classes"][1]["accuracy"] is None
    assert scores["scores"]["images"]["classes_in_mean"] == 1


def test_other_classes_and_masks_are_refused(run: Run, tmp_path: Path) -> None:
    class_folders(tmp_path / "other" / "test", 3, shapes=("disc", "square"))
    (tmp_path / "other" / "test" / "square").rename(tmp_path / "other" / "test" / "ring")
    with pytest.raises(BadDataset, match=r"the model's classes \(disc, square, stripes\); got ring\. Rename"):
        evaluate(run.folder, tmp_path / "other", progress=Progress())
    pairs(tmp_path / "masks", 4)
    with pytest.raises(BadDataset, match="got images, masks"):
        evaluate(run.folder, tmp_path / "masks", progress=Progress())
    with pytest.raises(BadDataset, match="got images with masks"):
        evaluate(run.folder, tmp_path / "masks", options=DataOptions(task="binary"), progress=Progress())


def test_a_model_of_masks_refuses_class_folders(data: Path, tmp_path: Path) -> None:
    from tiny import write_run

    masks = write_run(tmp_path / "masks")
    with pytest.raises(BadDataset, match="expected images with masks, for the binary model"):
        evaluate(masks.folder, data, progress=Progress())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Photos of every size and mode, and one that is none."""
    folder = tmp_path / "new"
    disc = picture("disc", 5000)
    save(folder / "small.png", disc)
    save(folder / "large.jpg", picture("square", 5001, (190, 133)), quality=95)
    save(folder / "gray.png", np.asarray(Image.fromarray(picture("stripes", 5002)).convert("L")))
    save(folder / "alpha.png", np.dstack([disc, np.full(disc.shape[:2], 200, np.uint8)]))
    save(folder / "deep.tif", np.asarray(Image.fromarray(disc).convert("L")).astype(np.uint16) * 257)
    save(folder / "thin.png", picture("disc", 5003, (6, 90)))
    (folder / "broken.png").write_text("hello", encoding="utf-8")
    return folder


def test_a_batch_of_odd_sizes_and_modes(run: Run, mixed: Path, tmp_path: Path) -> None:
    listener = Listener()
    done = predict(run.folder, [mixed], tmp_path / "out", progress=listener)
    ((bad, why),) = done.failed
    assert bad.name == "broken.png"
    assert "broken.png: expected" in why
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "class", "probability", "class_2", "probability_2", "class_3", "probability_3"]
    assert [Path(row["file"]).name for row in rows] == [
        "alpha.png", "deep.tif", "gray.png", "large.jpg", "small.png", "thin.png",
    ]  # fmt: skip
    by_name = {Path(row["file"]).name: row for row in rows}
    model = load(run.folder)
    assert isinstance(model, ClassificationModel)
    for name, row in by_name.items():
        pixels = read_image(mixed / name).pixels
        probabilities = model.probabilities(pixels[0] if len(pixels) == 1 else pixels)
        assert float(row["probability"]) == pytest.approx(probabilities.max(), abs=1e-5)
        assert row["class"] == model.model_card.classes[int(probabilities.argmax())]
        columns = [float(row[key]) for key in ("probability", "probability_2", "probability_3")]
        assert columns == sorted(columns, reverse=True)
        assert sum(columns) == pytest.approx(1, abs=1e-4)
    assert by_name["alpha.png"]["probability"] == by_name["small.png"]["probability"]
    assert [by_name[name]["class"] for name in ("small.png", "large.jpg", "gray.png")] == list(SHAPES)
    assert any(
        "1 image: the alpha channel was dropped" in messages or "1 image: transparency" in messages
        for messages in listener.messages
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv"]


def test_the_table_on_request_and_what_belongs_to_masks(run: Run, mixed: Path, tmp_path: Path) -> None:
    (mixed / "broken.png").unlink()
    out = tmp_path / "out"
    done = predict(
        run.folder,
        [mixed, mixed / "small.png"],
        out,
        PredictOptions(probabilities=True, symmetries=True),
        progress=Progress(),
    )
    assert len(done.predictions) == 6, "a file that is named twice is predicted once"
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert float(row[f"probability_of_{row['class']}"]) == float(row["probability"])
    with pytest.raises(OutputFailed, match=r"without existing results; got 1, such as predictions\.csv"):
        predict(run.folder, [mixed], out, progress=Progress())
    assert predict(run.folder, [mixed], out, PredictOptions(overwrite=True), progress=Progress()).failed == ()
    for words in ({"overlays": True}, {"tile": 64}, {"tta": 4}, {"tolerance": 0.1}, {"sampled_intensities": True}):
        with pytest.raises(BadOption, match="which applies to segmentation only"):
            predict(run.folder, [mixed], tmp_path / "other", PredictOptions(**words), progress=Progress())  # type: ignore[arg-type]
    value = json.loads(json.dumps(done.to_json()))
    assert value["predictions"][0]["top"][0]["class"] == value["predictions"][0]["class"]


def test_the_command_line_tells_classes_as_json(run: Run, mixed: Path, tmp_path: Path) -> None:
    words = ("predict", run.folder, mixed, "--out", tmp_path / "out")
    result = run_here(*words, "--json")
    assert result.returncode == 3, "one file failed"
    value = json.loads(result.stdout)
    assert len(value["predictions"]) == 6
    assert {row["class"] for row in value["predictions"]} <= set(SHAPES)
    result = run_here(*words, "--overwrite")
    assert re.fullmatch(r"6 images classified in .*predictions\.csv, 1 image failed\.\n", result.stdout)


def test_the_page_shows_curve_matrix_and_the_surest_mistakes(run: Run, data: Path, tmp_path: Path) -> None:
    page = report(run, progress=Progress()).read_text("utf-8")
    assert "No scores yet" in page
    assert "Confusion matrix" not in page
    copy = shutil.copytree(data, tmp_path / "shapes & <b>shapes</b>" / "data")
    for seed in range(3):  # a disc that lies in the folder of stripes is a mistake for certain
        save(copy / "test" / "stripes" / f"wrong<{seed}>.png", picture("disc", 7000 + seed))
    scores = evaluate(run.folder, copy, progress=Progress())
    wrong = [case for case in scores["cases"] if case["predicted"] != case["truth"]]
    assert len(wrong) >= 2
    page = report(run, progress=Progress()).read_text("utf-8")
    assert "Confusion matrix of 3 classes" in page
    assert "Validation: accuracy" in page
    assert f"Misclassified: {len(wrong)} of 48 images" in page
    surest = max(wrong, key=lambda case: case["probability"])
    caption = f"{surest['truth']}, predicted {surest['predicted']} ({surest['probability']:.1%})"
    assert page.index("The most confident mistakes") < page.index(caption)
    shown = min(MISTAKES, len(wrong)) + min(2 * RIGHT, len(scores["cases"]) - len(wrong))
    assert page.count("data:image/png;base64,") == shown
    assert "wrong&lt;" in page
    assert "<b>shapes" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "could not be shown" not in page
    shutil.rmtree(copy)
    page = report(run, progress=Progress()).read_text("utf-8")
    assert f"{len(wrong)} image" in page
    assert "could not be read" in page


def test_inspecting_class_folders(data: Path, tmp_path: Path) -> None:
    found = inspect(data, out=tmp_path / "sheet.png", progress=Progress())
    assert isinstance(found, InspectedData)
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (value["task"], value["classes"], value["channels"]) == ("classification", list(SHAPES), 3)
    assert value["class_cases"] == {shape: {"train": 48, "val": 12, "test": 15} for shape in SHAPES}
    assert value["fingerprint"]["heights"] == [24, 24, 24]
    text = found.to_text()
    assert re.search(r"  disc +48 +12 +15\n", text)
    assert "Sizes (height x width) of 144 training images: from 24 x 24 to 24 x 24, median 24 x 24; uint8." in text
    sheet = read_image(tmp_path / "sheet.png").pixels
    assert sheet.std() > 20, "pictures are drawn"
    rows = sheet.shape[1]
    class_folders(tmp_path / "two", 8, shapes=("disc", "square"))
    inspect(tmp_path / "two", out=tmp_path / "two.png", progress=Progress())
    assert read_image(tmp_path / "two.png").pixels.shape[1] < rows, "a row per class"


def test_inspecting_spoiled_class_folders_names_what_is_wrong(data: Path, tmp_path: Path) -> None:
    spoiled = shutil.copytree(data, tmp_path / "data")
    (spoiled / "train" / "cross").mkdir()
    found = inspect(spoiled, out=tmp_path / "sheet.png", progress=Progress())
    assert isinstance(found, InspectedData)
    assert not found.usable
    assert "train/cross: empty class folder, no files" in found.to_text()
    assert re.search(r"  disc +48 +12 +15\n", found.to_text())


def test_large_photos_are_trained_and_predicted(tmp_path: Path) -> None:
    for shape in ("disc", "stripes"):
        for seed in range(6):
            save(tmp_path / "data" / shape / f"{seed}.png", picture(shape, seed, (90 + 7 * seed, 120 - 6 * seed)))
    words = ("classification.side=64", "training.precision=float32")
    run = train(tmp_path / "data", out=tmp_path / "run", steps=2, overrides=words, progress=Progress())
    assert run.config.network.name == "resnet18"
    assert run.config.classification.smallest_area < 1
    model = load(run.folder)
    assert isinstance(model, ClassificationModel)
    assert model.predict(picture("disc", 50, (70, 300))) in (0, 1)


def test_a_run_without_a_model_yet_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    with pytest.raises(BadModel, match="Use a finished run of `pixelwise train`"):
        load(tmp_path.parent)


def test_class_folders_follow_their_own_plan_file(trained: Run, data: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        trained.config_path.read_text(encoding="utf-8").replace(f"  steps: {STEPS}", "  steps: 2"), encoding="utf-8"
    )
    again = train(data, out=tmp_path / "again", config=plan, progress=Progress())
    assert again.config.training.steps == 2
    assert again.config.classification == trained.config.classification
