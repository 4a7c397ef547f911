"""ONNX Runtime for exported .onnx files, without torch.

Since 2026 ONNX Runtime sends telemetry and stores an identifier in the user's cache, starting with its import. It reads
the variable that disables this once, at import (microsoft/onnxruntime pull request 27379).
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime  # isort: skip

from pixelwise.model_file.model_card import ModelCard, invalid_model, read_model_card_text
from pixelwise.parallel import usable_threads
from pixelwise.runtimes.base import LOGITS, METADATA, PROBABILITIES, Outputs, check_logits, computing, graph_inputs

ERRORS_ONLY = 3  # severity of onnxruntime: 2 would print warnings about optional hardware


class OnnxRuntime:
    """An exported graph on the CPU.

    Threads: one per core of this process. They do not spin while waiting: spinning slows down the next call of torch in
    the same process by 40 %, sleeping costs about 5 % here.

    Parameters
    ----------
    source : Path or bytes
        The .onnx file, or its contents.
    path : Path, optional
        Path for error messages; by default `source`.
    threads : int, optional

    Raises
    ------
    BadModel
        The file is not a graph exported by pixelwise.
    """

    def __init__(self, source: Path | bytes, *, path: Path | None = None, threads: int | None = None) -> None:
        path = path or (source if isinstance(source, Path) else Path("model.onnx"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_threads()
        options.log_severity_level = ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        onnxruntime.disable_telemetry_events()
        model = source if isinstance(source, bytes) else str(source)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the errors of the library have no common base class
            raise invalid_model(
                path, f"a graph that ONNX Runtime cannot load ({str(error).splitlines()[0]})"
            ) from error
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA)
        if text is None:
            raise invalid_model(path, "an ONNX file without a pixelwise model card")
        self.model_card: ModelCard = read_model_card_text(text, path)
        self._path = path
        self._names = [value.name for value in self._session.get_inputs()]
        self._run_options = onnxruntime.RunOptions()
        self._run_options.only_execute_path_to_fetches = True

    def __call__(
        self, tiles: Float[np.ndarray, "batch channels height width"]
    ) -> Float[np.ndarray, "batch classes *output_size"]:
        """Return the logits as float32, without computing the softmax."""
        inputs = graph_inputs(self._names, tiles)
        with computing(self._path, "ONNX Runtime"):
            logits = np.asarray(self._session.run([LOGITS], inputs, self._run_options)[0])
        return check_logits(logits, tiles, self.model_card, self._path)

    def outputs(
        self,
        image: Float32[np.ndarray, "batch channels height width"],
        mean: Float32[np.ndarray, "batch channels"],
        std: Float32[np.ndarray, "batch channels"],
    ) -> Outputs:
        """Return all outputs for images in file values, as other programs run the graph."""
        inputs = graph_inputs(self._names, image, mean, std)
        with computing(self._path, "ONNX Runtime"):
            values = self._session.run([PROBABILITIES, LOGITS], inputs)
        return Outputs(*(np.asarray(value) for value in values))

    def all_outputs(self, image: Float32[np.ndarray, "batch channels height width"]) -> list[np.ndarray]:
        """Return all outputs of the file, in its order, for unscaled images."""
        return [np.asarray(value) for value in self._session.run(None, graph_inputs(self._names, image))]
