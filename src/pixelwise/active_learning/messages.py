"""What a forecast will do, what its curve says in words, and when it says little."""

from collections.abc import Sequence

from pixelwise.active_learning.plan import ForecastPlan
from pixelwise.datasets.dataset import Dataset
from pixelwise.metrics.learning_curve import LEVEL, Between, Projection
from pixelwise.text import pluralise
from pixelwise.workflow.planning.preparation import task_planner_of
from pixelwise.workflow.summary import words

WORTH = 0.005  # of the score: half a point, less is not worth labelling ten images for
FEW_IMAGES = 5  # validation images: fewer hardly know the score itself
FAR = 4  # times the images there are: beyond that the curve was never near
LEARNED = 0.1  # of the score: trainings that stay below have learned too little to be compared
FEW_STEPS = 50  # of a training: the same


def describe_plan(beginning: ForecastPlan, dataset: Dataset, total: float | None) -> list[str]:
    """Say in plain words what will be done."""
    schedule, steps = beginning.schedule, beginning.config.training.steps
    *smaller, whole = schedule.sizes
    labelled = len([case for case in dataset.part("val") if case.labelled])
    scored = pluralise(len(beginning.looked_at), "validation image")
    scored += f" of {labelled}" if len(beginning.looked_at) < labelled else ""
    sizes = f"{', '.join(map(str, smaller))} and all {whole} labelled images"
    times = {2: "twice", 3: "three times"}.get(schedule.repeats, f"{schedule.repeats} times")
    trainings = f"{len(schedule.trials)} trainings of {pluralise(steps, 'step')}"
    time_ = "" if total is None else f" All of it takes about {_duration(total)}, the time given."
    what = task_planner_of(dataset.labelling.task).describe(beginning.config)
    return [
        f"Forecast: {trainings}, on {sizes}, each {times} with other images (all of them: with other draws), scored on "
        f"the same {scored}.{time_}",
        f"Each: {what}. All learn for equally long, so that the curve says what masks bring in that time, and not what "
        "a longer training would.",
    ]


def describe_forecast(outlook: Projection, more: int, name: str) -> str:
    """Say what so many more masks would bring."""
    now, then, gain = outlook.curve.at(outlook.now), outlook.score(outlook.now + more), outlook.gain(more)
    messages = f"With {pluralise(more, 'more mask')}: {words(name)} {now:.3f} -> {then[0]:.3f}"
    if not _known(then):
        return f"{messages} (no interval: one validation image cannot give one)."
    return (
        f"{messages} ({_level()} interval {then[1]:.3f} to {then[2]:.3f}), a gain of {gain[0]:.3f} "
        f"({gain[1]:.3f} to {gain[2]:.3f}): {judge(gain)}."
    )


def judge(gain: Between) -> str:
    """Say in a few words what an interval of a gain leaves open."""
    if not _known(gain):
        return "not known"
    if gain[1] >= WORTH:
        return "it helps"
    if gain[2] < WORTH:
        return f"hardly anything, less than {WORTH}"
    return f"open, from next to nothing to {gain[2]:.3f}"


def describe_doubts(
    outlook: Projection, sizes: Sequence[int], images: int, more: Sequence[int], steps: int
) -> list[str]:
    """Return the reasons why the curve says little; none where it can be taken as it stands.

    Parameters
    ----------
    outlook : Outlook
    sizes : sequence of int
        Labelled images of the parts, rising.
    images : int
        Validation images.
    more : sequence of int
        What is asked about.
    steps : int
        Of each training.
    """
    doubts: list[str] = []
    now = outlook.curve.at(outlook.now)
    if now < LEARNED:
        doubts.append(f"the trainings are too short for these data: with all masks they reach {now:.3f} only")
    elif not _known(outlook.rise) or outlook.rise[1] <= 0:
        rose, low, high = outlook.rise
        between = f" ({_level()} interval {low:.3f} to {high:.3f})" if _known(outlook.rise) else ""
        doubts.append(
            f"the curve is flat as far as can be told: from {sizes[0]} to {sizes[-1]} images the score rose by "
            f"{rose:.3f}{between}; more masks bring little in this time, or the scores scatter too much"
        )
    if steps < FEW_STEPS:
        doubts.append(f"trainings of {pluralise(steps, 'step')} have hardly begun to learn")
    if images < FEW_IMAGES:
        doubts.append(f"{pluralise(images, 'validation image')} can hardly tell the score itself")
    if len(sizes) < 3:
        doubts.append("with two sizes how the curve bends is assumed, not measured")
    if max(more) + sizes[-1] > FAR * sizes[-1]:
        far = [str(count) for count in more if count + sizes[-1] > FAR * sizes[-1]]
        doubts.append(f"{' and '.join(far)} more is beyond {FAR} times the {sizes[-1]} images there are")
    return doubts


def _known(found: Between) -> bool:
    return found[1] == found[1]  # not NaN


def _level() -> str:
    return f"{100 * LEVEL:.0f} %"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
