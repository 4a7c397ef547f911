"""Checkpoints survive kills, damage and full disks."""

from pathlib import Path

import pytest
import torch

from pixelwise.errors import OutputFailed
from pixelwise.training import checkpoint as module
from pixelwise.training.checkpoint import MANIFEST, Checkpoint, newest_checkpoint, save_checkpoint


def state_of(step: int) -> Checkpoint:
    return Checkpoint(step=step, tensors={"weights": {"a": torch.full((2, 3), float(step))}}, state={"best": 0.5})


def test_the_newest_complete_checkpoint_is_loaded(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, state_of(step))
    result, warnings = newest_checkpoint(tmp_path)
    assert result is not None
    assert result.step == 30
    assert torch.equal(result.tensors["weights"]["a"], torch.full((2, 3), 30.0))
    assert result.state == {"best": 0.5}
    assert warnings == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000020", "step-00000030"]


def test_a_checkpoint_without_manifest_is_ignored(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state_of(10))
    (save_checkpoint(tmp_path, state_of(20)) / MANIFEST).unlink()
    result, warnings = newest_checkpoint(tmp_path)
    assert result is not None
    assert (result.step, warnings) == (10, [])


def test_a_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state_of(10))
    file = save_checkpoint(tmp_path, state_of(20)) / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    result, warnings = newest_checkpoint(tmp_path)
    assert result is not None
    assert result.step == 10
    assert "step-00000020 is damaged" in warnings[0]


def test_control_without_checksums_the_flipped_bit_is_not_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_checkpoint(tmp_path, state_of(20)) / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))

    class ConstantHash:
        def hexdigest(self) -> str:
            return sha

    import json

    sha = json.loads((tmp_path / "step-00000020" / MANIFEST).read_text(encoding="utf-8"))["files"][
        "weights.safetensors"
    ]["sha256"]
    manifest = tmp_path / "step-00000020" / MANIFEST
    text = json.loads(manifest.read_text(encoding="utf-8"))
    text["files"]["state.json"]["sha256"] = sha
    manifest.write_text(json.dumps(text), encoding="utf-8")
    monkeypatch.setattr(module.hashlib, "sha256", lambda _: ConstantHash())
    result, _ = newest_checkpoint(tmp_path)
    assert result is not None
    assert not torch.equal(result.tensors["weights"]["a"], torch.full((2, 3), 20.0))


def test_a_manifest_cannot_refer_to_other_folders(tmp_path: Path) -> None:
    manifest = save_checkpoint(tmp_path, state_of(5)) / MANIFEST
    manifest.write_text(
        manifest.read_text(encoding="utf-8").replace("weights.safetensors", "../../secret"), encoding="utf-8"
    )
    result, warnings = newest_checkpoint(tmp_path)
    assert result is None
    assert "points outside the checkpoint" in warnings[0]


def test_a_full_disk_keeps_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, state_of(10))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pixelwise.atomic_write.os.fsync", full)
    with pytest.raises(OutputFailed, match="expected free disk space; got a full disk"):
        save_checkpoint(tmp_path, state_of(20))
    result, _ = newest_checkpoint(tmp_path)
    assert result is not None
    assert result.step == 10


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) == (None, [])
