"""What the speed bench predicts with and on: a network and its exports in a folder, and pictures of any side.

Weights are drawn; the statistics of batch normalisation come from the picture, and the head is shifted so that each
class holds about as many pixels. So logits are neither all alike nor all on one side, and rounding can show in a mask.
With a run, its own weights are used, and its exports are made as by `pixelwise export`, with their parity report.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pixelwise.datasets.dataset import read_pixels
from pixelwise.datasets.synthetic import draw_cells
from pixelwise.errors import ExportFailed
from pixelwise.exporters.to_onnx import onnx_bytes
from pixelwise.exporters.to_openvino import write_openvino, write_openvino_int8
from pixelwise.geometry.tiles import mirror_indices
from pixelwise.io.read import read_image
from pixelwise.labels.targets import TargetOptions
from pixelwise.model_file.model_card import ModelCard
from pixelwise.model_file.model_file import load_model, save_model
from pixelwise.networks.architectures import build_segmenter
from pixelwise.networks.models import Segmenter
from pixelwise.networks.options import NetworkOptions
from pixelwise.progress import Console
from pixelwise.sampling.normalise import Normalisation, intensity_scale
from pixelwise.workflow.evaluation.splits import labelled_by_split, read_evaluation_data
from pixelwise.workflow.run import Run

MODEL = "model.safetensors"
EXPORTS = {"onnx": "model.onnx", "openvino": "openvino.xml", "openvino-int8": "openvino-int8.xml"}
DRAWN = 1024  # pixels a side of the drawn picture, which is mirrored to larger sides
CROP, CROPS = 256, 8  # of the picture: for the statistics of normalisations, and for int8


def picture_of(side: int, source: Path | None = None) -> np.ndarray:
    """Return a picture (channels, side, side): drawn cells, or a file, mirrored to the side."""
    if source is not None:
        return mirrored(read_image(source).pixels, side)
    return mirrored(draw_cells(0, min(max(side, CROP), DRAWN))[0], side)


def mirrored(pixels: np.ndarray, side: int) -> np.ndarray:
    """Cut or mirror a picture (channels, height, width) to a side."""
    rows, columns = (mirror_indices(0, side, length) for length in pixels.shape[1:])
    return np.ascontiguousarray(pixels[:, rows[:, None], columns[None]])


def draw_model(folder: Path, options: NetworkOptions, picture: np.ndarray, kinds: Sequence[str]) -> None:
    """Write a model with drawn weights, and its exports of these kinds."""
    torch.manual_seed(0)
    network = build_segmenter(options)
    crops, scale = _crops(picture), intensity_scale(picture, Normalisation())
    _settle(network, torch.from_numpy(np.stack([scale.apply(crop) for crop in crops])))
    model_card = ModelCard(
        network=options,
        normalisation=Normalisation(),
        target=TargetOptions(),
        geometry=network.geometry(),
        task="binary",
        classes=("background", "object"),
        values=(0, 255),
        colours=((0, 0, 0), (255, 255, 255)),
        channels=options.in_channels,
        tile=512,
        intensity_range=((0.0, 255.0),) * options.in_channels,
        trained={},
    )
    save_model(folder / MODEL, network, model_card)
    if not kinds:
        return
    graph = onnx_bytes(network, model_card)
    (folder / EXPORTS["onnx"]).write_bytes(graph)
    if "openvino" in kinds:
        write_openvino(folder / EXPORTS["openvino"], graph, model_card)
    if "openvino-int8" in kinds:
        fixed = {"mean": scale.shift[None].astype(np.float32), "std": (1 / scale.factor)[None].astype(np.float32)}
        feeds = [{"image": crop[None].astype(np.float32), **fixed} for crop in crops]
        write_openvino_int8(folder / EXPORTS["openvino-int8"], graph, model_card, feeds)


def take_run(folder: Path, path: Path, kinds: Sequence[str]) -> tuple[np.ndarray, dict[str, float]]:
    """Write the model of a run and its exports; return an image it was not trained on.

    Returns
    -------
    pixels : (channels, height, width)
    dict
        For each export the points of IoU lost on the validation images, as its parity report says. An export that is
        refused, because it loses too many, is not written.
    """
    from pixelwise.workflow.export import export  # with every library of every format

    run = Run.open(path)
    network, model_card = load_model(run.folder / MODEL)
    if model_card.view is not None or model_card.target.kind != "classes":
        raise SystemExit("The speed bench compares masks of classes; this run finds objects or classes of photos.")
    lost: dict[str, float] = {}
    for kind in kinds:
        try:
            made = export(run.folder, format=kind, out=folder / EXPORTS[kind])
        except ExportFailed as error:  # told: it is left out
            Console().message(str(error))
            continue
        lost[kind] = max(-comparison.score_change for comparison in made.comparisons)
    save_model(folder / MODEL, network, model_card)
    console = Console()
    dataset = read_evaluation_data(Path(run.understood["folder"]), run.config.data, run.config.training.seed, console)
    parts = labelled_by_split(dataset, run)
    case = (parts["val"] or parts["test"])[0]
    return read_pixels(case.image, model_card.channels, run.config.data.pages).pixels, lost


def _crops(picture: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    whole = mirrored(picture, max(CROP, *picture.shape[1:]))
    last = whole.shape[1] - CROP + 1
    places = rng.integers(0, last, (CROPS, 2))
    return np.stack([whole[:, top : top + CROP, left : left + CROP] for top, left in places])


def _settle(network: Segmenter, images: torch.Tensor) -> None:
    """Give normalisations the statistics of the images, and classes equal shares."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
        logits = network.eval()(images)
        head = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
        if head.bias is not None:
            # the median of differences to the first class becomes zero
            head.bias -= (logits - logits[:, :1]).permute(1, 0, 2, 3).flatten(1).median(1).values
