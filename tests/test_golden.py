"""Golden files: runs and models written by an earlier version load, and predict what they predicted then."""

from pathlib import Path

import numpy as np
import pytest

import pixelwise
from make_golden import KINDS, draw
from pixelwise.progress import Progress
from pixelwise.workflow.run import Run

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_of_an_earlier_version_predicts_the_same(kind: str) -> None:
    expected = np.load(GOLDEN / kind / "expected.npy")
    assert expected.min() < expected.max()  # control: a constant would agree with nearly anything
    for path in (GOLDEN / kind, GOLDEN / kind / "model.safetensors"):
        answer = pixelwise.load(path, device="cpu").probabilities(draw(100)[0])
        # an ensemble rounds to float16, where the sums of two processors can lie on either side of the middle
        rounded = np.array_equal(answer, answer.astype(np.float16))
        np.testing.assert_allclose(answer, expected, rtol=float(np.finfo(np.float16).eps) if rounded else 0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_of_an_earlier_version_is_read(kind: str) -> None:
    run = Run.open(GOLDEN / kind)
    settings = dict(word.split("=") for word in KINDS[kind][0])
    assert str(run.config.network.base) == settings["network.base"]
    assert {"network.base", "training.precision"} <= run.config.user_set
    assert len(run.folds) == KINDS[kind][1].get("folds", 0)
    text = pixelwise.inspect(run.folder, progress=Progress()).to_text()
    assert run.config.network.name in text
