"""Mutated model files, model cards and checkpoint manifests: accepted or refused, never a foreign exception."""

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import ODD, accept_or_refuse, edits, examples, mutate, places, replaced
from pixelwise.errors import BadModel
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.model_file import model_card as module
from pixelwise.model_file.model_card import read_model_card_text
from pixelwise.model_file.model_file import load_model
from pixelwise.sampling.normalise import Normalisation
from pixelwise.training.checkpoint import MANIFEST, newest_checkpoint, save_checkpoint
from tiny import as_json, make_photo_recipe, make_recipe, write_model
from training.test_checkpoint import state_of

FILE = Path("model.safetensors")
NUMBERS: list[Any] = [*ODD, 10**9, 1e-300, 300, [[300, -5, 0]], ["a"] * 5, [1] * 1000]


def test_mutated_model_files_are_loaded_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path)
    content = path.read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]

    @examples(80)
    @given(changed=edits(header), cut=st.none() | st.integers(0, len(content)))
    def check(changed: list[tuple[int, int]], cut: int | None) -> None:
        path.write_bytes(mutate(content, changed, cut))
        accept_or_refuse(lambda: load_model(path))

    check()


def replace_card(path: Path, card: str) -> None:
    """Replace the model card in a model file."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["pixelwise"] = card
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


@pytest.mark.parametrize("task", ["binary", "multiclass", "instance"])
def test_what_a_model_card_says_is_checked_as_a_whole(task: str, tmp_path: Path) -> None:
    """A card that is accepted predicts."""
    path = tmp_path / "model.safetensors"
    write_model(path, make_recipe(task))
    original = as_json(make_recipe(task))
    image = np.zeros((1, 32, 32), np.uint8)

    @examples(50)
    @given(at=st.sampled_from(places(json.loads(json.dumps(original)))), new=st.sampled_from(NUMBERS))
    def check(at: tuple[Any, ...], new: Any) -> None:
        replace_card(path, json.dumps(replaced(json.loads(json.dumps(original)), at, new)))
        accept_or_refuse(lambda: load_model_for_prediction(path, runtime="torch").predict(image))

    check()


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "no intensity range": {"intensity_range": []},
    "five classes of a network with two": {"classes": list("abcde")},
    "no classes": {"classes": []},
    "colours out of range": {"colours": [[300, -5, 0], [0, 0, 0]]},
    "no colours": {"colours": []},
    "unknown task": {"task": "rubbish"},
    "negative tile": {"tile": -1},
    "huge tile": {"tile": 10**30},
    "no channels": {"channels": 0},
    "many channels": {"channels": 10**9},
    "too many values": {"values": list(range(1000))},
    "tiny temperature": {"temperature": 1e-300},
    "areas of other classes": {"target": {"class_areas": [0, 5, 5, 5]}},
    "a huge minimum area": {"target": {"min_area": 10**18}},
    "a view of a segmentation": {"view": {"side": 16, "shorter": 16}},
    "a huge value": {"values": [0, 10**30]},
    "no number of missing pixels": {"reading": {"nodata": ""}},
    "infinite range": {"intensity_range": [[0.0, 1e400]]},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_contradictory_cards_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(as_json(make_recipe()) | CONTRADICTIONS[name])
    with pytest.raises(BadModel):
        read_model_card_text(text, FILE)
    monkeypatch.setattr(module, "_check_consistency", lambda *_: None)
    if name not in ("unknown task",):
        return
    read_model_card_text(text, FILE)  # control: no other check finds it


@pytest.mark.parametrize(
    "geometry", [{"halo": -16}, {"legal_step": 0}, {"legal_step": 7}, {"margin": 10**9}, {"total_stride": 0}]
)
def test_impossible_geometries_are_refused(geometry: dict[str, int]) -> None:
    card = as_json(make_recipe())
    with pytest.raises(BadModel):
        read_model_card_text(json.dumps(card | {"geometry": card["geometry"] | geometry}), FILE)


def test_classification_cards_are_accepted() -> None:
    assert read_model_card_text(json.dumps(as_json(make_photo_recipe())), FILE) == make_photo_recipe()


def test_odd_manifests_fall_back_to_the_older_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state_of(10))
    manifest = save_checkpoint(tmp_path, state_of(20)) / MANIFEST
    original = json.loads(manifest.read_text(encoding="utf-8"))
    texts = ["[1]", '{"step":12,"files":[1]}', "[" * 100_000, '{"step":1}', "null", "", '{"step":[],"files":{}}']
    texts += ['{"step":1e400,"files":{}}', '{"step":-1,"files":{}}']

    @examples(40)
    @given(
        text=st.sampled_from(texts)
        | st.builds(
            lambda at, new: json.dumps(replaced(original, at, new)),
            st.sampled_from([place for place in places(original) if place[-1:] == ("sha256",) or len(place) < 3]),
            st.sampled_from(ODD),
        )
    )
    def check(text: str) -> None:
        manifest.write_text(text, encoding="utf-8")
        result, warnings = newest_checkpoint(tmp_path)
        assert result is not None
        assert (result.step, len(warnings)) in ((10, 1), (20, 0))
        assert result.step == 10 or json.loads(text)["files"] == original["files"]

    check()


def graph_bytes(text: str, channels: int = 2) -> bytes:
    """Return an ONNX file of one convolution with a model card."""
    onnx = pytest.importorskip("onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.ones((channels, 1, 1, 1), np.float32), "weights")
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    sides = ["batch", "height", "width"]
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("image", float32, [sides[0], 1, *sides[1:]])],
        [
            helper.make_tensor_value_info(n, float32, [sides[0], channels, *sides[1:]])
            for n in ("probabilities", "logits")
        ],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"pixelwise": text})
    return model.SerializeToString()


def test_what_the_metadata_of_a_graph_say_is_checked(tmp_path: Path) -> None:
    """A graph that is accepted predicts."""
    pytest.importorskip("onnxruntime")
    path, image = tmp_path / "model.onnx", np.zeros((1, 32, 32), np.uint8)
    original = json.loads(json.dumps(as_json(replace(make_recipe(), normalisation=Normalisation(kind="none")))))

    def predicts(card: Any) -> bool:
        path.write_bytes(graph_bytes(json.dumps(card)))
        return accept_or_refuse(lambda: load_model_for_prediction(path, runtime="onnx").predict(image))

    assert predicts(original)

    @examples(40)
    @given(at=st.sampled_from(places(original)), new=st.sampled_from(NUMBERS))
    def check(at: tuple[Any, ...], new: Any) -> None:
        predicts(replaced(original, at, new))

    check()


@pytest.mark.parametrize("name", [b"drawn", b"pixelwise", b"{marker}"])
def test_a_graph_with_text_that_is_none_is_refused_without_a_banner(
    name: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    path.write_bytes(graph_bytes("{marker}").replace(name, name[:-1] + b"\xd7"))
    assert not accept_or_refuse(lambda: load_model_for_prediction(path, runtime="onnx"))
    assert capsys.readouterr().out == ""


def test_a_graph_with_other_logits_than_its_card_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx_runtime = pytest.importorskip("pixelwise.runtimes.onnx")
    path, image = tmp_path / "model.onnx", np.zeros((1, 32, 32), np.uint8)
    card = replace(make_recipe(), normalisation=Normalisation(kind="none"))
    path.write_bytes(graph_bytes(json.dumps(as_json(card)), channels=5))
    with pytest.raises(BadModel, match="logits have the shape"):
        load_model_for_prediction(path, runtime="onnx").predict(image)
    monkeypatch.setattr(onnx_runtime, "check_logits", lambda logits, *_: logits)
    assert load_model_for_prediction(path, runtime="onnx").predict(image) is not None  # control: taken
