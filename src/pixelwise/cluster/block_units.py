"""Blocks of a streamed image as units, and the unit that assembles them."""

from pathlib import Path
from typing import Any

from pixelwise.cluster.job import Job
from pixelwise.cluster.ledger import Ledger
from pixelwise.cluster.work import UnitResult
from pixelwise.errors import Interrupted, OutputFailed, PixelwiseError
from pixelwise.inference.segmentation_model import SegmentationModel
from pixelwise.inference.streaming.blocks import JOURNAL, TILES, collect_blocks, compute_block, plan_from_json
from pixelwise.progress import Progress
from pixelwise.workflow.prediction.large import LargeImage, large_image, open_stream_task
from pixelwise.workflow.prediction.masks import predict_named
from pixelwise.workflow.prediction.options import PredictOptions
from pixelwise.workflow.prediction.results import Predictions


class BlockWork:
    """The computation of blocks with a loaded model.

    Parameters
    ----------
    sha256 : str
        Of the model file.
    """

    def __init__(self, job: Job, model: SegmentationModel, sha256: str, options: PredictOptions) -> None:
        self._job, self._model, self._sha256, self._options = job, model, sha256, options

    def compute(self, block: dict[str, Any], parts: Path, progress: Progress, *, changed: str) -> UnitResult:
        """Compute a block; an image that cannot be read is an answer, which the unit that assembles it reports.

        Parameters
        ----------
        block : dict
            The row of the image, its plan, and the first and last window.
        parts : Path
            Folder for the files of the block.
        changed : str
            Why the image cannot be used; "" if it can.
        """
        if changed:
            return UnitResult(answer={"error": changed})
        plan, windows = plan_from_json(block["plan"]), (int(block["windows"][0]), int(block["windows"][1]))
        image = self._image(block["row"], parts)
        try:
            with open_stream_task(self._model, image, self._options) as task:
                compute_block(task, plan, windows, parts, progress)
        except (OutputFailed, Interrupted):
            raise
        except PixelwiseError as error:
            return UnitResult(answer={"error": str(error)})
        return UnitResult()

    def assemble(self, image: dict[str, Any], folder: Path, progress: Progress) -> Predictions:
        """Write the result of an image from its blocks, as one process would have."""
        ledger, first = Ledger(self._job), int(image["first"])
        units = range(first, first + len(image["blocks"]))
        large = self._image(image["row"], folder)
        error = self._error(ledger, units)
        if error:
            return Predictions((), ((large.path, error),))
        files = [(ledger.part(unit, TILES), ledger.part(unit, JOURNAL)) for unit in units]
        with open_stream_task(self._model, large, self._options) as task:
            collect_blocks(task, plan_from_json(image["plan"], image["blocks"]), files, large.result)
        return predict_named(self._model, {}, [large], folder, self._options, progress)

    def _error(self, ledger: Ledger, units: range) -> str:
        """Return why a block has no files; "" if all have."""
        for unit in units:
            outcome = ledger.read(unit)
            if outcome.set_aside:
                return f"a part of the image failed: {outcome.answer['errors'][-1].splitlines()[-1]}"
            if "error" in outcome.answer:
                return str(outcome.answer["error"])
            ledger.ensure_published(outcome)
        return ""

    def _image(self, row: list[Any], folder: Path) -> LargeImage:
        return large_image(Path(row[1]), folder, row[0], self._sha256, self._options)
