"""The commands of the catalogue, each run in this process on one bad input, and what it comes to."""

import io
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from starlette.testclient import TestClient

from fuzz.mutations import limited
from pixelwise.cli.main import app
from pixelwise.datasets.dataset import DataOptions, Dataset, scan_dataset
from pixelwise.errors import BadImage, PixelwiseError, path_error
from pixelwise.exporters.export import ExportImages, ExportResult
from pixelwise.io.read import probe, write_image
from pixelwise.model_file.model_card import ModelCard
from pixelwise.server import worker_client
from pixelwise.server.access import Access
from pixelwise.server.app import create_app
from pixelwise.server.limits import Limits
from pixelwise.server.service import ServeOptions, Service
from pixelwise.server.workers.predictor import Predictor
from pixelwise.server.workers.protocol import Reply, describe_error
from pixelwise.server.workers.reader import Reader
from pixelwise.workflow.config import Config
from pixelwise.workflow.run import Run
from tiny import make_recipe, write_model

DATA_COMMANDS = ("inspect", "train", "evaluate", "export", "convert")
FILE_COMMANDS = ("predict", "predict --format tiff")
COMMANDS = (*DATA_COMMANDS, *FILE_COMMANDS, "serve")
SECONDS = 60  # of the processor: a command that takes longer hangs; 90 Mpx alone take 15 to 25 on slow machines
TRAINING = (
    "network.base=2", "network.depth=1", "patches.height=16", "patches.width=16", "patches.batch=2",
    "training.precision=float32", "training.threads=1", "training.tune=false", "--steps", "1",
)  # fmt: skip
_MAX_CHANNELS = 5
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".tif": "image/tiff", ".bmp": "image/bmp", ".webp": "image/webp"}


@dataclass(frozen=True)
class Outcome:
    """Exit code or HTTP status, kind of the error, and all that was printed."""

    code: int
    kind: str
    text: str

    def __str__(self) -> str:
        """Return the outcome as the catalogue writes it: ok, left out, the kind of the error, or a status."""
        return self.kind or {0: "ok", 2: "BadDataset", 3: "left out", 5: "ok"}.get(self.code, str(self.code))


