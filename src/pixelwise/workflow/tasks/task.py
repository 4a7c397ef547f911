"""Task: the interface of what differs between segmentation and classification.

A task is chosen once, by `choose.task_of`; commands call its methods and do not ask which task it is. Each method
imports what it needs, so that predicting with an exported model imports neither torch nor the training.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pixelwise.datasets.dataset import Case, DataOptions, Dataset
from pixelwise.datasets.observing import Observer
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.workflow.prediction.options import PredictOptions

if TYPE_CHECKING:
    import numpy as np

    from pixelwise.exporters.samples import Sample
    from pixelwise.geometry.sizes import Geometry
    from pixelwise.inference.load import AnyModel
    from pixelwise.networks.models import Network
    from pixelwise.workflow.config import Config
    from pixelwise.workflow.evaluation.out_of_fold import FoldScores, OutOfFold
    from pixelwise.workflow.evaluation.splits import ScoreRequest
    from pixelwise.workflow.fit.training_task import TrainingTask
    from pixelwise.workflow.inspection.attribution import AttributionRequest, ImageAttribution
    from pixelwise.workflow.planning.choices import PlanRequest
    from pixelwise.workflow.prediction.results import Predictions
    from pixelwise.workflow.run import Run

Section = tuple[str, Callable[[], list[str]]]


@runtime_checkable
class Task(Protocol):
    """One task: how it is planned, trained, evaluated, predicted, exported, reported and inspected.

    Attributes
    ----------
    data : str
        The data folder that it needs, for errors.
    unit : str
        What is classified: "pixels" or "images".
    can_forecast : bool
        Whether a learning curve can be forecast for it.
    """

    data: str
    unit: str
    can_forecast: bool

    def data_options(self, options: DataOptions) -> DataOptions:
        """Return the options for reading a data folder that a model of this task is evaluated on."""
        ...

    def measure(
        self, dataset: Dataset, progress: Progress, seconds: float | None = None, observer: Observer | None = None
    ) -> Any:
        """Return the fingerprint of the training cases, measured within `seconds`; `observer` has measured some."""
        ...

    def plan(self, request: "PlanRequest") -> "tuple[Config, float]":
        """Choose every setting; return the plan, and the seconds for measuring the machine."""
        ...

    def describe_plan(self, config: "Config") -> str:
        """Return a short description of network and steps."""
        ...

    def open_training(
        self, run: "Run", dataset: Dataset, geometry: "Geometry", device: str, progress: Progress
    ) -> "TrainingTask":
        """Read the data of a run into memory and return its training task."""
        ...

    def seconds_to_score(self, config: "Config", dataset: Dataset, fingerprint: Any, device: str) -> float:
        """Estimate the seconds for predicting and scoring all images, from a measurement on some."""
        ...

    def score(self, model: "AnyModel", request: "ScoreRequest") -> dict[str, Any]:
        """Return the scores of a model on labelled cases; see `evaluate`."""
        ...

    def score_folds(self, request: "OutOfFold") -> "FoldScores":
        """Return the out-of-fold scores of all cases together, and the headline of each fold."""
        ...

    def describe_scores(self, scores: dict[str, Any]) -> str:
        """Return the scores of `evaluate` as text."""
        ...

    def validation_score(self, kind: str) -> str:
        """Return the name of the validation score of a training; `kind` is that of the target."""
        ...

    def predict(
        self, model_file: Path, paths: Sequence[Path], folder: Path, options: PredictOptions, progress: Progress
    ) -> "Predictions":
        """Predict each path into `folder`; see `predict`."""
        ...

    def read_samples(self, model_card: ModelCard, dataset: Dataset, cases: Sequence[Case]) -> "Iterator[Sample]":
        """Yield labelled images for the parity check of an export."""
        ...

    def case_sections(self, run: "Run", scores: dict[str, Any], progress: Progress) -> list[Section]:
        """Return the sections of a report that show images."""
        ...

    def score_tables(self, scores: dict[str, Any]) -> list[str]:
        """Return the tables of a report with the scores of `evaluate`."""
        ...

    def describe_data(self, dataset: Dataset, fingerprint: Any) -> list[str]:
        """Return lines about the classes of a data folder."""
        ...

    def count_data(self, dataset: Dataset) -> dict[str, Any]:
        """Return more entries for the JSON object of an inspected data folder."""
        ...

    def draw_sheet(self, path: Path, dataset: Dataset) -> None:
        """Write the contact sheet of a data folder as PNG."""
        ...

    def attribute(
        self, network: "Network", model_card: ModelCard, pixels: "np.ndarray", request: "AttributionRequest"
    ) -> "ImageAttribution":
        """Return what Grad-CAM explains for a request about one image and model."""
        ...
