"""Write GeoJSON for QuPath: objects in pixels of the full resolution, from the top left corner.

Source: QuPath documentation, "Exporting annotations"; RFC 7946 for the geometries.
"""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int32

from pixelwise.atomic_write import atomic_write_json
from pixelwise.datasets.formats.qupath import IGNORE_CLASS
from pixelwise.datasets.records import Colour
from pixelwise.datasets.writers.image_files import save_image, with_suffix, write_file
from pixelwise.datasets.writers.labelled_set import LabelledImage, LabelledSet
from pixelwise.datasets.writers.objects import background_loss, objects_of
from pixelwise.datasets.writers.outlines import Polygon, find_outlines, outline_region

_GRAY = (180, 180, 180)


def write_qupath(data: LabelledSet, out: Path) -> tuple[str, ...]:
    """Write ``[split/]NAME.EXT`` with ``NAME.geojson`` beside it, and the class list of a project.

    Objects are detections, and the connected components of classes annotations, both along pixel edges.
    """

    def save(image: LabelledImage) -> tuple[str, ...]:
        save_image(image, out / image.path())
        objects = objects_of(data, image)
        names = [data.classes[number] for number in objects.class_index.tolist()]
        content = geojson_bytes(
            objects.labels,
            names,
            dict(zip(data.classes, data.colours, strict=False)),
            image.flat_name,
            objects=data.task == "instance",
            ignored=image.labels == data.ignored,
        )
        write_file(out / with_suffix(image.path(), ".geojson"), content)
        return ()

    for _ in data.map(save):
        pass
    listed = [
        {"name": name, "color": list(colour)}
        for name, colour in list(zip(data.classes, data.colours, strict=False))[data.first_class :]
    ]
    atomic_write_json(out / "classifiers" / "classes.json", {"pathClasses": listed})
    return background_loss(data)


def geojson_bytes(
    labels: Int32[np.ndarray, "height width"],
    class_names: Sequence[str],
    colours: dict[str, Colour],
    image_name: str,
    *,
    objects: bool,
    ignored: Bool[np.ndarray, "height width"] | None = None,
) -> bytes:
    """Return the objects of a label image as GeoJSON for QuPath.

    Parameters
    ----------
    labels : (height, width) int32 array
        Object numbers, 0 for background.
    class_names : sequence of str
        Class of each object number; the first one belongs to 0.
    colours : dict
        Colour of each class.
    image_name : str
        Makes the identifiers of the objects unique, and the same each time.
    objects : bool
        Detections, which QuPath handles by the million, instead of annotations, which can be edited.
    ignored : (height, width) bool array, optional
        Written as an annotation of the class ``Ignore*``.

    Examples
    --------
    >>> labels = np.array([[0, 1]], np.int32)
    >>> content = geojson_bytes(labels, ("background", "cell"), {"cell": (255, 0, 0)}, "a", objects=True)
    >>> json.loads(content)["features"][0]["geometry"]
    {'type': 'Polygon', 'coordinates': [[[1, 0], [2, 0], [2, 1], [1, 1], [1, 0]]]}
    """
    kind = "detection" if objects else "annotation"
    features = [
        _feature(outline.polygons, kind, class_names[outline.number], colours, f"{image_name}/{outline.number}")
        for outline in find_outlines(labels)
    ]
    if ignored is not None and ignored.any():
        colour: dict[str, Colour] = {IGNORE_CLASS: _GRAY}
        features.append(_feature(outline_region(ignored), "annotation", IGNORE_CLASS, colour, f"{image_name}/ignored"))
    # one object per line: as small as without line breaks, and still readable
    lines = ",\n".join(json.dumps(feature, separators=(",", ":"), ensure_ascii=False) for feature in features)
    return f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n'.encode("utf-8", "surrogateescape")


def _feature(
    polygons: Sequence[Polygon], kind: str, name: str, colours: dict[str, Colour], identifier: str
) -> dict[str, Any]:
    rings = [[[*ring.astype(int).tolist(), ring[0].astype(int).tolist()] for ring in polygon] for polygon in polygons]
    single = len(rings) == 1
    classification: dict[str, Any] = {"name": name}
    if name in colours:
        classification["color"] = list(colours[name])
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"pixelwise:{identifier}")),
        "geometry": {"type": "Polygon" if single else "MultiPolygon", "coordinates": rings[0] if single else rings},
        "properties": {"objectType": kind, "classification": classification},
    }