def run_command(*words: str | Path) -> Outcome:
    """Run a command line as `pixelwise` does; foreign exceptions and hangs fail the test."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed), limited(SECONDS):
            code = typer.main.get_command(app)(args=[str(word) for word in words], standalone_mode=False)
    except PixelwiseError as error:
        return Outcome(error.exit_code, type(error).__name__, str(error))
    except OSError as error:
        refused = path_error(error)
        return Outcome(refused.exit_code, type(refused).__name__, str(refused))
    return Outcome(code or 0, "", printed.getvalue())


def run_on_data(command: str, data: Path, folder: Path, *options: str) -> Outcome:
    """Run one of `DATA_COMMANDS` on a data folder; outputs go to `folder`."""
    match command:
        case "inspect":
            return run_command("inspect", data, "--out", folder / "sheet.png", *options)
        case "train":
            return run_command("train", data, "--out", folder / "run", *TRAINING, *options)
        case "evaluate":
            return run_command("evaluate", fitting_run(folder / "trained", data, options), data, *options)
        case "export":
            return run_command("export", fitting_run(folder / "trained", data, options), data, *options)
        case _:
            return run_command("convert", data, "--to", "folders", "--out", folder / "converted", *options)


def run_on_file(command: str, file: Path, folder: Path) -> Outcome:
    """Run `predict`, as it is or streamed, on the folder of a bad file, with a good image beside it."""
    channels = channels_of(file)
    good = file.parent / "zz_good.png" if channels in (1, 3) else file.parent / "zz_good.tif"
    write_image(good, np.add.outer(np.arange(24), np.arange(20)).astype(np.uint8)[None].repeat(channels, 0))
    write_model(folder / "model.safetensors", make_recipe(channels=channels))
    words = shlex.split(command)
    outcome = run_command(words[0], folder / "model.safetensors", file.parent, "--out", folder / "out", *words[1:])
    if outcome.code in (0, 3):
        assert list((folder / "out").glob("*zz_good*")), "the rest of the folder is predicted"
    assert not list(folder.rglob(".*.part")), "temporary files are removed"
    assert not list((folder / "out").glob(".*")), "and so are those of streamed results"
    return outcome


def channels_of(file: Path) -> int:
    """Return the channels of an image; 1 if it cannot be read."""
    try:
        return min(_MAX_CHANNELS, probe(file).channels)
    except BadImage:
        return 1


def fitting_run(folder: Path, data: Path, options: Sequence[str]) -> Path:
    """Write a run whose model fits the data, as far as they can be understood."""
    dataset = understand(data, options)
    card = make_recipe() if dataset is None else fitting_card(dataset)
    names = [] if dataset is None else [case.name for case in dataset.cases]
    cases = {"train": names[: len(names) // 2], "val": names[len(names) // 2 :], "test": []}
    run = Run.create(folder, Config(), {"splits": {"cases": cases}, "understood": {"task": card.task}})
    write_model(run.model_path, card)
    return folder


def understand(data: Path, options: Sequence[str]) -> Dataset | None:
    """Return the data set; None if it is refused or has problems."""
    words = dict(zip(options[::2], options[1::2], strict=True))
    known = {"--group-by": "group_by", "--ignore-index": "ignore_index", "--task": "task"}
    try:
        dataset = scan_dataset(data, DataOptions(**{known[flag]: value for flag, value in words.items()}))
    except (PixelwiseError, OSError):
        return None
    return None if any(problem.fatal for problem in dataset.problems) else dataset


def fitting_card(dataset: Dataset) -> ModelCard:
    """Return the model card of a tiny network for a data set."""
    labelling = dataset.labelling
    if labelling.task == "instance":
        return make_recipe("instance", dataset.channels)
    card = make_recipe("binary", dataset.channels, classes=len(labelling.classes))
    return replace(
        card,
        task=labelling.task,
        classes=labelling.classes,
        values=labelling.values,
        colours=tuple((index, index, index) for index in range(len(labelling.classes))),
        reading=dataset.reading,
    )


class DirectWorker:
    """Answers the calls of the server in its own process, with the errors of a worker."""

    def __init__(self, calls: Mapping[str, Callable[..., Reply]]) -> None:
        self.ready: dict[str, Any] | None = {}
        self._calls = calls

    def start(self) -> None:
        """Do nothing: there is no process."""

    async def close(self) -> None:
        """Do nothing."""

    async def wait_ready(self) -> dict[str, Any]:
        """Return at once."""
        return {}

    async def call(self, name: str, *, key: str = "", seconds: float | None = None, **arguments: Any) -> Reply:
        """Call a function of the worker."""
        del key, seconds
        try:
            return self._calls[name](**arguments)
        except PixelwiseError as error:
            raise worker_client._failure(describe_error(error)) from None


@contextmanager
def serving(folder: Path) -> Generator[TestClient]:
    """Serve models of one to five channels, named `channels_1` and so on, in this process."""
    models = [folder / f"channels_{channels}.safetensors" for channels in range(1, _MAX_CHANNELS + 1)]
    for channels, model in enumerate(models, 1):
        write_model(model, make_recipe(channels=channels))
    service = Service(models, Limits(max_megapixels=4, max_megabytes=8), ServeOptions(runtime="torch"))
    predictor, reader = Predictor("torch", "cpu"), Reader()
    direct: Any = service  # workers of another class, with the same calls
    direct.predictor = DirectWorker({name: getattr(predictor, name) for name in ("predict", "infer", "describe")})
    direct.reader = DirectWorker({name: getattr(reader, name) for name in ("probe", "geojson")})
    direct.predictions._worker = direct.predictor
    access = Access("127.0.0.1", 8117, token="a-token-for-tests-only")
    headers = {"Authorization": "Bearer a-token-for-tests-only"}
    application = create_app(service, access)
    base = "http://127.0.0.1:8117"
    with TestClient(application, base_url=base, headers=headers, raise_server_exceptions=False) as client:
        yield client


def send(client: TestClient, file: Path) -> Outcome:
    """Send a file to `POST /predict`."""
    headers = {"Content-Type": _TYPES.get(file.suffix, "application/octet-stream")}
    model = f"channels_{channels_of(file)}"
    answer = client.post(f"/predict?model={model}", content=file.read_bytes(), headers=headers)
    text = answer.text if answer.status_code != 200 else ""
    return Outcome(answer.status_code, "", text)


@pytest.fixture
def light_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `export` read its images and write nothing: the graph does not depend on the row."""

    def export_model(
        network: object, card: ModelCard, kind: str, path: Path, material: ExportImages, about: object
    ) -> ExportResult:
        del network, card, about
        assert material.parity
        assert list(material.training())
        return ExportResult(format=kind, files=(path,), parity_report=path, comparisons=())

    monkeypatch.setattr("pixelwise.workflow.export.export_model", export_model)
