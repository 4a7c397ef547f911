"""A detector for CVAT's automatic annotation: a Nuclio function that asks a pixelwise server.

CVAT sends a frame as base64 in `image` and reads a list of shapes. See function.yaml beside this file: it names the
labels, the server (PIXELWISE_ADDRESS) and its token (PIXELWISE_TOKEN).
"""

import base64
import json
import os
from typing import Any

from pixelwise_client import Pixelwise, Region


def init_context(context: Any) -> None:
    """Remember which server to ask."""
    context.user_data.pixelwise = Pixelwise(os.environ["PIXELWISE_ADDRESS"], os.environ["PIXELWISE_TOKEN"])


def handler(context: Any, event: Any) -> Any:
    """Answer one frame."""
    body = event.body if isinstance(event.body, dict) else json.loads(event.body)
    regions = context.user_data.pixelwise.regions(base64.b64decode(body["image"]))
    content = json.dumps([shape_of(region) for region in regions])
    return context.Response(body=content, headers={}, content_type="application/json", status_code=200)


def shape_of(region: Region) -> dict[str, Any]:
    """Return a mask with the pixels of its box and the box; `points` is the polygon that CVAT can make of it."""
    points = [axis for point in region.rings[0] for axis in point]
    mask = [*region.bits(), *region.box]
    return {"confidence": "1", "label": region.label, "type": "mask", "points": points, "mask": mask}
