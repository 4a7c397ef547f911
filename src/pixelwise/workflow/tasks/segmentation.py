"""Segmentation: a class, or an object, for every pixel."""

from collections.abc import Iterator, Sequence
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


class Segmentation:
    """The task of segmentation, semantic or of objects; see `task.Task`."""

    data = "images with masks"
    unit = "pixels"
    can_forecast = True

    def data_options(self, options: DataOptions) -> DataOptions:
        """Return the options as they are."""
        return options

    def measure(
        self, dataset: Dataset, progress: Progress, seconds: float | None = None, observer: Observer | None = None
    ) -> Any:
        """Return the fingerprint of the training images and masks."""
        if dataset.spatial_dims == 3:
            from pixelwise.sampling.volume_fingerprint import measure_volume_fingerprint

            return measure_volume_fingerprint(dataset, progress, seconds)
        from pixelwise.sampling.fingerprint import measure_fingerprint

        return measure_fingerprint(dataset, progress, seconds, observer)

    def plan(self, request: "PlanRequest") -> "tuple[Config, float]":
        """Choose every setting."""
        from pixelwise.sampling.fingerprint import measure_orientation
        from pixelwise.workflow.planning.plan_masks import PlanInputs, make_plan
        from pixelwise.workflow.planning.race import race
        from pixelwise.workflow.planning.step_functions import make_patch_step, step_times

        inputs = PlanInputs(
            fingerprint=request.fingerprint,
            labelling=request.dataset.labelling,
            data=request.data,
            machine=request.machine,
            oriented=0.0 if request.dataset.spatial_dims == 3 else measure_orientation(request.dataset),
            seconds_used=request.seconds_used,
        )
        make = make_patch_step(request.machine.device)
        inputs = race(inputs, request, lambda limit: step_times(make, limit))
        probe = step_times(make, request.limit)
        return make_plan(inputs, request.limit, request.seed, request.settings, probe), probe.spent

    def describe_plan(self, config: "Config") -> str:
        """Describe network and patches."""
        from pixelwise.workflow.planning.descriptions import describe_patches

        return describe_patches(config)

    def open_training(
        self, run: "Run", dataset: Dataset, geometry: "Geometry", device: str, progress: Progress
    ) -> "TrainingTask":
        """Read images and masks into memory."""
        from pixelwise.workflow.fit.segmentation_task import SegmentationTask

        return SegmentationTask(run, dataset, geometry, device, progress)

    def seconds_to_score(self, config: "Config", dataset: Dataset, fingerprint: Any, device: str) -> float:
        """Estimate the seconds from a measurement on one image."""
        from pixelwise.workflow.planning.fold_time import seconds_to_score_masks

        return seconds_to_score_masks(config, dataset, fingerprint, device)

    def score(self, model: "AnyModel", request: "ScoreRequest") -> dict[str, Any]:
        """Return the scores of predicted masks."""
        from pixelwise.inference.load import as_segmentation_model
        from pixelwise.workflow.evaluation.masks import score_masks

        return score_masks(as_segmentation_model(model), request)

    def score_folds(self, request: "OutOfFold") -> "FoldScores":
        """Return the out-of-fold scores of predicted masks."""
        from pixelwise.workflow.evaluation.out_of_fold import score_mask_folds

        return score_mask_folds(request)

    def describe_scores(self, scores: dict[str, Any]) -> str:
        """Describe the scores per class and over all pixels."""
        from pixelwise.workflow.summary import describe_mask_scores

        return describe_mask_scores(scores)

    def validation_score(self, kind: str) -> str:
        """Return the name of the Dice; for objects it differs from the score of `evaluate`."""
        from pixelwise.workflow.summary import validation_dice

        return validation_dice(kind)

    def predict(
        self, model_file: Path, paths: Sequence[Path], folder: Path, options: PredictOptions, progress: Progress
    ) -> "Predictions":
        """Predict a mask or a label image of each path."""
        from pixelwise.workflow.prediction.masks import predict_masks

        return predict_masks(model_file, paths, folder, options, progress)

    def read_samples(self, model_card: ModelCard, dataset: Dataset, cases: Sequence[Case]) -> "Iterator[Sample]":
        """Yield images with their class maps."""
        from pixelwise.workflow.evaluation.masks import read_mask_samples

        return read_mask_samples(model_card, dataset, cases)

    def case_sections(self, run: "Run", scores: dict[str, Any], progress: Progress) -> list[Section]:
        """Show the best, median and worst masks."""
        from pixelwise.workflow.reporting.masks import mask_cases

        return [("Best, median and worst cases", lambda: mask_cases(run, scores, progress))]

    def score_tables(self, scores: dict[str, Any]) -> list[str]:
        """Return the tables per class, of objects and of boundaries."""
        from pixelwise.workflow.reporting.masks import mask_scores

        return mask_scores(scores)

    def describe_data(self, dataset: Dataset, fingerprint: Any) -> list[str]:
        """Return the share of the pixels of each class, if measured."""
        shares = () if fingerprint is None else fingerprint.class_shares
        pairs = zip(dataset.labelling.classes, shares, strict=False)
        return [f"  {share:7.2%}  {name}" for name, share in pairs]

    def count_data(self, dataset: Dataset) -> dict[str, Any]:
        """Return nothing: the fingerprint has the share of each class."""
        return {}

    def draw_sheet(self, path: Path, dataset: Dataset) -> None:
        """Draw training images with their masks."""
        from pixelwise.workflow.inspection.contact_sheet import draw_contact_sheet

        draw_contact_sheet(path, dataset)

    def attribute(
        self, network: "Network", model_card: ModelCard, pixels: "np.ndarray", request: "AttributionRequest"
    ) -> "ImageAttribution":
        """Explain a class at one pixel, or over the pixels predicted as it."""
        from pixelwise.workflow.inspection.mask_attribution import MaskAttribution

        return MaskAttribution(network, model_card, pixels, request)
