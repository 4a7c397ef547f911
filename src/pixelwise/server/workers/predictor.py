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
from threading import Lock
from typing import Any

import numpy as np

from pixelwise.atomic_write import atomic_write_json, without_flushing
from pixelwise.datasets.dataset import read_pixels
from pixelwise.errors import BadImage, BadModel, PixelwiseError
from pixelwise.geometry.grid import millimetres_of
from pixelwise.inference.load import find_model
from pixelwise.inference.segmentation_model import Prediction, SegmentationModel, load_model_for_prediction
from pixelwise.io.read import Image, write_image, write_labels
from pixelwise.labels.region_properties import ObjectTable
from pixelwise.model_file.model_card import ModelCard
from pixelwise.runtimes.malloc import keep_large_blocks
from pixelwise.server.workers.components import component_tables
from pixelwise.server.workers.lanes import LANES, Lanes
from pixelwise.server.workers.protocol import Reply, describe_error, run_worker
from pixelwise.server.workers.uncertainty_file import UncertaintyFile
from pixelwise.server.workers.volume_results import CONFIDENT, save_volume
from pixelwise.workflow.confidence import uncertainty_map
from pixelwise.workflow.prediction.large import is_large, large_image, model_digest, predict_large
from pixelwise.workflow.prediction.masks import image_size
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.writing import OutputSummary, write_classes, write_table

