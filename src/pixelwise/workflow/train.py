"""Train a segmentation model on images with masks, or a classification model on class folders."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelwise.datasets.dataset import DataOptions, Dataset, detect_dataset
from pixelwise.datasets.splitting.folds import assign_folds, merge_train_val
from pixelwise.errors import BadOption, DiskFull, Interrupted
from pixelwise.progress import Console, Progress
from pixelwise.runtimes.machine import Machine, choose_device, detect_machine
from pixelwise.runtimes.malloc import large_blocks
from pixelwise.text import pluralise
from pixelwise.training.team import rank_of_process, world_size
from pixelwise.workflow.config import Config
from pixelwise.workflow.environment import parse_duration
from pixelwise.workflow.fit.cross_validation import CrossValidation, FoldTask
from pixelwise.workflow.fit.loop import Training
from pixelwise.workflow.fit.resume import follow_plan, refuse_other_plan, reopen
from pixelwise.workflow.fit.run_metadata import initial_records
from pixelwise.workflow.fit.signals import interrupt_on_signals
from pixelwise.workflow.planning.choices import PlanRequest, TrainingBudget, propose_seconds, refuse_limits
from pixelwise.workflow.planning.fold_time import go_to_the_end, share_time
from pixelwise.workflow.run import Run, run_folder
from pixelwise.workflow.settings import Settings, apply_settings, refuse_unread
from pixelwise.workflow.tasks.choose import task_of
from pixelwise.workflow.weights.encoder_weights import apply_weights, check_weights_early
from pixelwise.workflow.weights.initial_model import check_initial_model

FINGERPRINT_SHARE = 0.05  # fraction of the time for the fingerprint: large data sets are subsampled
MIN_SECONDS = 3.0  # for training, after the data is read
# (run, data set, task, device, progress)
CrossValidate = Callable[[Run, Dataset, FoldTask, str, Progress], None]


@large_blocks()
def train(
    data: Path | str,
    *,
    out: Path | str | None = None,
    budget: float | str | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    time_limit: float | str | None = None,
    folds: int | None = None,
    distil: bool = False,
    seed: int = 0,
    resume: bool = False,
    config: Path | str | None = None,
    device: str = "auto",
    options: DataOptions | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    started: float | None = None,
    cross_validate: CrossValidate | None = None,
) -> Run:
    """Train a segmentation model on a folder of images and masks, or a classification model on class folders.

    Parameters
    ----------
    data : path
        The data folder; `pixelwise inspect` shows how it is interpreted.
    out : path, optional
        The run folder; by default runs/<name of the data folder>.
    budget : float or str, optional
        Time budget of the whole call: seconds, or text such as "90s", "10m", "2h". The progress of the training is the
        used fraction of the time.
    steps, epochs : int, optional
        Instead of a budget. An epoch has as many pixels as the training images.
    time_limit : float or str, optional
        Time limit of a training with `steps` or `epochs`; a slow machine then does fewer and smaller steps.
    folds : int, optional
        Cross-validation: train this many networks, each without the images of one fold, evaluate every image out of
        fold, and save all networks as an ensemble. A budget is divided between them; `steps` and `epochs` are for each.
    distil : bool
        With folds: distil the ensemble into one network, which predicts as fast as a single one.
    seed : int
        Random seed.
    resume : bool
        Continue the run in `out` from its last checkpoint.
    config : path, optional
        A config file; settings that it leaves out are planned.
    device : {"auto", "cpu", "cuda", "mps"}
    options : DataOptions, optional
        Options that override what is detected in the folder.
    overrides : sequence of str
        "section.setting=value", such as "network.depth=5".
    progress : Progress, optional
        By default messages and progress bars on standard error.
    started : float, optional
        `time.monotonic()` at the start of the command, from which a budget counts; by default now.
    cross_validate : callable, optional
        Trains the folds of a planned run; by default in this process, one after the other.

    Returns
    -------
    Run
        The run folder with `model.safetensors`; its `outcome` states whether the model is useful.

    Raises
    ------
    BadDataset, BadOption, BadRun, OutputFailed
        The arguments or the data cannot be used.
    Interrupted
        Ctrl-C or SIGTERM; the state is saved and `resume` continues it.
    Diverged
        The loss stayed non-finite.
    """
    started = time.monotonic() if started is None else started
    progress = progress or Console()
    words = Settings.parse(overrides)  # report mistyped settings before any work
    root = Path(data)
    timed = budget is not None or time_limit is not None
    on = cross_validate is not None
    _check_processes(limited=timed or not (steps or epochs or resume or config), folds=folds, on=on and not resume)
    folder = run_folder(root, None if out is None else Path(out))
    follows = rank_of_process() > 0
    if follows:
        progress, resume = Progress(), follow_plan(folder)
    if resume and not follows:  # the leading process has checked the words of all
        given = {
            "--budget": parse_duration(budget),
            "--steps": steps,
            "--epochs": epochs,
            "--time-limit": parse_duration(time_limit),
            "--folds": folds,
            "--distil": distil or None,
            "--seed": seed or None,
            "--config": config,
            "data options": options,
        }
        refuse_other_plan(Run.open(folder), given, words)
    if resume:
        run, dataset = reopen(folder, root, progress)
    else:
        if distil and folds is None:
            raise BadOption("--distil with --folds", "no folds", "Give --folds 5: distillation needs an ensemble.")
        if time_limit is not None and folds is not None:
            hint = "Give --budget, which is divided between the folds."
            raise BadOption("--time-limit for one training", f"{folds} folds", hint)
        limit = TrainingBudget(
            seconds=parse_duration(budget), steps=steps, epochs=epochs, time_limit=parse_duration(time_limit)
        )
        file = Settings.from_file(Path(config)) if config is not None else Settings()
        run, dataset = _Start(
            root=root,
            folder=folder,
            limit=limit,
            folds=folds,
            distil=distil,
            seed=seed,
            device=device,
            words=words,
            settings=file.with_data(options).merged(words),
            started=started,
            progress=progress,
        ).create_run()
    _check_processes(limited=run.config.training.available_time is not None, folds=run.folds or None, on=on)
    _go_on(run, dataset, choose_device(device), progress, started, cross_validate or _cross_validate)
    return run


@dataclass(frozen=True, kw_only=True)
class _Start:
    """The start of a new training: `words` are the settings of the command line, `settings` those of a file too."""

    root: Path
    folder: Path
    limit: TrainingBudget
    folds: int | None
    distil: bool
    seed: int
    device: str
    words: Settings
    settings: Settings
    started: float
    progress: Progress

    def create_run(self) -> tuple[Run, Dataset]:
        """Read and measure the data, plan the training, and write the run folder."""
        complete = apply_settings(Config(), self.settings) if self.settings.complete else None
        if complete is not None:
            refuse_limits(complete, self.limit)
        run, progress = Run(self.folder), self.progress
        run.check_outside(self.root)
        run.check_free()
        refuse_unread(self.settings)
        check_weights_early(self.settings, progress)
        dataset = detect_dataset(self.root, self.settings.data, self.seed, progress)
        progress.message(*dataset.messages)
        task = task_of(dataset)
        _check_folds(dataset, self.folds)
        assignment = assign_folds(dataset, self.folds, self.seed) if self.folds is not None else None
        if assignment is not None:
            dataset = merge_train_val(dataset)
            progress.message(*assignment.messages)
        machine = detect_machine(self.device)
        total = self.limit.time_limit or propose_seconds(self.limit)
        fingerprint = task.measure(dataset, progress, None if total is None else FINGERPRINT_SHARE * total)
        config, measuring = (complete, 0.0) if complete else self._plan(dataset, fingerprint, machine)
        # pretrained weights from the command line also set the normalisation of their training
        named = self.words if "transfer.encoder_weights" in self.words.values else self.settings
        config, weights = apply_weights(config, fingerprint, named, progress)
        weights |= check_initial_model(config, self.folds, progress)
        records = initial_records(dataset, fingerprint, machine, config.training.seed, measuring) | weights
        if assignment is not None:
            seconds = propose_seconds(self.limit) if complete is None else None
            config = go_to_the_end(config)
            if seconds is not None:
                scoring = task.seconds_to_score(config, dataset, fingerprint, machine.device)
                left = seconds - (time.monotonic() - self.started)
                config = share_time(config, len(assignment.left_out), left, seconds, scoring, distil=self.distil)
            records |= {"folds": {"left_out": assignment.left_out, "seconds": seconds, "distil": self.distil}}
        run = Run.create(self.folder, config, records)
        progress.message(*_announce(task.describe_plan(config), config, machine, run))
        return run, dataset

    def _plan(self, dataset: Dataset, fingerprint: Any, machine: Machine) -> tuple[Config, float]:
        """Choose every setting; return the plan, and the seconds for measuring the machine."""
        left, limit, began = _time_left(propose_seconds(self.limit), self.started), self.limit, self.started
        if self.folds is not None:
            began = time.monotonic()
            limit = limit if left is None else TrainingBudget(seconds=left / (self.folds + self.distil))
        rest = f", to plan the remaining {left:.0f} s" if left else ""
        self.progress.message(f"Measuring the training speed of this machine{rest}.")
        request = PlanRequest(
            dataset=dataset,
            fingerprint=fingerprint,
            data=self.settings.data,
            machine=machine,
            limit=limit,
            seed=self.seed,
            settings=self.settings,
            began=began,
            progress=self.progress,
        )
        return task_of(dataset).plan(request)


def _go_on(
    run: Run, dataset: Dataset, device: str, progress: Progress, started: float, cross_validate: CrossValidate
) -> None:
    """Train, or continue a training; whatever stops it names the command that continues."""
    onward, task = run.resume_command(dataset.root), task_of(dataset)
    with nullcontext() if rank_of_process() else run.only_one(), interrupt_on_signals():
        try:
            if run.folds:
                cross_validate(run, dataset, task, device, progress)
            else:
                Training(run, dataset, task.open_training, device, progress, started).go()
        except DiskFull as error:
            hint = f"Free some space, then continue with: {onward}"
            raise DiskFull(error.expected, error.got, hint, error.path) from error
        except KeyboardInterrupt as stop:  # between the steps, Training saves its state first
            hint = f"The last saved state is kept. Continue with: {onward}"
            raise Interrupted("a finished training", "a request to stop", hint, run.folder) from stop


def _cross_validate(run: Run, dataset: Dataset, task: FoldTask, device: str, progress: Progress) -> None:
    CrossValidation(run, dataset, task, device, progress).go()


def _check_folds(dataset: Dataset, folds: int | None) -> None:
    """Raise BadOption for folds of a data set with regions: what they are for, calibration, is of exclusive classes."""
    if folds is not None and dataset.labelling.regions:
        raise BadOption("one training for regions", f"{folds} folds", "Leave out --folds.")


def _check_processes(*, limited: bool, folds: object, on: bool) -> None:
    """Raise BadOption for what several processes cannot share: clocks differ, and folds are trainings of their own."""
    if on and folds is None:
        raise BadOption("--on with --folds", "one training", "Give --folds 5, or --ranks 2 for one training.")
    if world_size() == 1:
        return
    if limited:
        raise BadOption("--steps or --epochs for several processes", "a time limit", "Give --steps.")
    if folds is not None:
        raise BadOption("one training for several processes", "folds", "Train the folds with --on local:N.")


def _time_left(seconds: float | None, started: float) -> float | None:
    if seconds is None:
        return None
    left = seconds - (time.monotonic() - started)
    if left < MIN_SECONDS:
        hint = f"Reading the data took {seconds - left:.0f} s: use a longer budget, or --steps."
        raise BadOption(f"a budget that leaves {MIN_SECONDS:.0f} s for training", f"{seconds:.0f} s", hint)
    return left


def _announce(what: str, config: Config, machine: Machine, run: Run) -> list[str]:
    """Describe the plan."""
    given = config.training.available_time
    limit = "until the last step" if given is None else f"{given / 60:.0f} min" if given >= 120 else f"{given:.0f} s"
    time_ = limit if given is None else f"{'at most' if config.training.time_limit else 'about'} {limit}"
    plan = f"Plan for each of {len(run.folds)} folds" if run.folds else "Plan"
    threads = config.training.threads or machine.threads
    where = f"{config.training.precision} on {machine.device} with {pluralise(threads, 'thread')}"
    return [
        f"{plan}: {what}, {where}, {time_}.",
        *([f"{config.reasons['training.budget']}"] if run.folds and config.training.budget else []),
        f"All settings and their reasons are in {run.config_path}.",
    ]
