"""Results as the page shows them."""

from pathlib import Path

import numpy as np

from pixelwise.io.write import write_image
from pixelwise.server.workers.label_tiles import open_labels


def test_a_class_mask_is_read_into_memory(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    write_image(tmp_path / "mask.png", values)
    labels = open_labels(tmp_path / "mask.png")
    assert np.array_equal(labels.whole(), values[0])
    assert (labels.at(2, 3), labels.at(3, 0)) == (11, 0)
