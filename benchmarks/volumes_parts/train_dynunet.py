"""Train MONAI's DynUNet on volumes for a wall-clock time, or predict with it; runs in the environment of the peers.

    python train_dynunet.py --data DIR --model FILE --seconds N [--seed 0]
    python train_dynunet.py --data DIR --model FILE --predict IMAGES --out DIR

DIR holds train/images and train/masks as NIfTI. The network is that of nnU-Net for small volumes: 3 x 3 x 3 kernels,
three poolings, 32 to 256 channels, instance normalisation. The recipe is a sound common one: z-score per volume, random
crops of 40 x 56 x 40 of the padded volume, random scale, brightness and contrast, cross-entropy and Dice, AdamW with a
one-cycle schedule driven by the clock. Axes are not mirrored: front and back have different classes.
"""

import argparse
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from torch.nn import functional

nets: Any = import_module("monai.networks.nets")  # not in the environment of the type checker

SIZE = (40, 56, 40)
BATCH, RATE = 2, 1e-3
STRIDE = 8


def build(classes: int) -> torch.nn.Module:
    """Return the network."""
    return nets.DynUNet(
        3,
        1,
        classes,
        kernel_size=(3,) * 4,
        strides=(1, 2, 2, 2),
        upsample_kernel_size=(2,) * 3,
        filters=(32, 64, 128, 256),
    )


def load(path: Path) -> nibabel.Nifti1Image:
    """Return a NIfTI file."""
    return nibabel.Nifti1Image.from_filename(path)


def read(path: Path) -> torch.Tensor:
    """Return a volume with mean 0 and standard deviation 1."""
    volume = torch.from_numpy(np.asarray(load(path).dataobj, np.float32))
    return (volume - volume.mean()) / (volume.std() + 1e-6)


def pad(volume: torch.Tensor, size: tuple[int, ...], value: float = 0.0) -> torch.Tensor:
    """Return a volume of at least `size`, padded at the ends."""
    missing = [max(0, side - have) for side, have in zip(size, volume.shape[-3:], strict=True)]
    return functional.pad(
        volume, [edge for gap in reversed(missing) for edge in (gap // 2, gap - gap // 2)], value=value
    )


def sample(volume: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a random crop, scaled in half of the cases."""
    if rng.random() < 0.5:
        scale = float(rng.uniform(0.8, 1.25))
        volume = functional.interpolate(volume[None, None], scale_factor=scale, mode="trilinear")[0, 0]
        labels = functional.interpolate(labels[None, None].float(), size=volume.shape, mode="nearest")[0, 0].long()
    volume, labels = pad(volume, SIZE), pad(labels, SIZE)
    starts = [int(rng.integers(have - side + 1)) for side, have in zip(SIZE, volume.shape, strict=True)]
    box = tuple(slice(start, start + side) for start, side in zip(starts, SIZE, strict=True))
    return volume[box] * float(rng.uniform(0.8, 1.25)) + float(rng.uniform(-0.2, 0.2)), labels[box]


def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return cross-entropy plus 1 - mean soft Dice of the foreground."""
    share = logits.softmax(1)[:, 1:]
    truth = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:]
    axes = (0, 2, 3, 4)
    dice = (2 * (share * truth).sum(axes) + 1) / ((share + truth).sum(axes) + 1)
    return functional.cross_entropy(logits, labels) + 1 - dice.mean()


def train(data: Path, model: Path, seconds: float, seed: int) -> None:
    """Train for `seconds` and save the weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    paths = sorted((data / "train" / "images").glob("*.nii*"))
    volumes = [read(path) for path in paths]
    masks = [np.asarray(load(data / "train" / "masks" / path.name).dataobj) for path in paths]
    labels = [torch.from_numpy(np.rint(mask).astype(np.int64)) for mask in masks]
    classes = int(max(int(one.max()) for one in labels)) + 1
    network = build(classes).to(memory_format=torch.channels_last_3d).train()  # type: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    began, steps = time.time(), 0
    while (progress := (time.time() - began) / seconds) < 1:
        rate = RATE * (progress / 0.1 if progress < 0.1 else 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9)))
        for group in optimiser.param_groups:
            group["lr"] = max(rate, 0.01 * RATE)
        drawn = [sample(volumes[i], labels[i], rng) for i in rng.integers(len(volumes), size=BATCH)]
        images, truth = (torch.stack(each) for each in zip(*drawn, strict=True))
        loss = loss_of(network(images[:, None].contiguous(memory_format=torch.channels_last_3d)), truth)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimiser.step()
        steps += 1
        if steps % 20 == 0:
            print(f"step {steps}, {progress:.0%}, loss {loss.item():.3f}", flush=True)
    torch.save({"classes": classes, "weights": network.state_dict()}, model)
    print(f"{steps} steps of {BATCH} volumes")


def predict(model: Path, images: Path, out: Path) -> None:
    """Write the mask of each volume, with its affine."""
    saved = torch.load(model, weights_only=True)
    network = build(saved["classes"]).eval()
    network.load_state_dict(saved["weights"])
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(images.glob("*.nii*")):
        volume = read(path)
        size = tuple(-(-side // STRIDE) * STRIDE for side in volume.shape)
        with torch.inference_mode():
            logits = network(pad(volume, size)[None, None])[0]
        starts = [(have - side) // 2 for side, have in zip(volume.shape, size, strict=True)]
        box = tuple(slice(start, start + side) for start, side in zip(starts, volume.shape, strict=True))
        mask = logits.argmax(0)[box].numpy().astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(mask, load(path).affine), out / path.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--predict", type=Path)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.predict is None:
        train(chosen.data, chosen.model, chosen.seconds, chosen.seed)
    else:
        predict(chosen.model, chosen.predict, chosen.out)
