"""The worker that holds models and predicts images.

Run as ``python -m pixelwise.server.workers.predictor MODEL RUNTIME DEVICE``. An image is predicted and written by the
functions of `pixelwise predict`, so the mask has the same bytes.
"""

import json
import sys
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_json, without_flushing
from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadImage, BadModel, PixelwiseError
from pixelwise.inference.load import find_model
from pixelwise.inference.segmentation_model import Prediction, SegmentationModel, load_model_for_prediction
from pixelwise.io.read import Image, probe, write_image, write_labels
from pixelwise.labels.region_properties import ObjectTable
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.server.workers.components import component_tables
from pixelwise.server.workers.protocol import Reply, describe_error, run_worker
from pixelwise.workflow.confidence import uncertainty_map
from pixelwise.workflow.prediction.large import is_large, large_image, model_digest, predict_large
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.writing import OutputSummary, write_classes, write_table

_MODELS = 2  # kept in memory at the same time


class Predictor:
    """Predicts images with any of the models that the server allows.

    Parameters
    ----------
    runtime, device : str
        As in `pixelwise predict`.
    """

    def __init__(self, runtime: str, device: str) -> None:
        self._runtime, self._device = runtime, device
        self._models: OrderedDict[str, tuple[SegmentationModel, str]] = OrderedDict()

    def describe(self, model: str) -> Reply:
        """Load a model, warm it up and return what clients need to know about it."""
        loaded, _ = self._load(model)
        card = loaded.model_card
        side = card.tile
        loaded.predict_pixels(np.zeros((card.channels, side, side), np.uint8))
        return Reply(
            {
                "task": card.task,
                "classes": list(card.classes),
                "colours": [list(colour) for colour in card.colours],
                "channels": card.channels,
                "trained": dict(card.trained),
                "runtime": type(loaded.predictor.runtime).__name__,
            }
        )

    def predict(self, model: str, requests: Sequence[dict[str, Any]]) -> Reply:
        """Predict images, small ones together.

        Parameters
        ----------
        model : str
            Path of a model.
        requests : sequence of dict
            `image`: path of the image; `folder`: existing folder of its results; `name`: their name; `overlay`,
            `uncertainty` and `tiff`: whether to write them; `only_mask`: no table of objects; `temporary`: the folder
            vanishes with the answer, so that its files need not reach the disk.

        Returns
        -------
        Reply
            `results`: for each request `files` by kind, `size`, `objects` (None with `only_mask`), mean `uncertainty`
            (0 to 1) and `warnings`, or `error`.
        """
        loaded, digest = self._load(model)
        results: list[dict[str, Any]] = [{} for _ in requests]
        images: list[tuple[int, Image]] = []
        for index, request in enumerate(requests):
            try:
                if _is_large(Path(request["image"])):
                    results[index] = _predict_large(loaded, digest, request)
                else:
                    image = read_pixels(Path(request["image"]), loaded.model_card.channels)
                    images.append((index, image))
            except PixelwiseError as error:
                results[index] = {"error": describe_error(error)}
        wanted = any(request.get("uncertainty") for request in requests)
        decoded = loaded.predict_many(
            (((index, image), image.pixels) for index, image in images), probabilities=wanted, concurrent=True
        )
        for (index, image), pending in decoded:
            with without_flushing() if requests[index].get("temporary") else nullcontext():
                results[index] = _save(loaded, requests[index], image, pending.finish())
        return Reply({"results": results})

    def infer(self, model: str, tensor: str, shape: list[int], dtype: str, labels: str) -> Reply:
        """Predict an image that is a raw array in a file, and write its labels as raw int32 into another."""
        loaded, _ = self._load(model)
        pixels = np.fromfile(tensor, np.dtype(dtype)).reshape(shape)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise BadImage("finite values", "NaN or Inf", "Replace them before sending the image.")
        predicted = loaded.predict_pixels(pixels)
        predicted.labels.astype("<i4").tofile(labels)
        return Reply({"shape": list(predicted.labels.shape), "warnings": list(predicted.warnings)})

    def _load(self, model: str) -> tuple[SegmentationModel, str]:
        if model not in self._models:
            file = find_model(model)
            loaded = load_model_for_prediction(file, device=self._device, runtime=self._runtime)
            self._models[model] = loaded, model_digest(file)
            while len(self._models) > _MODELS:
                self._models.popitem(last=False)
        self._models.move_to_end(model)
        return self._models[model]


