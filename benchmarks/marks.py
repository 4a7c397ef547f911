"""Learning from marks: three images, eight strokes each, then five rounds of ten corrections by a simulated annotator.

    python benchmarks/marks.py --data ../shared/data/dsb2018_nuclei --out runs/marks
        [--rounds 5] [--seconds 43 | --steps N] [--seed 0] [--judge test] [--fresh]

The images are dark ones of `train`; the scores are those of the dark images of `test`, which nothing is chosen by
(`--judge train`: of those of `train` that are not annotated, to compare variants). The annotator draws a stroke through
each of the ten largest wrong regions of the three images, with the class of the ground truth; the stroke stays inside
that class. A round trains as the studio does: crops around the marks, the first time from nothing, then from the
weights of the last round (`--fresh`: always from nothing). At the end the full masks of the same three images are
learned as long as one round.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import in_words
from scipy import ndimage
from skimage.graph import MCP_Geometric

from pixelwise.io.read import read_image, read_mask
from pixelwise.io.write import png_bytes, write_image
from pixelwise.labels.label_image import components
from pixelwise.metrics.instance import average_precision, match, pool
from pixelwise.server.marks.crops import MarkedImage, write_crops
from pixelwise.server.marks.records import Shape, Stroke, held_out_marks
from pixelwise.server.marks.rounds import Length, continue_from

DARK = 60  # mean of an 8-bit fluorescence image
IMAGES, FIRST, CORRECTIONS = 3, 4, 10
WIDEST, THINNEST = 6.0, 0.3


def dark_cases(folder: Path) -> list[tuple[Path, Path]]:
    """Return the dark images of a split with their masks."""
    found: list[tuple[Path, Path]] = []
    for image in sorted((folder / "images").iterdir()):
        mask = next((folder / "masks").glob(f"{image.stem}.*"))
        if read_image(image).pixels.mean() < DARK:
            found.append((image, mask))
    return found


def stroke_through(region: np.ndarray, allowed: np.ndarray, class_index: int) -> Stroke:
    """Return a stroke along a region that covers no pixel outside `allowed`, the pixels of its class."""
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(allowed, 1)))[1:-1, 1:-1]
    inner = region & (depth >= 0.5 * depth[region].max())
    parts = components(inner)
    part = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    path = longest_path(part)
    # between two neighbouring pixels of the path the border is at most 0.71 pixels nearer than from their centres
    radius = float(np.clip(depth[part].min() - 0.75, THINNEST, WIDEST))
    points = [(float(column) + 0.5, float(row) + 0.5) for row, column in path]
    return Stroke(kind="stroke", class_index=class_index, radius=radius, points=points)


def longest_path(part: np.ndarray) -> list[tuple[int, int]]:
    """Return the pixels of a long shortest path within a connected part: from one end to the other."""
    router, end = MCP_Geometric(np.where(part, 1.0, np.inf)), np.argwhere(part)[0].tolist()
    for _ in range(2):
        reached, _ = router.find_costs([end])
        end = [int(axis) for axis in np.unravel_index(np.where(part, reached, -1).argmax(), part.shape)]
    return [(int(row), int(column)) for row, column in router.traceback(end)]


def first_strokes(truth: np.ndarray, random: np.random.Generator) -> list[Shape]:
    """Return four strokes through nuclei and four through the background."""
    numbers = [number for number in np.unique(truth) if number]
    chosen = random.choice(numbers, min(FIRST, len(numbers)), replace=False)
    shapes: list[Shape] = [stroke_through(truth == number, truth > 0, 1) for number in chosen]
    free = truth == 0
    for _ in range(FIRST):
        row, column = random.choice(np.argwhere(ndimage.binary_erosion(free, iterations=3)))
        window = np.zeros_like(free)
        window[max(0, row - 25) : row + 25, max(0, column - 8) : column + 8] = True
        region = components(free & window)
        shapes.append(stroke_through(region == region[row, column], free, 0))
    return shapes


def corrections(wrong: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[tuple[str, Stroke]]:
    """Return strokes through the largest wrong regions of all images: `wrong` holds truth and prediction by name."""
    regions: list[tuple[int, str, np.ndarray, int]] = []
    for name, (truth, predicted) in wrong.items():
        for class_index in (0, 1):
            parts = components((truth == class_index) & (predicted != class_index))
            for number, count in enumerate(np.bincount(parts.ravel())[1:].tolist(), start=1):
                regions.append((count, name, parts == number, class_index))
    regions.sort(key=lambda region: -region[0])
    return [
        (name, stroke_through(region, wrong[name][0] == class_index, class_index))
        for _, name, region, class_index in regions[:CORRECTIONS]
    ]


def run(*words: str) -> float:
    """Run pixelwise; return its seconds."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "pixelwise", *words], check=True, capture_output=True)
    return time.monotonic() - began


