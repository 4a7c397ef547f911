"""What every kind of prediction of files shares: what is wished for, where it goes, what came out."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pixelwise.atomic_write import write_error
from pixelwise.errors import BadImage, OutputFailed
from pixelwise.text import pluralise
from pixelwise.workflow.confidence import Confidence
from pixelwise.workflow.prediction.options import PredictOptions


@dataclass(frozen=True, kw_only=True)
class ClassPrediction:
    """The most probable classes of one image, the most probable first, each with its probability."""

    file: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object."""
        return {
            "file": str(self.file),
            "class": self.classes[0],
            "probability": self.probabilities[0],
            "top": [
                {"class": name, "probability": chance}
                for name, chance in zip(self.classes, self.probabilities, strict=True)
            ],
        }


@dataclass(frozen=True)
class Predictions:
    """The files written, for each file that could not be predicted why, the classes of whole images, confidence."""

    outputs: tuple[Path, ...]
    failed: tuple[tuple[Path, str], ...]
    messages: tuple[ClassPrediction, ...] = ()
    confidence: tuple[Confidence, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object; `predictions` stands in it for classes of whole images alone.

        `confidence` stands in it where it was wished for.
        """
        found: dict[str, Any] = {
            "outputs": [str(path) for path in self.outputs],
            "failed": [{"file": str(path), "text": text} for path, text in self.failed],
        }
        found |= {"predictions": [messages.to_json() for messages in self.messages]} if self.messages else {}
        return found | ({"confidence": [asdict(sure) for sure in self.confidence]} if self.confidence else {})

    def to_text(self, folder: Path) -> str:
        """Return a sentence for people; `folder` is where the results went."""
        done = f"{pluralise(len(self.outputs), 'file')} written to {folder}"
        if self.messages:
            done = f"{pluralise(len(self.messages), 'image')} classified in {self.outputs[0]}"
        return f"{done}, {pluralise(len(self.failed), 'image')} failed." if self.failed else f"{done}."


def check_place(folder: Path, inputs: Sequence[Path]) -> None:
    """Refuse a place that cannot be written or holds the images, before any work."""
    sources = {(path if path.is_dir() else path.parent).resolve() for path in inputs}
    if folder.resolve() in sources:
        hint = "Choose another --out: nothing is ever written beside your images."
        raise OutputFailed("a folder of its own for the results", "the folder of the images", hint, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise write_error(folder, error) from error


def check_free(folder: Path, names: Collection[str], options: PredictOptions) -> None:
    """Refuse a folder that holds files of these names already, unless they may be replaced."""
    there = sorted(path.name for path in folder.iterdir() if path.name in names)
    if there and not options.overwrite:
        hint = "Replace them with --overwrite, or choose another --out."
        raise OutputFailed("a folder without these results", f"{len(there)}, such as {there[0]}", hint, folder)


def name_images(paths: Sequence[Path]) -> dict[str, Path]:
    """Give each image a name for its results: its stem, with folder or suffix where stems are shared."""
    names: dict[str, Path] = {}
    stems = Counter(path.stem.lower() for path in paths)
    for path in paths:
        name = path.stem if stems[path.stem.lower()] == 1 else f"{path.parent.name}_{path.stem}_{path.suffix[1:]}"
        if name in names:
            hint = "Predict them into two folders, one after the other."
            raise BadImage("a different name for every image", f"{name} twice", hint, path)
        names[name] = path
    return names
