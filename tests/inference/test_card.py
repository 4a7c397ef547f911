"""Streamed prediction as on a graphics card, on a machine without one."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from devices import insert_card
from inference.streaming.test_images import model_of, picture, read, save, stream
from pixelwise.inference.segmentation_model import load_model_for_prediction
from pixelwise.io.windows import open_windows
from pixelwise.runtimes.torch import TorchRuntime


@pytest.mark.parametrize("normalisation", ["batch", "instance"])
def test_a_streamed_mask_is_that_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalisation: str
) -> None:
    model = model_of(tmp_path, normalisation=normalisation)
    assert isinstance(model.predictor.runtime, TorchRuntime)
    card = insert_card(monkeypatch)
    on_card = load_model_for_prediction(tmp_path / "model.safetensors", tile=64, device="cuda")
    image = save(tmp_path / "image.tif", picture(460, 200))
    masks: list[np.ndarray] = []
    for name, chosen in (("cpu", model), ("cuda", on_card)):
        with closing(open_windows(image)) as source:
            stream(chosen, source, tmp_path / f"{name}.tif")
        masks.append(read(tmp_path / f"{name}.tif"))
    assert np.array_equal(*masks)
    assert card.captured, "tiles of a repeated shape"
    assert card.replayed > len(card.captured)
