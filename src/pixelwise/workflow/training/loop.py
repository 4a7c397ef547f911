"""The training loop: the one place where steps, validation, checkpoints, time and signals meet.

It is our own, on Lightning Fabric: exact continuation needs every draw to be a function of (seed, step), and a time
budget needs a decision on the way; both are a few lines here.
"""

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from types import FrameType

import torch
from torch import nn

from pixelwise.engine.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from pixelwise.engine.modelfile import save_model
from pixelwise.engine.schedule import Schedule
from pixelwise.engine.task import Learner, make_fabric
from pixelwise.engine.transfer import frozen_steps
from pixelwise.errors import Diverged, Interrupted
from pixelwise.images.cases import Dataset
from pixelwise.images.patches import prefetch
from pixelwise.networks.architectures import build
from pixelwise.progress import Progress
from pixelwise.wording import counted
from pixelwise.workflow.config import Config
from pixelwise.workflow.run import Run
from pixelwise.workflow.training.course import Lesson
from pixelwise.workflow.training.courses import open_course
from pixelwise.workflow.weights.encoder_weights import start_encoder, trained_from

SKIPS_ALLOWED = 50  # non-finite steps in a row before training is given up
DRIFT = 0.02  # a budget that would be missed by more than this share gets another number of steps
FINISH_SECONDS = 1.5  # kept free at the end of a budget for the last files
PER_MILLE = 1000
NO_END = 2**40  # the schedule decides where the batches end; it may be stretched on the way


@dataclass
class State:
    """The counters of a training: with the learner's tensors, all that an exact continuation needs."""

    step: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0
    losses: list[float] = field(default_factory=list[float])
    skipped: int = 0
    rows: list[dict[str, float | int | None]] = field(default_factory=list[dict[str, float | int | None]])


