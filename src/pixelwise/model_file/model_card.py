"""ModelCard: everything that prediction needs besides the weights; one JSON text inside every model file and export.

Reading one imports no torch, so that an exported model starts quickly.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from pixelwise.errors import BadModel, PixelwiseError
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import TtaInputs
from pixelwise.labels.targets import TargetOptions
from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.networks.options import NetworkOptions
from pixelwise.sampling.normalise import Normalisation
from pixelwise.sampling.resize_crop import View

VERSION = 1
MOST_MEMBERS = 32
Members = Annotated[int, Field(ge=1, le=MOST_MEMBERS)]
Micrometres = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything that prediction needs besides the weights.

    Attributes
    ----------
    classes, values, colours : tuples
        Name, value in the user's mask files, and colour of each class, background first.
    channels : int
        Of the images.
    tile : int
        Pixels a side that a tile keeps, unless the user says otherwise.
    intensity_range : tuple of (low, high)
        Percentiles 0.5 and 99.5 of the training images, per channel, in file values.
    trained : dict
        Where the weights come from, for people: data, score, version.
    view : View or None
        What of a photo is seen, for classes of whole images; there `target`, `values`, `colours`, `tile` say nothing.
    tta : int
        Turned inputs that are averaged, unless the user says otherwise.
    members : int
        Networks whose probabilities are averaged; more than one make an ensemble.
    spacing : (float, float) or None
        Micrometres per pixel, (y, x), that the training images had, where they all said the same.
    temperature : float
        What logits are divided by before they become probabilities that are told; 1 as long as none was found.
        Objects are decided by the probabilities before, which their thresholds were chosen for.
    doubt_temperature : float or None
        What they are divided by where the network is in doubt; then `temperature` is for where it is sure, and between
        the two lies that of each pixel (`labels.temperature_scaling`). None: `temperature` is for all.
    conformal_margin : float or None
        How far the Dice of an image may lie below the one that its probabilities promise, for 90 % of images
        (`metrics.calibration.conformal_margin`); None where too few images were left out to say so.
    """

    network: NetworkOptions
    normalisation: Normalisation
    target: TargetOptions
    geometry: Geometry
    task: str
    classes: tuple[str, ...]
    values: tuple[int, ...]
    colours: tuple[tuple[int, int, int], ...]
    channels: int
    tile: int
    intensity_range: tuple[tuple[float, float], ...]
    trained: dict[str, str]
    view: View | None = None
    tta: TtaInputs = 1
    members: Members = 1
    spacing: tuple[Micrometres, Micrometres] | None = None
    temperature: Temperature = 1.0
    doubt_temperature: Temperature | None = None
    conformal_margin: Margin | None = None
    version: int = VERSION

    @property
    def temperatures(self) -> Temperatures:
        """What logits are divided by."""
        return Temperatures(self.temperature, self.doubt_temperature)


def write_model_card_text(model_card: ModelCard) -> str:
    """Return the recipe as one JSON text."""
    return json.dumps(asdict(model_card), allow_nan=False)


def read_model_card_text(text: str, path: Path) -> ModelCard:
    """Read the recipe that stands in a file.

    Raises
    ------
    BadModel
        It is of another version, damaged, or no recipe; `path` is named.
    """
    try:
        values = json.loads(text, object_pairs_hook=no_duplicates)
        version = values.get("version") if isinstance(values, dict) else None
        if version != VERSION:
            raise broken(path, f"recipe version {version}, this pixelwise reads {VERSION}")
        return _adapter().validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise broken(path, f"a recipe whose {where} is wrong ({first['msg']})") from error
    except PixelwiseError as error:
        raise error if isinstance(error, BadModel) else broken(path, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise broken(path, f"a damaged recipe ({error})") from error


def describe_members(model_card: ModelCard) -> list[str]:
    """Say what an ensemble costs; nothing of a single network."""
    if model_card.members == 1:
        return []
    return [
        f"An ensemble of {model_card.members} networks: it takes {model_card.members} times as long as one of them."
    ]


def broken(path: Path, got: str) -> BadModel:
    """Return the error for a file that is no model of ours."""
    hint = "Give the model.safetensors of a run; train again if it is lost."
    return BadModel("a model that pixelwise wrote", got, hint, path)


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of JSON pairs; a key that stands twice is refused."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _adapter() -> Any:  # TypeAdapter[ModelCard], which beartype cannot check
    """Validate against the records; unknown keys are refused on every level."""
    for kind in (ModelCard, NetworkOptions, Normalisation, TargetOptions, Geometry, View):
        kind.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return TypeAdapter(ModelCard)
