"""Run the whole workflow on synthetic images in a minute or two on two cores: train, evaluate, predict, report.

The training has a fixed number of steps, so that the result does not depend on the machine, and a time limit for busy
ones. The settings are those that learn this data set in the least processor time (benchmarks/RECIPE.md).
"""

from pathlib import Path

from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import OutputFailed
from pixelwise.io.read import read_image
from pixelwise.progress import Console, Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.predict import predict
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.report import report
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import describe_scores
from pixelwise.workflow.train import train

STEPS = 800
TIME_LIMIT = 300.0  # seconds of training; on a busy machine scores and report are done within six minutes
SETTINGS = ("patches.height=128", "patches.width=128", "patches.batch=2", "network.base=8", "network.depth=3")


def demo(
    out: Path | str = "demo",
    *,
    seed: int = 0,
    steps: int = STEPS,
    time_limit: float | str = TIME_LIMIT,
    progress: Progress | None = None,
    started: float | None = None,
) -> Run:
    """Draw touching cells with ground truth, then train, evaluate, predict and write the report.

    Parameters
    ----------
    out : path
        Folder of the demo: `images` is the data set; `run-1`, `run-2`, ... are the runs, one per call, with their
        predictions.
    seed : int
        Random seed of the images and of the training.
    steps : int
        Training steps.
    time_limit : float or str
        Time limit of the training; the rest takes well under a minute on an idle machine.
    progress : Progress, optional
    started : float, optional
        `time.monotonic()` at the start of the command; by default now.

    Returns
    -------
    Run
        The run of this call.
    """
    progress = progress or Console()
    folder = Path(out)
    data = folder / "images"
    run_folder = _new_folder(folder)
    progress.message(
        "This demo draws 36 images of touching cells, trains a U-Net to separate the cells, evaluates it on the test "
        "images, and writes a report. It takes a minute or two, at most six on a busy machine.",
        f"1/5  Drawing images and masks into {data}.",
    )
    write_demo(data, seed=seed)
    limit = f"{float(time_limit):.0f}s" if isinstance(time_limit, float | int) else time_limit
    command = f"pixelwise train {data} --out {run_folder} --steps {steps} --time-limit {limit} {' '.join(SETTINGS)}"
    progress.message(f"2/5  Training: {command}")
    run = train(
        data,
        out=run_folder,
        steps=steps,
        time_limit=time_limit,
        seed=seed,
        overrides=SETTINGS,
        progress=progress,
        started=started,
    )
    progress.message(f"3/5  Evaluating on the test images: pixelwise evaluate {run_folder} {data}")
    scores = evaluate(run_folder, data, progress=progress)
    masks = run_folder / "predictions" / "test"
    images = data / "test" / "images"
    command = f"pixelwise predict {run_folder} {images} --out {masks} --overlays"
    progress.message(f"4/5  Predicting the test images: {command}")
    predict(run_folder, [images], masks, PredictOptions(overlays=True), progress=progress)
    progress.message(f"5/5  Writing the report: pixelwise report {run_folder}")
    page = report(run_folder, progress=progress)
    progress.message("", describe_scores(scores), "")
    overlay = sorted(masks.glob("*.overlay.png"))[0]
    progress.picture(read_image(overlay).pixels, "A test image with the outlines of the predicted cells:")
    progress.message(f"Report: {page}", f"Masks:  {masks}")
    return run


def _new_folder(folder: Path) -> Path:
    for number in range(1, 1000):
        path = folder / f"run-{number}"
        if not path.exists():
            return path
    raise OutputFailed("fewer than 1000 demo runs", "1000", "Remove some of them.", folder)
