"""Inspection of a model on an image: feature maps, attention gates and Grad-CAM in one figure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pixelwise.atomic_write import atomic_write_bytes
from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadModel, OutputFailed
from pixelwise.explain.activations import Gating, Stage
from pixelwise.explain.grad_cam import Attribution, GradCam
from pixelwise.io.volumes.names import stem_of
from pixelwise.model_file.model_file import ModelCard, find_model_file, load_network
from pixelwise.networks.models import Network
from pixelwise.progress import Progress
from pixelwise.workflow.inspection.attribution import AttributionRequest, AttributionTarget, ImageAttribution
from pixelwise.workflow.inspection.maps import Scene, draw_attributions
from pixelwise.workflow.painting import stretch

SHOWN = 3  # channels listed in the text


@dataclass(frozen=True, kw_only=True)
class InspectedImage:
    """Feature maps and Grad-CAM of an image; `origin` and `size` are those of the inspected crop."""

    model: Path
    image: Path
    picture: Path
    network: str
    origin: tuple[int, int]
    size: tuple[int, int]
    target: AttributionTarget
    pixel: tuple[int, int] | None
    stages: tuple[Stage, ...]
    gates: tuple[Gating, ...]
    attributions: tuple[Attribution, ...]

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
            "class": self.target.name,
            "caption": self.target.caption,
            "pixel": list(self.pixel) if self.pixel is not None else None,
            "predicted": self.target.predicted,
            "stages": [_stage_facts(stage) for stage in self.stages],
            "gates": [
                {
                    "name": gate.name,
                    "size": list(gate.coefficients.shape),
                    "min": float(gate.coefficients.min()),
                    "mean": float(gate.coefficients.mean()),
                    "max": float(gate.coefficients.max()),
                }
                for gate in self.gates
            ],
            "grad_cam": [_attribution_facts(attribution) for attribution in self.attributions],
        }

    def to_text(self) -> str:
        """Return a line per stage, and the strongest Grad-CAM channels."""
        lines = [f"{self.network} on {self.image.name}. {self.target.caption}", ""]
        lines.append(f"{'stage':<14}{'channels':>9}{'size':>14}{'dead':>8}  largest deviation")
        for stage in self.stages:
            facts = _stage_facts(stage)
            size = " x ".join(str(side) for side in facts["size"])
            names = ", ".join(f"#{c} ({facts['deviation'][c]:.2g})" for c in facts["most_varied"][:SHOWN])
            lines.append(f"{stage.name:<14}{facts['channels']:>9}{size:>14}{facts['dead']:>8}  {names}")
        if self.gates:
            lines += ["", "Attention gate coefficients (0 to 1):        min    mean     max"]
        for gate in self.gates:
            values = gate.coefficients
            size = " x ".join(str(side) for side in values.shape)
            numbers = f"{values.min():>8.2f}{values.mean():>8.2f}{values.max():>8.2f}"
            lines.append(f"  {gate.name:<24}{size:>14}{numbers}")
        lines += ["", f"Grad-CAM for {self.target.name} (channel, weight):"]
        for attribution in self.attributions:
            facts = _attribution_facts(attribution)
            names = ", ".join(f"#{c} ({facts['weights'][c]:+.2g})" for c in facts["strongest"][:SHOWN])
            lines.append(f"  {attribution.stage:<14}{names if facts['max'] else 'no positive attribution'}")
        return "\n".join([*lines, "", f"Picture: {self.picture}"])


@runtime_checkable
class AttributionTask(Protocol):
    """What the inspection of an image needs of a task; see `tasks.task.Task`."""

    def attribute(
        self, network: Network, model_card: ModelCard, pixels: np.ndarray, request: AttributionRequest
    ) -> ImageAttribution:
        """Return the request for one image and model."""
        ...


def inspect_image(
    target: Path,
    image: Path,
    request: AttributionRequest,
    out: Path | str | None,
    pages: int | None,
    task_of: Callable[[ModelCard], AttributionTask],
    progress: Progress,
) -> InspectedImage:
    """Record feature maps and Grad-CAM of a model on an image; see `inspect`."""
    picture = _picture_path(image, out)
    path = find_model_file(target)
    with progress.bar("computing feature maps", 3) as advance:
        network, model_card = load_network(path)
        if model_card.network.dimensions == 3:
            hint = "Use pixelwise.explain.grad_cam.GradCam in Python, which takes volumes."
            raise BadModel("a model of images for a picture", "a model of volumes", hint, path)
        pixels = read_pixels(image, model_card.channels, pages, model_card.reading).pixels
        attribution = task_of(model_card).attribute(network.float(), model_card, pixels, request)
        crop = attribution.crop
        grad_cam = GradCam(network, crop.given)
        advance(1, "Grad-CAM")
        attributed = attribution.resolve(grad_cam.logits)
        stages = (request.stage,) if request.stage is not None else ()
        attributions = grad_cam.attributions(attributed.index, attributed.region, stages)
        title = f"{model_card.network.name} on {image.name}{attribution.location}"
        scene = _scene(title, grad_cam, attribution, attributed, attributions)
        advance(1, "drawing")
        atomic_write_bytes(picture, draw_attributions(scene))
        advance(1, "")
    return InspectedImage(
        model=path,
        image=image,
        picture=picture,
        network=model_card.network.name,
        origin=(crop.origin[0], crop.origin[1]),
        size=(crop.shown.shape[1], crop.shown.shape[2]),
        target=attributed,
        pixel=request.pixel,
        stages=grad_cam.stages,
        gates=grad_cam.gates,
        attributions=attributions,
    )


def _picture_path(image: Path, out: Path | str | None) -> Path:
    picture = Path(out) if out is not None else Path(f"inspect-{stem_of(image)}.png")
    if picture.resolve().parent == image.resolve().parent:
        raise OutputFailed("a path outside the image folder", "one inside it", "Choose another --out.", picture)
    return picture


def _scene(
    title: str,
    grad_cam: GradCam,
    attribution: ImageAttribution,
    attributed: AttributionTarget,
    attributions: tuple[Attribution, ...],
) -> Scene:
    crop, shown = attribution.crop, attribution.draw_prediction(grad_cam.logits, attributed)
    pixel = None
    if shown.region is not None and shown.region.sum() == 1:
        row, column = np.argwhere(shown.region)[0].tolist()
        pixel = (row, column)
    return Scene(
        title=title,
        caption=attributed.caption,
        view=stretch(crop.shown),
        panels=shown.panels,
        legend=shown.legend,
        region=shown.region,
        pixel=pixel,
        stages=grad_cam.stages,
        gates=grad_cam.gates,
        attributions=attributions,
        sensitivity=grad_cam.sensitivity(attributed.index, attributed.region),
        given=(crop.given.shape[1], crop.given.shape[2]),
        offset=(crop.offset[0], crop.offset[1]),
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
        "dead": int((deviations == 0).sum()),
        "most_varied": stage.most_varied().tolist(),
        "deviation": deviations.tolist(),
        "mean": stage.maps.mean(axis=(1, 2), dtype=np.float64).tolist(),
    }


def _attribution_facts(attribution: Attribution) -> dict[str, Any]:
    return {
        "stage": attribution.stage,
        "strongest": np.argsort(-np.abs(attribution.weights), kind="stable").tolist(),
        "weights": attribution.weights.tolist(),
        "max": float(attribution.heat.max()),
    }
