"""Starting: what is a model and what is data, the token, the port, and what the server process loads."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from bright import drawn_image
from pixelwise.errors import BadOption, OutputFailed
from pixelwise.io.write import write_image
from pixelwise.server import start
from pixelwise.server.access import Access
from pixelwise.server.start import Targets, serve, sort_targets
from tiny import write_run


def test_models_and_data(model: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run").folder
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "one.png", drawn_image())
    targets = sort_targets([run, model, tmp_path / "images", tmp_path / "one.png"])
    assert targets == Targets((run, model), (tmp_path / "images", tmp_path / "one.png"))
    with pytest.raises(BadOption):
        sort_targets([tmp_path / "nothing"])


@pytest.mark.parametrize(
    "token", ["", "short", "with a space in the middle", "sémantique-sémantique", "a,b;c,d;e,f;g,h;i,j"]
)
def test_weak_tokens(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token, "utf-8")
    with pytest.raises(BadOption, match="token"):
        serve(Targets((), ()), host="127.0.0.1", port=0, token_file=tmp_path / "token", announce=lambda *_: None)


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(BadOption, match="token"):
            serve(Targets((), ()), host="127.0.0.1", port=0, token_file=path, announce=lambda *_: None)
        with pytest.raises(BadOption, match="pipe"):
            sort_targets([path])


# uvicorn leaves its socket open when it cannot bind it
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputFailed, match="port"):
            serve(
                Targets((), ()), host="127.0.0.1", port=taken.getsockname()[1], out=tmp_path, announce=lambda *_: None
            )


def test_nothing_is_written_beside_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", drawn_image())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputFailed):
        serve(Targets((), (tmp_path,)), host="127.0.0.1", port=0, announce=lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_the_server_loads_no_torch_and_drains(tmp_path: Path, model: Path) -> None:
    program = (
        "import sys, signal, threading, pixelwise.cli.main as cli\n"
        "sys.argv = ['pixelwise', 'serve', *sys.argv[1:]]\n"
        "try:\n    cli.app(standalone_mode=False)\n"
        "finally:\n    print('TORCH', 'torch' in sys.modules, file=sys.stderr)"
    )
    words = [str(model), "--port", "0", "--no-browser", "--out", str(tmp_path / "project")]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    link = process.stdout.readline().strip()
    origin = link.partition("/open/")[0]
    with urllib.request.urlopen(f"{origin}/v2/health/live", timeout=60) as answer:
        assert json.loads(answer.read()) == {"live": True}
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{origin}/v2", timeout=60)
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "TORCH False" in text
    assert "Traceback" not in text
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_the_link_leads_to_the_port_that_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[tuple[str, Access]] = []
    events: list[str] = []

    def run(server: Any, sockets: list[socket.socket]) -> None:
        with socket.create_connection(sockets[0].getsockname()[:2]):
            events.append("listens")
        assert not server._service.admission.draining
        monkeypatch.setattr(uvicorn.Server, "handle_exit", lambda *words: events.append("stops"))
        server._captured_signals.append(signal.SIGTERM)
        server.handle_exit(signal.SIGTERM, None)
        assert server._service.admission.draining
        assert not server._captured_signals, "the exit code is 0"

    monkeypatch.setattr(start._DrainingServer, "run", run)
    (tmp_path / "token").write_text("0123456789abcdef\n", "utf-8")
    serve(
        Targets((), ()), host="127.0.0.1", port=0, out=tmp_path / "out", token_file=tmp_path / "token",
        announce=lambda link, access: announced.append((link, access)),
    )  # fmt: skip
    ((link, access),) = announced
    assert events == ["listens", "stops"]
    assert access.token == "0123456789abcdef"
    assert access.token not in link
    with pytest.raises(BadOption, match="readable file"):
        serve(Targets((), ()), host="127.0.0.1", port=0, token_file=tmp_path / "none", announce=lambda *_: None)
