"""Published weights are fetched once, from a server of this machine here, and only the right file is kept."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pixelwise.errors import BadOption, BadWeights, OutputFailed
from pixelwise.networks.published import MEAN, PRETRAINED, STD, PretrainedWeights
from pixelwise.networks.weights import read_weights
from pixelwise.progress import Progress
from pixelwise.runtimes.cache import cache_folder
from pixelwise.workflow.import_weights import import_weights
from pixelwise.workflow.weights import download
from pixelwise.workflow.weights.store import fetch_weights, file_digest, stored_path
from served import Served, serve

NAME = "resnet18-{}.pth"
TENSORS = {"conv1.weight": torch.arange(6.0).view(2, 3), "bn1.num_batches_tracked": torch.tensor(7)}


def content() -> bytes:
    buffer = io.BytesIO()
    torch.save(TENSORS, buffer)
    return buffer.getvalue()


CONTENT = content()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "weights"


@pytest.fixture
def server() -> Iterator[Served]:
    with serve({f"/{NAME.format(DIGEST[:8])}": CONTENT}) as served:
        yield served


def entry(server: Served, *, sha256: str = DIGEST, path: str = NAME.format(DIGEST[:8])) -> PretrainedWeights:
    return PretrainedWeights(
        word="imagenet",
        url=f"{server.root}/{path}",
        sha256=sha256,
        size_mib=len(CONTENT) / 2**20,
        source="somebody's weights",
        licence="a licence",
        mean=MEAN,
        std=STD,
    )


class Listener(Progress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, *sentences: str) -> None:
        self.messages += sentences


@pytest.mark.parametrize("known", [64, 8])
def test_weights_are_downloaded_once_checked_converted_and_cached(server: Served, cache: Path, known: int) -> None:
    published, listener = entry(server, sha256=DIGEST[:known]), Listener()
    path = fetch_weights(published, listener)
    assert listener.messages == [f"Downloading {published.url} (0 MiB) to {cache}."]
    tensors, origin = read_weights(path)
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())
    assert (origin.source, origin.licence, origin.sha256) == ("somebody's weights", "a licence", DIGEST)
    assert (origin.mean, origin.std) == (MEAN, STD)
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert (record["sha256"], record["known_beforehand"]) == (DIGEST, known == 64)
    assert sorted(p.suffix for p in cache.iterdir()) == [".json", ".safetensors"]
    assert fetch_weights(published, Progress()) == path
    assert server.asked == [f"/{NAME.format(DIGEST[:8])}"]  # control: a second download would be listed


def test_without_a_network_the_second_time(server: Served, cache: Path) -> None:
    published = entry(server)
    path = fetch_weights(published, Progress())
    server.close()
    assert fetch_weights(published, Progress()) == path
    path.unlink()  # control: without the stored file the network is needed
    with pytest.raises(BadWeights, match="no connection"):
        fetch_weights(published, Progress())


def test_without_a_connection_the_hint_explains_the_manual_import(server: Served, cache: Path) -> None:
    published = entry(server)
    server.close()
    with pytest.raises(BadWeights) as caught:
        fetch_weights(published, Progress())
    assert str(caught.value).startswith(f"expected {published.url}; got no connection (")
    for text in (published.url, f"`pixelwise import-weights {published.stem}.pth`", str(cache)):
        assert text in caught.value.hint


def test_a_manually_imported_file_is_cached(
    server: Served, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published, listener = entry(server), Listener()
    monkeypatch.setitem(PRETRAINED["imagenet"], "resnet18", published)
    server.close()
    (tmp_path / "brought.pth").write_bytes(CONTENT)
    imported = import_weights(tmp_path / "brought.pth", progress=listener)
    assert imported.path == stored_path(published) == fetch_weights(published, Progress())
    assert listener.messages == [
        "This is somebody's weights.",
        "encoder_weights=imagenet now uses this file, without a download.",
        "Licence: a licence.",
    ]


@pytest.mark.parametrize("length", [64, 8])
def test_another_file_is_rejected_and_deleted(server: Served, cache: Path, length: int) -> None:
    published = entry(server, sha256="0" * length)
    with pytest.raises(BadWeights, match=f"another file, {DIGEST}") as caught:
        fetch_weights(published, Progress())
    assert "It was deleted" in caught.value.hint
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "got"),
    [
        ("truncated", "the connection was lost"),
        ("endless", "more"),
        ("large", str(10**12)),
        ("absent", "status 404"),
        ("away", "http://example.org/x.pth"),
    ],
)
def test_download_errors_are_reported_and_no_file_remains(server: Served, cache: Path, path: str, got: str) -> None:
    server.files["/truncated"] = CONTENT
    with pytest.raises(BadWeights, match=got):
        fetch_weights(entry(server, path=path), Progress())
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_redirect_within_the_rules_is_followed(server: Served, cache: Path) -> None:
    server.files["/there"] = CONTENT
    assert fetch_weights(entry(server, path="moved"), Progress()).is_file()
    assert server.asked == ["/moved", "/there"]


@pytest.mark.parametrize("url", ["http://example.org/x.pth", "ftp://localhost/x.pth", "file:///etc/passwd"])
def test_other_addresses_are_never_asked(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise RuntimeError("a connection was opened")

    monkeypatch.setattr(download, "build_opener", refuse)
    how = {"sha256": DIGEST, "size_mib": 1.0, "hint": "hint", "progress": Progress()}
    with pytest.raises(BadWeights, match="an https address"):
        download.download(url, tmp_path / "x", **how)
    with pytest.raises(RuntimeError):  # control: https reaches the connection
        download.download("https://example.org/x", tmp_path / "x", **how)


def test_a_stored_file_that_changed_is_refused(server: Served, cache: Path) -> None:
    published = entry(server)
    path = fetch_weights(published, Progress())
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadWeights, match="another SHA-256") as caught:
        fetch_weights(published, Progress())
    assert "Remove it" in caught.value.hint
    path.with_suffix(".json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadWeights, match="the record of a stored file"):
        fetch_weights(published, Progress())


def test_a_published_program_is_refused_and_not_kept(server: Served, cache: Path) -> None:
    buffer = io.BytesIO()
    torch.save(torch.nn.Linear(1, 1), buffer)
    server.files["/whole"] = buffer.getvalue()
    with pytest.raises(BadWeights, match="a file that holds only tensors"):
        fetch_weights(entry(server, path="whole", sha256=hashlib.sha256(buffer.getvalue()).hexdigest()), Progress())
    assert list(cache.iterdir()) == []


def test_the_cache_folder_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIXELWISE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "pixelwise"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "pixelwise"
    monkeypatch.setenv("PIXELWISE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_unknown_weights_are_imported_to_out(tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(CONTENT)
    out, how = tmp_path / "out.safetensors", {"mean": (0.5,), "std": (0.25,), "progress": Progress()}
    imported = import_weights(tmp_path / "x.pth", out=out, licence="CC0", **how)
    assert (imported.path, imported.tensors, imported.parameters) == (out, 2, 7)
    _, origin = read_weights(out)
    assert (origin.source, origin.licence, origin.sha256, origin.mean) == ("x.pth", "CC0", DIGEST, (0.5,))
    with pytest.raises(OutputFailed, match="an existing one"):
        import_weights(tmp_path / "x.pth", out=out, progress=Progress())
    again = import_weights(out, out=tmp_path / "again.safetensors", progress=Progress())
    assert again.to_json()["source"] == "out.safetensors"
    assert again.to_text().startswith("2 tensors, 7 parameters: ")


def test_import_goes_into_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.pth").write_bytes(CONTENT)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    listener = Listener()
    assert import_weights(tmp_path / "x.pth", progress=listener).path == Path("x.safetensors")
    (message,) = listener.messages
    assert "unknown" in message
    assert "--licence" in message
    with pytest.raises(BadOption, match="one number per channel"):
        import_weights(tmp_path / "x.pth", out="y.safetensors", mean=(0.5,), progress=Progress())


def test_the_digest_of_what_never_ends(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(BadWeights):
            file_digest(path)
    with pytest.raises(BadWeights, match="folder"):
        import_weights(".")  # which has no name to call the output by