_MODELS = 2  # kept in memory at the same time
_WARM = 32  # voxels per side of the volume that warms a model up


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
        self._lanes, self._loading = Lanes(), Lock()

    def describe(self, model: str) -> Reply:
        """Load a model, warm it up and return what clients need to know about it."""
        loaded, _ = self._load(model)
        card = loaded.model_card
        side = card.tile if loaded.dimensions == 2 else min(card.tile, _WARM)
        loaded.predict_pixels(np.zeros((card.channels, *[side] * loaded.dimensions), np.uint8))
        return Reply(
            {
                "task": card.task,
                "classes": list(card.classes),
                "colours": [list(colour) for colour in card.colours],
                "channels": card.channels,
                "dimensions": loaded.dimensions,
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
        with self._lanes.call():
            return Reply({"results": self._predict(model, requests)})

    def _predict(self, model: str, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        loaded, digest = self._load(model)
        card = loaded.model_card
        results: list[dict[str, Any]] = [{} for _ in requests]
        images: list[tuple[int, Image]] = []
        for index, request in enumerate(requests):
            try:
                path = Path(request["image"])
                if is_large(path, image_size(path, card), PredictOptions()):
                    with self._lanes.compute(loaded.predictor.runtime):
                        results[index] = _predict_large(loaded, digest, request)
                else:
                    image = read_pixels(path, card.channels, options=card.reading, dimensions=loaded.dimensions)
                    images.append((index, image))
            except PixelwiseError as error:
                results[index] = {"error": describe_error(error)}
        wanted = any(request.get("uncertainty") for request in requests)
        few = sum(image.pixels.size for _, image in images) * card.network.classes <= CONFIDENT * card.channels
        with self._lanes.compute(loaded.predictor.runtime):
            decoded = loaded.predict_many(
                (((index, image), image.pixels, millimetres_of(image.grid)) for index, image in images),
                probabilities=wanted and (loaded.dimensions == 2 or few),
            )
            predicted = [(index, image, pending.finish()) for (index, image), pending in decoded]
        for index, image, prediction in predicted:
            with without_flushing() if requests[index].get("temporary") else nullcontext():
                results[index] = _save(loaded, requests[index], image, prediction)
        return results

    def infer(self, model: str, tensor: str, shape: list[int], dtype: str, labels: str) -> Reply:
        """Predict an image that is a raw array in a file, and write its labels as raw int32 into another."""
        loaded, _ = self._load(model)
        pixels = np.fromfile(tensor, np.dtype(dtype)).reshape(shape)
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            raise BadImage("finite values", "NaN or Inf", "Replace them before sending the image.")
        with self._lanes.call(), self._lanes.compute(loaded.predictor.runtime):
            predicted = loaded.predict_pixels(pixels)
        predicted.labels.astype("<i4").tofile(labels)
        return Reply({"shape": list(predicted.labels.shape), "warnings": list(predicted.warnings)})

    def _load(self, model: str) -> tuple[SegmentationModel, str]:
        with self._loading:
            if model not in self._models:
                file = find_model(model)
                loaded = load_model_for_prediction(file, device=self._device, runtime=self._runtime)
                self._models[model] = loaded, model_digest(file)
                while len(self._models) > _MODELS:
                    self._models.popitem(last=False)
            self._models.move_to_end(model)
            return self._models[model]


def _predict_large(model: SegmentationModel, digest: str, request: dict[str, Any]) -> dict[str, Any]:
    from pixelwise.progress import Progress

    path, folder = Path(request["image"]), Path(request["folder"])
    options = PredictOptions(overwrite=True)
    large = large_image(path, folder, request["name"], digest, options, model.dimensions)
    unsure = UncertaintyFile(folder / "uncertainty.tif", model.model_card)
    try:
        files = predict_large(model, large, options, Progress(), unsure.add if request.get("uncertainty") else None)
        uncertainty = unsure.finish()
    finally:
        unsure.discard()
    large.quantities.unlink(missing_ok=True)
    kinds = {".tif": "mask", ".zarr": "mask", ".csv": "table"}
    found = {kinds[file.suffix]: file.name for file in files if file.suffix in kinds}
    atomic_write_json(folder / "objects.json", [])
    write_classes(folder, model.model_card)
    found |= {} if uncertainty is None else {"uncertainty": unsure.path.name}
    return {
        "files": {**found, "objects": "objects.json", "classes": "classes.json"},
        "objects": _count_rows(folder / found["table"]) if "table" in found else None,
        "uncertainty": uncertainty,
        "warnings": [],
        "task": model.model_card.task,
    }


def _count_rows(table: Path) -> int:
    with table.open("rb") as file:
        return sum(1 for _ in file) - 1


def _save(model: SegmentationModel, request: dict[str, Any], image: Image, result: Prediction) -> dict[str, Any]:
    """Write the results of one image, as `pixelwise predict` does, and its objects as JSON for the page."""
    folder, card = Path(request["folder"]), model.model_card
    if image.grid is not None:
        found = save_volume(request, image, result, card)
        return _finish(folder, card, found, found.pop("rows"))
    options = PredictOptions(overlays=bool(request.get("overlay")))
    only_mask = bool(request.get("only_mask")) and not options.overlays
    summary, table, uncertainty = OutputSummary(folder, card, options), None, None
    if only_mask:
        files = {"mask": summary.save_mask(request["name"], image, result)[0].name}
    else:
        saved = summary.save(request["name"], Path(request["image"]), image, result)
        files, table = {"mask": saved.files[0].name}, saved.table
        files |= {"overlay": saved.files[-1].name} if options.overlays else {}
    if request.get("tiff"):
        files["tiff"] = write_labels(folder / f"{request['name']}.labels.tif", result.labels, image.spacing).name
    if request.get("uncertainty") and result.probabilities is not None:
        unsure = uncertainty_map(result.probabilities, card)
        write_image(folder / "uncertainty.png", unsure[None])
        files["uncertainty"] = "uncertainty.png"
        uncertainty = round(float(unsure.mean()) / 255, 5)
    found = {
        "files": files,
        "size": list(result.labels.shape),
        "uncertainty": uncertainty,
        "warnings": [*image.warnings, *result.warnings],
    }
    if request.get("only_mask"):
        return {**found, "task": card.task, "objects": None}
    tables = [table] if table is not None else component_tables(result.labels, image.pixels)
    write_table(folder / "objects.csv", [(Path(request["image"]).name, table) for table in tables], card.classes)
    files["table"] = "objects.csv"
    return _finish(folder, card, found, _object_rows(tables))


def _finish(folder: Path, card: ModelCard, found: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the rows of the table of the page and the classes; return the result."""
    (folder / "objects.json").write_text(json.dumps(rows, separators=(",", ":")), "utf-8")
    write_classes(folder, card)
    files = {**found["files"], "objects": "objects.json", "classes": "classes.json"}
    return {**found, "files": files, "task": card.task, "objects": len(rows)}


def _object_rows(tables: Sequence[ObjectTable]) -> list[dict[str, Any]]:
    return [
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


def main(model: str, runtime: str, device: str) -> None:
    """Run the worker; `model` may be empty, then the first call loads one."""
    keep_large_blocks()
    predictor = Predictor(runtime, device)

    def prepare() -> Reply:
        return predictor.describe(model) if model else Reply()

    calls = {"predict": predictor.predict, "infer": predictor.infer, "describe": predictor.describe}
    run_worker(calls, prepare=prepare, threads=LANES)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise BadModel("a model, a runtime and a device", " ".join(sys.argv[1:]), "The server starts this program.")
    main(*sys.argv[1:])
