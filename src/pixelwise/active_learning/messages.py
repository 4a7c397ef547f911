"""Text of a learning-curve forecast: its plan, its results, and the reasons why it may be unreliable."""

from collections.abc import Sequence

from pixelwise.active_learning.plan import ForecastPlan
from pixelwise.datasets.dataset import Dataset
from pixelwise.metrics.learning_curve import LEVEL, Estimate, Projection
from pixelwise.text import pluralise
from pixelwise.workflow.summary import words
from pixelwise.workflow.tasks.choose import task_of

MIN_GAIN = 0.005  # of the score: a smaller gain is negligible
MIN_IMAGES = 5  # validation images for a reliable score
MAX_EXTRAPOLATION = 4  # times the number of labelled images
MIN_SCORE = 0.1  # of a useful training
FEW_STEPS = 50  # of a training: fewer are too short


def describe_plan(plan: ForecastPlan, dataset: Dataset, total: float | None) -> list[str]:
    """Describe the planned trainings."""
    schedule, steps = plan.schedule, plan.config.training.steps
    *smaller, largest = schedule.sizes
    labelled = len([case for case in dataset.splits["val"] if case.labelled])
    scored = pluralise(len(plan.scored_cases), "validation image")
    scored += f" of {labelled}" if len(plan.scored_cases) < labelled else ""
    sizes = f"{', '.join(map(str, smaller))} and all {largest} labelled images"
    times = {2: "twice", 3: "three times"}.get(schedule.repeats, f"{schedule.repeats} times")
    trainings = f"{len(schedule.trainings)} trainings of {pluralise(steps, 'step')}"
    time_ = "" if total is None else f" Total time: about {_duration(total)}, as requested."
    training = task_of(dataset).describe_plan(plan.config)
    return [
        f"Forecast: {trainings}, on {sizes}, each {times} with different images (the full set with different seeds), "
        f"scored on the same {scored}.{time_}",
        f"Each: {training}. All trainings are equally long: the learning curve shows the effect of more masks, not of "
        "longer training.",
    ]


def describe_forecast(projection: Projection, more: int, name: str) -> str:
    """Describe the forecast for this number of additional masks."""
    now, then, gain = (
        projection.curve.at(projection.now),
        projection.score(projection.now + more),
        projection.gain(more),
    )
    text = f"With {pluralise(more, 'more mask')}: {words(name)} {now:.3f} -> {then[0]:.3f}"
    if not _has_interval(then):
        return f"{text} (no interval: it needs more than one validation image)."
    return (
        f"{text} ({_level()} interval {then[1]:.3f} to {then[2]:.3f}), a gain of {gain[0]:.3f} "
        f"({gain[1]:.3f} to {gain[2]:.3f}): {judge(gain)}."
    )


def judge(gain: Estimate) -> str:
    """Return what the interval of a gain means."""
    if not _has_interval(gain):
        return "unknown"
    if gain[1] >= MIN_GAIN:
        return "more masks help"
    if gain[2] < MIN_GAIN:
        return f"negligible, below {MIN_GAIN}"
    return f"uncertain, between almost none and {gain[2]:.3f}"


def describe_doubts(
    projection: Projection, sizes: Sequence[int], images: int, more: Sequence[int], steps: int
) -> list[str]:
    """Return the reasons why the forecast is unreliable; empty if there are none.

    Parameters
    ----------
    sizes : sequence of int
        Labelled images of the subsets, ascending.
    images : int
        Validation images.
    more : sequence of int
        Numbers of additional masks.
    steps : int
        Of each training.
    """
    doubts: list[str] = []
    now = projection.curve.at(projection.now)
    if now < MIN_SCORE:
        doubts.append(f"the trainings are too short for these data: with all masks the score is only {now:.3f}")
    elif not _has_interval(projection.rise) or projection.rise[1] <= 0:
        rise, low, high = projection.rise
        interval = f" ({_level()} interval {low:.3f} to {high:.3f})" if _has_interval(projection.rise) else ""
        doubts.append(
            f"the learning curve may be flat: from {sizes[0]} to {sizes[-1]} images the score increased by "
            f"{rise:.3f}{interval}; more masks have little effect at this training length, or the scores vary too much"
        )
    if steps < FEW_STEPS:
        doubts.append(f"trainings of {pluralise(steps, 'step')} are too short")
    if images < MIN_IMAGES:
        doubts.append(f"{pluralise(images, 'validation image')} cannot determine the score well")
    if len(sizes) < 3:
        doubts.append("with two subset sizes, the exponent of the power law is assumed, not fitted")
    if max(more) + sizes[-1] > MAX_EXTRAPOLATION * sizes[-1]:
        far = [str(count) for count in more if count + sizes[-1] > MAX_EXTRAPOLATION * sizes[-1]]
        doubts.append(f"{' and '.join(far)} more is beyond {MAX_EXTRAPOLATION} times the {sizes[-1]} labelled images")
    return doubts


def _has_interval(estimate: Estimate) -> bool:
    return estimate[1] == estimate[1]  # not NaN


def _level() -> str:
    return f"{100 * LEVEL:.0f} %"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