def predict(model: Path, images: list[Path], out: Path) -> list[np.ndarray]:
    """Return the predicted masks (0 and 1) of images."""
    folder = out / "images"
    for image in images:
        write_image(folder / f"{image.stem}.png", read_image(image).pixels)
    run("predict", str(model), str(folder), "--out", str(out / "masks"))
    return [(read_mask(out / "masks" / f"{image.stem}.png").values > 0).astype(np.int64) for image in images]


def score(truths: list[np.ndarray], predicted: list[np.ndarray]) -> dict[str, float]:
    """Return the mean Dice over images with its bootstrap interval, and the AP at an IoU of 0.5 of regions."""
    dice = np.array(
        [
            2 * ((truth > 0) & (found > 0)).sum() / max(1, (truth > 0).sum() + (found > 0).sum())
            for truth, found in zip(truths, predicted, strict=True)
        ]
    )
    random = np.random.default_rng(0)
    means = [float(random.choice(dice, len(dice)).mean()) for _ in range(2000)]
    pairs = zip(truths, predicted, strict=True)
    matching = pool([match(truth.astype(np.int64), components(found > 0)) for truth, found in pairs])
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "dice": round(float(dice.mean()), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "ap50": round(average_precision(matching, 0.5) or 0.0, 3),
    }


def main() -> None:
    """Annotate, train and score, round by round; each row is printed when it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=43)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", choices=("test", "train"), default="test")
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    random = np.random.default_rng(chosen.seed)
    train, test = dark_cases(chosen.data / "train"), dark_cases(chosen.data / "test")
    cases = [train[index] for index in sorted(random.choice(len(train), IMAGES, replace=False))]
    truths = {image.stem: read_mask(mask).values.astype(np.int64) for image, mask in cases}
    shapes: dict[str, list[Shape]] = {name: first_strokes(truth, random) for name, truth in truths.items()}
    judged = test if chosen.judge == "test" else [case for case in train if case not in cases][: len(test)]
    unseen = [read_mask(mask).values.astype(np.int64) for _, mask in judged]
    print(f"{in_words()}\n\n{len(judged)} dark images of {chosen.judge}\n")
    print("| round | strokes | painted pixels | of the full masks | seconds | Dice (interval) | AP50 |")
    print("|---|---|---|---|---|---|---|")
    everything = sum(truth.size for truth in truths.values())

    def row(name: str, data: Path, words: tuple[str, ...], strokes: int, painted: int) -> Path:
        model = data.with_name(f"{data.name}-run")
        seconds = run("train", str(data), "--out", str(model), "--task", "binary", *words)
        found = score(unseen, predict(model, [image for image, _ in judged], data.with_name(f"{data.name}-judged")))
        result = {"round": name, "strokes": strokes, "painted": painted, "seconds": round(seconds, 1), **found}
        with (chosen.out / "rounds.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(
            f"| {name} | {strokes} | {painted} | {painted / everything:.1%} | {seconds:.1f} "
            f"| {found['dice']} ({found['low']} to {found['high']}) | {found['ap50']} |",
            flush=True,
        )
        return model

    length, model = Length(chosen.seconds, chosen.steps), None
    for number in range(chosen.rounds + 1):
        data = chosen.out / f"round{number}"
        images: list[MarkedImage] = []
        for index, (image, _) in enumerate(cases):
            held_out = held_out_marks(enumerate(shapes[image.stem]))
            images.append(MarkedImage(f"{index}a", image, shapes[image.stem], frozenset(held_out)))
        made = write_crops(images, data)
        strokes = sum(map(len, shapes.values()))
        last = length.option if model is None or chosen.fresh else continue_from(model, length, number)
        model = row(str(number), data, (*made.options, *last), strokes, sum(made.painted.values()))
        if number < chosen.rounds:
            found = predict(model, [image for image, _ in cases], chosen.out / f"round{number}-own")
            wrong = {
                image.stem: ((truths[image.stem] > 0).astype(int), mask)
                for (image, _), mask in zip(cases, found, strict=True)
            }
            for name, stroke in corrections(wrong):
                shapes[name].append(stroke)
    full = chosen.out / "full"
    for image, _ in cases:
        write_image(full / "images" / f"{image.stem}.png", read_image(image).pixels)
        (full / "masks").mkdir(exist_ok=True)
        mask = ((truths[image.stem] > 0) * 255).astype(np.uint8)
        (full / "masks" / f"{image.stem}.png").write_bytes(png_bytes(mask[None]))
    row("full masks", full, length.option, 0, everything)


if __name__ == "__main__":
    main()
