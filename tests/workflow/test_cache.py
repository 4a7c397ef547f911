"""The cache is shown and cleared, and nothing beside its own folders is touched."""

from pathlib import Path

import pytest

from pixelwise.workflow.cache import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path))
    for kind, name, size in (("steps", "a.json", 10), ("steps", "b.json", 20), ("weights", "w.safetensors", 3000)):
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / name).write_bytes(bytes(size))
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    return tmp_path


def test_the_cache_is_shown_by_kind(folder: Path) -> None:
    found = cache()
    assert (found.files, found.bytes) == ({"steps": 2, "weights": 1}, {"steps": 30, "weights": 3000})
    assert str(folder) in found.to_text()
    assert found.to_json()["kinds"]["steps"] == {"files": 2, "bytes": 30}
    assert (folder / "steps" / "a.json").exists()


def test_the_cache_is_cleared_and_other_files_stay(folder: Path) -> None:
    assert cache(clear=True).cleared
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert "empty" in cache().to_text()


def test_one_kind_alone_is_cleared(folder: Path) -> None:
    cache(clear=True, kinds=("steps",))
    assert sorted(path.name for path in folder.iterdir()) == ["mine.txt", "weights"]
