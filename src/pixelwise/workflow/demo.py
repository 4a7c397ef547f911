"""Demo: the main job from nothing, in under three minutes on two cores: draw, train, evaluate, predict, report."""

from pathlib import Path

from pixelwise.errors import OutputFailed
from pixelwise.images.synthetic import write_demo
from pixelwise.progress import Console, Progress
from pixelwise.workflow.evaluate import evaluate
from pixelwise.workflow.predict import predict
from pixelwise.workflow.report import report
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import describe_scores
from pixelwise.workflow.train import train


def demo(out: Path | str = "demo", *, seed: int = 0, seconds: float = 90.0, progress: Progress | None = None) -> Run:
    """Draw touching cells with known truth, train on them, score, predict and write the report.

    Parameters
    ----------
    out : path
        Folder of the demo: `images` holds the drawn set, `run-1`, `run-2`, ... a run for each call, with its
        predictions inside.
    seed : int
        Of the drawing and of the training.
    seconds : float
        Time for the training; the rest takes well under a minute.
    progress : Progress, optional

    Returns
    -------
    Run
        The run of this call.
    """
    progress = progress or Console()
    folder = Path(out)
    data = folder / "images"
    progress.tell(f"1/5  Drawing 36 pictures of touching cells into {data}.")
    write_demo(data, seed=seed)
    place = _free(folder)
    progress.tell(
        f"2/5  Training for about {seconds:.0f} s: pixelwise train {data} --out {place} --budget {seconds:.0f}s"
    )
    run = train(data, out=place, budget=seconds, seed=seed, progress=progress)
    progress.tell(f"3/5  Scoring on the test part: pixelwise evaluate {place} {data}")
    scores = evaluate(place, data, progress=progress)
    masks = place / "predictions" / "test"
    progress.tell(
        f"4/5  Predicting the test images: pixelwise predict {place} {data / 'test' / 'images'} --out {masks}"
    )
    predict(place, [data / "test" / "images"], masks, overlays=True, progress=progress)
    progress.tell(f"5/5  Writing the report: pixelwise report {place}")
    page = report(place, progress=progress)
    progress.tell("", describe_scores(scores), "", f"Look at   {page}", f"Masks in  {masks}")
    return run


def _free(folder: Path) -> Path:
    for number in range(1, 1000):
        place = folder / f"run-{number}"
        if not place.exists():
            return place
    raise OutputFailed("fewer than 1000 demo runs", "1000", "Remove some of them.", folder)
