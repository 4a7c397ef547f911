"""How many planted annotation errors `pixelwise doctor --run` ranks first, beside cleanlab's segmentation scores.

    python benchmarks/annotation_errors.py --data ../shared/data/dsb2018_nuclei --out runs/annotation_errors \
        [--cleanlab PYTHON] [--layouts objects,classes] [--images 160] [--budget 10m] [--folds 3] [--seed 0]

5 % of the objects of training images are dropped (layout "objects"), or dropped and given the other class (layout
"classes"), a network is trained with folds on what is left, and the first 5 % of the ranking are compared with what was
planted: an error counts as found if the box of a ranked region overlaps its box with an IoU of 0.25 or more. cleanlab
gets the same out-of-fold probabilities; the connected regions of its label issues are ranked by their mean pixel score
and by its sum, and as many are compared. Last, the images are ranked by cleanlab's image score. What `--out` already
has is not made again.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import in_words
from planted_annotations import PlantedError, plant, read_planted
from scipy import ndimage

from pixelwise.datasets.dataset import Dataset, scan_dataset
from pixelwise.inference.load import as_segmentation_model
from pixelwise.labels.label_image import components
from pixelwise.model_file.model_file import read_model_card
from pixelwise.progress import Progress
from pixelwise.workflow.annotation_errors.held_out import group_cases
from pixelwise.workflow.annotation_errors.ranking import rank_annotation_errors
from pixelwise.workflow.run import Run
from pixelwise.workflow.train import train

SHARE = 0.05  # of the objects that are wrong, and of the ranking that is looked at
OVERLAP = 0.25  # intersection over union of two boxes that are the same place
Box = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A ranked region: the name of its image, and its box."""

    name: str
    box: Box


