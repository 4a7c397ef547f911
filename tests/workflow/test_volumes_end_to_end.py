"""Volumes from end to end: plan, train, stop and continue, predict, evaluate, report, on drawn NIfTI files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drawn_volumes as drawn
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.read import read_image, read_mask
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.training.learner import Learner
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.export import export
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.report import report
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

nibabel: Any = pytest.importorskip("nibabel")

SETTINGS = (
    "network.base=4",
    "network.depth=2",
    "patches.depth=8",
    "patches.height=16",
    "patches.width=16",
    "patches.batch=2",
    "training.precision=float32",
    "training.checkpoint_every=4",
)
STRAIGHT = np.diag([-1.0, 1.0, 2.0, 1.0])
STEPS = 120


def draw_set(folder: Path) -> Path:
    """Write 8 training, 2 validation and 2 test volumes; the test volumes lie obliquely, with other axes first."""
    for number in range(12):
        split = "train" if number < 8 else "val" if number < 10 else "test"
        image, labels = drawn.draw(number)
        affine = drawn.OBLIQUE if split == "test" else STRAIGHT
        for kind, volume in (("images", image), ("masks", labels)):
            drawn.save_nifti(folder / split / kind / f"case{number:02}.nii.gz", volume, affine)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("volumes") / "balls")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "run"
    return train(data, out=out, steps=STEPS, overrides=SETTINGS, device="cpu", progress=Progress())


def test_a_model_of_volumes_is_trained_and_says_what_prediction_needs(run: Run) -> None:
    card = read_model_card(run.model_path)
    assert (card.network.dimensions, card.spacing, card.classes[0]) == (3, None, "background")
    assert card.geometry.total_stride == 4
    assert float(card.trained["validation_dice"]) > 0.5
    assert {"depth", "spacing"} <= set(run.fingerprint | {"depth": 0})
    assert run.fingerprint["voxel_size"][1] == [2.0, 1.0, 1.0]
    pictures = sorted(path.name for path in run.snapshots.glob("*.png"))
    assert {"image.png", "truth.png"} < set(pictures)


def test_masks_lie_on_their_images(run: Run, data: Path, tmp_path: Path) -> None:
    predict(run.folder, [data / "test" / "images"], tmp_path / "out", progress=Progress())
    found = sorted((tmp_path / "out").rglob("case*.nii.gz"))
    assert [path.name.split(".")[0] for path in found] == ["case10", "case11"]
    for path in found:
        image = nibabel.load(data / "test" / "images" / path.name)
        truth = np.asarray(nibabel.load(data / "test" / "masks" / path.name).dataobj)
        mask = nibabel.load(path)
        np.testing.assert_array_equal(mask.affine, image.affine)
        predicted = np.asarray(mask.dataobj)
        assert predicted.shape == truth.shape
        dice = [
            2 * ((predicted == k) & (truth == k)).sum() / ((predicted == k).sum() + (truth == k).sum()) for k in (1, 2)
        ]
        assert np.mean(dice) > 0.5, dice


def test_scores_and_report(run: Run, data: Path) -> None:
    scores = evaluate(run.folder, data, split="test", progress=Progress())
    assert scores["mean_dice"] > 0.5 if "mean_dice" in scores else scores
    report(run.folder, progress=Progress())
    assert run.report_path.is_file()


def test_a_stopped_training_continues_exactly(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs: dict[str, Any] = {"device": "cpu", "progress": Progress()}
    whole = train(data, out=tmp_path / "whole", steps=10, overrides=SETTINGS, **kwargs)
    step = Learner.step

    def stop(self: Learner, index: int, *given: Any, **more: Any) -> Any:
        if index == 7:
            raise RuntimeError("the power fails")
        return step(self, index, *given, **more)

    monkeypatch.setattr(Learner, "step", stop)
    with pytest.raises(RuntimeError, match="power"):
        train(data, out=tmp_path / "stopped", steps=10, overrides=SETTINGS, **kwargs)
    monkeypatch.undo()
    before = sorted(path.name for path in (tmp_path / "stopped" / "checkpoints").glob("step-*"))
    assert before[-1] == "step-00000004"
    continued = train(data, out=tmp_path / "stopped", resume=True, **kwargs)
    assert continued.model_path.read_bytes() == whole.model_path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", ["2", "2.5"])
def test_slices_are_trained_predicted_and_exported(data: Path, tmp_path: Path, dimensions: str) -> None:
    """Masks of whole volumes, by the run and by its export, and the same ones slice by slice."""
    made = train(
        data,
        out=tmp_path / "run",
        steps=40,
        overrides=("network.base=4", "network.depth=2", "training.precision=float32", f"dimensions={dimensions}"),
        device="cpu",
        progress=Progress(),
    )
    card = read_model_card(made.model_path)
    context = card.network.context
    assert (card.network.slice_axis, context) == (0, 2 if dimensions == "2.5" else 0)
    assert made.config.patches.depth == 2 * context + 1
    predict(made.folder, [data / "test" / "images"], tmp_path / "out", progress=Progress())
    model = load_model_for_prediction(made.folder)
    for path in sorted((data / "test" / "images").iterdir()):
        (mask,) = (tmp_path / "out").rglob(path.name)
        image = read_image(path)
        assert image.grid is not None
        spacing = image.grid.millimetres
        whole = model.predict(image.pixels, spacing=spacing)
        np.testing.assert_array_equal(whole, read_mask(mask).values)
        assert set(np.unique(whole)) > {0}
        assert whole.shape == image.pixels.shape[1:]
    options = PredictOptions(tta=8)
    predict(made.folder, [data / "test" / "images"], tmp_path / "tta", options, progress=Progress())
    assert len(list((tmp_path / "tta").rglob("case*.nii.gz"))) == 2
    scores = evaluate(made.folder, data, split="test", progress=Progress())
    assert scores["headline"]["value"] is not None
    done = export(made.folder, progress=Progress())
    predict(done.files[0], [data / "test" / "images"], tmp_path / "of_export", progress=Progress())
    for path in sorted((tmp_path / "out").rglob("case*.nii.gz")):
        (other,) = (tmp_path / "of_export").rglob(path.name)
        differing = (read_mask(path).values != read_mask(other).values).mean()
        assert differing < 1e-3


def test_volumes_of_other_voxel_sizes_are_resampled_and_masks_are_not(tmp_path: Path) -> None:
    """Two voxel sizes: the model has the median one, masks the size and place of their images."""
    for number in range(6):
        image, labels = drawn.draw(number)
        repeat = 2 if number == 0 else 1
        split = "train" if number < 4 else "val" if number < 5 else "test"
        affine = np.diag([1.0, 1.0, 1.0 / repeat, 1.0])
        for kind, volume in (("images", image), ("masks", labels)):
            drawn.save_nifti(
                tmp_path / "data" / split / kind / f"case{number}.nii.gz", volume.repeat(repeat, 0), affine
            )
    made = train(
        tmp_path / "data", out=tmp_path / "run", steps=3, overrides=SETTINGS, device="cpu", progress=Progress()
    )
    card = read_model_card(made.model_path)
    assert card.spacing == (1.0, 1.0, 1.0)
    fine = tmp_path / "data" / "train" / "images" / "case0.nii.gz"
    predict(made.folder, [fine], tmp_path / "out", progress=Progress())
    (mask,) = (tmp_path / "out").rglob("case0.nii.gz")
    assert nibabel.load(mask).shape == nibabel.load(fine).shape
