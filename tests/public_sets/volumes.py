"""Imitations of public sets of volumes: CT and MRI, a folder per case or all in one folder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from drawn_volumes import draw, save_itk, save_nifti
from public_sets.drawing import Draw, Truth, text

SHAPE = (10, 16, 12)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def volumes(
    image: str,
    mask: str,
    count: int = 3,
    others: Sequence[str] = (),
    extra: Callable[[Path], None] | None = None,
    **truth: object,
) -> Draw:
    """A set of volumes and label volumes; `others` are further images of each case."""

    def draw_set(folder: Path) -> Truth:
        labels = {}
        for index in range(1, count + 1):
            volume, drawn = draw(index, SHAPE)
            save = save_nifti if ".nii" in image else save_itk
            save(folder / image.format(index), volume, AFFINE)
            save(folder / mask.format(index), drawn, AFFINE)
            for number, other in enumerate(others, 1):
                save(folder / other.format(index), volume + np.int16(number), AFFINE)
            labels[image.format(index)] = drawn.astype(np.int64)
        if extra is not None:
            extra(folder)
        return Truth(labels=labels, **{"task": "multiclass", **truth})

    return draw_set


MSD = json.dumps(
    {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver", "2": "cancer"}, "numTraining": 3}
)
PATIENT = "training/patient{0:03}/patient{0:03}"

SETS: dict[str, Draw] = {
    "Medical Decathlon": volumes(
        "Task03_Liver/imagesTr/liver_{}.nii.gz",
        "Task03_Liver/labelsTr/liver_{}.nii.gz",
        extra=text("Task03_Liver/dataset.json", MSD),
        names=("liver", "cancer"),
    ),
    "KiTS": volumes("data/case_{:05}/imaging.nii.gz", "data/case_{:05}/segmentation.nii.gz"),
    "LiTS": volumes("volume-{}.nii", "segmentation-{}.nii"),
    "PROMISE12": volumes("Case{:02}.mhd", "Case{:02}_segmentation.mhd"),
    "Synapse": volumes("RawData/Training/img/img{:04}.nii.gz", "RawData/Training/label/label{:04}.nii.gz"),
    "ACDC": volumes(PATIENT + "_frame01.nii.gz", PATIENT + "_frame01_gt.nii.gz"),
    "SegTHOR": volumes("train/Patient_{0:02}/Patient_{0:02}.nii.gz", "train/Patient_{0:02}/GT.nii.gz"),
    "BraTS": volumes(
        "BraTS20_Training_{0:03}/BraTS20_Training_{0:03}_flair.nii.gz",
        "BraTS20_Training_{0:03}/BraTS20_Training_{0:03}_seg.nii.gz",
        others=[f"BraTS20_Training_{{0:03}}/BraTS20_Training_{{0:03}}_{kind}.nii.gz" for kind in ("t1", "t1ce", "t2")],
    ),
    "ATLAS": volumes(
        "sub-r{0:03}/ses-1/anat/sub-r{0:03}_ses-1_T1w.nii.gz",
        "sub-r{0:03}/ses-1/anat/sub-r{0:03}_ses-1_label-L_desc-T1lesion_mask.nii.gz",
    ),
    "MSSEG": volumes("case{0:02}/FLAIR.nii.gz", "case{0:02}/Consensus.nii.gz", others=("case{0:02}/T1.nii.gz",)),
}
