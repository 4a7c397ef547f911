"""The container files: what they promise, as far as a machine without a container engine can see; else for real."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from bright import drawn_image
from pixelwise.io.write import write_image

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
PORT = "8117"


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile and their arguments."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in lines if line.strip()]


def words(name: str) -> list[str]:
    """Return the words of an instruction in JSON form; of HEALTHCHECK those of its command."""
    argument = [argument for kind, argument in instructions() if kind == name][-1]
    return yaml.safe_load(argument.partition("CMD ")[2] or argument)


@pytest.fixture
def port() -> str:
    """A free port, instead of the one that the command and the health check name."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_the_server_does_not_run_as_root() -> None:
    stages = [index for index, (name, _) in enumerate(instructions()) if name == "FROM"]
    users = [argument for name, argument in instructions()[stages[-1] :] if name == "USER"]
    assert users
    assert users[-1].isdecimal()
    assert int(users[-1]) > 0
    assert all(name != "ADD" for name, _ in instructions()), "nothing is fetched by address"


def test_compose_takes_rights_away() -> None:
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text("utf-8"))["services"]["studio"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    data = next(volume for volume in service["volumes"] if volume.rpartition(":")[0].endswith("/data"))
    assert data.endswith(":ro")


def run_health_check(port: str) -> int:
    check = [word.replace(PORT, port) for word in words("HEALTHCHECK")]
    assert check[0] == "python"
    return subprocess.run([sys.executable, *check[1:]], capture_output=True, check=False).returncode


def test_the_command_serves_and_is_found_healthy(tmp_path: Path, port: str) -> None:
    """The command of the image, with folders of this machine; the health check sees it come and go."""
    (tmp_path / "data").mkdir()
    write_image(tmp_path / "data" / "a.png", drawn_image(0))
    places = {"/data": str(tmp_path / "data"), "/project/studio": str(tmp_path / "project"), PORT: port}
    command = [places.get(word, word) for word in words("CMD")]
    assert run_health_check(port) != 0, "there is no server yet"
    process = subprocess.Popen([sys.executable, "-m", "pixelwise", *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "/open/" in process.stdout.readline()
        for _ in range(600):
            if run_health_check(port) == 0:
                break
            time.sleep(0.1)
        assert run_health_check(port) == 0
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert run_health_check(port) != 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["a.png"]


def test_the_unit_names_a_command_that_exists() -> None:
    text = (ROOT / "docker" / "pixelwise.service").read_text("utf-8")
    command = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1])  # type: ignore[index]
    help_text = subprocess.run(
        [sys.executable, "-m", "pixelwise", "serve", "--help"], capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "200"},
    ).stdout  # fmt: skip
    assert command[1] == "serve"
    assert all(word in help_text for word in command if word.startswith("--"))


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_hadolint_finds_nothing() -> None:
    found = subprocess.run(["hadolint", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def engine() -> str | None:
    """Return a container engine that answers."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return name
    return None


@pytest.mark.slow
def test_the_image_builds_and_serves() -> None:
    found: Any = engine()
    if found is None:
        pytest.skip("there is no container engine")
    subprocess.run([found, "build", "-f", str(DOCKERFILE), "-t", "pixelwise-test", str(ROOT)], check=True)
    run = [found, "run", "--rm", "--read-only", "--tmpfs", "/tmp", "-v", "/project", "--detach", "pixelwise-test"]
    name = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    try:
        check = [found, "exec", name, *words("HEALTHCHECK")]
        healthy = False
        for _ in range(600):
            healthy = healthy or subprocess.run(check, capture_output=True, check=False).returncode == 0
            time.sleep(0 if healthy else 0.2)
        assert healthy
    finally:
        subprocess.run([found, "rm", "--force", name], capture_output=True, check=False)
