"""Inspection of a model on an image: feature maps, attention gates and Grad-CAM in one figure."""

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
from pixelwise.explain.grad_cam import Attribution, GradCam
from pixelwise.labels.instances import decode
from pixelwise.labels.targets import probabilities_of
from pixelwise.labels.temperature_scaling import scaled_softmax
from pixelwise.model_file.model_file import ModelCard, find_model_file, load_network
from pixelwise.networks.models import Network
from pixelwise.progress import Progress
from pixelwise.text import pluralise
from pixelwise.workflow.inspection.maps import Scene, draw_insight
from pixelwise.workflow.painting import colour, stretch

BOUNDARY_CLASSES = ("background", "interior", "boundary")
TARGETS = {"components": ("background", "object"), "boundary": BOUNDARY_CLASSES, "distance": BOUNDARY_CLASSES}
SHOWN = 3  # channels listed in the text


@dataclass(frozen=True, kw_only=True)
class AttributionRequest:
    """Class, pixel and stage for Grad-CAM.

    Attributes
    ----------
    class_name : str, optional
        By default the most frequent foreground class, or the one predicted at the pixel.
    pixel : (row, column), optional
        In the image; by default all pixels predicted as the class.
    stage : str, optional
        By default the coarsest and the finest.
    """

    class_name: str | None = None
    pixel: tuple[int, int] | None = None
    stage: str | None = None


@dataclass(frozen=True, kw_only=True)
class InspectedImage:
    """Feature maps and Grad-CAM of an image; `origin` and `size` are those of the inspected crop."""

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
        """Return one JSON-ready object; `predicted` are fractions of pixels, or class probabilities."""
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
        """Return a line per stage, and the strongest Grad-CAM channels."""
        lines = [f"{self.network} on {self.image.name}. {self.asked}", ""]
        lines.append(f"{'stage':<14}{'channels':>9}{'size':>14}{'dead':>8}  largest deviation")
        for stage in self.stages:
            facts = _stage_facts(stage)
            size = " x ".join(str(side) for side in facts["size"])
            names = ", ".join(f"#{c} ({facts['deviation'][c]:.2g})" for c in facts["most_varied"][:SHOWN])
            lines.append(f"{stage.name:<14}{facts['channels']:>9}{size:>14}{facts['silent']:>8}  {names}")
        if self.gates:
            lines += ["", "Attention gate coefficients (0 to 1):        min    mean     max"]
        for gate in self.gates:
            values = gate.coefficients
            size = " x ".join(str(side) for side in values.shape)
            numbers = f"{values.min():>8.2f}{values.mean():>8.2f}{values.max():>8.2f}"
            lines.append(f"  {gate.name:<24}{size:>14}{numbers}")
        lines += ["", f"Grad-CAM for {self.class_name} (channel, weight):"]
        for evidence in self.evidence:
            facts = _evidence_facts(evidence)
            names = ", ".join(f"#{c} ({facts['weights'][c]:+.2g})" for c in facts["strongest"][:SHOWN])
            lines.append(f"  {evidence.stage:<14}{names if facts['most'] else 'no positive evidence'}")
        return "\n".join([*lines, "", f"Picture: {self.picture}"])


@dataclass(frozen=True)
class AttributionTarget:
    """A class, and the pixels of the logits whose score is attributed (None for classification)."""

    index: int
    name: str
    region: np.ndarray | None
    words: str
    predicted: dict[str, float]


def inspect_image(
    target: Path,
    image: Path,
    request: AttributionRequest,
    out: Path | str | None,
    pages: int | None,
    progress: Progress,
) -> InspectedImage:
    """Record feature maps and Grad-CAM of a model on an image; see `inspect`."""
    picture = _picture_path(image, out)
    path = find_model_file(target)
    with progress.bar("computing feature maps", 3) as advance:
        network, model_card = load_network(path)
        pixels = read_pixels(image, model_card.channels, pages, model_card.reading).pixels
        crop = _crop(network.float(), model_card, pixels, request)
        insight = GradCam(network, crop.given)
        advance(1, "Grad-CAM")
        attributed = _resolve_target(insight.logits, model_card, crop, request)
        stages = (request.stage,) if request.stage is not None else ()
        evidence = insight.evidence(attributed.index, attributed.region, stages)
        title = f"{model_card.network.name} on {image.name}{_describe_crop(model_card, crop, pixels)}"
        scene = _scene(title, insight, model_card, crop, attributed, evidence)
        advance(1, "drawing")
        atomic_write_bytes(picture, draw_insight(scene))
        advance(1, "")
    return InspectedImage(
        model=path,
        image=image,
        picture=picture,
        network=model_card.network.name,
        origin=crop.origin,
        size=(crop.shown.shape[1], crop.shown.shape[2]),
        class_name=attributed.name,
        asked=attributed.words,
        pixel=request.pixel,
        predicted=attributed.predicted,
        stages=insight.stages,
        gates=insight.gates,
        evidence=evidence,
    )


def _picture_path(image: Path, out: Path | str | None) -> Path:
    picture = Path(out) if out is not None else Path(f"inspect-{image.stem}.png")
    if picture.resolve().parent == image.resolve().parent:
        raise OutputFailed("a path outside the image folder", "one inside it", "Choose another --out.", picture)
    return picture


