"""The degradation of plain networks: plain-20, 32, 44 against ResNet-20, 32, 44 on small photos, side by side.

    python benchmarks/degradation.py --data ../shared/data/cifar10_small --out runs/degradation --epochs 4

He, Zhang, Ren, Sun 2015, arXiv 1512.03385, section 4.2 and figure 6: without shortcuts a deeper network has a higher
training error, so it is harder to train rather than too rich; with shortcuts the deeper one is no worse. The networks,
the batch of 128, the momentum of 0.9, the weight decay of 1e-4, the rate of 0.1 and the augmentation (mirrored at
random, cropped at random after 4 pixels of padding) are the paper's; the training is a few epochs instead of 164, so
the rate warms up and falls to zero as a cosine. All networks see the same batches.

Each network's course is a JSON file in --out; called again, what is there is not trained again. The picture goes to
--picture, a table to standard output.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch.nn import functional

from pixelwise.commit import commit_bytes, commit_json
from pixelwise.engine.schedule import Schedule
from pixelwise.images.files import read_image
from pixelwise.networks.architectures import build_classifier, published_options
from pixelwise.progress import Console

DEPTHS = (20, 32, 44)
NAMES = tuple(f"{family}{depth}" for depth in DEPTHS for family in ("plain", "resnet"))
TONES = {20: "#56B4E9", 32: "#E69F00", 44: "#D55E00"}  # Okabe & Ito
BATCH, RATE, MOMENTUM, DECAY, PADDING = 128, 0.1, 0.9, 1e-4, 4
WINDOW = 25  # steps over which the training error is averaged


@dataclass(frozen=True)
class Photos:
    """Pixels (n, 3, 32, 32) float32 around zero, and classes (n,) int64."""

    pixels: torch.Tensor
    classes: torch.Tensor


def main() -> None:
    """Train what is missing, draw the picture, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--networks", default=",".join(NAMES))
    parser.add_argument("--picture", type=Path, default=Path(__file__).parent / "pictures" / "degradation.png")
    chosen = parser.parse_args()
    names = chosen.networks.split(",")
    if any(not (chosen.out / f"{name}.json").exists() for name in names):
        train, test = read(chosen.data / "train"), read(chosen.data / "test")
        for name in names:
            if not (chosen.out / f"{name}.json").exists():
                commit_json(chosen.out / f"{name}.json", learn(name, train, test, chosen.epochs))
    courses = {name: json.loads((chosen.out / f"{name}.json").read_text("utf-8")) for name in names}
    commit_bytes(chosen.picture, draw(courses))
    print(table(courses))


def read(folder: Path) -> Photos:
    """Read a folder of one folder per class."""
    pixels: list[np.ndarray] = []
    classes: list[int] = []
    for index, name in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(name.iterdir()):
            pixels.append(read_image(path).pixels)
            classes.append(index)
    return Photos(torch.from_numpy(np.stack(pixels).astype(np.float32) / 127.5 - 1), torch.tensor(classes))


def learn(name: str, train: Photos, test: Photos, epochs: int) -> dict[str, object]:
    """Train one network; return its course: the training error in steps, and both errors of its last weights."""
    torch.manual_seed(0)
    network = build_classifier(replace(published_options(name), classes=10))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = epochs * (len(train.classes) // BATCH)
    schedule = Schedule(steps, RATE, 0.1)
    optimiser = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    wrong: list[float] = []
    began = time.monotonic()
    with Console().bar(name, steps) as advance:
        for step, (pixels, classes) in enumerate(batches(train, epochs)):
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            optimiser.zero_grad()
            logits = network(pixels.contiguous(memory_format=torch.channels_last))
            functional.cross_entropy(logits, classes).backward()
            optimiser.step()
            wrong.append(float((logits.argmax(1) != classes).float().mean()))
            advance(1, f"training error {100 * float(np.mean(wrong[-WINDOW:])):.1f} %")
    course: dict[str, object] = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "steps": steps,
        "seconds": time.monotonic() - began,
        "training": [float(np.mean(wrong[max(0, end - WINDOW) : end])) for end in range(WINDOW, steps + 1, 5)],
        "train_error": error_of(network, train),
        "test_error": error_of(network, test),
    }
    print(f"{name}: {course['seconds']:.0f} s, test error {course['test_error']:.4f}", flush=True)
    return course


def batches(photos: Photos, epochs: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the same batches for every network: shuffled, mirrored and shifted at random."""
    rng = np.random.default_rng(0)
    side = photos.pixels.shape[-1]
    padded = functional.pad(photos.pixels, [PADDING] * 4)
    for _ in range(epochs):
        order = rng.permutation(len(photos.classes))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            tops, lefts = rng.integers(0, 2 * PADDING + 1, (2, BATCH))
            crops = [
                padded[i, :, top : top + side, left : left + side]
                for i, top, left in zip(chosen, tops, lefts, strict=True)
            ]
            mirrored = rng.random(BATCH) < 0.5
            crops = [crop.flip(2) if turn else crop for crop, turn in zip(crops, mirrored, strict=True)]
            yield torch.stack(crops), photos.classes[torch.from_numpy(chosen)]


@torch.inference_mode()
def error_of(network: torch.nn.Module, photos: Photos) -> float:
    """Return the share of photos that the network calls wrongly, as they are: not mirrored, not shifted."""
    network.eval()
    wrong = [
        (network(pixels).argmax(1) != classes).sum()
        for pixels, classes in zip(photos.pixels.split(500), photos.classes.split(500), strict=True)
    ]
    return float(torch.stack(wrong).sum()) / len(photos.classes)


def draw(courses: dict[str, dict[str, list[float]]]) -> bytes:
    """Draw training errors over the steps, plain networks left, residual ones right, as the bytes of a PNG."""
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    panel(left, "plain: deeper is worse", {n: c for n, c in courses.items() if n.startswith("plain")})
    panel(right, "with shortcuts: the same layers", {n: c for n, c in courses.items() if n.startswith("resnet")})
    left.set_ylabel("training error, %", fontsize=10)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def panel(axis: Axes, title: str, courses: dict[str, dict[str, list[float]]]) -> None:
    """Draw one family; each line bears its name at its end."""
    for name, course in courses.items():
        tone = TONES[int(name.removeprefix("plain").removeprefix("resnet"))]
        errors = [100 * error for error in course["training"]]
        steps = [WINDOW + 5 * index for index in range(len(errors))]
        axis.plot(steps, errors, color=tone, linewidth=2, label=f"{name}: {errors[-1]:.1f} %")
    axis.set_title(title, fontsize=11, loc="left")
    axis.set_xlabel("step", fontsize=10)
    axis.legend(fontsize=9, frameon=False, title="at the end", title_fontsize=9)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def table(courses: dict[str, dict[str, float]]) -> str:
    """Return a row per network."""
    rows = ["| network | parameters | steps | seconds | training error | test error |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {name} | {c['parameters']:,} | {c['steps']} | {c['seconds']:.0f} "
        f"| {100 * c['train_error']:.1f} % | {100 * c['test_error']:.1f} % |"
        for name, c in courses.items()
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
