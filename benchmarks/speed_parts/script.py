"""What people write instead: a script that turns a folder of PNGs into masks with a network, PIL and eager PyTorch.

    python benchmarks/speed_parts/script.py MODEL IMAGES OUT [--monai]

The network is that of a model file of pixelwise, so that both sides compute the same. With --monai its sliding window
(512, defaults, Gaussian) predicts.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image

from pixelwise.model_file.model_file import load_model


def main() -> None:
    """Predict a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--monai", action="store_true")
    given = parser.parse_args()
    network = load_model(given.model)[0].eval()
    predict = network
    if given.monai:
        from monai.inferers import SlidingWindowInferer  # pyright: ignore[reportMissingImports]

        window = SlidingWindowInferer(roi_size=(512, 512), sw_batch_size=4, mode="gaussian")
        predict = lambda image: window(image, network)  # noqa: E731
    given.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(given.images.glob("*.png")):
        pixels = np.asarray(Image.open(path), np.float32)
        pixels = (pixels - pixels.mean()) / pixels.std()
        with torch.no_grad():
            logits = predict(torch.from_numpy(pixels)[None, None])
        mask = logits.argmax(1)[0].numpy().astype(np.uint8)
        Image.fromarray(mask * 255).save(given.out / path.name)


if __name__ == "__main__":
    main()
