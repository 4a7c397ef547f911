"""Classification: a class for every image."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelwise.datasets.dataset import Case, DataOptions, Dataset
from pixelwise.datasets.observing import Observer
from pixelwise.model_file.model_card import ModelCard
from pixelwise.progress import Progress
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.tasks.task import Section

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


class Classification:
    """The task of image classification; see `task.Task`."""

    data = "a folder per class"
    unit = "images"
    can_forecast = False

    def data_options(self, options: DataOptions) -> DataOptions:
        """Read class folders, even if there is only one."""
        return replace(options, task="classification") if options.task == "auto" else options

    def measure(
        self, dataset: Dataset, progress: Progress, seconds: float | None = None, observer: Observer | None = None
    ) -> Any:
        """Return the fingerprint of the training images."""
        from pixelwise.sampling.image_fingerprint import measure_classification

        return measure_classification(dataset, progress, observer)

    def plan(self, request: "PlanRequest") -> "tuple[Config, float]":
        """Choose every setting."""
        from pixelwise.workflow.planning.plan_classification import ClassificationPlanInputs, make_classification_plan
        from pixelwise.workflow.planning.step_functions import make_image_step, step_times

        inputs = ClassificationPlanInputs(
            fingerprint=request.fingerprint,
            labelling=request.dataset.labelling,
            data=request.data,
            machine=request.machine,
            seconds_used=request.seconds_used,
        )
        probe = step_times(make_image_step(request.machine.device), request.limit)
        return make_classification_plan(inputs, request.limit, request.seed, request.settings, probe), probe.spent

    def describe_plan(self, config: "Config") -> str:
        """Describe network and images."""
        from pixelwise.workflow.planning.descriptions import describe_images

        return describe_images(config)

    def open_training(
        self, run: "Run", dataset: Dataset, geometry: "Geometry", device: str, progress: Progress
    ) -> "TrainingTask":
        """Read resized images into memory."""
        from pixelwise.workflow.fit.classification_task import ClassificationTask

        return ClassificationTask(run, dataset, geometry, device, progress)

    def seconds_to_score(self, config: "Config", dataset: Dataset, fingerprint: Any, device: str) -> float:
        """Estimate the seconds from a measurement on one batch."""
        from pixelwise.workflow.planning.fold_time import seconds_to_score_images

        return seconds_to_score_images(config, fingerprint, device)

    def score(self, model: "AnyModel", request: "ScoreRequest") -> dict[str, Any]:
        """Return the scores of predicted classes."""
        from pixelwise.inference.load import as_classification_model
        from pixelwise.workflow.evaluation.classification import score_classification

        return score_classification(as_classification_model(model), request)

    def score_folds(self, request: "OutOfFold") -> "FoldScores":
        """Return the out-of-fold scores of predicted classes."""
        from pixelwise.workflow.evaluation.out_of_fold import score_image_folds

        return score_image_folds(request)

    def describe_scores(self, scores: dict[str, Any]) -> str:
        """Describe the scores per class and over all images."""
        from pixelwise.workflow.summary import describe_image_scores

        return describe_image_scores(scores)

    def validation_score(self, kind: str) -> str:
        """Return the accuracy, whatever the target."""
        return "accuracy"

    def predict(
        self, model_file: Path, paths: Sequence[Path], folder: Path, options: PredictOptions, progress: Progress
    ) -> "Predictions":
        """Write the class of each path into one table."""
        from pixelwise.workflow.prediction.classification import predict_classes

        return predict_classes(model_file, paths, folder, options, progress)

    def read_samples(self, model_card: ModelCard, dataset: Dataset, cases: Sequence[Case]) -> "Iterator[Sample]":
        """Yield resized images with their classes."""
        from pixelwise.workflow.evaluation.classification import read_classification_samples

        return read_classification_samples(model_card, dataset, cases)

    def case_sections(self, run: "Run", scores: dict[str, Any], progress: Progress) -> list[Section]:
        """Show mistakes, and correct images with high and low confidence."""
        from pixelwise.workflow.reporting.classification import example_images, misclassified_images

        return [
            ("The most confident mistakes", lambda: misclassified_images(scores, progress)),
            ("Correct predictions by confidence", lambda: example_images(scores)),
        ]

    def score_tables(self, scores: dict[str, Any]) -> list[str]:
        """Return the tables per class, and the confusion matrix."""
        from pixelwise.workflow.reporting.classification import classification_scores

        return classification_scores(scores)

    def describe_data(self, dataset: Dataset, fingerprint: Any) -> list[str]:
        """Return the images of each class and split, and their sizes if measured."""
        from pixelwise.workflow.inspection.classes import describe_classes

        return describe_classes(dataset, fingerprint)

    def count_data(self, dataset: Dataset) -> dict[str, Any]:
        """Return the number of images per class and split."""
        from pixelwise.workflow.inspection.classes import count_by_class

        return {"class_cases": count_by_class(dataset)}

    def draw_sheet(self, path: Path, dataset: Dataset) -> None:
        """Draw a row of training images per class."""
        from pixelwise.workflow.inspection.class_sheet import draw_class_sheet

        draw_class_sheet(path, dataset)

    def attribute(
        self, network: "Network", model_card: ModelCard, pixels: "np.ndarray", request: "AttributionRequest"
    ) -> "ImageAttribution":
        """Explain a class of the whole image."""
        from pixelwise.workflow.inspection.class_attribution import ClassAttribution

        return ClassAttribution(model_card, pixels, request)
