"""A bioimage.io package is checked as its readers take it: by its description, digests and own test."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from exports import make_material, make_network, make_photo_network, make_photo_samples
from pixelwise.errors import BadModel, ExportFailed
from pixelwise.exporters.export import export_model
from pixelwise.exporters.package import check_package
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_card import ModelCard

Contents = dict[str, bytes]


def rewritten(path: Path, change: Callable[[Contents], None]) -> Path:
    """Write the package again with changed contents, every digest in its description brought up to date."""
    with zipfile.ZipFile(path) as package:
        contents = {name: package.read(name) for name in package.namelist()}
    change(contents)
    other = path.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as package:
        for name, content in contents.items():
            package.writestr(name, content)
    return other


def redigested(contents: Contents) -> None:
    import hashlib

    text = contents["rdf.yaml"].decode()
    messages = yaml.safe_load(text)
    named = [messages["documentation"], messages["weights"]["onnx"], messages["inputs"][0]["test_tensor"]]
    named += [output["test_tensor"] for output in messages["outputs"]]
    for one in named:
        one["sha256"] = hashlib.sha256(contents[one["source"]]).hexdigest()
    contents["rdf.yaml"] = yaml.safe_dump(messages).encode()


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


def test_a_package_as_it_was_written_passes(package: Path) -> None:
    check_package(package)
    check_package(rewritten(package, redigested))


def test_control_another_test_output_is_seen(package: Path) -> None:
    def change(contents: Contents) -> None:
        contents["test_output.npy"] = as_npy(array(contents["test_output.npy"])[:, ::-1])
        redigested(contents)

    with pytest.raises(ExportFailed, match="whose test input gives its test output; got probability differs by"):
        check_package(rewritten(package, change))


def test_control_a_description_that_leaves_the_normalisation_out_is_seen(package: Path) -> None:
    def change(contents: Contents) -> None:
        messages = yaml.safe_load(contents["rdf.yaml"])
        del messages["inputs"][0]["preprocessing"][1]
        contents["rdf.yaml"] = yaml.safe_dump(messages).encode()

    with pytest.raises(ExportFailed, match="probability differs"):
        check_package(rewritten(package, change))


@pytest.mark.parametrize("name", ["README.md", "model.onnx", "test_input.npy", "test_output.npy"])
def test_a_changed_file_is_not_the_one_that_is_named(name: str, package: Path) -> None:
    other = rewritten(package, lambda contents: contents.update({name: contents[name] + b" "}))
    with pytest.raises(BadModel, match=f"another {name} than its description names"):
        check_package(other)


def test_what_cannot_be_read_is_told(package: Path) -> None:
    def strange(contents: Contents) -> None:
        messages = yaml.safe_load(contents["rdf.yaml"])
        messages["inputs"][0]["preprocessing"].append({"id": "clip"})
        contents["rdf.yaml"] = yaml.safe_dump(messages).encode()

    for change in (strange, lambda contents: contents.pop("test_input.npy"), lambda contents: contents.pop("rdf.yaml")):
        with pytest.raises(BadModel, match="cannot be read as its description says"):
            check_package(rewritten(package, change))
    package.with_name("none.zip").write_bytes(b"nonsense")
    with pytest.raises(BadModel, match="cannot be read"):
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


def test_a_classifier_gives_a_number_per_class_for_photos_of_one_size(tmp_path: Path) -> None:
    network, model_card = make_photo_network()
    path = tmp_path / "model.zip"
    export_model(network, model_card, "bioimageio", path, make_material(make_photo_samples(8)))
    messages = described(path)
    assert [axis.get("size") for axis in messages["inputs"][0]["axes"]] == [None, None, 16, 16]  # type: ignore[index]
    (output,) = messages["outputs"]  # type: ignore[misc]
    assert [axis["type"] for axis in output["axes"]] == ["batch", "channel"]
    assert output["axes"][1]["channel_names"] == list(model_card.classes)
    assert messages["tags"] == ["classification", "resnet20"]


def test_distances_beside_classes_come_ready_out_of_the_graph(tmp_path: Path) -> None:
    network, model_card = distances()
    path = tmp_path / "model.zip"
    export_model(network, model_card, "bioimageio", path, make_material())
    outputs = described(path)["outputs"]
    assert [output["id"] for output in outputs] == ["probability", "logits"]  # type: ignore[union-attr]
    assert not outputs[0]["postprocessing"]  # type: ignore[index]
    assert outputs[0]["axes"][1]["channel_names"] == ["background", "interior", "boundary", "distance"]  # type: ignore[index]
    with zipfile.ZipFile(path) as held:
        probabilities = array(held.read("test_output.npy"))
    assert np.allclose(probabilities[:, :3].sum(1), 1, atol=1e-5)


def test_distances_beside_classes_are_proven_in_onnx(tmp_path: Path) -> None:
    network, model_card = distances()
    done = export_model(network, model_card, "onnx", tmp_path / "model.onnx", make_material())
    assert {one.runtime.partition(",")[0] for one in done.comparisons} == {"onnxruntime", "openvino"}


def distances() -> tuple[object, ModelCard]:
    network, model_card = make_network(classes=4)
    return network, replace(model_card, target=TargetOptions(kind="distance"), task="instance")
