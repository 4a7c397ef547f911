"""Train nnU-Net v2 (3d_fullres) on volumes for a wall-clock time, or predict with it; needs the Python of the peers.

    python train_nnunet.py --data DIR --model FOLDER --seconds N [--seed 0]
    python train_nnunet.py --data DIR --model FOLDER --predict IMAGES --out DIR

DIR holds train/images and train/masks as NIfTI. Plans, preprocessing, augmentation, loss, optimiser and inference (with
mirroring and Gaussian weights) are its own; only the schedule is shortened: its polynomial learning rate follows the
clock, so that it reaches zero when the time is over. Planning and preprocessing are not counted, and no steps are spent
on validation.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

DATASET, CONFIGURATION = "Dataset001_peer", "3d_fullres"
POWER = 0.9  # of the polynomial schedule of nnU-Net
WORKERS = 2  # processes that augment, and that preprocess


def prepare(data: Path, folder: Path) -> None:
    """Write the raw data set, and let nnU-Net plan and preprocess it."""
    raw = folder / "raw" / DATASET
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True)
    paths = sorted((data / "train" / "images").glob("*.nii.gz"))
    classes = 0
    for path in paths:
        name = path.name.removesuffix(".nii.gz")
        mask = data / "train" / "masks" / path.name
        shutil.copyfile(path, raw / "imagesTr" / f"{name}_0000.nii.gz")
        shutil.copyfile(mask, raw / "labelsTr" / path.name)
        classes = max(classes, int(np.asarray(nibabel.Nifti1Image.from_filename(mask).dataobj).max()))
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0} | {f"class{number}": number for number in range(1, classes + 1)},
        "numTraining": len(paths),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    planner = Path(sys.executable).with_name("nnUNetv2_plan_and_preprocess")
    subprocess.run([planner, "-d", "1", "-c", CONFIGURATION, "-np", str(WORKERS)], check=True)


def train(folder: Path, seconds: float, seed: int) -> None:
    """Train the network of the plans for `seconds` and save it as nnU-Net does."""
    torch: Any = import_module("torch")
    trainers: Any = import_module("nnunetv2.training.nnUNetTrainer.nnUNetTrainer")
    np.random.seed(seed)  # noqa: NPY002 - what its augmentation draws from
    torch.manual_seed(seed)
    planned = folder / "preprocessed" / DATASET
    plans, described = (
        json.loads((planned / name).read_text(encoding="utf-8")) for name in ("nnUNetPlans.json", "dataset.json")
    )
    trainer = trainers.nnUNetTrainer(
        {**plans, "continue_training": False}, CONFIGURATION, "all", described, device=torch.device("cpu")
    )
    trainer.on_train_start()
    began, steps = time.monotonic(), 0
    trainer.network.train()
    while (progress := (time.monotonic() - began) / seconds) < 1:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - progress) ** POWER
        loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
        steps += 1
        if steps % 20 == 0:
            print(f"step {steps}, {progress:.0%}, loss {float(loss):.3f}", flush=True)
    trainer.on_train_end()
    chosen = plans["configurations"][CONFIGURATION]
    print(f"{steps} steps of {chosen['batch_size']} patches of {chosen['patch_size']}")


def predict(folder: Path, images: Path, out: Path) -> None:
    """Write the mask of each volume."""
    torch: Any = import_module("torch")
    inference: Any = import_module("nnunetv2.inference.predict_from_raw_data")
    predictor = inference.nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False)
    model = next((folder / "results" / DATASET).glob(f"*{CONFIGURATION}"))
    predictor.initialize_from_trained_model_folder(str(model), ("all",), "checkpoint_final.pth")
    out.mkdir(parents=True, exist_ok=True)
    paths = sorted(images.glob("*.nii.gz"))
    predictor.predict_from_files_sequential(
        [[str(path)] for path in paths], [str(out / path.name.removesuffix(".nii.gz")) for path in paths]
    )


def main() -> None:
    """Train or predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--predict", type=Path)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    folder = chosen.model.absolute()
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(folder / name)
    os.environ |= {"nnUNet_n_proc_DA": str(WORKERS), "nnUNet_compile": "f"}
    if chosen.predict is None:
        prepare(chosen.data, folder)
        train(folder, chosen.seconds, chosen.seed)
    else:
        predict(folder, chosen.predict, chosen.out)


if __name__ == "__main__":
    main()
