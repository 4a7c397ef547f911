"""The degradation of plain networks: plain-20, 32, 44 against ResNet-20, 32, 44 on small photos, side by side.

    python benchmarks/degradation.py --data ../shared/data/cifar10_small --out runs/degradation --epochs 8

He, Zhang, Ren, Sun 2015, arXiv 1512.03385, section 4.2 and figure 6: without shortcuts a deeper network has a higher
training error, so it is harder to train rather than too rich; with shortcuts the deeper one is no worse. The networks,
the batch of 128, the momentum of 0.9, the weight decay of 1e-4, the rate of 0.1 and the augmentation (mirrored at
random, cropped at random after 4 pixels of padding) are the paper's; the training is a few epochs instead of 164, so
the rate warms up and falls to zero as a cosine. All networks see the same batches; each is trained once, from one seed,
so that differences of a point or two say nothing.

Each network's course is a JSON file in --out; called again, what is there is not trained again. The picture goes to
--picture, a table to standard output. On one core a network takes 2 to 5 minutes.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch.nn import functional

from pixelwise.atomic_write import atomic_write_bytes, atomic_write_json
from pixelwise.io.read import read_image
from pixelwise.networks.architectures import build_classifier, published_options
from pixelwise.progress import Console, Progress
from pixelwise.training.schedule import Schedule, middle_of_step

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


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a network learned: errors are shares of photos called wrongly.

    `training` is the error on the batches, averaged over the last `WINDOW` steps, at each of `steps`; `test` is the one
    on the test photos after each epoch, at each of `epochs` (in steps). `train_error` is the one of the last weights on
    the training photos as they are: not mirrored, not shifted.
    """

    parameters: int
    seconds: float
    steps: list[int]
    training: list[float]
    epochs: list[int]
    test: list[float]
    train_error: float


def main() -> None:
    """Train what is missing, draw the picture, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--networks", default=",".join(NAMES))
    parser.add_argument("--picture", type=Path, default=Path(__file__).parent / "pictures" / "degradation.png")
    chosen = parser.parse_args()
    names, progress = chosen.networks.split(","), Console()
    missing = [name for name in names if not (chosen.out / f"{name}.json").exists()]
    if missing:
        train, test = (read(chosen.data / part, progress) for part in ("train", "test"))
        for name in missing:
            course = learn(name, train, test, chosen.epochs, progress)
            atomic_write_json(chosen.out / f"{name}.json", asdict(course))
            progress.message(f"{name}: {course.seconds:.0f} s, test error {100 * course.test[-1]:.1f} %")
    courses = {name: Course(**json.loads((chosen.out / f"{name}.json").read_text("utf-8"))) for name in names}
    atomic_write_bytes(chosen.picture, draw(courses))
    print(table(courses))


def read(folder: Path, progress: Progress) -> Photos:
    """Read a folder of one folder per class."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(path, index) for index, name in enumerate(classes) for path in sorted(name.iterdir())]
    pixels = [read_image(path).pixels for path, _ in progress.track(files, f"reading {folder.name}", len(files))]
    photos = torch.from_numpy(np.stack(pixels).astype(np.float32) / 127.5 - 1)
    return Photos(photos, torch.tensor([index for _, index in files]))


def learn(name: str, train: Photos, test: Photos, epochs: int, progress: Progress) -> Course:
    """Train one network and return its course."""
    torch.manual_seed(0)
    network = build_classifier(replace(published_options(name), classes=10))
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    per_epoch = len(train.classes) // BATCH
    schedule = Schedule(RATE, 0.1)
    wrong, tests, began = list[float](), list[float](), time.monotonic()
    with progress.bar(name, epochs * per_epoch) as advance:
        for step, (pixels, classes) in enumerate(batches(train, epochs)):
            optimiser.param_groups[0]["lr"] = schedule.rate(middle_of_step(step, epochs * per_epoch))
            optimiser.zero_grad()
            logits = network(pixels.contiguous(memory_format=torch.channels_last))
            functional.cross_entropy(logits, classes).backward()
            optimiser.step()
            wrong.append(float((logits.argmax(1) != classes).float().mean()))
            if (step + 1) % per_epoch == 0:
                tests.append(error_of(network, test))
            advance(1, f"training error {100 * float(np.mean(wrong[-WINDOW:])):.1f} %")
    shown = list(range(WINDOW, len(wrong) + 1, 5))
    return Course(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        seconds=time.monotonic() - began,
        steps=shown,
        training=[float(np.mean(wrong[end - WINDOW : end])) for end in shown],
        epochs=[epoch * per_epoch for epoch in range(1, epochs + 1)],
        test=tests,
        train_error=error_of(network, train),
    )


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
    network.train()
    return float(torch.stack(wrong).sum()) / len(photos.classes)


def draw(courses: Mapping[str, Course]) -> bytes:
    """Draw training and test errors over the steps, plain networks left, residual ones right, as the bytes of a PNG."""
    figure = Figure(figsize=(9.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    panel(left, "without shortcuts", {name: c for name, c in courses.items() if name.startswith("plain")})
    panel(
        right, "the same layers with shortcuts", {name: c for name, c in courses.items() if name.startswith("resnet")}
    )
    left.set_ylabel("error, %", fontsize=10)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def panel(axis: Axes, title: str, courses: Mapping[str, Course]) -> None:
    """Draw one family: training errors dashed, test errors drawn through, as in figure 6 of the paper."""
    for name, course in courses.items():
        tone = TONES[int(name.removeprefix("plain").removeprefix("resnet"))]
        axis.plot(course.steps, [100 * e for e in course.training], color=tone, linewidth=1.3, linestyle="--")
        label = f"{name}: test {100 * course.test[-1]:.1f} %, training {100 * course.train_error:.1f} %"
        axis.plot(course.epochs, [100 * e for e in course.test], color=tone, linewidth=2.2, marker="o", label=label)
    axis.set_title(f"{title} (dashed: training, full: test)", fontsize=10, loc="left")
    axis.set_xlabel("step", fontsize=10)
    axis.legend(fontsize=8.5, frameon=False, title="error of the last weights", title_fontsize=8.5, loc="upper right")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def table(courses: Mapping[str, Course]) -> str:
    """Return a row per network; the training error is that of the last weights on the photos as they are."""
    rows = ["| network | parameters | steps | seconds | training error | test error |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {name} | {c.parameters:,} | {c.epochs[-1]} | {c.seconds:.0f} "
        f"| {100 * c.train_error:.1f} % | {100 * c.test[-1]:.1f} % |"
        for name, c in courses.items()
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
