"""Who takes part, and the commands that train a contender on a set and predict the images it has not seen.

What counts as training time: of pixelwise the whole `train` command, from the start of Python over reading and planning
to the written model; of the peers their training loop alone, without imports, reading, planning and preprocessing.
nnU-Net's dozen steps of trial that choose the length of its schedule are not counted either; it makes 40 steps at the
least, however long they take. All learn from `train/`; a `val/` that is not scored lies beside it, and pixelwise alone
looks at it, to choose among its own weights. Where val is scored (camvid11) nobody gets it, and pixelwise keeps a part
of `train/` as its own.
"""

import csv
import json
import re
import shutil
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from score import MEASURES, Measure

OURS = "pixelwise"
NETS = ("smp-unet-resnet34", "monai-basicunet", "monai-dynunet")
NNUNET = "nnunet-2d"
CONTENDERS = (OURS, *NETS, NNUNET)
MODEL = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training: a set, who learns it, for how many seconds, from which seed.

    A contender may be `pixelwise:network.name=resunet+training.weight_decay=0`: pixelwise with these settings.
    """

    set: str
    contender: str
    seconds: int
    seed: int

    @property
    def name(self) -> str:
        """Return a name for the folder of the cell."""
        plain = "".join(letter if letter.isalnum() or letter in "-.=+" else "_" for letter in self.contender)
        return f"{self.set}-{plain}-{self.seconds}s-seed{self.seed}"

    @property
    def key(self) -> tuple[str, str, int, int]:
        """Return what makes it the same cell."""
        return self.set, self.contender, self.seconds, self.seed


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where everything lies.

    Attributes
    ----------
    data : Path
        The folder of the sets.
    out : Path
        Of the results.
    peers : Path, optional
        Python of the environment of the peers.
    scripts : Path, optional
        Folder of train_peer.py and nnunet_peer.py.
    warm_cache : bool
        Whether pixelwise may use what it has measured before on this machine; else each cell has an empty cache.
    first : int, optional
        Contenders see so many images of `train/`, the first ones by name, and nothing else.
    """

    data: Path
    out: Path
    peers: Path | None = None
    scripts: Path | None = None
    warm_cache: bool = False
    first: int | None = None

    def folder(self, cell: Cell) -> Path:
        """Return where a cell works and leaves its log and its masks."""
        return self.out / "cells" / cell.name

    def images(self, name: str) -> Path:
        """Return the folder of the images to predict."""
        return self.data / name / MEASURES[name].part / "images"

    def truth(self, name: str) -> Path:
        """Return the folder of their masks."""
        return self.data / name / MEASURES[name].part / "masks"


@dataclass(frozen=True)
class Facts:
    """What a training was: seconds of training and of prediction, and steps."""

    train_s: float
    predict_s: float
    steps: int