def _is_large(path: Path) -> bool:
    info = None if path.is_dir() else probe(path)
    return is_large(path, (info.height, info.width) if info else (0, 0), PredictOptions())


def _predict_large(model: SegmentationModel, digest: str, request: dict[str, Any]) -> dict[str, Any]:
    from pixelwise.progress import Progress

    path, folder = Path(request["image"]), Path(request["folder"])
    options = PredictOptions(overwrite=True)
    files = predict_large(model, large_image(path, folder, request["name"], digest, options), options, Progress())
    kinds = {".tif": "mask", ".csv": "table"}
    found = {kinds[file.suffix]: file.name for file in files if file.suffix in kinds}
    atomic_write_json(folder / "objects.json", [])
    write_classes(folder, model.model_card)
    return {
        "files": {**found, "objects": "objects.json", "classes": "classes.json"},
        "objects": 0,
        "uncertainty": None,
        "warnings": [],
        "task": model.model_card.task,
    }


def _save(model: SegmentationModel, request: dict[str, Any], image: Image, result: Prediction) -> dict[str, Any]:
    """Write the results of one image, as `pixelwise predict` does, and its objects as JSON for the page."""
    folder, card = Path(request["folder"]), model.model_card
    options = PredictOptions(overlays=bool(request.get("overlay")))
    summary = OutputSummary(folder, card, options)
    saved = summary.save(request["name"], Path(request["image"]), image, result)
    files, uncertainty = {"mask": saved.files[0].name}, None
    if options.overlays:
        files["overlay"] = saved.files[-1].name
    if request.get("tiff"):
        files["tiff"] = write_labels(folder / f"{request['name']}.labels.tif", result.labels, image.spacing).name
    if request.get("uncertainty") and result.probabilities is not None:
        unsure = uncertainty_map(result.probabilities, card)
        write_image(folder / "uncertainty.png", unsure[None])
        files["uncertainty"] = "uncertainty.png"
        uncertainty = round(float(unsure.mean()) / 255, 5)
    objects = None
    if not request.get("only_mask"):
        tables = [saved.table] if saved.table is not None else component_tables(result.labels, image.pixels)
        files |= _write_objects(folder, Path(request["image"]).name, tables, card.classes)
        files["classes"] = write_classes(folder, card).name
        objects = sum(map(len, tables))
    return {
        "files": files,
        "size": list(result.labels.shape),
        "task": card.task,
        "objects": objects,
        "uncertainty": uncertainty,
        "warnings": [*image.warnings, *result.warnings],
    }


def _write_objects(folder: Path, image: str, tables: Sequence[ObjectTable], classes: Sequence[str]) -> dict[str, str]:
    write_table(folder / "objects.csv", [(image, table) for table in tables], classes)
    rows = [
        {
            "id": row.id,
            "class": row.class_index,
            "area": row.area,
            "row": round(row.centroid_row, 2),
            "column": round(row.centroid_column, 2),
            "box": list(row.box),
            "mean": None if row.mean_intensity is None else round(row.mean_intensity, 4),
        }
        for table in tables
        for row in table
    ]
    (folder / "objects.json").write_text(json.dumps(rows, separators=(",", ":")), "utf-8")
    return {"table": "objects.csv", "objects": "objects.json"}


def main(model: str, runtime: str, device: str) -> None:
    """Run the worker; `model` may be empty, then the first call loads one."""
    keep_large_blocks()
    predictor = Predictor(runtime, device)

    def prepare() -> Reply:
        return predictor.describe(model) if model else Reply()

    calls = {"predict": predictor.predict, "infer": predictor.infer, "describe": predictor.describe}
    run_worker(calls, prepare=prepare)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise BadModel("a model, a runtime and a device", " ".join(sys.argv[1:]), "The server starts this program.")
    main(*sys.argv[1:])
