"""Exports: files beyond the limits of the parity check are not kept, and the check can be repeated."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import DATASET, graphs_made_once, make_material, make_network, make_samples, make_valid_network
from pixelwise.errors import BadModel, BadOption, ExportFailed
from pixelwise.exporters import export as exports
from pixelwise.exporters.comparison import Comparison, compare
from pixelwise.exporters.description import Limits
from pixelwise.exporters.export import export_model, limits_of
from pixelwise.exporters.export_task import export_task_of
from pixelwise.exporters.formats import FORMATS
from pixelwise.exporters.parity_report import read_parity_data
from pixelwise.exporters.samples import ParityBatch
from pixelwise.exporters.segmentation_export import SegmentationExport
from pixelwise.exporters.verification import verify_export
from pixelwise.runtimes.base import Outputs
from pixelwise.sampling.normalise import Normalisation
from tiny import make_recipe

__all__ = ["graphs_made_once"]
ANY_LOSS = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=100.0)
EXACT, QUANTISED = SegmentationExport.exact, SegmentationExport.quantised


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("scale", [Normalisation(), DATASET], ids=["image", "dataset"])
def test_every_format_is_written_with_its_parity_report(
    kind: str, scale: Normalisation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SegmentationExport, "quantised", ANY_LOSS)  # random weights have no masks that int8 could keep
    network, model_card = make_network(scale)
    path = tmp_path / FORMATS[kind].place
    exported = export_model(network, model_card, kind, path, make_material())
    assert all(file.is_file() for file in exported.files)
    report = json.loads(exported.parity_report.read_text("utf-8"))
    assert report["format"] == kind
    assert set(report["sha256"]) == {file.name for file in exported.files}
    assert {shape[0] for shape in report["input_shapes"]} == {1, 2, 4}, "several batches"
    assert len({tuple(shape)[2:] for shape in report["input_shapes"]}) == 3, "several sizes"
    if kind != "openvino-int8":
        assert all(one.difference < 1e-4 and one.disagreement <= 1e-5 for one in exported.comparisons)
    if kind != "torch-export":
        again = verify_export(path)
        assert [one.runtime for one in again] == [one.runtime for one in exported.comparisons]
        assert again[0].difference == pytest.approx(exported.comparisons[0].difference, rel=0.1, abs=1e-6)


def test_a_valid_network_and_colour_are_exported_too(tmp_path: Path) -> None:
    network, model_card = make_valid_network()
    exported = export_model(network, model_card, "onnx", tmp_path / "model.onnx", make_material(make_samples(3)))
    assert {one.runtime.partition(",")[0] for one in exported.comparisons} == {"onnxruntime", "openvino"}


def test_an_export_beyond_the_limits_leaves_no_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model_card = make_network()
    nothing = Limits(difference=-1.0, probability_difference=None, disagreement=None, score_loss=100.0)
    monkeypatch.setattr(exports, "limits_of", lambda kind, export_task: nothing)
    with pytest.raises(ExportFailed, match=r"logits differ by .* of the largest"):
        export_model(network, model_card, kind, tmp_path / "there" / FORMATS[kind].place, make_material())
    assert list(tmp_path.rglob("*")) == []


def test_a_changed_weight_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model_card = make_network()
    other, _ = make_network()
    other.head.layer.weight.data[1] *= 1.01  # type: ignore[union-attr]
    write = exports.onnx_bytes
    monkeypatch.setattr(exports, "onnx_bytes", lambda _, model_card, **rest: write(other, model_card, **rest))
    with pytest.raises(ExportFailed, match="an export that agrees with PyTorch"):
        export_model(network, model_card, "onnx", tmp_path / "model.onnx", make_material())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damaged", ["model.onnx", "model.onnx.parity.npz"])
def test_a_changed_file_fails_verification(damaged: str, tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.onnx"
    export_model(network, model_card, "onnx", path, make_material())
    file = tmp_path / damaged
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadModel, match=f"{damaged}; got a changed or damaged file"):
        verify_export(path)


def test_a_missing_parity_report_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"?")
    with pytest.raises(BadModel, match=r"its parity report in model\.onnx\.parity\.json; got a missing"):
        verify_export(path)


def test_a_torch_export_file_is_not_verified(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="a model file that is safe to load"):
        verify_export(tmp_path / "model.pt2")


def test_parity_data_has_images_ground_truth_and_logits(tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.onnx"
    export_model(network, model_card, "onnx", path, make_material())
    for batch in read_parity_data(path):
        assert batch.image.dtype == np.uint8
        assert batch.truth.shape == (batch.image.shape[0], *batch.image.shape[2:])
        assert batch.logits.shape[1] == 2


def test_unknown_formats_and_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, model_card = make_network()
    with pytest.raises(BadOption, match="Did you mean `onnx`"):
        export_model(network, model_card, "onx", tmp_path / "x", make_material())
    monkeypatch.setattr("pixelwise.exporters.formats.installed", lambda package: package != "nncf")
    with pytest.raises(BadOption, match=r'nncf .*not installed.*pip install "pixelwise\[openvino\]"'):
        export_model(network, model_card, "openvino-int8", tmp_path / "x.xml", make_material())


def test_nothing_is_sent_over_the_network(tmp_path: Path) -> None:
    """Importing openvino and quantising send telemetry, which would leave a file in the home folder."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "import socket\n"
        "def refused(*_): raise SystemExit('a connection was tried')\n"
        "socket.socket.connect = refused; socket.getaddrinfo = refused\n"
        "from exports import *; from pixelwise.exporters import export as e\n"
        "from pixelwise.exporters.description import Limits\n"
        "any_loss = Limits(difference=None, probability_difference=None, disagreement=None, score_loss=99.0)\n"
        "e.limits_of = lambda kind, subject: any_loss\n"
        "e.export_model(*make_network(), 'openvino-int8', Path(sys.argv[2]) / 'model.xml', make_material())\n"
        "assert not (Path.home() / 'intel').exists()\n"
        "assert not sys.modules.get('openvino_telemetry')\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    # telemetry is disabled on build servers, where neither the test nor its control would detect anything
    build_servers = ("CI", "TF_BUILD", "JENKINS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in build_servers} | {"HOME": str(home)}
    tests = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", code, tests, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    control = "import openvino, sys; assert sys.modules['openvino_telemetry']"
    assert subprocess.run([sys.executable, "-c", control], env=environment, check=False).returncode == 0
    assert (home / "intel").exists(), "telemetry is detected"


def test_onnxruntime_leaves_no_identifier_and_sends_nothing(tmp_path: Path) -> None:
    """Telemetry starts at import and leaves an identifier in the user's cache."""
    suppressed = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "JENKINS_URL", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    for name, code in (
        ("ours", "from pixelwise.runtimes.onnx import onnxruntime"),
        ("control", "import onnxruntime; onnxruntime.disable_telemetry_events()"),
    ):
        home = tmp_path / name
        home.mkdir()
        environment = {key: value for key, value in os.environ.items() if key not in suppressed} | {"HOME": str(home)}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        left = [path for path in home.rglob("*") if "onnxruntime" in path.name]
        assert bool(left) == (name == "control"), left


def parity_batch(logits: np.ndarray, truth: np.ndarray) -> ParityBatch:
    batch = logits.shape[0]
    return ParityBatch(np.zeros((batch, 1, 2, 2), np.uint8), np.zeros((batch, 1)), np.ones((batch, 1)), truth, logits)


MASKS = export_task_of(make_recipe())


def test_a_comparison_by_hand() -> None:
    # two pixels of class 1 and two of class 0; torch is correct everywhere, the other is wrong in one pixel
    truth = np.array([[[0, 0], [1, 1]]], np.uint8)
    logits = np.stack([np.where(truth == 0, 2.0, -2.0), np.where(truth == 1, 2.0, -2.0)], axis=1).astype(np.float32)
    changed = logits.copy()
    changed[0, :, 0, 0] = (-2.0, 1.0)
    odds = 1 / (1 + np.exp(-3.0))
    probabilities = np.where(logits > 0, 1 / (1 + np.exp(-4.0)), 1 / (1 + np.exp(4.0))).astype(np.float32)
    probabilities[0, :, 0, 0] = (1 - odds, odds)
    result = compare("other", lambda _: Outputs(probabilities, changed), [parity_batch(logits, truth)], MASKS)
    assert result.difference == pytest.approx(4 / 2)
    assert result.disagreement == 1 / 4
    assert (result.score_torch, result.score) == (1.0, pytest.approx((1 / 2 + 2 / 3) / 2))
    assert result.score_change == pytest.approx(100 * ((1 / 2 + 2 / 3) / 2 - 1))
    assert result.exceeded_limits(EXACT)
    assert result.exceeded_limits(QUANTISED)


def test_nan_exceeds_every_limit() -> None:
    truth = np.zeros((1, 2, 2), np.uint8)
    logits = np.ones((1, 2, 2, 2), np.float32)
    result = compare(
        "broken", lambda _: Outputs(logits * np.nan, logits * np.nan), [parity_batch(logits, truth)], MASKS
    )
    assert len(result.exceeded_limits(EXACT)) >= 2


@given(loss=st.floats(-5, 5), change=st.floats(0, 1e-3))
def test_limits_are_exact(loss: float, change: float) -> None:
    one = Comparison(
        runtime="x",
        counted="pixels",
        score_name="IoU",
        difference=change,
        probability_difference=0.0,
        disagreement=0.0,
        score_torch=0.5,
        score=0.5,
        score_change=-loss,
    )
    assert bool(one.exceeded_limits(QUANTISED)) == (loss > 0.5)
    assert bool(one.exceeded_limits(replace(EXACT, score_loss=100.0))) == (change > 1e-4)


def test_only_int8_may_lose_half_a_point() -> None:
    assert limits_of("openvino-int8", MASKS).score_loss == 0.5
    assert all(limits_of(kind, MASKS) == EXACT for kind in FORMATS if kind != "openvino-int8")
    assert EXACT.disagreement == 1e-5
