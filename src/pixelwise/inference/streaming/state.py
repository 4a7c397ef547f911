"""What a streamed prediction leaves for the process that resumes it: files, identity, and the intensity scale."""

import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from pixelwise.errors import BadImage
from pixelwise.inference.cut_plan import CutPlan
from pixelwise.inference.predictor import Predictor
from pixelwise.io.label_writer import TileFile
from pixelwise.io.volumes.label_tiles import VolumeTiles
from pixelwise.io.volumes.windows import VolumeReader
from pixelwise.io.windows import ImageReader
from pixelwise.model_file.model_card import ModelCard
from pixelwise.sampling.normalise import Scale, limits_of


@contextmanager
def resumable(tiles: TileFile | VolumeTiles) -> Generator[None]:
    """Close the files of a result if an error ends the work on it; delete them if it cannot be resumed."""
    try:
        yield
    except BadImage:
        tiles.discard()
        raise
    except BaseException:
        tiles.close()
        raise


def stream_identity(
    model_card: ModelCard, predictor: Predictor, source: ImageReader | VolumeReader, cut: CutPlan | None, **more: Any
) -> str:
    """Return a digest of everything that the stored tiles depend on; `more` are JSON-serialisable values."""
    inputs = {
        "shape": source.shape,
        "dtype": str(source.dtype),
        "target": asdict(model_card.target),
        "normalisation": asdict(model_card.normalisation),
        "geometry": _without_unset(asdict(predictor.geometry)),
        "symmetries": [_without_unset(asdict(symmetry)) for symmetry in predictor.symmetries],
        **({} if cut is None else {"cut": {"levels": cut.cuts, "cores": cut.cores, "region": cut.region}}),
        **more,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _without_unset(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields without those of volumes, so that what older versions began can be resumed."""
    return {name: value for name, value in fields.items() if name not in ("axes", "deep") or value}


def stored_scale(tiles: TileFile | VolumeTiles, model_card: ModelCard) -> Scale | None:
    """Return the intensity scale that `store_scale` stored, also in an earlier process; None if there is none."""
    stored = tiles.notes.get("scale")
    if stored is None:
        return None
    return Scale(np.array(stored["factor"]), np.array(stored["shift"]), limits_of(model_card.normalisation))


def store_scale(tiles: TileFile | VolumeTiles, scale: Scale) -> None:
    """Store the intensity scale in the journal of the tiles."""
    tiles.note("scale", {"factor": scale.factor.tolist(), "shift": scale.shift.tolist()})
