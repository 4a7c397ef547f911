"""Inspect a data folder, a run, a network, or the activations of a model on an image."""

from collections.abc import Sequence
from pathlib import Path

from pixelwise.datasets.dataset import DataOptions
from pixelwise.errors import BadOption, nearest
from pixelwise.networks.architectures import ARCHITECTURES
from pixelwise.progress import Console, Progress
from pixelwise.workflow.inspection.attribution import AttributionRequest
from pixelwise.workflow.inspection.data import InspectedData, inspect_data
from pixelwise.workflow.inspection.image import InspectedImage, inspect_image
from pixelwise.workflow.inspection.network import InspectedList, InspectedNetwork, inspect_network, list_networks
from pixelwise.workflow.inspection.run import InspectedRun
from pixelwise.workflow.run import Run
from pixelwise.workflow.tasks.choose import task_of


def inspect(
    target: Path | str | None = None,
    *,
    size: int | None = None,
    options: DataOptions | None = None,
    overrides: Sequence[str] = (),
    image: Path | str | None = None,
    grad_cam: AttributionRequest | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
) -> InspectedData | InspectedRun | InspectedImage | InspectedNetwork | InspectedList:
    """Inspect a data folder, a run folder, a registered network, or a model on an image.

    Parameters
    ----------
    target : path or str, optional
        By default all registered networks are listed.
    size : int, optional
        Input side of a network; by default that of its paper (572 for `unet2015`), or 256, or the next valid size.
    options : DataOptions, optional
        For a data folder.
    overrides : sequence of "setting=value"
        For a network, such as "depth=5"; the other settings are as published.
    image : path, optional
        For a run folder or a model file: draw the activations of each stage for this image.
    grad_cam : AttributionRequest, optional
        For an image: the class, pixel and stage of the Grad-CAM map.
    out : path, optional
        The contact sheet of a data folder; by default inspect-<name>.png in the current folder. For a network the
        drawing, as SVG and PNG. For an image by default inspect-<image>.png.
    progress : Progress, optional

    Raises
    ------
    BadOption
        The target is neither a folder nor a known network, or the size is invalid; or the class, pixel or stage does
        not exist, or `grad_cam` is given without an image.
    BadModel, BadImage
        For an image: the model or the image cannot be used.
    OutputFailed
        `out` is inside the data folder, or next to the image, or cannot be written.
    """
    if image is not None and target is not None:
        pages = options.pages if options is not None else None
        request = grad_cam or AttributionRequest()
        return inspect_image(Path(target), Path(image), request, out, pages, task_of, progress or Console())
    if image is not None or grad_cam not in (None, AttributionRequest()):
        got = "no image" if image is None else "no model"
        raise BadOption("a model and an image for Grad-CAM", got, "Give a run and --image.")
    if target is None:
        return list_networks()
    path = Path(target)
    if str(target) in ARCHITECTURES and not path.exists():
        return inspect_network(str(target), size, overrides, out)
    if (path / "config.yaml").is_file():
        run = Run.open(path)
        return InspectedRun(run, run.config)
    if path.is_dir():
        return inspect_data(path, options or DataOptions(), out, task_of, progress or Console())
    known = nearest(str(target), list(ARCHITECTURES))
    raise BadOption("a data folder, a run folder or a network", f"`{target}`", known)
