"""Exported files predict like the run, without torch."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from exports import (
    DATASET,
    graph_of,
    make_network,
    make_photo_network,
    make_photo_samples,
    make_samples,
    write_export,
)
from pixelwise.errors import BadModel, BadOption
from pixelwise.inference.classification_model import ClassificationModel, load_classification_model
from pixelwise.inference.load import find_model_card, open_model
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.read import write_image
from pixelwise.model_file.model_file import save_model
from pixelwise.runtimes import exported
from pixelwise.runtimes.exported import choose_reader, find_export, model_files, open_export, read_exported_model_card
from pixelwise.sampling.normalise import Normalisation


@pytest.mark.parametrize("scale", [Normalisation(), DATASET], ids=["image", "dataset"])
@pytest.mark.parametrize("kind", ["onnx", "openvino", "bioimageio"])
def test_masks_are_those_of_the_run(kind: str, scale: Normalisation, tmp_path: Path) -> None:
    network, model_card = make_network(scale)
    save_model(tmp_path / "model.safetensors", network, model_card)
    path = write_export(tmp_path, kind, scale)
    run = load_model_for_prediction(tmp_path / "model.safetensors", device="cpu", tile=64)
    samples = make_samples()
    expected = [(run.predict(sample.pixels), run.probabilities(sample.pixels)) for sample in samples]
    for runtime in ("auto", "torch", *exported.READERS[path.suffix]):
        model = load_model_for_prediction(path, tile=64, runtime=runtime)
        for sample, (mask, probabilities) in zip(samples, expected, strict=True):
            assert np.array_equal(model.predict(sample.pixels), mask)
            assert np.allclose(model.probabilities(sample.pixels), probabilities, atol=2e-3)


@pytest.mark.parametrize("kind", ["onnx", "openvino", "bioimageio"])
def test_classes_are_those_of_the_run(kind: str, tmp_path: Path) -> None:
    network, model_card = make_photo_network()
    save_model(tmp_path / "model.safetensors", network, model_card)
    path = write_export(tmp_path, kind, photos=True)
    assert find_model_card(path).view is not None
    assert read_exported_model_card(path) == model_card
    for mirrored in (False, True):
        run = load_classification_model(tmp_path / "model.safetensors", device="cpu", mirrored=mirrored)
        samples = make_photo_samples(6, side=37)
        expected = [run.probabilities(sample.pixels) for sample in samples]
        for runtime in ("auto", "torch", *exported.READERS[path.suffix]):
            model = load_classification_model(path, runtime=runtime, mirrored=mirrored)
            for sample, probabilities in zip(samples, expected, strict=True):
                assert np.allclose(model.probabilities(sample.pixels), probabilities, atol=1e-5)
    assert isinstance(open_model(path), ClassificationModel)
    with pytest.raises(BadModel, match="expected a segmentation model; got a classification model"):
        load_model_for_prediction(path)


def test_a_segmentation_model_is_not_a_classification_model(tmp_path: Path) -> None:
    write_export(tmp_path)
    assert find_model_card(tmp_path / "model.onnx").view is None
    with pytest.raises(BadModel, match="expected a classification model; got one of the task binary"):
        load_classification_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_images_are_classified_and_verified_without_torch(kind: str, tmp_path: Path) -> None:
    path = write_export(tmp_path, kind, photos=True)
    for index, sample in enumerate(make_photo_samples(3, side=30)):
        write_image(tmp_path / "photos" / f"{index}.png", sample.pixels)
    code = (
        "import sys; from pathlib import Path; from pixelwise.workflow.predict import predict\n"
        "done = predict(sys.argv[1], [sys.argv[2]], sys.argv[3])\n"
        "assert [len(prediction.classes) for prediction in done.predictions] == [3, 3, 3]\n"
        "from pixelwise.workflow.verify import verify\n"
        "assert verify(sys.argv[1]).comparisons[0].score_name == 'accuracy'\n"
        "heavy = {'torch', 'nncf', 'matplotlib', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    words = [str(path), str(tmp_path / "photos"), str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_files_of_a_model(tmp_path: Path) -> None:
    assert model_files(tmp_path / "model.xml") == [tmp_path / "model.xml", tmp_path / "model.bin"]
    assert model_files(tmp_path / "model.onnx") == [tmp_path / "model.onnx"]


def test_find_export_accepts_the_folder_of_an_openvino_export(tmp_path: Path) -> None:
    assert find_export(tmp_path) is None
    (tmp_path / "model.xml").touch()
    assert find_export(tmp_path) == tmp_path / "model.xml"
    assert find_export("runs/x/model.safetensors") is None


def test_bfloat16_is_close_to_float32(tmp_path: Path) -> None:
    write_export(tmp_path)
    tiles = np.random.default_rng(0).standard_normal((1, 1, 64, 64)).astype(np.float32)
    exact = open_export(tmp_path / "model.onnx", "openvino")[0](tiles)
    low = open_export(tmp_path / "model.onnx", "openvino-bf16")[0](tiles)
    assert np.abs(low - exact).max() < 0.05 * np.abs(exact).max()


def test_unreadable_files_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.onnx", "a.xml", "a.zip"):
        with pytest.raises(BadModel, match="no such file"):
            open_export(tmp_path / name)
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(BadModel, match="a model file of pixelwise"):
            open_export(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as package:
        package.writestr("else.txt", "")
    with pytest.raises(BadModel, match="cannot be read"):
        open_export(tmp_path / "b.zip")
    with pytest.raises(BadModel, match="expected a model file that is safe to load"):
        open_model(tmp_path / "model.pt2")
    with pytest.raises(BadOption, match="Use one of: openvino"):
        open_export(tmp_path / "a.xml", "onnx")
    with pytest.raises(BadOption, match="Did you mean `openvino`"):
        open_export(tmp_path / "a.xml", "openvin")
    monkeypatch.setattr(exported, "installed", lambda *packages: False)
    with pytest.raises(BadOption, match=r'pip install "pixelwise\[onnx\]"'):
        open_export(tmp_path / "a.onnx")


def test_graphs_are_not_read_by_onnx_runtime_where_they_cannot_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_of(*make_network()))
    assert choose_reader(path, "auto") == "onnx"
    monkeypatch.setattr(exported, "installed", lambda *packages: "onnx" not in packages)
    assert choose_reader(path, "auto") == "openvino", "it refuses loops itself"
    with pytest.raises(BadOption, match=r'expected onnx;.*pip install "pixelwise\[onnx\]"'):
        choose_reader(path, "onnx")


def test_a_graph_without_model_card_is_rejected(tmp_path: Path) -> None:
    import onnx

    write_export(tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    for runtime in ("onnx", "openvino"):
        with pytest.raises(BadModel, match="without a pixelwise model card"):
            open_export(tmp_path / "other.onnx", runtime)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_no_torch_is_imported(kind: str, tmp_path: Path) -> None:
    path = write_export(tmp_path, kind)
    code = (
        "import sys; import numpy as np; from pixelwise.inference.load import open_model\n"
        "mask = open_model(sys.argv[1]).predict(np.zeros((70, 50), np.uint8))\n"
        "assert mask.shape == (70, 50)\n"
        "heavy = {'torch', 'nncf', 'matplotlib', 'lightning'}\n"
        "assert not heavy & set(sys.modules)\n"
        "from pixelwise.exporters.verification import verify_export; from pathlib import Path\n"
        "assert verify_export(Path(sys.argv[1]))\n"
        "assert not heavy & set(sys.modules)"  # onnx infers shapes and cuts graphs for ONNX Runtime
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
