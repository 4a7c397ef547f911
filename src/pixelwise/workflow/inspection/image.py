"""Inspect, of a model and an image: the maps of every stage, the gates, the evidence for a class, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadOption, OutputFailed, nearest
from pixelwise.explain.activations import Gating, Stage
from pixelwise.explain.crop import Crop, crop_for_class, crop_for_masks
from pixelwise.explain.grad_cam import Attribution, Insight
from pixelwise.labels.instances import decode
from pixelwise.labels.targets import probabilities_of
from pixelwise.labels.temperature_scaling import tempered_softmax
from pixelwise.model_file.model_file import ModelCard, find_model_file, load_network
from pixelwise.networks.models import Network
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.inspection.maps import Scene, draw_insight
from pixelwise.workflow.painting import colour, stretch

PARTED = ("background", "interior", "boundary")
TARGETS = {"components": ("background", "object"), "boundary": PARTED, "distance": PARTED}
SHOWN = 3  # channels that are named in the text


@dataclass(frozen=True, kw_only=True)
class AttributionRequest:
    """What evidence is wanted for: by default the class that is predicted most, or at the pixel.

    Attributes
    ----------
    class_name : str, optional
    pixel : (row, column), optional
        In the image; by default all pixels that are predicted as the class count.
    stage : str, optional
        By default the coarsest and the finest.
    """

    class_name: str | None = None
    pixel: tuple[int, int] | None = None
    stage: str | None = None


@dataclass(frozen=True, kw_only=True)
class InspectedImage:
    """What a model sees in an image; `origin` and `size` are those of the part that was looked into."""

    model: Path
    image: Path
    picture: Path
    network: str
    origin: tuple[int, int]
    size: tuple[int, int]
    class_name: str
    asked: str
    pixel: tuple[int, int] | None
    predicted: dict[str, float]
    stages: tuple[Stage, ...]
    gates: tuple[Gating, ...]
    evidence: tuple[Attribution, ...]

    def to_json(self) -> dict[str, Any]:
        """Return one JSON-ready object; `predicted` are shares of pixels, or probabilities of whole images."""
        return {
            "kind": "image",
            "model": str(self.model),
            "image": str(self.image),
            "picture": str(self.picture),
            "network": self.network,
            "origin": list(self.origin),
            "size": list(self.size),
            "class": self.class_name,
            "asked": self.asked,
            "pixel": list(self.pixel) if self.pixel is not None else None,
            "predicted": self.predicted,
            "stages": [_stage_facts(stage) for stage in self.stages],
            "gates": [
                {
                    "name": gate.name,
                    "size": list(gate.coefficients.shape),
                    "least": float(gate.coefficients.min()),
                    "mean": float(gate.coefficients.mean()),
                    "most": float(gate.coefficients.max()),
                }
                for gate in self.gates
            ],
            "evidence": [_evidence_facts(evidence) for evidence in self.evidence],
        }

    def to_text(self) -> str:
        """Return a line per stage, and what speaks for the class."""
        lines = [f"{self.network} on {self.image.name}. {self.asked}", ""]
        lines.append(f"{'stage':<14}{'channels':>9}{'size':>14}{'silent':>8}  most varied (deviation)")
        for stage in self.stages:
            facts = _stage_facts(stage)
            size = " x ".join(str(side) for side in facts["size"])
            names = ", ".join(f"#{c} ({facts['deviation'][c]:.2g})" for c in facts["most_varied"][:SHOWN])
            lines.append(f"{stage.name:<14}{facts['channels']:>9}{size:>14}{facts['silent']:>8}  {names}")
        if self.gates:
            lines += ["", "Gates, what they let through (0...1):      least    mean    most"]
        for gate in self.gates:
            values = gate.coefficients
            size = " x ".join(str(side) for side in values.shape)
            numbers = f"{values.min():>8.2f}{values.mean():>8.2f}{values.max():>8.2f}"
            lines.append(f"  {gate.name:<24}{size:>14}{numbers}")
        lines += ["", f"Evidence for {self.class_name}:"]
        for evidence in self.evidence:
            facts = _evidence_facts(evidence)
            names = ", ".join(f"#{c} ({facts['weights'][c]:+.2g})" for c in facts["strongest"][:SHOWN])
            lines.append(f"  {evidence.stage:<14}{names if facts['most'] else 'nothing speaks for it'}")
        return "\n".join([*lines, "", f"Picture: {self.picture}"])


@dataclass(frozen=True)
class AttributionTarget:
    """What is asked, made definite: a class, and the pixels of the logits that count (None: all, or a whole image)."""

    index: int
    name: str
    region: np.ndarray | None
    words: str
    predicted: dict[str, float]


def inspect_image(
    target: Path,
    image: Path,
    question: AttributionRequest,
    out: Path | str | None,
    pages: int | None,
    progress: Progress,
) -> InspectedImage:
    """Look into a model while it sees an image; see `inspect`."""
    picture = _place_of_picture(image, out)
    path = find_model_file(target)
    with progress.bar("looking into the network", 3) as advance:
        network, model_card = load_network(path)
        pixels = read_pixels(image, model_card.channels, pages).pixels
        sight = _see(network.float(), model_card, pixels, question)
        insight = Insight(network, sight.given)
        advance(1, "evidence")
        answer = _answer(insight.logits, model_card, sight, question)
        stages = (question.stage,) if question.stage is not None else ()
        evidence = insight.evidence(answer.index, answer.region, stages)
        title = f"What {model_card.network.name} sees in {image.name}{_part(model_card, sight, pixels)}"
        scene = _scene(title, insight, model_card, sight, answer, evidence)
        advance(1, "drawing")
        atomic_write_bytes(picture, draw_insight(scene))
        advance(1, "")
    return InspectedImage(
        model=path,
        image=image,
        picture=picture,
        network=model_card.network.name,
        origin=sight.origin,
        size=(sight.shown.shape[1], sight.shown.shape[2]),
        class_name=answer.name,
        asked=answer.words,
        pixel=question.pixel,
        predicted=answer.predicted,
        stages=insight.stages,
        gates=insight.gates,
        evidence=evidence,
    )


def _place_of_picture(image: Path, out: Path | str | None) -> Path:
    picture = Path(out) if out is not None else Path(f"inspect-{image.stem}.png")
    if picture.resolve().parent == image.resolve().parent:
        raise OutputFailed("a place that is not beside the image", "the image's folder", "Give another --out.", picture)
    return picture


def _see(network: Network, model_card: ModelCard, pixels: np.ndarray, question: AttributionRequest) -> Crop:
    if model_card.view is None:
        return crop_for_masks(network, model_card, pixels, question.pixel)
    if question.pixel is not None:
        got = f"--pixel {question.pixel[0]},{question.pixel[1]}"
        raise BadOption("no pixel for a model of whole-image classes", got, "Choose a class with --class.")
    return crop_for_class(model_card, model_card.view, pixels)


def _part(model_card: ModelCard, sight: Crop, pixels: np.ndarray) -> str:
    """Name the part that is looked into, where it is not the whole image; of photos it is always the middle."""
    if model_card.view is not None or sight.shown.size >= pixels.size:
        return ""
    (top, left), (height, width) = sight.origin, sight.shown.shape[1:]
    return f": rows {top} to {top + height - 1}, columns {left} to {left + width - 1}"


def _answer(logits: np.ndarray, model_card: ModelCard, sight: Crop, question: AttributionRequest) -> AttributionTarget:
    """Decide on the class and the pixels that evidence is wanted for."""
    names = TARGETS.get(model_card.target.kind, model_card.classes) if model_card.view is None else model_card.classes
    wanted = _index(question.class_name, names)
    if model_card.view is not None:
        probabilities = tempered_softmax(logits, model_card.temperatures, 0)
        best = np.argsort(-probabilities, kind="stable").tolist()
        index = best[0] if wanted is None else wanted
        seen = ", ".join(f"{names[i]} {probabilities[i]:.2f}" for i in best[:3])
        shares = dict(zip(names, probabilities.tolist(), strict=True))
        return AttributionTarget(index, names[index], None, f"Evidence for {names[index]}. Predicted: {seen}.", shares)
    found = logits[: len(names), *sight.keep].argmax(0)
    counts = np.bincount(found.ravel(), minlength=len(names))
    shares = {name: float(count / found.size) for name, count in zip(names, counts, strict=True)}
    region = np.zeros(logits.shape[1:], bool)
    if question.pixel is not None:
        row, column = (place - start for place, start in zip(question.pixel, sight.origin, strict=True))
        index = int(found[row, column]) if wanted is None else wanted
        region[sight.keep][row, column] = True
        probabilities = probabilities_of(logits[:, *sight.keep], model_card.target, model_card.temperatures)
        chance = probabilities[index, row, column]
        where = f"at row {question.pixel[0]}, column {question.pixel[1]}"
        words = f"Evidence for {names[index]} {where}, where its probability is {chance:.2f}."
        return AttributionTarget(index, names[index], region, words, shares)
    most = int(counts[1:].argmax()) + 1 if counts[1:].any() else 0
    index = most if wanted is None else wanted
    region[sight.keep] = found == index
    words = f"Evidence for {names[index]}, over {pluralise(int(counts[index]), 'pixel')} predicted as it."
    if not counts[index]:
        region[sight.keep] = True
        words = f"Evidence for {names[index]}, which is predicted nowhere: over all pixels."
    return AttributionTarget(index, names[index], region, words, shares)


def _index(class_name: str | None, names: Sequence[str]) -> int | None:
    if class_name is None:
        return None
    if class_name not in names:
        raise BadOption("a class of the model", f"`{class_name}`", nearest(class_name, names))
    return names.index(class_name)


def _scene(
    title: str,
    insight: Insight,
    model_card: ModelCard,
    sight: Crop,
    answer: AttributionTarget,
    evidence: tuple[Attribution, ...],
) -> Scene:
    panels: list[tuple[str, str, np.ndarray]] = []
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()
    region = None
    if model_card.view is None and answer.region is not None:
        probabilities = probabilities_of(insight.logits[:, *sight.keep], model_card.target)
        objects = model_card.task == "instance"
        labels = decode(probabilities, model_card.target)
        if not objects:
            legend = tuple((model_card.classes[i], model_card.colours[i]) for i in np.unique(labels).tolist())
        what = (
            pluralise(int(labels.max()), "object") if objects else f"{len(legend)} of {len(model_card.classes)} classes"
        )
        panels.append(("the prediction", what, colour(labels, model_card.colours, objects=objects)))
        panels.append((f"chance of {answer.name}", "0 dark to 1 bright", probabilities[answer.index]))
        region = answer.region[sight.keep]
    pixel = None
    if region is not None and region.sum() == 1:
        row, column = np.argwhere(region)[0].tolist()
        pixel = (row, column)
    return Scene(
        title=title,
        asked=answer.words,
        view=stretch(sight.shown),
        panels=tuple(panels),
        legend=legend,
        region=region,
        pixel=pixel,
        stages=insight.stages,
        gates=insight.gates,
        evidence=evidence,
        sensitivity=insight.sensitivity(answer.index, answer.region),
        given=(sight.given.shape[1], sight.given.shape[2]),
        offset=sight.offset,
    )


def _stage_facts(stage: Stage) -> dict[str, Any]:
    deviations = stage.deviations()
    channels, *size = stage.maps.shape
    return {
        "name": stage.name,
        "part": stage.part,
        "stride": stage.stride,
        "channels": channels,
        "size": size,
        "silent": int((deviations == 0).sum()),
        "most_varied": stage.most_varied().tolist(),
        "deviation": deviations.tolist(),
        "mean": stage.maps.mean(axis=(1, 2), dtype=np.float64).tolist(),
    }


def _evidence_facts(evidence: Attribution) -> dict[str, Any]:
    return {
        "stage": evidence.stage,
        "strongest": np.argsort(-np.abs(evidence.weights), kind="stable").tolist(),
        "weights": evidence.weights.tolist(),
        "most": float(evidence.heat.max()),
    }
