"""Batches of tiles in ONNX Runtime, from an exported .onnx file; torch is not imported.

Since 2026 ONNX Runtime reports its use to its maker and leaves an identifier in the cache of the user, beginning
with its import; it reads once, at that moment, whether it may (microsoft/onnxruntime pull request 27379).
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # isort: skip

from pixelwise.model_file.model_card import ModelCard, broken, read_model_card_text
from pixelwise.parallel import usable_threads
from pixelwise.runtimes.base import LOGITS, METADATA, PROBABILITIES, Outputs, graph_inputs

ERRORS_ONLY = 3  # onnxruntime's severity: 2 would print warnings about optional hardware


class OnnxRuntime:
    """An exported graph on the processor.

    Threads: as many as this process has cores. They do not spin while they wait, because spinning ones slow down the
    next call of torch in the same process by 40 % and sleeping ones lose about 5 % here.

    Parameters
    ----------
    source : Path or bytes
        The .onnx file, or its contents.
    path : Path, optional
        What errors name; by default `source`.
    threads : int, optional

    Raises
    ------
    BadModel
        The file is no graph, or none that pixelwise exported.
    """

    def __init__(self, source: Path | bytes, *, path: Path | None = None, threads: int | None = None) -> None:
        named = path or (source if isinstance(source, Path) else Path("model.onnx"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_threads()
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        onnxruntime.disable_telemetry_events()
        given = source if isinstance(source, bytes) else str(source)
        try:
            self._session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's own errors share no base class
            raise broken(named, f"a graph that ONNX Runtime refuses ({str(error).splitlines()[0]})") from error
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA)
        if text is None:
            raise broken(named, "an ONNX file without a recipe of pixelwise")
        self.model_card: ModelCard = read_model_card_text(text, named)
        self._names = [value.name for value in self._session.get_inputs()]
        self._wanted_only = onnxruntime.RunOptions()
        self._wanted_only.only_execute_path_to_fetches = True

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits, as float32; the soft-max behind them is left out."""
        return np.asarray(self._session.run([LOGITS], graph_inputs(self._names, tiles), self._wanted_only)[0])

    def outputs(
        self,
        image: Float32[np.ndarray, "batch channels height width"],
        mean: Float32[np.ndarray, "batch channels"],
        std: Float32[np.ndarray, "batch channels"],
    ) -> Outputs:
        """Return all outputs for images in file values, as a stranger runs the graph."""
        found = self._session.run([PROBABILITIES, LOGITS], graph_inputs(self._names, image, mean, std))
        return Outputs(*(np.asarray(value) for value in found))

    def every(self, image: Float32[np.ndarray, "batch channels height width"]) -> list[np.ndarray]:
        """Return every output that the file has, in its order, for images as they are."""
        return [np.asarray(value) for value in self._session.run(None, graph_inputs(self._names, image))]
