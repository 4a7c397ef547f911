"""Run a segmentation model exported by pixelwise to ONNX, using only numpy, onnxruntime and pillow.

python run_onnx.py model.onnx picture.png mask.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def predict(model: str, picture: str) -> tuple[np.ndarray, list[list[int]]]:
    """Return the mask of an image, (height, width) class indices, and the colours of the classes."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    model_card = json.loads(session.get_modelmeta().custom_metadata_map["pixelwise"])
    pixels = np.asarray(Image.open(picture))
    if model_card["channels"] == 3 or pixels.ndim == 3:
        pixels = np.asarray(Image.open(picture).convert("RGB" if model_card["channels"] == 3 else "L"))
    image = np.atleast_3d(pixels).transpose(2, 0, 1)[None].astype(np.float32)
    mean, std = image.mean((2, 3), dtype=np.float64), image.std((2, 3), dtype=np.float64)
    inputs = {"image": image, "mean": mean.astype(np.float32), "std": np.where(std > 0, std, 1).astype(np.float32)}
    sizes, margin = model_card["geometry"], model_card["geometry"]["margin"]
    pads = [(0, 0), (0, 0)]
    for side in image.shape[2:]:  # reflection padding to a valid size of the network
        more = max(0, side + 2 * margin - sizes["legal_first"])
        legal = sizes["legal_first"] + -(-more // sizes["legal_step"]) * sizes["legal_step"]
        pads.append((margin, legal - side - margin))
    inputs["image"] = np.pad(image, pads, mode="reflect")
    names = [value.name for value in session.get_inputs()]
    probabilities = np.asarray(session.run(["probabilities"], {name: inputs[name] for name in names})[0])
    return probabilities[0, :, : image.shape[2], : image.shape[3]].argmax(0), model_card["colours"]


if __name__ == "__main__":
    mask, colours = predict(sys.argv[1], sys.argv[2])
    Image.fromarray(np.array(colours, np.uint8)[mask]).save(sys.argv[3])
