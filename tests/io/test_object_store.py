"""Objects are listed, read, and written once; what a store refuses is said in one line."""

from collections.abc import Generator
from pathlib import Path

import pytest

from pixelwise.errors import BadImage, BadOption, OutputFailed
from pixelwise.io import object_store
from pixelwise.io.object_store import (
    address,
    check_exclusive,
    fetch_object,
    find_object,
    has_content,
    is_remote,
    list_objects,
    put_new_object,
    read_object,
)
from s3_server import BUCKET, make_bucket, needs_server, serving

needs_server()
ROOT = Path(f"s3://{BUCKET}")


@pytest.fixture(scope="module")
def server() -> Generator[dict[str, str], None, None]:
    with serving() as environment:
        yield environment


@pytest.fixture
def bucket(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(server, monkeypatch)
    return ROOT


def enter(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead to a server, and forget others."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    object_store._bucket.cache_clear()
    make_bucket(environment)


def test_a_path_keeps_an_address() -> None:
    assert is_remote(Path("s3://bucket/a/b.png"))
    assert address(Path("s3://bucket/a/b.png") / "c") == "s3://bucket/a/b.png/c"
    assert not any(map(is_remote, ("images", "/s3:/x", "gs://bucket/a", "s3")))


def test_an_object_is_written_once(bucket: Path, tmp_path: Path) -> None:
    place = bucket / "runs" / "a.bin"
    assert find_object(place) is None
    assert put_new_object(place, b"first")
    assert not put_new_object(place, b"second"), "and is unchanged"
    assert read_object(place) == b"first"
    (tmp_path / "file").write_bytes(b"x" * 3_000_000)
    assert put_new_object(bucket / "runs" / "large", tmp_path / "file")
    fetch_object(bucket / "runs" / "large", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == b"x" * 3_000_000
    assert (len(read_object(bucket / "runs" / "large", 10)), read_object(place, 10)) == (10, b"first")


def test_marks_tell_contents_apart(bucket: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"2"), ("c", b"1")):
        put_new_object(bucket / name, content)
    marks = [entry.mark for entry in list_objects(bucket)]
    assert marks[0] == marks[2] != marks[1]
    digest = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # of "1"
    assert has_content(bucket / "a", 1, digest)
    assert not has_content(bucket / "b", 1, digest)
    assert not has_content(bucket / "d", 1, digest)


def test_only_what_is_below_an_address_is_listed(bucket: Path) -> None:
    for name in ("in/b.png", "in/a.png", "in/deep/c.png", "inside.png", "other/d.png"):
        put_new_object(bucket / name, b"1")
    assert [entry.path.relative_to(bucket / "in").as_posix() for entry in list_objects(bucket / "in")] == [
        "a.png",
        "b.png",
        "deep/c.png",
    ]
    assert len(list_objects(bucket)) == 5


def test_what_is_missing_or_refused_is_one_line(bucket: Path) -> None:
    with pytest.raises(BadImage, match="an object store that answers") as error:
        read_object(bucket / "none")
    assert "\n" not in str(error.value)
    assert "s3://pictures/none" in str(error.value)
    with pytest.raises(OutputFailed, match="no-such-bucket"):
        put_new_object(Path("s3://no-such-bucket/a"), b"1")
    with pytest.raises(BadOption, match="BUCKET"):
        list_objects(Path("s3://"))


def test_a_store_that_refuses_a_second_object_is_accepted(bucket: Path) -> None:
    check_exclusive(bucket / "out")
    assert list_objects(bucket) == [], "nothing is left"


def test_control_a_store_that_replaces_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(careless=True) as environment:
        enter(environment, monkeypatch)
        assert put_new_object(ROOT / "a", b"1")
        assert put_new_object(ROOT / "a", b"2")
        with pytest.raises(OutputFailed, match="refuses a second object") as error:
            check_exclusive(ROOT / "out")
        assert "\n" not in str(error.value)
