"""A bioimage.io package is checked by its description, digests and test, as by its readers."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from exports import graphs_made_once, make_material, make_network, make_photo_network, make_photo_samples
from pixelwise.errors import BadModel, ExportFailed
from pixelwise.exporters.export import export_model
from pixelwise.exporters.package import check_package
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_card import ModelCard

__all__ = ["graphs_made_once"]
Contents = dict[str, bytes]


def rewritten(path: Path, change: Callable[[Contents], None]) -> Path:
    """Write a copy of the package with changed contents."""
    with zipfile.ZipFile(path) as package:
        contents = {name: package.read(name) for name in package.namelist()}
    change(contents)
    other = path.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as package:
        for name, content in contents.items():
            package.writestr(name, content)
    return other


def update_digests(contents: Contents) -> None:
    import hashlib

    text = contents["rdf.yaml"].decode()
    description = yaml.safe_load(text)
    files = [description["documentation"], description["weights"]["onnx"], description["inputs"][0]["test_tensor"]]
    files += [output["test_tensor"] for output in description["outputs"]]
    for file in files:
        file["sha256"] = hashlib.sha256(contents[file["source"]]).hexdigest()
    contents["rdf.yaml"] = yaml.safe_dump(description).encode()


def array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content))


def as_npy(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def described(path: Path) -> dict[str, object]:
    with zipfile.ZipFile(path) as package:
        return yaml.safe_load(package.read("rdf.yaml"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "model.bioimageio.zip"
    network, model_card = make_network()
    export_model(network, model_card, "bioimageio", path, make_material())
    return path


def test_a_written_package_passes(package: Path) -> None:
    check_package(package)
    check_package(rewritten(package, update_digests))


def test_a_wrong_test_output_is_detected(package: Path) -> None:
    def change(contents: Contents) -> None:
        contents["test_output.npy"] = as_npy(array(contents["test_output.npy"])[:, ::-1])
        update_digests(contents)

    with pytest.raises(ExportFailed, match="whose test input gives its test output; got probability differs by"):
        check_package(rewritten(package, change))


def test_a_description_without_normalisation_is_detected(package: Path) -> None:
    def change(contents: Contents) -> None:
        description = yaml.safe_load(contents["rdf.yaml"])
        del description["inputs"][0]["preprocessing"][1]
        contents["rdf.yaml"] = yaml.safe_dump(description).encode()

    with pytest.raises(ExportFailed, match="probability differs"):
        check_package(rewritten(package, change))


@pytest.mark.parametrize("name", ["README.md", "model.onnx", "test_input.npy", "test_output.npy"])
def test_a_changed_file_is_detected(name: str, package: Path) -> None:
    other = rewritten(package, lambda contents: contents.update({name: contents[name] + b" "}))
    with pytest.raises(BadModel, match=f"{name} does not match its description"):
        check_package(other)


def test_unreadable_packages_are_rejected(package: Path) -> None:
    def add_unknown_step(contents: Contents) -> None:
        description = yaml.safe_load(contents["rdf.yaml"])
        description["inputs"][0]["preprocessing"].append({"id": "clip"})
        contents["rdf.yaml"] = yaml.safe_dump(description).encode()

    for change in (
        add_unknown_step,
        lambda contents: contents.pop("test_input.npy"),
        lambda contents: contents.pop("rdf.yaml"),
    ):
        with pytest.raises(BadModel, match="does not follow its description"):
            check_package(rewritten(package, change))
    package.with_name("none.zip").write_bytes(b"nonsense")
    with pytest.raises(BadModel, match="does not follow its description"):
        check_package(package.with_name("none.zip"))


def test_the_scale_of_the_axes_is_the_spacing_of_the_training(package: Path, tmp_path: Path) -> None:
    network, model_card = make_network()
    path = tmp_path / "model.zip"
    export_model(network, replace(model_card, spacing=(0.5, 0.25)), "bioimageio", path, make_material())
    for tensors in ("inputs", "outputs"):
        axes = described(path)[tensors][0]["axes"][2:]  # type: ignore[index]
        assert [(axis["id"], axis["scale"], axis["unit"]) for axis in axes] == [
            ("y", 0.5, "micrometer"),
            ("x", 0.25, "micrometer"),
        ]
        assert not any({"scale", "unit"} & set(axis) for axis in described(package)[tensors][0]["axes"])  # type: ignore[index]


def test_the_description_of_a_classifier(tmp_path: Path) -> None:
    network, model_card = make_photo_network()
    path = tmp_path / "model.zip"
    export_model(network, model_card, "bioimageio", path, make_material(make_photo_samples(8)))
    description = described(path)
    assert [axis.get("size") for axis in description["inputs"][0]["axes"]] == [None, None, 16, 16]  # type: ignore[index]
    (output,) = description["outputs"]  # type: ignore[misc]
    assert [axis["type"] for axis in output["axes"]] == ["batch", "channel"]
    assert output["axes"][1]["channel_names"] == list(model_card.classes)
    assert description["tags"] == ["classification", "resnet20"]


def test_the_graph_returns_probabilities_with_a_distance_channel(tmp_path: Path) -> None:
    network, model_card = make_distance_network()
    path = tmp_path / "model.zip"
    export_model(network, model_card, "bioimageio", path, make_material())
    outputs = described(path)["outputs"]
    assert [output["id"] for output in outputs] == ["probability", "logits"]  # type: ignore[union-attr]
    assert not outputs[0]["postprocessing"]  # type: ignore[index]
    assert outputs[0]["axes"][1]["channel_names"] == ["background", "interior", "boundary", "distance"]  # type: ignore[index]
    with zipfile.ZipFile(path) as held:
        probabilities = array(held.read("test_output.npy"))
    assert np.allclose(probabilities[:, :3].sum(1), 1, atol=1e-5)


def test_models_with_a_distance_channel_pass_the_parity_check(tmp_path: Path) -> None:
    network, model_card = make_distance_network()
    done = export_model(network, model_card, "onnx", tmp_path / "model.onnx", make_material())
    assert {one.runtime.partition(",")[0] for one in done.comparisons} == {"onnxruntime", "openvino"}


def make_distance_network() -> tuple[object, ModelCard]:
    network, model_card = make_network(classes=4)
    return network, replace(model_card, target=TargetOptions(kind="distance"), task="instance")