def _crop(network: Network, model_card: ModelCard, pixels: np.ndarray, request: AttributionRequest) -> Crop:
    if model_card.view is None:
        return crop_for_masks(network, model_card, pixels, request.pixel)
    if request.pixel is not None:
        got = f"--pixel {request.pixel[0]},{request.pixel[1]}"
        raise BadOption("no --pixel for a classification model", got, "Choose a class with --class.")
    return crop_for_class(model_card, model_card.view, pixels)


def _describe_crop(model_card: ModelCard, crop: Crop, pixels: np.ndarray) -> str:
    """Return the location of the crop, if it is not the whole image; classification always uses the centre."""
    if model_card.view is not None or crop.shown.size >= pixels.size:
        return ""
    (top, left), (height, width) = crop.origin, crop.shown.shape[1:]
    return f": rows {top} to {top + height - 1}, columns {left} to {left + width - 1}"


def _resolve_target(
    logits: np.ndarray, model_card: ModelCard, crop: Crop, request: AttributionRequest
) -> AttributionTarget:
    """Return the class and the pixels that are attributed."""
    names = TARGETS.get(model_card.target.kind, model_card.classes) if model_card.view is None else model_card.classes
    requested = _index(request.class_name, names)
    if model_card.view is not None:
        probabilities = scaled_softmax(logits, model_card.temperatures, 0)
        best = np.argsort(-probabilities, kind="stable").tolist()
        index = best[0] if requested is None else requested
        top = ", ".join(f"{names[i]} {probabilities[i]:.2f}" for i in best[:3])
        shares = dict(zip(names, probabilities.tolist(), strict=True))
        return AttributionTarget(index, names[index], None, f"Grad-CAM for {names[index]}. Predicted: {top}.", shares)
    predicted = logits[: len(names), *crop.keep].argmax(0)
    counts = np.bincount(predicted.ravel(), minlength=len(names))
    shares = {name: float(count / predicted.size) for name, count in zip(names, counts, strict=True)}
    region = np.zeros(logits.shape[1:], bool)
    if request.pixel is not None:
        row, column = (position - start for position, start in zip(request.pixel, crop.origin, strict=True))
        index = int(predicted[row, column]) if requested is None else requested
        region[crop.keep][row, column] = True
        probabilities = probabilities_of(logits[:, *crop.keep], model_card.target, model_card.temperatures)
        probability = probabilities[index, row, column]
        position = f"at row {request.pixel[0]}, column {request.pixel[1]}"
        words = f"Grad-CAM for {names[index]} {position} (probability {probability:.2f})."
        return AttributionTarget(index, names[index], region, words, shares)
    best_class = int(counts[1:].argmax()) + 1 if counts[1:].any() else 0
    index = best_class if requested is None else requested
    region[crop.keep] = predicted == index
    words = f"Grad-CAM for {names[index]}, over the {pluralise(int(counts[index]), 'pixel')} predicted as this class."
    if not counts[index]:
        region[crop.keep] = True
        words = f"Grad-CAM for {names[index]}, over all pixels, because it is not predicted."
    return AttributionTarget(index, names[index], region, words, shares)


def _index(class_name: str | None, names: Sequence[str]) -> int | None:
    if class_name is None:
        return None
    if class_name not in names:
        raise BadOption("a class of the model", f"`{class_name}`", nearest(class_name, names))
    return names.index(class_name)


def _scene(
    title: str,
    insight: GradCam,
    model_card: ModelCard,
    crop: Crop,
    attributed: AttributionTarget,
    evidence: tuple[Attribution, ...],
) -> Scene:
    panels: list[tuple[str, str, np.ndarray]] = []
    legend: tuple[tuple[str, tuple[int, int, int]], ...] = ()
    region = None
    if model_card.view is None and attributed.region is not None:
        probabilities = probabilities_of(insight.logits[:, *crop.keep], model_card.target)
        objects = model_card.task == "instance"
        labels = decode(probabilities, model_card.target)
        if not objects:
            legend = tuple((model_card.classes[i], model_card.colours[i]) for i in np.unique(labels).tolist())
        remark = (
            pluralise(int(labels.max()), "object") if objects else f"{len(legend)} of {len(model_card.classes)} classes"
        )
        panels.append(("prediction", remark, colour(labels, model_card.colours, objects=objects)))
        panels.append((f"probability of {attributed.name}", "0 (dark) to 1 (bright)", probabilities[attributed.index]))
        region = attributed.region[crop.keep]
    pixel = None
    if region is not None and region.sum() == 1:
        row, column = np.argwhere(region)[0].tolist()
        pixel = (row, column)
    return Scene(
        title=title,
        asked=attributed.words,
        view=stretch(crop.shown),
        panels=tuple(panels),
        legend=legend,
        region=region,
        pixel=pixel,
        stages=insight.stages,
        gates=insight.gates,
        evidence=evidence,
        sensitivity=insight.sensitivity(attributed.index, attributed.region),
        given=(crop.given.shape[1], crop.given.shape[2]),
        offset=crop.offset,
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
