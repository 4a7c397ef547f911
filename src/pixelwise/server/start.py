"""Start the server: sort what was named on the command line, bind a port, print the link."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from pixelwise.errors import BadOption, OutputFailed
from pixelwise.server.access import Access
from pixelwise.server.app import create_app
from pixelwise.server.limits import Limits
from pixelwise.server.project import Project
from pixelwise.server.service import ServeOptions, Service
from pixelwise.server.studio import Studio

_MODEL_SUFFIXES = (".safetensors", ".onnx", ".xml", ".zip")
_DRAIN_SECONDS = 30
_MIN_TOKEN = 16
_TOKEN_FILE = 4096  # bytes


@dataclass(frozen=True)
class Targets:
    """What was named on the command line: models, and folders or files of images."""

    models: tuple[Path, ...]
    data: tuple[Path, ...]


def sort_targets(paths: Sequence[Path]) -> Targets:
    """Tell runs and models from data.

    Raises
    ------
    BadOption
        A path does not exist, or is a pipe or device.
    """
    models: list[Path] = []
    data: list[Path] = []
    for path in paths:
        if not path.exists():
            raise BadOption("a run, a model or images", "a path that does not exist", "Check the path.", path)
        if not path.is_file() and not path.is_dir():
            raise BadOption("a run, a model or images", "a pipe or device", "Give a file or a folder.", path)
        (models if _is_model(path) else data).append(path)
    return Targets(tuple(models), tuple(data))


def serve(
    targets: Targets,
    *,
    host: str,
    port: int,
    allowed_hosts: Sequence[str] = (),
    token_file: Path | None = None,
    out: Path | None = None,
    limits: Limits | None = None,
    options: ServeOptions | None = None,
    announce: Callable[[str, Access], object],
) -> None:
    """Serve until SIGINT or SIGTERM; work in flight is finished within 30 seconds.

    Parameters
    ----------
    host, port
        Address; port 0 is a free one.
    allowed_hosts : sequence of str
        More names of the server, such as that of a reverse proxy.
    token_file : Path, optional
        A file with the token; by default a new one is made.
    out : Path, optional
        The project folder; by default `studio/<name>`.
    announce : callable
        Called with the one-time link once the port is open.

    Raises
    ------
    BadOption
        The token is too short.
    OutputFailed
        The port is not free, or the project folder cannot be used.
    """
    folder, token = out or _project_folder(targets), _token(token_file)
    # h11 bounds the head of a request, httptools does not
    config = uvicorn.Config(
        "", host=host, port=port, http="h11", log_config=None, access_log=False, server_header=False
    )
    config.timeout_graceful_shutdown = _DRAIN_SECONDS
    config.h11_max_incomplete_event_size = 2**16
    try:
        socket = config.bind_socket()
    except SystemExit as error:  # uvicorn logs the reason and exits
        raise OutputFailed(
            "a free port", f"port {port} of {host}, which cannot be used", "Choose another --port."
        ) from error
    with socket:
        socket.listen(config.backlog)  # who follows the link at once waits instead of being refused
        access = Access(host, socket.getsockname()[1], frozenset(allowed_hosts), **token)
        project = Project(folder)
        service = Service(targets.models, limits, options)
        studio = Studio(service, project, targets.data)
        config.app = create_app(service, access, studio)
        announce(access.new_link(), access)
        _DrainingServer(config, service).run(sockets=[socket])


class _DrainingServer(uvicorn.Server):
    """A server that says so when it is about to stop, before it stops."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: object) -> None:
        """Refuse new work; a second signal ends the server at once."""
        self._service.admission.draining = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]
        if sig in (signal.SIGTERM, signal.SIGINT):
            self._captured_signals.clear()  # do not raise the signal again: the exit code is 0


def _project_folder(targets: Targets) -> Path:
    """Return the default project folder: named after the first data, else the first model."""
    named = [*targets.data, *targets.models]
    name = (named[0].resolve().stem if named else "") or "example"
    folder = Path("studio") / name
    if any(folder.resolve().is_relative_to(path.resolve()) for path in targets.data if path.is_dir()):
        hint = "Choose another folder with --out: nothing is ever written next to your images."
        raise OutputFailed("a project folder outside the images", "one inside them", hint, folder)
    return folder


def _is_model(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in _MODEL_SUFFIXES
    return any((path / name).is_file() for name in ("model.safetensors", "config.yaml")) or bool(
        [*path.glob("*.xml")] and [*path.glob("*.bin")]
    )


def _token(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        if file.exists() and (not file.is_file() or file.stat().st_size > _TOKEN_FILE):
            raise BadOption("a file with a token alone", "another one", "Check --token-file.", file)
        token = file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise BadOption("a readable file with a token", str(error), "Check --token-file.") from error
    if len(token) < _MIN_TOKEN or not token.isascii() or any(c.isspace() or c in ',;"\\' for c in token):
        hint = "Make one with: openssl rand -hex 32"
        raise BadOption(f"a token of at least {_MIN_TOKEN} letters and digits", "another one", hint, file)
    return {"token": token}