def seconds_in(text: str) -> int:
    """Return the seconds of 90s, 10m or 1h, for argparse."""
    found = re.fullmatch(r"(\d+)([smh])", text)
    if found is None:
        raise ArgumentTypeError(f"expected a time such as 90s, 10m or 1h; got {text}")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def seen(place: Place, name: str) -> Path:
    """Copy what contenders may see of a set, once: everything but the part that is scored, and the test part."""
    folder = place.out / ("data" if place.first is None else f"first{place.first}") / name
    if not folder.exists():
        hidden = {"test", MEASURES[name].part} | ({"val"} if place.first is not None else set[str]())
        unfinished = folder.with_name(f".{name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(place.data / name, unfinished, ignore=lambda at, names: hidden & set(names))
        if place.first is not None:
            _keep_first(unfinished / "train", place.first)
        unfinished.rename(folder)
    return folder


def _keep_first(train: Path, count: int) -> None:
    """Remove all but the first images of `train/` and their masks."""
    kept = {path.stem for path in sorted((train / "images").iterdir())[:count]}
    for path in [*(train / "images").iterdir(), *(train / "masks").iterdir()]:
        if path.stem not in kept:
            path.unlink()


def train_ours(cell: Cell, data: Path, run: Path, device: str) -> list[str]:
    """Return the command that trains pixelwise."""
    words = [word for word in cell.contender.partition(":")[2].split("+") if word]
    command = [sys.executable, "-m", "pixelwise", "train", str(data), "--out", str(run), "--device", device]
    return [*command, "--budget", f"{cell.seconds}s", "--seed", str(cell.seed), *words]


def predict_ours(run: Path, images: Path, masks: Path, device: str) -> list[str]:
    """Return the command that predicts with pixelwise."""
    return [
        sys.executable,
        "-m",
        "pixelwise",
        "predict",
        str(run),
        str(images),
        "--out",
        str(masks),
        "--device",
        device,
    ]


def train_peer(cell: Cell, place: Place, data: Path, threads: int) -> list[str]:
    """Return the command that trains a peer and predicts.

    Raises
    ------
    ValueError
        The environment of the peers is not known, or nobody has this name.
    """
    if place.peers is None or place.scripts is None:
        raise ValueError("--peers PYTHON, made by setup.sh; without it only pixelwise takes part")
    folder = place.folder(cell)
    script = "nnunet_peer.py" if cell.contender == NNUNET else "train_peer.py"
    command = [str(place.peers), "-W", "ignore", str(place.scripts / script), "--data", str(data)]
    command += [
        "--predict",
        str(place.images(cell.set)),
        "--out",
        str(folder / "masks"),
        "--seconds",
        str(cell.seconds),
    ]
    command += peer_words(MEASURES[cell.set])
    if cell.contender == NNUNET:  # draws anew at each call: it takes no seed
        return [*command, "--work", str(folder / "work"), "--threads", str(threads)]
    if cell.contender in NETS:
        return [*command, "--net", cell.contender, "--seed", str(cell.seed)]
    raise ValueError(f"a contender of {', '.join(CONTENDERS)}; got {cell.contender}")


def peer_words(measure: Measure) -> list[str]:
    """Return what peers have to be told of a set."""
    words = ["--kind", "instance" if measure.kind == "objects" else "semantic", "--classes", str(measure.classes)]
    if measure.ignore is not None:
        words += ["--ignore", str(measure.ignore)]
    if measure.foreground is not None:
        words += ["--foreground", str(measure.foreground)]
    return words


def learn(cell: Cell, place: Place, threads: int, call: Callable[[Sequence[str], Path | None], float]) -> Facts:
    """Train and predict one cell.

    `call` runs a command and returns its seconds. It fails where the command ends with an error, unless the file named
    beside it is made: a training that says with its exit code that it learned too little is scored all the same.

    Afterwards the masks lie in the folder of the cell under `masks/`. What takes much room and tells little is removed.
    """
    folder, data = place.folder(cell), seen(place, cell.set)
    if not cell.contender.startswith(OURS):
        call(train_peer(cell, place, data, threads), None)
        shutil.rmtree(folder / "work", ignore_errors=True)
        messages = json.loads((folder / "masks.json").read_text("utf-8"))
        return Facts(float(messages["train_s"]), float(messages["predict_s"]), int(messages["steps"]))
    run = folder / "run"
    trained = call(train_ours(cell, data, run, "cpu"), run / MODEL)
    masks = folder / "masks"
    predicted = call(predict_ours(run, place.images(cell.set), masks, "cpu"), None)
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    return Facts(trained, predicted, steps_of(run))


def steps_of(run: Path) -> int:
    """Return the last step that a run of pixelwise has noted; 0 where it has none."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return int(rows[-1]["step"]) if rows else 0


def meaning(measure: Measure, masks: Path) -> list[int] | None:
    """Return what 0, 1, ... in predicted masks mean in those of the truth; None where they are the same."""
    legend = masks / "classes.json"
    if measure.kind == "objects":
        return None
    if legend.exists():  # pixelwise says it
        return [entry["value_in_your_masks"] for entry in json.loads(legend.read_text("utf-8"))["classes"]]
    return [0, measure.foreground] if measure.foreground is not None else None
