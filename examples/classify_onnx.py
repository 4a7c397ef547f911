"""Classify an image with a model exported by pixelwise to ONNX, using only numpy, onnxruntime and pillow.

python classify_onnx.py model.onnx photo.jpg
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def classify(model: str, photo: str) -> dict[str, float]:
    """Return the classes of an image with their probabilities, the most probable first."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    model_card = json.loads(session.get_modelmeta().custom_metadata_map["pixelwise"])
    side, shorter = model_card["view"]["side"], model_card["view"]["shorter"]
    picture = ImageOps.exif_transpose(Image.open(photo)).convert("RGB" if model_card["channels"] == 3 else "L")
    shortest = min(picture.size)
    # the aspect ratio is limited to 2
    picture = centre_crop(picture, *(min(length, 2 * shortest) for length in picture.size))
    sizes = [max(shorter, round(length * shorter / shortest)) for length in picture.size]
    picture = picture.resize((sizes[0], sizes[1]), Image.Resampling.BILINEAR)
    whole, view = (as_array(image) for image in (picture, centre_crop(picture, side, side)))
    std = whole.std((2, 3))
    inputs = {"image": view, "mean": whole.mean((2, 3)), "std": np.where(std > 0, std, np.float32(1))}
    names = [value.name for value in session.get_inputs()]
    (probabilities,) = np.asarray(session.run(["probabilities"], {name: inputs[name] for name in names})[0])
    return {model_card["classes"][index]: float(probabilities[index]) for index in np.argsort(-probabilities)}


def as_array(picture: Image.Image) -> np.ndarray:
    """Return (1, channels, height, width) float32."""
    return np.atleast_3d(np.asarray(picture, np.float32)).transpose(2, 0, 1)[None]


def centre_crop(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Return the central crop of a picture."""
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


if __name__ == "__main__":
    for name, probability in list(classify(sys.argv[1], sys.argv[2]).items())[:5]:
        sys.stdout.write(f"{probability:.4f} {name}\n")
