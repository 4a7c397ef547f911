"""A short race: networks that see volumes in two, two and a half and three dimensions, trained for the same time.

It takes a small part of the budget, and only if every contender has time to learn something; otherwise the plan states
why there was none. All contenders are scored on the same voxels of the validation volumes.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pixelwise.errors import Diverged, Interrupted
from pixelwise.model_file.model_file import load_network
from pixelwise.networks.architectures import options_read
from pixelwise.progress import Progress
from pixelwise.sampling.volume_fingerprint import VolumeFingerprint
from pixelwise.workflow.config import Config, with_settings
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.run_metadata import initial_records
from pixelwise.workflow.fit.segmentation_task import SegmentationTask, make_validation
from pixelwise.workflow.fit.training_data import read_training_images
from pixelwise.workflow.planning.choices import PlanRequest, TrainingBudget, propose_seconds
from pixelwise.workflow.planning.dimensions import NAMES, Views, describe_view, propose_views
from pixelwise.workflow.planning.plan_masks import PlanInputs, make_plan
from pixelwise.workflow.planning.step_times import Probe
from pixelwise.workflow.planning.volumes import voxel_grid
from pixelwise.workflow.run import Run
from pixelwise.workflow.settings import apply_settings

SHARE = 0.15  # of the budget, for all contenders together
MIN_SECONDS = 30.0  # of a contender: with less, what is learned fastest would win
READING_SHARE = 0.3  # of those: each contender reads the data again
MARGIN = 0.01  # of the Dice: a smaller lead over the default is noise
SCORED_VOXELS = 4_000_000  # of the validation volumes
SETTLING = ("patches.dimensions", "network.context", "network.kernels", "network.strides", "network.dimensions")

MakeProbe = Callable[[TrainingBudget], Probe]


def race(inputs: PlanInputs, request: PlanRequest, make_probe: MakeProbe) -> PlanInputs:
    """Return the inputs with the dimensions that did best, and the reason; as they are if there is nothing to choose.

    Parameters
    ----------
    make_probe : callable
        (limit) -> what measures the seconds of a training step, within its share of that limit.
    """
    if not isinstance(inputs.fingerprint, VolumeFingerprint) or set(SETTLING) & set(request.settings.values):
        return inputs
    config = apply_settings(Config(data=inputs.data), request.settings)
    size, spacing, _ = voxel_grid(inputs.fingerprint, config)
    views = propose_views(size, spacing)
    first, why = views.dimensions[0], describe_view(views.dimensions[0], views)
    reads = options_read(config.network)
    needed = {3.0: "dimensions", 2.5: "context", 2.0: "kernels"}
    contenders = [dimensions for dimensions in views.dimensions if needed[dimensions] in reads]
    if len(contenders) < 2:
        return replace(inputs, view=(first, why))
    seconds = SHARE * (propose_seconds(request.limit) or 0.0) / len(contenders)
    refused = _refusal(request, seconds, len(contenders))
    if refused:
        return replace(inputs, view=(first, f"{why} There was no race with {_names(contenders[1:])}: {refused}."))
    names = _names(contenders)
    request.progress.message(f"Training for {seconds:.0f} s each, to choose: {names}. Override with dimensions=3.")
    scores = _train_all(contenders, inputs, request, make_probe, seconds)
    view = choose_view(scores, views, seconds)
    request.progress.message(view[1])
    return replace(inputs, view=view, seconds_used=request.seconds_used)


def choose_view(scores: Sequence[tuple[float, float]], views: Views, seconds: float) -> tuple[float, str]:
    """Return the dimensions with the best score, unless the default is about as good, and the reason.

    Parameters
    ----------
    scores : sequence of (float, float)
        Dimensions and validation score of each contender, the default first.
    seconds : float
        Of each training.

    Examples
    --------
    >>> views = propose_views((40, 256, 256), (5.0, 1.0, 1.0))
    >>> choose_view([(3.0, 0.71), (2.5, 0.80), (2.0, 0.75)], views, 30.0)[0]
    2.5
    >>> choose_view([(3.0, 0.71), (2.5, 0.715), (2.0, 0.6)], views, 30.0)[0]
    3.0
    """
    default, best = scores[0], max(scores, key=lambda row: row[1])
    chosen = best if best[1] > default[1] + MARGIN else default
    results = ", ".join(f"{score:.3f} in {NAMES[dimensions]}" for dimensions, score in scores)
    ending = f": {NAMES[chosen[0]]}" if chosen is best else f", and {MARGIN:g} more is not enough: {NAMES[chosen[0]]}"
    return chosen[0], f"{views.why}. After {seconds:.0f} s each, the validation Dice is {results}{ending}."


def _refusal(request: PlanRequest, seconds: float, count: int) -> str:
    """Return why there is no time for a race; "" if there is."""
    if not seconds:
        return "the training has a number of steps"
    if seconds < MIN_SECONDS:
        return f"it needs a budget of {count * MIN_SECONDS / SHARE / 60:.0f} min"
    if request.seconds_used > READING_SHARE * seconds:
        return "reading the data takes too long"
    if not request.dataset.splits["val"]:
        return "there are no validation volumes"
    return ""


def _names(dimensions: Sequence[float]) -> str:
    return " and ".join(NAMES[each] for each in dimensions)


def _train_all(
    contenders: Sequence[float], inputs: PlanInputs, request: PlanRequest, make_probe: MakeProbe, seconds: float
) -> list[tuple[float, float]]:
    """Return dimensions and validation score of each contender; 0 if its training diverges."""
    rows: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="pixelwise-") as name:
        for dimensions in contenders:
            began, limit = time.monotonic(), TrainingBudget(seconds=seconds)
            plan = replace(inputs, view=(dimensions, "In a race."), seconds_used=0.0)
            config = make_plan(plan, limit, request.seed, request.settings, make_probe(limit))
            config = with_settings(config, {"training.tune": False}, {})
            records = initial_records(request.dataset, inputs.fingerprint, request.machine, request.seed)
            run = Run.create(Path(name) / NAMES[dimensions], config, records)
            rows.append((dimensions, _train(run, request, began)))
    return rows


def _train(run: Run, request: PlanRequest, began: float) -> float:
    """Train a contender, which began at a second of `time.monotonic`, and return its validation score."""
    dataset, device = request.dataset, request.machine.device
    try:
        Training(run, dataset, SegmentationTask, device, Progress(), began).go()
    except Diverged:
        return 0.0
    except Interrupted as stop:  # nothing of a race is kept
        raise KeyboardInterrupt from stop
    config = run.config
    network, card = load_network(run.model_path)
    images = read_training_images(
        dataset,
        cases=dataset.splits["val"],
        normalisation=config.normalisation,
        target=config.target,
        spacing=config.patches.spacing,
        progress=Progress(),
    )
    validation = make_validation(run, dataset, card.geometry, images, device, SCORED_VOXELS)
    return validation.score(network.to(device))
