"""Imitations of public sets whose images or masks are arrays: NPY, NPZ, HDF5 and MAT files."""

from pathlib import Path

import h5py
import numpy as np
import scipy.io

from drawn import save
from public_sets.drawing import SIZE, Draw, Truth, areas, cells, picture, text


def kinds_of(drawn: np.ndarray, kinds: int) -> np.ndarray:
    """The class of each object, from 1."""
    return np.where(drawn > 0, 1 + drawn % kinds, 0)


def pannuke(folder: Path) -> Truth:
    """PanNuke (Gamper et al. 2020): images as decimals, object numbers in a channel per class, the last background."""
    labels = {}
    for fold in (1, 2, 3):
        drawn = [cells(10 * fold + index) for index in range(4)]
        images = np.stack([picture(d > 0, 10 * fold + i) for i, d in enumerate(drawn)]).astype(np.float64)
        masks = np.zeros((4, *SIZE, 6))
        for index, d in enumerate(drawn):
            for kind in range(5):
                masks[index, ..., kind] = d * (kinds_of(d, 5) == kind + 1)
            masks[index, ..., 5] = d == 0
        for kind, content in (("images", images), ("masks", masks)):
            path = folder / f"Fold {fold}/{kind}/fold{fold}/{kind}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, content)
        types = folder / f"Fold {fold}/images/fold{fold}/types.npy"
        np.save(types, np.array(["Breast"] * 4))
        labels |= {f"Fold {fold}/images/fold{fold}/images.npy/{i}": d for i, d in enumerate(drawn)}
    return Truth(task="instance", labels=labels)


def tissuenet(folder: Path) -> Truth:
    """TissueNet (Greenwald et al. 2022): nuclei and membranes as channels, numbers of whole cells and of nuclei."""
    labels = {}
    for part in ("train", "val", "test"):
        drawn = [cells(index + 10 * len(part)) for index in range(4)]
        x = np.stack([np.moveaxis(picture(d > 0, i + len(part)), -1, 0)[:2] for i, d in enumerate(drawn)])
        inner = [d * (np.arange(SIZE[1]) % 14 < 4) for d in drawn]
        y = np.stack([np.stack(pair, -1) for pair in zip(drawn, inner, strict=True)])
        np.savez(
            folder / f"tissuenet_v1.1_{part}.npz",
            X=np.moveaxis(x, 1, -1).astype(np.float32),
            y=y.astype(np.int32),
            tissue_list=np.array(["Skin"] * 4),
        )
        labels |= {f"tissuenet_v1.1_{part}.npz/X/{index}": d for index, d in enumerate(drawn)}
    return Truth(task="instance", labels=labels, splits={"train": 4, "val": 4, "test": 4})


def dynamic_nuclearnet(folder: Path) -> Truth:
    """DynamicNuclearNet (Schwartz et al. 2023): one channel, numbers of nuclei."""
    labels = {}
    for part in ("train", "val", "test"):
        drawn = [cells(index + 10 * len(part)) for index in range(4)]
        x = np.stack([picture(d > 0, i + len(part), 1) for i, d in enumerate(drawn)])
        np.savez(folder / f"{part}.npz", X=x[..., None].astype(np.float32), y=np.stack(drawn)[..., None])
        labels |= {f"{part}.npz/X/{index}": d for index, d in enumerate(drawn)}
    return Truth(task="instance", labels=labels, splits={"train": 4, "val": 4, "test": 4})


def conic(folder: Path) -> Truth:
    """CoNIC (Graham et al. 2021): numbers of nuclei and their classes as two channels, and a table of counts."""
    drawn = [cells(index) for index in range(6)]
    np.save(folder / "images.npy", np.stack([picture(d > 0, i) for i, d in enumerate(drawn)]))
    np.save(folder / "labels.npy", np.stack([np.stack([d, kinds_of(d, 6)], -1) for d in drawn]).astype(np.uint16))
    text("counts.csv", "neutrophil,epithelial\n" + "1,2\n" * 6)(folder)
    text("patch_info.csv", "patch_info\n" + "consep_1-0000\n" * 6)(folder)
    return Truth(task="instance", labels={f"images.npy/{index}": d for index, d in enumerate(drawn)})


def landslide(folder: Path) -> Truth:
    """Landslide4Sense (Ghorbanzadeh et al. 2022): 14 bands in files of their own."""
    labels = {}
    for index in range(1, 7):
        drawn = areas(index)
        bands = np.repeat(picture(drawn, index)[..., :1], 14, 2) / 255.0 + np.arange(14)
        for kind, content in (("img", bands), ("mask", drawn.astype(np.uint8))):
            path = folder / f"TrainData/{kind}/{'image' if kind == 'img' else 'mask'}_{index}.h5"
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file["img" if kind == "img" else "mask"] = content
        labels[f"TrainData/img/image_{index}.h5/img"] = drawn
    return Truth(task="binary", labels=labels)