def main() -> None:
    """Print a table per layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cleanlab", type=Path, help="Python of an environment with cleanlab")
    parser.add_argument("--layouts", default="objects,classes")
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(in_words())
    for layout in chosen.layouts.split(","):
        data, folder = chosen.out / layout / "data", chosen.out / layout / "run"
        if not data.is_dir():
            plant(chosen.data / "train", data, layout=layout, images=chosen.images, share=SHARE, seed=chosen.seed)
        if not Run(folder).model_path.is_file():
            train(data, out=folder, folds=chosen.folds, budget=chosen.budget, seed=chosen.seed)
        measure(layout, data, Run.open(folder), chosen.cleanlab)


def measure(layout: str, data: Path, run: Run, cleanlab: Path | None) -> None:
    """Print the share of the planted errors in the first part of each ranking."""
    objects, planted = read_planted(data)
    dataset = scan_dataset(data, run.config.data, 0, Progress())
    found = rank_annotation_errors(run, dataset, progress=Progress())
    first = round(SHARE * found.regions)
    print(
        f"\n{layout}: {len(planted)} errors planted in {objects} objects of {found.images} images; "
        f"{found.regions} regions are ranked, the first {first} are looked at\n"
    )
    kinds = sorted({error.kind for error in planted})
    columns = [*kinds, "all", f"all, in the first {len(planted)}", "precision"]
    print("| ranking | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    ranking = [Place(Path(error.case).stem, error.box) for error in found.ranked if error.box is not None]
    print(_row("pixelwise", ranking, first, planted, kinds))
    if cleanlab is not None:
        _measure_cleanlab(run, dataset, cleanlab, first, planted, kinds)
    print()


def _row(name: str, places: Sequence[Place], first: int, planted: Sequence[PlantedError], kinds: Sequence[str]) -> str:
    hits, few = _hits(places[:first], planted), _hits(places[: len(planted)], planted)
    right = sum(bool(_hits([place], planted)) for place in places[:first])
    shares = [*(_share(hits, planted, kind) for kind in kinds), len(hits) / len(planted), len(few) / len(planted)]
    return f"| {name} | " + " | ".join(f"{share:.3f}" for share in (*shares, right / first)) + " |"


def _hits(places: Sequence[Place], planted: Sequence[PlantedError]) -> list[PlantedError]:
    return [error for error in planted if any(_same(place, error) for place in places)]


def _share(hits: Sequence[PlantedError], planted: Sequence[PlantedError], kind: str) -> float:
    return sum(error.kind == kind for error in hits) / sum(error.kind == kind for error in planted)


def _same(place: Place, error: PlantedError) -> bool:
    """Whether two boxes of one image overlap enough."""
    if place.name != error.name:
        return False
    (top, left, bottom, right), (up, west, down, east) = place.box, error.box
    shared = max(0, min(bottom, down) - max(top, up)) * max(0, min(right, east) - max(left, west))
    union = (bottom - top) * (right - left) + (down - up) * (east - west) - shared
    return shared >= OVERLAP * union


@dataclass(frozen=True)
class _Case:
    """What cleanlab gets of one image."""

    name: str
    labels: np.ndarray
    probabilities: np.ndarray


def _predict(run: Run, dataset: Dataset) -> Iterator[_Case]:
    """Yield labels, of which none is ignored, and out-of-fold probabilities; objects are one class."""
    dataset = dataset.with_channels(read_model_card(run.model_path).channels)
    for group in group_cases(run, dataset, "cpu"):
        model = as_segmentation_model(group.open_model())
        for case in group.cases:
            pixels, labels = dataset.read_labelled(case)
            probabilities = model.predict_pixels(pixels, probabilities=True).probabilities
            if probabilities is None:
                raise ValueError("expected probabilities")
            if dataset.task == "instance":
                labels = np.minimum(labels, 1)
                probabilities = np.stack([probabilities[0], 1 - probabilities[0]])
            yield _Case(Path(case.name).stem, labels, probabilities)


def _measure_cleanlab(
    run: Run, dataset: Dataset, python: Path, first: int, planted: Sequence[PlantedError], kinds: Sequence[str]
) -> None:
    cases = list(_predict(run, dataset))
    sizes = [case.labels.size for case in cases]
    starts = np.cumsum([0, *sizes])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            source,
            labels=np.concatenate([case.labels.ravel() for case in cases]),
            probabilities=np.concatenate(
                [case.probabilities.reshape(len(case.probabilities), -1) for case in cases], axis=1
            ),
            starts=starts[:-1],
        )
        script = Path(__file__).with_name("cleanlab_scores.py")
        subprocess.run([python, script, source, target], check=True, stdout=sys.stderr)
        result = dict(np.load(target))
    places: list[Place] = []
    means: list[float] = []
    sums: list[float] = []
    for case, start, size in zip(cases, starts.tolist(), sizes, strict=False):
        doubt = 1 - result["pixels"][start : start + size].reshape(case.labels.shape)
        mask = result["issues"][start : start + size].reshape(case.labels.shape)
        issues = components(mask)
        numbers = np.arange(1, int(issues.max(initial=0)) + 1)
        for rows, columns in ndimage.find_objects(issues):
            places.append(Place(case.name, (rows.start, columns.start, rows.stop, columns.stop)))
        means += list(ndimage.mean(doubt, issues, numbers))
        sums += list(ndimage.sum(doubt, issues, numbers))
    for name, values in (("mean", means), ("sum", sums)):
        ranked = [places[index] for index in np.argsort(-np.array(values), kind="stable").tolist()]
        print(_row(f"cleanlab, regions by {name}", ranked, first, planted, kinds))
    order = np.argsort(result["images"])[: max(1, round(SHARE * len(cases)))].tolist()
    names = {cases[index].name for index in order}
    hits = [error for error in planted if error.name in names]
    cells = [f"{_share(hits, planted, kind):.3f}" for kind in kinds]
    print(f"| cleanlab, images | {' | '.join([*cells, f'{len(hits) / len(planted):.3f}'])} | - | - |")


if __name__ == "__main__":
    main()