class Training:
    """One training of a run, from its start or from its last checkpoint.

    Parameters
    ----------
    run : Run
    dataset : Dataset
    device : str
    progress : Progress
    started : float
        `time.monotonic()` when the command began: the budget counts from there.
    """

    def __init__(self, run: Run, dataset: Dataset, device: str, progress: Progress, started: float) -> None:
        self._run, self._progress, self._data = run, progress, dataset.root
        self._config = config = run.config
        torch.manual_seed(config.training.seed)  # the first weights are a function of the seed
        network = build(config.network)
        checkpoint, complaints = newest_checkpoint(run.checkpoints)
        progress.tell(*complaints)
        # what has begun is in its checkpoint, wherever the weights of the encoder came from
        self._loaded = checkpoint is None and start_encoder(network, run, progress)
        self._trained_from = trained_from(run)
        self._course = open_course(run, dataset, network.geometry(), device, progress)
        fabric = make_fabric(device, config.training.precision)
        frozen = frozen_steps(config.transfer, config.training.steps, self._course.pass_steps)
        self._learner = Learner(
            network,
            config.training,
            self._course.loss,
            fabric,
            lower_rate=config.transfer.lower_rate,
            frozen_steps=frozen,
        )
        self._state = State()
        if checkpoint is not None:
            self._restore(checkpoint)
        progress.tell(*_say_frozen(config, frozen, self._state.step))
        # on a continuation the time of the earlier part counts too
        self._clock_zero = started - self._state.seconds
        self._loop_began, self._first_step = time.monotonic(), self._state.step

    def go(self) -> None:
        """Train to the end of the schedule, or until patience, a signal or a diverging loss ends it."""
        self._course.begin()
        if self._loaded:
            self._save()  # a continuation needs the weights' file no more
        with _stop_on_signals() as stopped, self._progress.bar("training", PER_MILLE) as advance:
            shown = 0
            batches = prefetch(self._course.sampler, self._state.step, NO_END)
            while self._state.step < self._learner.schedule.steps:
                batch = next(batches)
                self._one_step(batch)
                now = int(PER_MILLE * self._learner.schedule.progress(self._state.step))
                advance(now - shown, self._note())
                shown = now
                if self._due(self._config.training.validate_every):
                    self._validate()
                    if self._out_of_patience():
                        break
                    self._keep_to_budget()
                if stopped():
                    self._interrupt()
                if self._due(self._config.training.checkpoint_every):
                    self._save()
        if not self._state.rows or self._state.rows[-1]["step"] != self._state.step:
            self._validate()
        self._save()
        self._progress.tell(
            *say_length(
                self._state.step,
                self._learner.schedule.steps,
                self._config.training.steps,
                len(self._looks_since_best()),
            ),
            f"Best validation score {self._state.best:.4f} ({self._course.score_name}) at step "
            f"{self._state.best_step}; model: {self._run.model_path}",
        )

    def _one_step(self, batch: Lesson) -> None:
        result = self._learner.step(self._state.step, batch.images, batch.targets, batch.weights)
        self._state.step += 1
        if result.applied:
            self._state.losses.append(result.loss)
            return
        self._state.skipped += 1
        if self._learner.skipped > SKIPS_ALLOWED:
            raise Diverged(
                "a finite loss",
                f"{self._learner.skipped} steps in a row whose loss or gradient was not finite",
                "Lower training.learning_rate; the best model so far is kept.",
                self._run.folder,
            )

    def _validate(self) -> None:
        """Score the averaged weights, keep them when they are the best, and write the row and the frame."""
        state, average = self._state, self._learner.average
        score = self._course.score(average)
        losses = state.losses
        row: dict[str, float | int | None] = {
            "step": state.step,
            "seconds": round(self._seconds(), 2),
            "train_loss": sum(losses) / len(losses) if losses else None,
            "val_score": score,
            "learning_rate": self._learner.schedule.rate(state.step - 1),
            "skipped": state.skipped,
        }
        state.losses = []
        state.rows.append(row)
        if score > state.best and _finite(average):
            state.best, state.best_step = score, state.step
            self._write_model()
        self._run.write_metrics(state.rows)
        self._course.picture(average, state.step)

    def _write_model(self) -> None:
        """Write the averaged weights as the run's model file."""
        recipe = self._course.recipe(self._state.best, self._state.best_step)
        recipe = replace(recipe, trained=recipe.trained | self._trained_from)
        save_model(self._run.model_path, self._learner.average, recipe)

    def _save(self) -> None:
        """Write a checkpoint of this moment."""
        self._state.seconds = self._seconds()
        schedule = self._learner.schedule
        state = {"training": asdict(self._state), "schedule": asdict(schedule)}
        checkpoint = Checkpoint(step=self._state.step, tensors=self._learner.tensors(), state=state)
        save_checkpoint(self._run.checkpoints, checkpoint)

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Take up a checkpoint."""
        self._learner.load_tensors(checkpoint.tensors)
        self._learner.schedule = Schedule(**checkpoint.state["schedule"])
        self._state = State(**checkpoint.state["training"])
        self._progress.tell(f"Took up the checkpoint of step {self._state.step}.")

    def _interrupt(self) -> None:
        """Save and stop: the user asked for it."""
        self._save()
        model = "the best model so far is kept" if self._state.rows else "no model was written yet"
        raise Interrupted(
            counted(self._learner.schedule.steps, "step"),
            f"{self._state.step:,} of {counted(self._learner.schedule.steps, 'step is', 'steps are')} done",
            f"The state is saved and {model}. Go on with: {self._run.how_to_go_on(self._data)}",
            self._run.folder,
        )

    def _keep_to_budget(self) -> None:
        """Give the schedule another end when the pace so far would miss the budget."""
        budget, state, schedule = self._config.training.budget, self._state, self._learner.schedule
        if budget is None:
            return
        done = state.step - self._first_step
        pace = (time.monotonic() - self._loop_began) / max(1, done)
        end = self._seconds() + pace * (schedule.steps - state.step) + FINISH_SECONDS
        if abs(end - budget) <= DRIFT * budget:
            return
        left = max(1, int((budget - FINISH_SECONDS - self._seconds()) / pace))
        self._learner.schedule = schedule.stretched(state.step, state.step + left)

    def _out_of_patience(self) -> bool:
        patience = self._config.training.patience
        if not patience or self._learner.schedule.progress(self._state.step) < 0.5:
            return False
        return len(self._looks_since_best()) >= patience

    def _looks_since_best(self) -> list[dict[str, float | int | None]]:
        return [row for row in self._state.rows if (row["step"] or 0) > self._state.best_step]

    def _due(self, every: int) -> bool:
        return self._state.step % every == 0

    def _seconds(self) -> float:
        return time.monotonic() - self._clock_zero

    def _note(self) -> str:
        rows, losses = self._state.rows, self._state.losses
        loss = f"loss {sum(losses[-20:]) / len(losses[-20:]):.3f}" if losses else ""
        score = f"val {rows[-1]['val_score']:.3f}" if rows else ""
        return f"step {self._state.step}/{self._learner.schedule.steps} {loss} {score}"


def say_length(done: int, end: int, planned: int, looks: int) -> list[str]:
    """Say why a training took another number of steps than planned, where it did.

    Parameters
    ----------
    done, end, planned : int
        Steps: taken, of the schedule as it stands at the end, of the plan.
    looks : int
        Validations since the best one.
    """
    if done < end:
        since = counted(looks, "validation was", "validations were")
        return [f"Ended after step {done:,} of {end:,}: the last {since} no better than the best one."]
    if done == planned:
        return []
    pace = "more" if done < planned else "less"
    taken = f"{counted(done, 'step was', 'steps were')} taken, {planned:,} were planned"
    return [f"{taken}: a step took {pace} time than was measured beforehand, and the time given is kept."]


def _say_frozen(config: Config, frozen: int, step: int) -> list[str]:
    """Say from which step on the encoder learns, and whether there is something worth keeping still."""
    if step >= frozen:
        return []
    steps = config.training.steps
    until = f"until step {frozen} of {steps}" if frozen < steps else "to the last step"
    told = [f"Encoder frozen {until}: its weights and batch statistics stay as they are, the rest learns."]
    if not config.transfer.encoder_weights:
        told.append("Its weights are random: nothing was loaded. Give encoder_weights=, or leave freeze= out.")
    return told


@contextmanager
def _stop_on_signals() -> Generator[Callable[[], bool], None, None]:
    """Turn a first Ctrl-C or SIGTERM into a request that the loop reads at the next step; a second ends at once."""
    requested: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if requested:
            raise KeyboardInterrupt
        requested.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals reach the main thread only
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(requested)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
