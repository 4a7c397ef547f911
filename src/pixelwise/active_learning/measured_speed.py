"""Adjustment of the number of steps to the measured duration of the first training."""

import shutil
import time
from dataclasses import replace

from pixelwise.active_learning.messages import FEW_STEPS
from pixelwise.active_learning.plan import write
from pixelwise.active_learning.subset_trainings import SubsetTrainings
from pixelwise.workflow.config import with_settings

TOLERANCE = 1.5  # a first training up to this factor shorter than planned is kept


def find_speed(trainings: SubsetTrainings) -> SubsetTrainings:
    """Run the first training; return the trainings, with other steps if it was far too long or too short.

    All trainings get the same steps, and the first one is repeated. Nothing changes if a training has started already
    or the user has set the steps. Too long trainings get fewer steps only if not even those that the curve needs would
    end in time, and never fewer than `FEW_STEPS`.
    """
    plan, first = trainings.plan, trainings.plan.schedule.trainings[0]
    user_set = "training.steps" in plan.config.user_set
    folder = trainings.run_of(first).folder
    if trainings.deadline is None or plan.speed_measured or user_set or folder.exists():
        return trainings
    started, count = time.monotonic(), len(plan.schedule.trainings)
    planned = (trainings.deadline - started) / count
    trainings.train(first)
    elapsed, remaining = time.monotonic() - started, trainings.deadline - time.monotonic()
    before, required = plan.config.training.steps, len(plan.schedule.sizes) + 1
    longer, shorter = (int(before * remaining / runs / elapsed) for runs in (count, required))
    steps = before
    if elapsed * TOLERANCE < planned:
        steps = max(before, longer)
    elif elapsed * (required - 1) > remaining and shorter >= FEW_STEPS:
        steps = min(before, shorter)
    measured = replace(plan, speed_measured=True)
    if steps != before:
        reason = f"The first training took {elapsed:.0f} s instead of the planned {planned:.0f} s"
        choices = {"training.steps": steps, "training.validate_every": steps}
        reasons = dict.fromkeys(choices, f"{reason}, with {before} steps.")
        measured = replace(measured, config=with_settings(plan.config, choices, reasons))
        trainings.progress.message(f"{reason}: all trainings get {steps} steps instead of {before}; it is repeated.")
        shutil.rmtree(folder)
    write(trainings.folder, measured)
    return replace(trainings, plan=measured)
