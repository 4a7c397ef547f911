"""The training loop: steps, validation, checkpoints, time budget and signals.

Exact continuation requires that every random draw is a function of (seed, step), and a time budget that the clock is
checked after every step (`pacing`).
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
from pixelwise.model_file.model_file import ModelCard, TrainedModel, load_network, save_model
from pixelwise.networks.architectures import build, with_defaults_where_unread
from pixelwise.progress import Progress
from pixelwise.runtimes.machine import use_threads
from pixelwise.text import pluralise
from pixelwise.training.batch import Batch, SlotBatches
from pixelwise.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from pixelwise.training.distillation_loss import DistillationSetup
from pixelwise.training.fine_tuning import unfreeze_step
from pixelwise.training.learner import Learner
from pixelwise.training.team import join_team
from pixelwise.workflow.fit.batches import Batches
from pixelwise.workflow.fit.messages import describe_frozen, describe_length
from pixelwise.workflow.fit.pacing import make_pacing
from pixelwise.workflow.fit.select.tta import affordable, describe_tta, measure
from pixelwise.workflow.fit.signals import stop_on_signals
from pixelwise.workflow.fit.state import ProcessorMeter, State
from pixelwise.workflow.fit.training_task import OpenTrainingTask
from pixelwise.workflow.outcome import Outcome, judge
from pixelwise.workflow.run import Run
from pixelwise.workflow.weights.initial_model import (
    initial_weights_record,
    load_initial_weights,
    load_previous_model,
)

MAX_SKIPS = 50  # consecutive non-finite steps before the training fails
FINISH_SECONDS = 1.5  # processor time reserved at the end of a budget for the last files
PER_MILLE = 1000


class Training:
    """One training of a run, new or continued from its last checkpoint.

    Parameters
    ----------
    open_task : callable
        Reads the data of a run and returns its `TrainingTask`.
    started : float
        `time.monotonic()` at the start of the command, from which the budget counts.
    distillation : DistillationSetup, optional
        For the student of an ensemble.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        open_task: OpenTrainingTask,
        device: str,
        progress: Progress,
        started: float,
        distillation: DistillationSetup | None = None,
    ) -> None:
        self._run, self._progress, self._data = run, progress, dataset.root
        self._config = config = run.config
        torch.manual_seed(config.training.seed)  # for the random initialisation
        network = build(with_defaults_where_unread(config.network))  # for runs of older versions
        checkpoint, complaints = newest_checkpoint(run.checkpoints)
        progress.message(*complaints)
        # a checkpoint contains the initial weights
        self._loaded = checkpoint is None and load_initial_weights(network, run, progress)
        self._trained_from = initial_weights_record(run) | dict(distillation.trained if distillation else {})
        if distillation is not None:
            network.load_state_dict(dict(distillation.start))
        self._task = open_task(run, dataset, network.geometry(), device, progress)
        frozen = unfreeze_step(config.transfer, config.training.steps, self._task.pass_steps)
        self._team = join_team(device)
        self._learner = Learner(
            network,
            config.training,
            self._task.loss,
            device,
            team=self._team,
            layer_decay=config.transfer.layer_decay,
            unfreeze_step=frozen,
            teacher=distillation.teacher if distillation else load_previous_model(run),
        )
        self._state = State()
        pacing: Mapping[str, Any] | None = None
        if checkpoint is not None:
            pacing = self._restore(checkpoint)
        progress.message(*describe_frozen(config, frozen, self._state.step))
        # a continuation includes the time used before
        self._clock_zero = started - self._state.seconds
        self._threads = min(config.training.threads, torch.get_num_threads()) if device == "cpu" else 0
        self._meter = ProcessorMeter(self._state, self._threads or (torch.get_num_threads() if device == "cpu" else 1))
        self._pacing = make_pacing(
            config.training, self._seconds, self._seconds_to_finish(), pacing, self._task.smallest_share
        )

    def go(self) -> None:
        """Train to the end, or until early stopping, a signal or a diverging loss."""
        self._begin()
        state, pacing, training = self._state, self._pacing, self._config.training
        with (
            closing(Batches(self._task, pacing, self._team, training.slots)) as batches,
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
                if pacing.validation_due(state.step):
                    self._validate()
                    if self._stop_early():
                        break
                if self._team.any(stopped()):
                    self._interrupt()
                if pacing.save_due(state.step):
                    self._save()
        if not state.rows or state.rows[-1]["step"] != state.step:
            self._validate()
        self._save()
        self._team.leave()
        if not self._team.leads:
            return
        best_step = state.best_step
        network, model_card = self._finish()
        selected = training.keep.capitalize() if state.best_step == best_step else "Last"
        self._progress.message(
            *describe_length(training, state.step, pacing.progress(state.step), len(self._validations_since_best())),
            f"{selected} validation score {state.best:.4f} "
            f"({self._task.score_name}) at step {state.best_step}; model: {self._run.model_path}",
        )
        if not self._run.summary_path.is_file():
            self._write_summary(network, model_card)

    def _begin(self) -> None:
        """Write what is there before the first step."""
        if self._team.leads:
            self._task.begin()
        if self._loaded:
            self._save()  # so that a continuation does not need the weights file

    def _one_step(self, batch: Batch | SlotBatches) -> None:
        step, learner = self._state.step, self._learner
        learner.expected_steps = self._pacing.expected_steps(step)
        result = learner.step(step, batch, progress=self._pacing.middle(step))
        self._state.step += 1
        if result.applied:
            self._state.losses.append(result.loss)
            return
        self._state.skipped += 1
        if self._learner.skipped > MAX_SKIPS:
            raise Diverged(
                "a finite loss",
                f"{self._learner.skipped} consecutive steps with a non-finite loss or gradient",
                "Lower training.learning_rate; the best model so far is saved.",
                self._run.folder,
            )

    def _validate(self) -> None:
        """Score the EMA weights, save them if they are the best, and write metrics and snapshot."""
        state, ema_model = self._state, self._learner.average
        began = time.monotonic()
        score = self._team.tell(self._task.score(ema_model, self._team))  # one decides, to the last bit
        state.slowest_validation = max(state.slowest_validation, time.monotonic() - began)
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
        if (score > state.best or self._config.training.keep == "last") and _finite(ema_model):
            state.best, state.best_step = score, state.step
            if self._team.leads:
                self._write_model()
        if self._team.leads:
            self._run.write_metrics(state.rows)
            self._task.write_snapshot(ema_model, state.step)
        self._pacing.note_validation(state.step, time.monotonic() - began, self._seconds_to_finish())

    def _write_summary(self, network: nn.Module, model_card: ModelCard) -> None:
        """Write the summary of the training, with the gain of test-time augmentation."""
        state, name = self._state, self._task.score_name
        needed, left = self._tta_seconds(), self._seconds_left()
        gains = measure(self._task.measure_tta, network, needed, left, self._progress)
        self._progress.message(*describe_tta(gains, name))
        outcome = self._judge(model_card)
        summary = {
            "steps": state.step,
            "seconds": round(self._seconds(), 2),
            "measuring_seconds": self._run.environment.get("measuring_seconds"),
            "cpu_share": outcome.cpu_share,
            "score": name,
            "best": state.best,
            "best_step": state.best_step,
            "averages": [asdict(gain) for gain in gains],
            "outcome": outcome.to_json(),
        }
        atomic_write_json(self._run.summary_path, summary)

    def _judge(self, model_card: ModelCard) -> Outcome:
        """Return the outcome of the training."""
        training, state = self._config.training, self._state
        mean_ap = model_card.trained.get("validation_mean_ap")
        return judge(
            steps=state.step,
            planned_steps=training.steps,
            score=state.best,
            trivial=self._task.trivial_score,
            mean_ap=float(mean_ap) if mean_ap else None,
            cpu_share=self._meter.share(),
            fine_tuned=bool(self._trained_from),
            limited=training.budget is not None or state.step < training.steps,
        )

    def _tta_seconds(self) -> float:
        """Return the seconds of the largest test-time augmentation, with one validation as warm-up."""
        return (self._task.max_inputs + 1) * self._state.slowest_validation

    def _seconds_to_finish(self) -> float:
        """Return the seconds reserved at the end: the last validation, threshold selection, and the files."""
        validation, total = self._state.slowest_validation, self._config.training.available_time
        tta = self._tta_seconds()
        tta = tta if total is not None and affordable(tta, total) else 0.0
        return self._meter.wall_seconds(FINISH_SECONDS) + validation + self._task.finish_seconds(validation) + tta

    def _seconds_left(self) -> float | None:
        """Return the seconds that remain after training; None without a time limit."""
        total = self._config.training.available_time
        return None if total is None else total - self._seconds() - self._meter.wall_seconds(FINISH_SECONDS)

    def _finish(self) -> TrainedModel:
        """Let the task choose thresholds, and whether to use the last weights instead of the best ones."""
        state = self._state
        network, written = load_network(self._run.model_path)
        planned = self._model_card(state.best, state.best_step)
        if set(written.trained) - set(planned.trained):  # notes: an earlier process was stopped after it had chosen
            if written.trained["step"] == str(state.step):
                self._use_last()
            return network, written
        models: list[TrainedModel] = [(network, planned)]
        if state.best_step != state.step and _finite(self._learner.average):
            models.append((self._learner.average, self._model_card(*self._last())))
        network, model_card = self._task.finish(models, self._seconds_left())
        if network is self._learner.average:
            self._use_last()
        if model_card != written:
            save_model(self._run.model_path, network, model_card)
        return network, model_card

    def _last(self) -> tuple[float, int]:
        """Return the validation score of the last step, and the step."""
        return float(self._state.rows[-1]["val_score"] or 0.0), self._state.step

    def _use_last(self) -> None:
        self._state.best, self._state.best_step = self._last()

    def _model_card(self, score: float, step: int) -> ModelCard:
        model_card = self._task.model_card(score, step)
        return replace(model_card, trained=model_card.trained | self._trained_from)

    def _write_model(self) -> None:
        """Write the EMA weights to the model file."""
        model_card = self._model_card(self._state.best, self._state.best_step)
        save_model(self._run.model_path, self._learner.average, model_card)

    def _save(self) -> None:
        """Write a checkpoint."""
        if not self._team.leads:
            return
        began = time.monotonic()
        self._state.seconds = self._seconds()
        self._meter.update()
        state = {"training": asdict(self._state), "pacing": self._pacing.state()}
        checkpoint = Checkpoint(step=self._state.step, tensors=self._learner.tensors(), state=state)
        save_checkpoint(self._run.checkpoints, checkpoint)
        self._pacing.note_save(time.monotonic() - began)

    def _restore(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """Load a checkpoint; return the state of its pacing."""
        self._learner.load_tensors(checkpoint.tensors)
        self._state = State(**checkpoint.state["training"])
        self._progress.message(f"Continuing from the checkpoint of step {self._state.step}.")
        return checkpoint.state["pacing"]

    def _interrupt(self) -> None:
        """Save a checkpoint and raise Interrupted."""
        self._save()
        model = "the best model so far is kept" if self._state.rows else "there is no model yet"
        steps = self._pacing.expected_steps(self._state.step)
        raise Interrupted(
            pluralise(steps, "step"),
            f"{self._state.step:,} of {pluralise(steps, 'step is', 'steps are')} done",
            f"The state is saved and {model}. Continue with: {self._run.resume_command(self._data)}",
            self._run.folder,
        )

    def _stop_early(self) -> bool:
        """Return whether `patience` validations in the second half, after the low-resolution phase, were no better."""
        patience, start = self._config.training.patience, max(0.5, self._config.patches.low_res_fraction)
        late = [row for row in self._validations_since_best() if float(row["progress"] or 0.0) >= start]
        return 0 < patience <= len(late)

    def _validations_since_best(self) -> list[dict[str, float | int | None]]:
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
