"""Tell the class of a photo with a model that pixelwise exported to ONNX: numpy, onnxruntime and pillow alone.

python classify_onnx.py model.onnx photo.jpg
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def classify(model: str, photo: str) -> dict[str, float]:
    """Return the classes of a photo with their probabilities, the most probable first."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    recipe = json.loads(session.get_modelmeta().custom_metadata_map["pixelwise"])
    side, shorter = recipe["view"]["side"], recipe["view"]["shorter"]
    picture = ImageOps.exif_transpose(Image.open(photo)).convert("RGB" if recipe["channels"] == 3 else "L")
    least = min(picture.size)
    picture = middle(picture, *(min(length, 2 * least) for length in picture.size))  # very long ones lose their ends
    sizes = [max(shorter, round(length * shorter / least)) for length in picture.size]
    picture = picture.resize((sizes[0], sizes[1]), Image.Resampling.BILINEAR)
    whole, seen = (as_array(part) for part in (picture, middle(picture, side, side)))
    std = whole.std((2, 3))
    given = {"image": seen, "mean": whole.mean((2, 3)), "std": np.where(std > 0, std, np.float32(1))}
    names = [value.name for value in session.get_inputs()]
    (chances,) = np.asarray(session.run(["probabilities"], {name: given[name] for name in names})[0])
    return {recipe["classes"][index]: float(chances[index]) for index in np.argsort(-chances)}


def as_array(picture: Image.Image) -> np.ndarray:
    """Return (1, channels, height, width) float32."""
    return np.atleast_3d(np.asarray(picture, np.float32)).transpose(2, 0, 1)[None]


def middle(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Cut the middle out of a picture."""
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


if __name__ == "__main__":
    for name, chance in list(classify(sys.argv[1], sys.argv[2]).items())[:5]:
        sys.stdout.write(f"{chance:.4f} {name}\n")
