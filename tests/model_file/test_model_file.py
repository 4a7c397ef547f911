"""Model files: round trip, and rejection of other, damaged and manipulated files."""

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from pixelwise.errors import BadModel, OutputFailed
from pixelwise.model_file.model_file import load_model, load_network, read_model_card, save_ensemble, save_model
from pixelwise.networks.architectures import build
from pixelwise.networks.ensemble import Ensemble
from tiny import as_json, make_recipe, write_model


def test_a_model_survives_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model_card = make_recipe("multiclass", channels=3)
    network = build(model_card.network)
    save_model(path, network, model_card)
    again, read = load_model(path)
    assert read == model_card == read_model_card(path)
    assert not again.training
    assert all(torch.equal(again.state_dict()[name], value) for name, value in network.state_dict().items())


def rewritten(path: Path, change: Callable[[dict[str, Any]], None], *, model_card: bool = True) -> Path:
    """Change the header (or its model card) and keep the tensors."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    if model_card:
        values = json.loads(header["__metadata__"]["pixelwise"])
        change(values)
        header["__metadata__"]["pixelwise"] = json.dumps(values)
    else:
        change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("_target_", value="os.system"), "a model card with an invalid _target_"),
        (put("network", "__class__", value="x"), "a model card with an invalid network.__class__"),
        (put("network", "name", value="resnet9000"), "expected a registered network; got `resnet9000`"),
        (put("network", "depth", value=10**9), "network.depth"),
        (put("network", "base", value="many"), "a model card with an invalid network.base"),
        (put("network", "base", value=8), "of another shape"),
        (put("network", "normalisation", value="none"), "unknown or missing tensors"),
        (put("network", "depth", value=3), "a tile geometry that does not match the network"),
        (put("geometry", "halo", value=0), "a tile geometry that does not match the network"),
        (put("version", value=99), "model card version 99, this pixelwise reads 1"),
        (lambda values: values.pop("classes"), "a model card with an invalid classes"),
    ],
)
def test_a_changed_model_card_is_rejected(tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path)
    rewritten(path, change)
    with pytest.raises(BadModel, match="expected a model file of pixelwise") as caught:
        load_model(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shapes_are_compared_before_any_tensor_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path)
    rewritten(path, put("network", "base", value=8))
    monkeypatch.setattr("pixelwise.model_file.model_file.load_file", lambda _: pytest.fail("tensors were read"))
    with pytest.raises(BadModel, match="of another shape"):
        load_model(path)


def never() -> None:
    raise SystemExit("code ran")


class Payload:
    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return never, ()


def as_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload()))


def as_torch_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload()))


def as_long_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")


def as_foreign_tensors(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


def as_foreign_metadata(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path, {"format": "pt"})


def as_doubled_key(path: Path) -> None:
    text = b'{"__metadata__":{"pixelwise":"{}"},"__metadata__":{"pixelwise":"{}"}}'
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def as_deep_json(path: Path) -> None:
    text = b"[" * 100_000
    path.write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (as_pickle, "a file of another kind"),
        (as_torch_zip, "a file of another kind"),
        (as_long_header, "a file of another kind"),
        (as_foreign_tensors, "a safetensors file without a model card"),
        (as_foreign_metadata, "without a pixelwise model card"),
        (as_doubled_key, "a file of another kind"),
        (as_deep_json, "a file of another kind"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_text("hello, I am no model", encoding="utf-8"), "a file of another kind"),
    ],
)
def test_foreign_files_are_rejected(tmp_path: Path, write: Callable[[Path], Any], words: str) -> None:
    path = tmp_path / "model.safetensors"
    write(path)
    with pytest.raises(BadModel, match="expected a model file of pixelwise") as caught:
        load_model(path)
    assert words in str(caught.value)


def test_missing_and_truncated_files_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(BadModel, match="No such file"):
        load_model(path)
    write_model(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadModel, match="damaged contents"):
        load_model(path)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path: Path, wrong: float) -> None:
    path = tmp_path / "model.safetensors"
    model_card = make_recipe()
    network = build(model_card.network)
    with torch.no_grad():
        next(network.parameters()).view(-1)[17] = wrong
    with pytest.raises(BadModel, match="expected finite weights; got NaN or Inf in encoder"):
        save_model(path, network, model_card)
    assert not path.exists()
    save_file(network.state_dict(), path, {"pixelwise": json.dumps(as_json(model_card))})
    with pytest.raises(BadModel, match="got NaN or Inf in"):
        load_model(path)


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    model_card = make_recipe()
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(OutputFailed, match="expected a writable path"):
        save_model(tmp_path / "model.safetensors", build(model_card.network), model_card)


@given(noise=st.binary(max_size=200), at=st.integers(0, 3000))
def test_random_bytes_give_only_clear_errors(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "model.safetensors"
    write_model(path)
    content = bytearray(path.read_bytes())
    content[at : at + len(noise)] = noise
    path.write_bytes(bytes(content))
    refused: list[str] = []
    try:
        load_model(path)
    except BadModel as error:
        refused.append(str(error))
    assert all(text.startswith(f"{path}: expected ") for text in refused)


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    model_card = write_model(tmp_path / "model.safetensors")
    assert load_model(str(tmp_path / "model.safetensors"))[1] == model_card
    assert read_model_card(str(tmp_path / "model.safetensors")) == model_card


def write_members(folder: Path, count: int = 3) -> list[Path]:
    """Write model files of one architecture with different weights and slightly different intensity ranges."""
    model_card, paths = make_recipe(), [folder / f"{number}.safetensors" for number in range(count)]
    for number, path in enumerate(paths):
        torch.manual_seed(number)
        card = replace(model_card, intensity_range=((-1.0 * number, 255.0 + number),), trained={"step": str(number)})
        save_model(path, build(model_card.network), card)
    return paths


def test_an_ensemble_is_one_file(tmp_path: Path) -> None:
    members = write_members(tmp_path)
    path, target = tmp_path / "model.safetensors", make_recipe().target
    model_card = save_ensemble(path, members, target, {"folds": "3"})
    network, read = load_model(path)
    assert read == model_card == read_model_card(path)
    assert (model_card.members, model_card.trained, model_card.intensity_range) == (3, {"folds": "3"}, ((-2.0, 257.0),))
    assert isinstance(network, Ensemble)
    for member, path in zip(network.members, members, strict=True):
        expected = load_network(path)[0].state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in member.state_dict().items())


def test_members_of_another_architecture_are_rejected(tmp_path: Path) -> None:
    members = write_members(tmp_path)
    write_model(members[1], replace(make_recipe(base=8)))
    with pytest.raises(BadModel, match=r"1\.safetensors: expected members with equal model cards; got a different one"):
        save_ensemble(tmp_path / "model.safetensors", members, make_recipe().target, {})
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (0, "a model card with an invalid members"),
        (10**9, "a model card with an invalid members"),
        (2, "unknown or missing tensors, such as unknown member3."),
        (1, "unknown or missing tensors"),
        (4, "unknown or missing tensors, such as missing member4."),
    ],
)
def test_another_number_of_members_is_rejected(tmp_path: Path, members: int, words: str) -> None:
    path = tmp_path / "model.safetensors"
    save_ensemble(path, write_members(tmp_path), make_recipe().target, {})
    rewritten(path, put("members", value=members))
    with pytest.raises(BadModel, match=words):
        load_model(path)


def test_a_file_without_members_is_one_network(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path)
    rewritten(path, lambda values: values.pop("members"))
    assert load_network(path)[1].members == 1


def test_an_ensemble_is_not_a_single_network(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_ensemble(path, write_members(tmp_path), make_recipe().target, {})
    with pytest.raises(BadModel, match="expected a model of one network; got an ensemble of 3"):
        load_network(path)
