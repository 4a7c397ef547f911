"""The training loop: the one place where steps, validation, checkpoints, time and signals meet.

It is our own: exact continuation needs every draw to be a function of (seed, step), and a time
budget asks the clock after every step (`pacing`).
"""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.dataset import Dataset
from pixelwise.errors import Diverged, Interrupted
from pixelwise.model_file.model_file import ModelCard, read_model_card, save_model
from pixelwise.networks.architectures import build, with_defaults_where_unread
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import use_threads
from pixelwise.text import pluralise
from pixelwise.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from pixelwise.training.distillation_loss import DistillationSetup
from pixelwise.training.fine_tuning import frozen_steps
from pixelwise.training.learner import Learner
from pixelwise.workflow.fit.batches import Batches
from pixelwise.workflow.fit.messages import describe_frozen, describe_length
from pixelwise.workflow.fit.pacing import make_pacing
from pixelwise.workflow.fit.select.tta import affordable, describe_tta, measure
from pixelwise.workflow.fit.signals import stop_on_signals
from pixelwise.workflow.fit.state import ProcessorMeter, State
from pixelwise.workflow.fit.training_task import TrainingBatch, open_training_task
from pixelwise.workflow.outcome import Outcome, judge
from pixelwise.workflow.run import Run
from pixelwise.workflow.weights.encoder_weights import start_encoder, trained_from

