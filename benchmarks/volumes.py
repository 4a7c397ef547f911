"""Volumes: pixelwise beside MONAI's DynUNet and nnU-Net, given the same wall-clock time, scored on test volumes.

    python benchmarks/volumes.py --data ../shared/data/hippocampus_mri --peers PEERS --out runs/volumes
    python benchmarks/volumes.py --data ... --peers PEERS --out runs/volumes --minutes 2,5,10,20

PEERS is the bin/python of the environment that ../shared/peers/setup.sh makes. Run it on a quiet machine: each training
has all of `--cores` for its time, one after the other. `--data` holds train, val and test, each with images and masks
of equal names as NIfTI. pixelwise reads train and val, and its time is that of the whole command; the peers learn from
train, and their time starts when their data is ready. All predict test/images with defaults, and nobody sees the masks
of test but the scorer, which gives the Dice of each class per volume, their mean over classes, then over volumes, with
the middle 95 % of 4,000 draws of volumes with replacement. A finished training is not repeated: its masks are scored
again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np

PARTS = Path(__file__).parent / "volumes_parts"
PEERS = {"monai-dynunet": PARTS / "train_dynunet.py", "nnunet-3d": PARTS / "train_nnunet.py"}
CONTENDERS = ("pixelwise", *PEERS)
DRAWS = 4000


def main() -> None:
    """Train and predict what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers", type=Path, help="Python of the environment of the peers")
    parser.add_argument("--minutes", default="10", help="numbers with commas between")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--cores", default="0,1", help="the processor cores to use")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    chosen = parser.parse_args()
    contenders = chosen.contenders.split(",")
    if chosen.peers is None and set(contenders) & set(PEERS):
        parser.error(f"--peers is needed for {', '.join(PEERS)}")
    rows: list[str] = []
    for minutes in map(float, chosen.minutes.split(",")):
        for seed in map(int, chosen.seeds.split(",")):
            for contender in contenders:
                place = chosen.out / f"{contender}-{minutes:g}m-{seed}"
                run_cell(contender, minutes, seed, place, chosen)
                rows.append(row(contender, minutes, seed, place, chosen.data))
    print("| contender | minutes | seed | mean Dice (95 %) | of each class | seconds: train, predict |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))


def run_cell(contender: str, minutes: float, seed: int, place: Path, chosen: argparse.Namespace) -> None:
    """Train and predict, unless that is done."""
    record = place / "times.json"
    if record.is_file():
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    data, images = chosen.data.resolve(), chosen.data.resolve() / "test" / "images"
    masks, run = (place / "masks").resolve(), (place / "run").resolve()
    train: list[object]
    predict: list[object]
    if contender == "pixelwise":
        ours = [sys.executable, "-m", "pixelwise"]
        train = [*ours, "train", data, "--budget", f"{minutes:g}m", "--out", run, "--seed", seed]
        predict = [*ours, "predict", run, images, "--out", masks]
    else:
        peer = [chosen.peers.absolute(), PEERS[contender].resolve(), "--data", data, "--model", run.with_suffix(".pt")]
        train = [*peer, "--seconds", round(60 * minutes), "--seed", seed]
        predict = [*peer, "--predict", images, "--out", masks]
    seconds = [
        timed(command, chosen.cores, place / f"{name}.log")
        for name, command in zip(("train", "predict"), (train, predict), strict=True)
    ]
    record.write_text(json.dumps({"train": seconds[0], "predict": seconds[1]}), encoding="utf-8")


def timed(command: list[object], cores: str, log: Path) -> float:
    """Run a command on some cores and return its wall-clock seconds."""
    threads = str(len(cores.split(",")))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}
    words = list(map(str, command))
    words = ["taskset", "-c", cores, *words] if shutil.which("taskset") else words
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        result = subprocess.run(words, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(words)} failed with {result.returncode}; see {log}")
    return round(time.monotonic() - began, 1)


def row(contender: str, minutes: float, seed: int, place: Path, data: Path) -> str:
    """Return a row of the table."""
    times = json.loads((place / "times.json").read_text(encoding="utf-8"))
    scores = score(place / "masks", data / "test" / "masks")
    low, high = interval(scores.mean(1))
    each = ", ".join(f"{value:.4f}" for value in scores.mean(0))
    mean = f"{scores.mean():.4f} ({low:.4f} to {high:.4f})"
    return f"| {contender} | {minutes:g} | {seed} | {mean} | {each} | {times['train']:.0f}, {times['predict']:.1f} |"


def score(masks: Path, truths: Path) -> np.ndarray:
    """Return the Dice (volumes, classes); without a class in truth and prediction 1.

    Raises
    ------
    SystemExit
        A mask is missing, or is not on the grid of its truth.
    """
    names = sorted(path.name for path in truths.iterdir() if path.name.endswith((".nii", ".nii.gz")))
    stored = {path.name.split(".nii")[0]: path for path in masks.rglob("*.nii*")}
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for name in names:
        found = stored.get(name.split(".nii")[0])
        if found is None:
            sys.exit(f"no mask of {name} in {masks}")
        truth, predicted = (nibabel.Nifti1Image.from_filename(path) for path in (truths / name, found))
        places = [np.asarray(volume.affine, np.float64) for volume in (truth, predicted)]
        if truth.shape != predicted.shape or not np.allclose(*places, atol=1e-3):
            sys.exit(f"{found} is on another grid than its truth")
        pairs.append((np.rint(np.asarray(truth.dataobj)), np.rint(np.asarray(predicted.dataobj))))
    classes = [value for value in np.unique(np.concatenate([np.unique(truth) for truth, _ in pairs])) if value]
    return np.array([[dice(truth == value, predicted == value) for value in classes] for truth, predicted in pairs])


def dice(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return 2 |A and B| / (|A| + |B|), 1 if both are empty."""
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else 1.0


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the middle 95 % of the means of draws with replacement."""
    drawn = np.random.default_rng(0).choice(values, (DRAWS, len(values))).mean(1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    main()
