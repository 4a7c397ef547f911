"""Demo: the main job from nothing, in a minute or two on two cores: draw, train, evaluate, predict, report.

Training is bound by steps, so that the demo comes out the same on a fast and on a slow machine, with a limit in time
for a busy one. Its settings are those that learn this set in the least processor time (benchmarks/RECIPE.md).
"""

from pathlib import Path

from pixelwise.datasets.synthetic import write_demo
from pixelwise.errors import OutputFailed
from pixelwise.io.read import read_image
from pixelwise.progress import Console, Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.predict import predict
from pixelwise.workflow.report import report
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import describe_scores
from pixelwise.workflow.train import train

STEPS = 800
TIME_LIMIT = 300.0  # seconds of the training, which leaves room for scores and report in six minutes on a busy machine
SETTINGS = (
    "patches.height=128",
    "patches.width=128",
    "patches.batch=2",
    "network.base=8",
    "network.depth=3",
)


def demo(
    out: Path | str = "demo",
    *,
    seed: int = 0,
    steps: int = STEPS,
    time_limit: float | str = TIME_LIMIT,
    progress: Progress | None = None,
    started: float | None = None,
) -> Run:
    """Draw touching cells with known truth, train on them, score, predict and write the report.

    Parameters
    ----------
    out : path
        Folder of the demo: `images` holds the drawn set, `run-1`, `run-2`, ... a run for each call, with its
        predictions inside.
    seed : int
        Of the drawing and of the training.
    steps : int
        Of the training.
    time_limit : float or str
        Latest end of the training; the rest takes well under a minute on a machine with nothing else to do.
    progress : Progress, optional
    started : float, optional
        `time.monotonic()` when the command began; by default now.

    Returns
    -------
    Run
        The run of this call.
    """
    progress = progress or Console()
    folder = Path(out)
    data = folder / "images"
    place = _free(folder)
    progress.message(
        "This demo draws 36 images of touching cells, trains a U-Net to tell the cells apart, scores it on images it "
        "has not seen, and writes a report: a minute or two, at most six on a busy machine.",
        f"1/5  Drawing images and masks into {data}.",
    )
    write_demo(data, seed=seed)
    limit = f"{float(time_limit):.0f}s" if isinstance(time_limit, float | int) else time_limit
    command = f"pixelwise train {data} --out {place} --steps {steps} --time-limit {limit} {' '.join(SETTINGS)}"
    progress.message(f"2/5  Training: {command}")
    run = train(
        data,
        out=place,
        steps=steps,
        time_limit=time_limit,
        seed=seed,
        overrides=SETTINGS,
        progress=progress,
        started=started,
    )
    progress.message(f"3/5  Scoring on the test images: pixelwise evaluate {place} {data}")
    scores = evaluate(place, data, progress=progress)
    masks = place / "predictions" / "test"
    images = data / "test" / "images"
    progress.message(f"4/5  Predicting the test images: pixelwise predict {place} {images} --out {masks} --overlays")
    predict(place, [images], masks, overlays=True, progress=progress)
    progress.message(f"5/5  Writing the report: pixelwise report {place}")
    page = report(place, progress=progress)
    progress.message("", describe_scores(scores), "")
    overlay = sorted(masks.glob("*.overlay.png"))[0]
    progress.picture(read_image(overlay).pixels, "A test image with the outlines of the cells that were found:")
    progress.message(f"Look at   {page}", f"Masks in  {masks}")
    return run


def _free(folder: Path) -> Path:
    for number in range(1, 1000):
        place = folder / f"run-{number}"
        if not place.exists():
            return place
    raise OutputFailed("fewer than 1000 demo runs", "1000", "Remove some of them.", folder)