SKIPS_ALLOWED = 50  # non-finite steps in a row before training is given up
FINISH_SECONDS = 1.5  # of the processor, kept free at the end of a budget for the last files
PER_MILLE = 1000


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
    lessons : Lessons, optional
        Of a network that is taught by others.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        device: str,
        progress: Progress,
        started: float,
        lessons: DistillationSetup | None = None,
    ) -> None:
        self._run, self._progress, self._data = run, progress, dataset.root
        self._config = config = run.config
        torch.manual_seed(config.training.seed)  # the first weights are a function of the seed
        network = build(with_defaults_where_unread(config.network))  # as older runs began that are continued
        checkpoint, complaints = newest_checkpoint(run.checkpoints)
        progress.message(*complaints)
        # what has begun is in its checkpoint, wherever the weights of the encoder came from
        self._loaded = checkpoint is None and start_encoder(network, run, progress)
        self._trained_from = trained_from(run) | dict(lessons.trained if lessons else {})
        if lessons is not None:
            network.load_state_dict(dict(lessons.start))
        self._course = open_training_task(run, dataset, network.geometry(), device, progress)
        frozen = frozen_steps(config.transfer, config.training.steps, self._course.pass_steps)
        self._learner = Learner(
            network,
            config.training,
            self._course.loss,
            device,
            layer_decay=config.transfer.layer_decay,
            frozen_steps=frozen,
            teacher=lessons.teacher if lessons else None,
        )
        self._state = State()
        pacing: Mapping[str, Any] | None = None
        if checkpoint is not None:
            pacing = self._restore(checkpoint)
        progress.message(*describe_frozen(config, frozen, self._state.step))
        # on a continuation the time of the earlier part counts too
        self._clock_zero = started - self._state.seconds
        self._threads = min(config.training.threads, torch.get_num_threads()) if device == "cpu" else 0
        self._meter = ProcessorMeter(self._state, self._threads or (torch.get_num_threads() if device == "cpu" else 1))
        self._pacing = make_pacing(config.training, self._seconds, self._seconds_to_finish(), pacing)

    def go(self) -> None:
        """Train to the end, or until patience, a signal or a diverging loss ends it."""
        self._course.begin()
        if self._loaded:
            self._save()  # a continuation needs the weights' file no more
        state, pacing, training = self._state, self._pacing, self._config.training
        with (
            closing(Batches(self._course, pacing)) as batches,
            stop_on_signals() as stopped,
            self._progress.bar("training", PER_MILLE) as advance,
        ):
            shown = 0
            while not pacing.over(state.step):
                began = time.monotonic()
                batch = batches.next(state.step)
                with use_threads(self._threads):
                    self._one_step(batch)
                pacing.note_step(state.step, time.monotonic() - began)
                now = int(PER_MILLE * pacing.progress(state.step))
                advance(now - shown, self._note())
                shown = now
                if pacing.look_due(state.step):
                    self._validate()
                    if self._out_of_patience():
                        break
                if stopped():
                    self._interrupt()
                if pacing.save_due(state.step):
                    self._save()
        if not state.rows or state.rows[-1]["step"] != state.step:
            self._validate()
        self._save()
        kept = "Last" if self._finish() else training.keep.capitalize()
        self._progress.message(
            *describe_length(training, state.step, pacing.progress(state.step), len(self._looks_since_best())),
            f"{kept} validation score {state.best:.4f} "
            f"({self._course.score_name}) at step {state.best_step}; model: {self._run.model_path}",
        )
        if not self._run.summary_path.is_file():
            self._sum_up()

    def _one_step(self, batch: TrainingBatch) -> None:
        step, learner = self._state.step, self._learner
        learner.expected_steps = self._pacing.expected_steps(step)
        maps = batch.weights, batch.distances
        result = learner.step(step, batch.images, batch.targets, *maps, progress=self._pacing.middle(step))
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
        began = time.monotonic()
        score = self._course.score(average)
        state.slowest_look = max(state.slowest_look, time.monotonic() - began)
        progress = self._pacing.progress(state.step)
        losses = state.losses
        row: dict[str, float | int | None] = {
            "step": state.step,
            "seconds": round(self._seconds(), 2),
            "train_loss": sum(losses) / len(losses) if losses else None,
            "val_score": score,
            "learning_rate": self._learner.schedule.rate(progress),
            "skipped": state.skipped,
            "progress": progress,
        }
        state.losses = []
        state.rows.append(row)
        if (score > state.best or self._config.training.keep == "last") and _finite(average):
            state.best, state.best_step = score, state.step
            self._write_model()
        self._run.write_metrics(state.rows)
        self._course.picture(average, state.step)
        self._pacing.note_look(state.step, time.monotonic() - began, self._seconds_to_finish())

    def _sum_up(self) -> None:
        """Write how the training went, and what averaging over turned inputs would bring."""
        state, name = self._state, self._course.score_name
        needed, left = self._seconds_to_average(), self._seconds_left()
        averages = measure(self._course.averages, self._run.model_path, needed, left, self._progress)
        self._progress.message(*describe_tta(averages, name))
        outcome = self._judge()
        summary = {
            "steps": state.step,
            "seconds": round(self._seconds(), 2),
            "measuring_seconds": self._run.environment.get("measuring_seconds"),
            "cpu_share": outcome.cpu_share,
            "score": name,
            "best": state.best,
            "best_step": state.best_step,
            "averages": [asdict(average) for average in averages],
            "outcome": outcome.to_json(),
        }
        atomic_write_json(self._run.summary_path, summary)

    def _judge(self) -> Outcome:
        """Decide whether the training came far enough to be useful."""
        training, state = self._config.training, self._state
        mean_ap = read_model_card(self._run.model_path).trained.get("validation_mean_ap")
        return judge(
            steps=state.step,
            planned_steps=training.steps,
            score=state.best,
            trivial=self._course.trivial_score,
            mean_ap=float(mean_ap) if mean_ap else None,
            cpu_share=self._meter.share(),
            fine_tuned=bool(self._trained_from),
            limited=training.budget is not None or state.step < training.steps,
        )

    def _seconds_to_average(self) -> float:
        """Return the seconds that the inputs of the largest average take, with one look to warm up."""
        return (self._course.most_inputs + 1) * self._state.slowest_look

    def _seconds_to_finish(self) -> float:
        """Return the seconds that are kept free at the end: the last look, what is chosen on it, and the files."""
        look, total = self._state.slowest_look, self._config.training.time_given
        averages = self._seconds_to_average()
        affordable_ = averages if total is not None and affordable(averages, total) else 0.0
        return self._meter.wall_seconds(FINISH_SECONDS) + look + self._course.finish_seconds(look) + affordable_

    def _seconds_left(self) -> float | None:
        """Return the seconds that are left for what comes after training; None without a clock."""
        total = self._config.training.time_given
        return None if total is None else total - self._seconds() - self._meter.wall_seconds(FINISH_SECONDS)

    def _finish(self) -> bool:
        """Let the course decide what is left, and whether the last weights serve better than the best ones."""
        state, last = self._state, self._learner.average
        score = float(state.rows[-1]["val_score"] or 0.0)
        differ = state.best_step != state.step and _finite(last)
        rival = (last, self._recipe(score, state.step)) if differ else None
        if not self._course.finish(self._run.model_path, rival, self._seconds_left()):
            return False
        state.best, state.best_step = score, state.step
        return True

    def _recipe(self, score: float, step: int) -> ModelCard:
        model_card = self._course.model_card(score, step)
        return replace(model_card, trained=model_card.trained | self._trained_from)

    def _write_model(self) -> None:
        """Write the averaged weights as the run's model file."""
        model_card = self._recipe(self._state.best, self._state.best_step)
        save_model(self._run.model_path, self._learner.average, model_card)

    def _save(self) -> None:
        """Write a checkpoint of this moment."""
        began = time.monotonic()
        self._state.seconds = self._seconds()
        self._meter.update()
        state = {"training": asdict(self._state), "pacing": self._pacing.state()}
        checkpoint = Checkpoint(step=self._state.step, tensors=self._learner.tensors(), state=state)
        save_checkpoint(self._run.checkpoints, checkpoint)
        self._pacing.note_save(time.monotonic() - began)

    def _restore(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """Go on from a checkpoint; return the state of its pacing."""
        self._learner.load_tensors(checkpoint.tensors)
        self._state = State(**checkpoint.state["training"])
        self._progress.message(f"Continuing from the checkpoint of step {self._state.step}.")
        return checkpoint.state["pacing"]

    def _interrupt(self) -> None:
        """Save and stop: the user asked for it."""
        self._save()
        model = "the best model so far is kept" if self._state.rows else "no model was written yet"
        steps = self._pacing.expected_steps(self._state.step)
        raise Interrupted(
            pluralise(steps, "step"),
            f"{self._state.step:,} of {pluralise(steps, 'step is', 'steps are')} done",
            f"The state is saved and {model}. Go on with: {self._run.how_to_go_on(self._data)}",
            self._run.folder,
        )

    def _out_of_patience(self) -> bool:
        """Tell whether enough validations were no better, of those late enough for the details to be learned."""
        patience, begins = self._config.training.patience, max(0.5, self._config.patches.low_res_fraction)
        late = [row for row in self._looks_since_best() if float(row["progress"] or 0.0) >= begins]
        return 0 < patience <= len(late)

    def _looks_since_best(self) -> list[dict[str, float | int | None]]:
        return [row for row in self._state.rows if (row["step"] or 0) > self._state.best_step]

    def _seconds(self) -> float:
        return time.monotonic() - self._clock_zero

    def _note(self) -> str:
        rows, losses = self._state.rows, self._state.losses
        loss = f"loss {sum(losses[-20:]) / len(losses[-20:]):.3f}" if losses else ""
        score = f"val {rows[-1]['val_score']:.3f}" if rows else ""
        return f"step {self._state.step}/{self._pacing.expected_steps(self._state.step)} {loss} {score}"


def _finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
