"""Segmentations of 3D Slicer (.seg.nrrd) whose segments overlap: layers of label volumes, numbered as one.

Source: the documentation of 3D Slicer, "Segmentation NRRD file format" (SegmentN_Name, SegmentN_Layer,
SegmentN_LabelValue in the header; the layers are a list axis).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Integer

MAX_SEGMENTS = 254


class Segment(NamedTuple):
    """A segment: its name, the layer that it is in, and its number there."""

    name: str
    layer: int
    value: int


def segments_of(fields: Mapping[str, str]) -> tuple[Segment, ...]:
    """Return the segments that the fields of an NRRD header state, in order; none if they are not of 3D Slicer.

    Examples
    --------
    >>> segments_of({"Segment0_Name": "liver", "Segment0_LabelValue": "2", "Segment0_Layer": "0"})
    (Segment(name='liver', layer=0, value=2),)
    """
    found: list[Segment] = []
    for number in range(MAX_SEGMENTS):
        value, layer = (fields.get(f"Segment{number}_{field}", "").strip() for field in ("LabelValue", "Layer"))
        if not value.isascii() or not value.isdigit() or not (layer or "0").isdigit() or len(value) > 9:
            break
        name = fields.get(f"Segment{number}_Name", "").strip() or f"segment {number + 1}"
        found.append(Segment(name, int(layer or 0), int(value)))
    return tuple(found)


def number_segments(
    layers: Integer[np.ndarray, "layers depth height width"], segments: Sequence[Segment]
) -> Int32[np.ndarray, "1 depth height width"] | None:
    """Return one label volume with the numbers 1, 2, ... of segments, later ones on top; None if a layer is missing.

    Examples
    --------
    >>> layers = np.array([[[[1, 1, 1]]], [[[0, 1, 0]]]])
    >>> number_segments(layers, (Segment("whole", 0, 1), Segment("core", 1, 1))).tolist()
    [[[[1, 2, 1]]]]
    """
    if not segments or any(segment.layer >= len(layers) for segment in segments):
        return None
    values = np.zeros((1, *layers.shape[1:]), np.int32)
    for number, segment in enumerate(segments, 1):
        values[0, layers[segment.layer] == segment.value] = number
    return values
