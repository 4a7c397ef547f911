"""The pace: a first training shows how fast this machine really learns, beside other work and on these data."""

import shutil
import time
from dataclasses import replace

from pixelwise.active_learning.messages import FEW_STEPS
from pixelwise.active_learning.plan import write
from pixelwise.active_learning.subset_trainings import PartTrainings
from pixelwise.workflow.config import with_settings

OFF = 1.5  # times as short as planned: what is less is kept


def find_speed(trainings: PartTrainings) -> PartTrainings:
    """Make the first training; where it was far too long or too short, return trainings with other steps.

    All of them get the same steps again, and the first one is made anew. It is done once, not where a training has
    begun already, and not where the user has set the steps. Too short ones get more. Too long ones get fewer where not
    even those that the curve needs would end in time, and never so few that they say nothing; others are left out in
    the end, if the machine stays that slow.
    """
    beginning, first = trainings.beginning, trainings.beginning.schedule.trials[0]
    own = "training.steps" in beginning.config.user_set
    folder = trainings.run_of(first).folder
    if trainings.deadline is None or beginning.paced or own or folder.exists():
        return trainings
    began, runs = time.monotonic(), len(beginning.schedule.trials)
    planned = (trainings.deadline - began) / runs
    trainings.make(first)
    took, left = time.monotonic() - began, trainings.deadline - time.monotonic()
    before, least = beginning.config.training.steps, len(beginning.schedule.sizes) + 1
    longer, shorter = (int(before * left / count / took) for count in (runs, least))
    steps = before
    if took * OFF < planned:
        steps = max(before, longer)
    elif took * (least - 1) > left and shorter >= FEW_STEPS:
        steps = min(before, shorter)
    paced = replace(beginning, paced=True)
    if steps != before:
        why = f"The first training took {took:.0f} s where {planned:.0f} s were planned"
        choices = {"training.steps": steps, "training.validate_every": steps}
        reasons = dict.fromkeys(choices, f"{why}: then with {before} steps.")
        paced = replace(paced, config=with_settings(beginning.config, choices, reasons))
        trainings.progress.message(f"{why}: all get {steps} steps instead of {before}, and it is made again.")
        shutil.rmtree(folder)
    write(trainings.folder, paced)
    return replace(trainings, beginning=paced)
