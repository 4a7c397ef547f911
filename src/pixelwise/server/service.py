"""Everything that the routes share: workers, models, limits, metrics and folders."""

import asyncio
import re
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.server.failures import Failure
from pixelwise.server.limits import Admission, Limits, RateLimit
from pixelwise.server.metrics import Metrics
from pixelwise.server.predictions import Predictions
from pixelwise.server.worker_client import WorkerClient

READER = "pixelwise.server.workers.reader"
"""The module of the worker that reads images."""

_PREDICTOR = "pixelwise.server.workers.predictor"


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Options of predictions, and of reading.

    Attributes
    ----------
    runtime : str
        torch, which starts at once; onnx, openvino, torch-bf16, openvino-bf16, torch-compile; or auto, which measures.
    device : str
        auto, cpu, cuda or mps.
    volumes : bool
        The pages of TIFF stacks are slices of a volume, also where their metadata do not say so.
    """

    runtime: str = "torch"
    device: str = "auto"
    volumes: bool = False


class Service:
    """The workers and what is known about them.

    Parameters
    ----------
    models : sequence of Path
        Runs, model files or exports that may be used; the first is the default.
    """

    def __init__(
        self, models: Sequence[Path], limits: Limits | None = None, options: ServeOptions | None = None
    ) -> None:
        options, self._running = options or ServeOptions(), False
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.admission = Admission(self.limits, lambda reason: self.metrics.refusals.labels(reason).inc())
        self.metrics.watch(self.admission)
        self.rate = RateLimit(self.limits.requests_per_second)
        self.models: dict[str, Path] = {}
        self._about: dict[Path, dict[str, Any]] = {}
        first = str(models[0]) if models else ""
        restarted = self.metrics.restarts.labels
        self.predictor = WorkerClient(
            _PREDICTOR, [first, options.runtime, options.device], lambda: restarted("predictor").inc()
        )
        self.volumes = options.volumes
        self.reader = WorkerClient(READER, ("volumes",) if options.volumes else (), lambda: restarted("reader").inc())
        self.predictions = Predictions(self.predictor, self.limits, self.metrics, self.admission.pace)
        self._folder = tempfile.TemporaryDirectory(prefix="pixelwise-", ignore_cleanup_errors=True)
        for path in models:
            self.add_model(path)

    async def start(self) -> None:
        """Start the workers; that of predictions waits for the first model."""
        self.reader.start()
        self._running = True
        if self.models:
            self.predictor.start()

    async def close(self) -> None:
        """End the workers and remove temporary files."""
        await asyncio.gather(self.reader.close(), self.predictor.close())
        self._folder.cleanup()

    @property
    def ready(self) -> bool:
        """Whether predictions can be answered now."""
        predictor = self.predictor.ready is not None or not self.models
        return predictor and self.reader.ready is not None and not self.admission.draining

    def add_model(self, path: Path) -> str:
        """Allow a model; return its name, which is unique and safe in a URL."""
        known = {path: name for name, path in self.models.items()}
        if path in known:
            return known[path]
        base = re.sub(r"[^\w.-]+", "-", path.parent.name if path.name == "model.safetensors" else path.stem) or "model"
        name, number = base, 2
        while name in self.models:
            name, number = f"{base}-{number}", number + 1
        self.models[name] = path
        if self._running and len(self.models) == 1:
            self.predictor.start()
        return name

    def model(self, name: str = "") -> tuple[str, Path]:
        """Return name and path of a model; by default the first.

        Raises
        ------
        Failure
            404: there is no such model.
        """
        if not self.models:
            raise Failure(404, "no_model", "There is no model yet: train one, or start the server with a run.")
        name = name or next(iter(self.models))
        if name not in self.models:
            raise Failure(404, "unknown_model", "There is no model of this name.")
        return name, self.models[name]

    async def about(self, path: Path) -> dict[str, Any]:
        """Return task, classes, colours and channels of an allowed model; it is loaded once for that."""
        if path not in self._about:
            self._about[path] = (await self.predictor.call("describe", seconds=120, model=str(path))).value
        return self._about[path]

    @property
    def folder(self) -> str:
        """The folder of temporary files."""
        return self._folder.name

    @contextmanager
    def spool(self) -> Generator[Path, None, None]:
        """Yield a folder for the files of one request."""
        with tempfile.TemporaryDirectory(dir=self._folder.name, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
