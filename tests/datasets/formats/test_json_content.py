"""JSON of other programs: what is no readable JSON is refused with the reason, and few files decide about a format."""

import json
from pathlib import Path

import pytest

from pixelwise.datasets.formats import json_content
from pixelwise.datasets.formats.json_content import find_files, read_ends, read_json
from pixelwise.errors import BadDataset


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": 1,}', "valid JSON"),
        (b'"\xff"', "JSON in UTF-8"),
        (b"[" * 200_000, "JSON of usual depth"),
        (b"[" + b"1," * 40 + b"1]", "a JSON file of at most 64 bytes"),
    ],
)
def test_other_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, expected: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [1, 2.5, "b"]}), encoding="utf-8")
    assert read_json(path) == {"a": [1, 2.5, "b"]}
    path.write_bytes(content)
    if "at most" in expected:
        monkeypatch.setattr(json_content, "MAX_BYTES", 64)
    with pytest.raises(BadDataset) as refused:
        read_json(path)
    assert refused.value.expected == expected


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataset) as refused:
        read_json(tmp_path)
    assert refused.value.expected == "a JSON file"
    assert read_ends(tmp_path) == ""


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}", encoding="utf-8")

    def refuse(*_: object, **__: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    assert read_ends(path) == "{}"
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadDataset) as refused:
        read_json(path)
    assert refused.value.got == "permission denied"
    assert read_ends(path) == ""


def test_few_files_of_few_folders_decide_about_a_format(tmp_path: Path) -> None:
    for folder in range(14):
        (tmp_path / f"{folder:02d}").mkdir()
        for name in ("a.json", "b.JSON", "c.json", ".d.json", "e.txt"):
            (tmp_path / f"{folder:02d}" / name).touch()
    assert len(list(find_files(tmp_path, ".json"))) == 14 * 3
    assert len(list(find_files(tmp_path, ".json", some=2))) == 10 * 2