def bands(folder: Path) -> Truth:
    """Patches of many bands as NPY files, masks as PNG."""
    labels = {}
    for index in range(1, 7):
        drawn = areas(index)
        (folder / "patches").mkdir(exist_ok=True)
        np.save(folder / f"patches/p{index}.npy", np.repeat(picture(drawn, index, 1)[None], 10, 0).astype(np.uint16))
        save(folder / f"masks/p{index}.png", drawn.astype(np.uint8))
        labels[f"patches/p{index}.npy/:0-9"] = drawn
    return Truth(task="binary", labels=labels)


def nyu(folder: Path) -> Truth:
    """NYU depth (Silberman et al. 2012): all in one MAT file of version 7.3, whose axes are in reverse order."""
    drawn = [areas(index, 4) for index in range(6)]
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        images = np.stack([np.moveaxis(picture(d, i), -1, 0).swapaxes(1, 2) for i, d in enumerate(drawn)])
        file["images"] = images
        file["labels"] = np.stack([d.T for d in drawn]).astype(np.uint16)
        file["depths"] = np.ones((6, SIZE[1], SIZE[0]), np.float32)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with (folder / "nyu_depth_v2_labeled.mat").open("r+b") as file:
        file.write(head)
    return Truth(
        task="multiclass", labels={f"nyu_depth_v2_labeled.mat/images/:last/{i}": d for i, d in enumerate(drawn)}
    )


def monusac_like(folder: Path) -> Truth:
    """Object numbers in an array per class in a MAT file beside each image, as for NuCLS and MoNuSAC."""
    labels = {}
    for index in range(1, 7):
        drawn = cells(index)
        types = kinds_of(drawn, 2)
        save(folder / f"Images/TCGA-{index}.png", picture(drawn > 0, index))
        (folder / "Labels").mkdir(exist_ok=True)
        content = {
            "inst_map": drawn.astype(np.int32),
            "type_map": types.astype(np.int32),
            "inst_type": np.array([types[drawn == n].max() for n in range(1, drawn.max() + 1)])[:, None],
            "inst_centroid": np.ones((int(drawn.max()), 2)),
        }
        scipy.io.savemat(folder / f"Labels/TCGA-{index}.mat", content)
        labels[f"Images/TCGA-{index}.png"] = types
    return Truth(task="multiclass", labels=labels, options={"task": "multiclass"})


def hdf5_of_splits(folder: Path) -> Truth:
    """One HDF5 file with a group per split."""
    labels = {}
    with h5py.File(folder / "data.h5", "w") as file:
        for part in ("train", "val"):
            drawn = [areas(index + 10 * (part == "val")) for index in range(4)]
            file[f"{part}/images"] = np.stack([picture(d, i + len(part)) for i, d in enumerate(drawn)])
            file[f"{part}/masks"] = np.stack(drawn).astype(np.uint8)
            labels |= {f"data.h5/{part}/images/{i}": d for i, d in enumerate(drawn)}
    return Truth(task="binary", labels=labels, splits={"train": 4, "val": 4})


def channels_first(folder: Path) -> Truth:
    """Arrays as PyTorch has them: (images, channels, height, width), and masks with a channel of their own."""
    drawn = [areas(index) for index in range(6)]
    images = np.stack([np.moveaxis(picture(d, i), -1, 0) for i, d in enumerate(drawn)])
    np.save(folder / "X_train.npy", images.astype(np.float32) / 255)
    np.save(folder / "Y_train.npy", np.stack(drawn)[:, None].astype(bool))
    return Truth(task="binary", labels={f"X_train.npy/{i}": d for i, d in enumerate(drawn)})


def one_hot(folder: Path) -> Truth:
    """Masks of Keras: a channel per class."""
    drawn = [areas(index, 3) for index in range(6)]
    np.save(folder / "train_images.npy", np.stack([picture(d, i) for i, d in enumerate(drawn)]))
    np.save(folder / "train_masks.npy", np.eye(4, dtype=np.float32)[np.stack(drawn)])
    return Truth(task="multiclass", labels={f"train_images.npy/{i}": d for i, d in enumerate(drawn)})


def one_hot_many(folder: Path) -> Truth:
    """A channel for each of many classes."""
    drawn = [areas(index, 7) for index in range(6)]
    np.save(folder / "train_images.npy", np.stack([picture(d, i) for i, d in enumerate(drawn)]))
    np.save(folder / "train_masks.npy", np.eye(8, dtype=np.uint8)[np.stack(drawn)])
    return Truth(task="multiclass", labels={f"train_images.npy/{i}": d for i, d in enumerate(drawn)})


SETS: dict[str, Draw] = {
    "PanNuke": pannuke,
    "TissueNet": tissuenet,
    "DynamicNuclearNet": dynamic_nuclearnet,
    "CoNIC": conic,
    "Landslide4Sense": landslide,
    "bands as arrays": bands,
    "NYU depth": nyu,
    "classes of nuclei": monusac_like,
    "a group per split": hdf5_of_splits,
    "channels first": channels_first,
    "one-hot arrays": one_hot,
    "one-hot arrays of many classes": one_hot_many,
}
