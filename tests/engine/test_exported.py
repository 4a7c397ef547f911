"""An exported file stands in the place of a run, without torch."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from exports import DATASET, make_material, make_network, make_samples
from pixelwise.engine import exported as door
from pixelwise.engine.exported import find_export, open_export
from pixelwise.engine.exporting.export import export_model
from pixelwise.engine.exporting.formats import FORMATS
from pixelwise.engine.model import load_model_for_prediction
from pixelwise.engine.modelfile import save_model
from pixelwise.engine.opening import open_model
from pixelwise.errors import BadModel, BadOption
from pixelwise.images.preprocess import Normalisation

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("scale", [Normalisation(), DATASET], ids=["image", "dataset"])
@pytest.mark.parametrize("kind", ["onnx", "openvino", "bioimageio"])
def test_masks_are_those_of_the_run(kind: str, scale: Normalisation, tmp_path: Path) -> None:
    network, recipe = make_network(scale)
    save_model(tmp_path / "model.safetensors", network, recipe)
    path = tmp_path / FORMATS[kind].place
    export_model(network, recipe, kind, path, make_material())
    run = load_model_for_prediction(tmp_path / "model.safetensors", device="cpu", tile=64)
    able = ("auto", "torch", *door.READERS[path.suffix])
    for runtime in able:
        model = load_model_for_prediction(path, tile=64, runtime=runtime)
        for sample in make_samples():
            assert np.array_equal(model.predict(sample.pixels), run.predict(sample.pixels))
            assert np.allclose(model.probabilities(sample.pixels), run.probabilities(sample.pixels), atol=2e-3)


def test_the_folder_of_an_openvino_export_stands_for_its_file(tmp_path: Path) -> None:
    assert find_export(tmp_path) is None
    (tmp_path / "model.xml").touch()
    assert find_export(tmp_path) == tmp_path / "model.xml"
    assert find_export("runs/x/model.safetensors") is None


def test_bfloat16_is_near_and_only_on_request(tmp_path: Path) -> None:
    network, recipe = make_network()
    export_model(network, recipe, "onnx", tmp_path / "model.onnx", make_material())
    tiles = np.random.default_rng(0).standard_normal((1, 1, 64, 64)).astype(np.float32)
    exact = open_export(tmp_path / "model.onnx", "openvino")[0](tiles)
    low = open_export(tmp_path / "model.onnx", "openvino-bf16")[0](tiles)
    assert np.abs(low - exact).max() < 0.05 * np.abs(exact).max()


def test_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.onnx", "a.xml", "a.zip"):
        with pytest.raises(BadModel, match="no such file"):
            open_export(tmp_path / name)
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(BadModel, match="a model that pixelwise wrote"):
            open_export(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as package:
        package.writestr("else.txt", "")
    with pytest.raises(BadModel, match="cannot be read"):
        open_export(tmp_path / "b.zip")
    with pytest.raises(BadModel, match="by unpickling it"):
        open_model(tmp_path / "model.pt2")
    with pytest.raises(BadOption, match="It is read by: openvino"):
        open_export(tmp_path / "a.xml", "onnx")
    with pytest.raises(BadOption, match="Did you mean `openvino`"):
        open_export(tmp_path / "a.xml", "openvin")
    monkeypatch.setattr(door, "installed", lambda package: False)
    with pytest.raises(BadOption, match=r'pip install "pixelwise\[onnx\]"'):
        open_export(tmp_path / "a.onnx")


def test_a_graph_of_others_is_refused(tmp_path: Path) -> None:
    import onnx

    network, recipe = make_network()
    export_model(network, recipe, "onnx", tmp_path / "model.onnx", make_material())
    model = onnx.load(tmp_path / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    for runtime in ("onnx", "openvino"):
        with pytest.raises(BadModel, match="without a recipe of pixelwise"):
            open_export(tmp_path / "other.onnx", runtime)


@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_no_torch_is_imported(kind: str, tmp_path: Path) -> None:
    network, recipe = make_network()
    path = tmp_path / FORMATS[kind].place
    export_model(network, recipe, kind, path, make_material())
    code = (
        "import sys; import numpy as np; from pixelwise.engine.opening import open_model\n"
        "mask = open_model(sys.argv[1]).predict(np.zeros((70, 50), np.uint8))\n"
        "assert mask.shape == (70, 50)\n"
        "from pixelwise.engine.exporting.proving import verify_export; from pathlib import Path\n"
        "assert verify_export(Path(sys.argv[1]))\n"
        "heavy = {'torch', 'onnx', 'nncf', 'matplotlib', 'lightning'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
