"""What quantisation to int8 costs a trained model of volumes: Dice on test volumes beside float32, all by commands.

    python benchmarks/volume_int8.py --run RUN --data ../shared/data/hippocampus_mri --out runs/volume_int8

RUN is the folder of a training, such as runs/volumes/pixelwise-10m-0/run that `volumes.py` leaves. It is exported with
the training images of `--data` for the calibration, which nothing of test is part of; then the run and its exports
predict test/images, and the scorer of `volumes.py` compares the masks with test/masks. A difference is that of the
mean Dice of the same volume, in points of 100; its interval is the middle 95 % of 4,000 draws of volumes.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from volumes import interval, score

SIDES = ("torch, float32", "openvino", "openvino-int8")


def main() -> None:
    """Export, predict and score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    first, *exported = SIDES
    models = {first: given.run} | {side: given.out / side / "model.xml" for side in exported}
    for side in exported:
        if not models[side].is_file():
            command("export", given.run, given.data, "--format", side, "--out", models[side])
    rows: list[str] = []
    reference: np.ndarray | None = None
    for side, model in models.items():
        masks, began = given.out / side / "masks", time.monotonic()
        runtime = ("--runtime", "torch") if side == first else ()
        command("predict", model, given.data / "test" / "images", "--out", masks, *runtime)
        scores = score(masks, given.data / "test" / "masks")
        reference = scores if reference is None else reference
        rows.append(row(side, scores, reference, time.monotonic() - began))
    print("| model | mean Dice (95 %) | of each class | points gained | seconds |\n|---|---|---|---|---|")
    print("\n".join(rows))


def command(*words: object) -> None:
    """Run a command of pixelwise."""
    done = subprocess.run([sys.executable, "-m", "pixelwise", *map(str, words)], check=False)
    if done.returncode:
        sys.exit(f"pixelwise {words[0]} failed with {done.returncode}")


def row(side: str, scores: np.ndarray, reference: np.ndarray, seconds: float) -> str:
    """Return a row of the table; scores (volumes, classes)."""
    low, high = interval(scores.mean(1))
    points = 100 * (scores - reference).mean(1)
    least, most = interval(points)
    each = ", ".join(f"{value:.4f}" for value in scores.mean(0))
    gained = f"{points.mean():+.2f} ({least:+.2f} to {most:+.2f})"
    return f"| {side} | {scores.mean():.4f} ({low:.4f} to {high:.4f}) | {each} | {gained} | {seconds:.1f} |"


if __name__ == "__main__":
    main()
