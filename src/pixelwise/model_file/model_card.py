"""ModelCard: the metadata that prediction needs besides the weights, stored as JSON in model files and exports.

Reading it does not import torch, so exported models load quickly.
"""

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from pixelwise.datasets.records import first_class
from pixelwise.errors import BadModel, PixelwiseError
from pixelwise.geometry.sizes import Geometry
from pixelwise.geometry.symmetries import TtaInputs
from pixelwise.io.read import ReadOptions
from pixelwise.labels.targets import TargetOptions, class_channels, target_channels
from pixelwise.labels.temperature_scaling import Temperatures
from pixelwise.model_file.appearance_record import AppearanceRecord, FeatureGroup
from pixelwise.model_file.quantity_record import QuantityRecord
from pixelwise.networks.options import NetworkOptions
from pixelwise.sampling.normalise import Normalisation
from pixelwise.sampling.resize_crop import View

VERSION = 1
MAX_MEMBERS = 32
MAX_CLASSES, MAX_CHANNELS = 65_536, 4_096
MAX_SIDE = 2**16  # pixels, of a tile, a halo or a step
MAX_AREA = 2**31  # pixels, of a minimum area
MAX_VALUE = 2**32  # of a mask
TASKS = ("binary", "multiclass", "instance", "classification")
Members = Annotated[int, Field(ge=1, le=MAX_MEMBERS)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Metadata that prediction needs besides the weights.

    Attributes
    ----------
    classes, values, colours : tuples
        Name, value in mask files, and colour of each class, background first.
    channels : int
        Number of channels of the images.
    tile : int
        Default side length in pixels of the valid region of a tile.
    intensity_range : tuple of (low, high)
        Percentiles 0.5 and 99.5 of the training images, per channel, in file values.
    intensity_peaks : (lowest, highest) or None
        Of the percentile 99.5 of each training volume over all channels; None if it was not measured.
    trained : dict
        Information about the training for the user: data, score, version.
    view : View or None
        For classification: crop and size of the network input; `target`, `values`, `colours`, `tile` are then unused.
    tta : int
        Default number of inputs of test-time augmentation.
    members : int
        Number of networks whose probabilities are averaged; more than one form an ensemble.
    spacing : tuple of float or None
        Pixel size of the training images in micrometres, (y, x); None if it is unknown or differs. For volumes the
        voxel size to which they are resampled, in millimetres, (z, y, x); None if they are not.
    temperature : float
        Temperature scaling: divisor of the logits for reported probabilities; 1 without calibration. Object thresholds
        apply to the uncalibrated probabilities that they were chosen for.
    doubt_temperature : float or None
        Temperature of low-confidence pixels; `temperature` then applies to high-confidence pixels, and pixels in
        between are interpolated (`labels.temperature_scaling`). None: `temperature` applies to all.
    conformal_margin : float or None
        Conformal margin: the expected Dice minus this value is a lower bound of the Dice for 90 % of images
        (`metrics.calibration.conformal_margin`); None if there are too few validation images.
    quantities : QuantityRecord or None
        Predicted and true counts and sizes of the classes in the validation images, for the intervals of those of new
        images (`metrics.quantity_intervals`); None if they were not measured.
    appearance : AppearanceRecord or None
        What training and validation images look like, to recognise other images; None if it was not measured.
    reading : ReadOptions
        How the training images were read: EXIF orientation, pixels without data.
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
    spacing: tuple[Positive, ...] | None = None
    intensity_peaks: tuple[float, float] | None = None
    temperature: Temperature = 1.0
    doubt_temperature: Temperature | None = None
    conformal_margin: Margin | None = None
    quantities: QuantityRecord | None = None
    appearance: AppearanceRecord | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    version: int = VERSION

    @property
    def temperatures(self) -> Temperatures:
        """Temperatures of temperature scaling."""
        return Temperatures(self.temperature, self.doubt_temperature)

    @property
    def counted_classes(self) -> int:
        """Number of classes whose objects and sizes are measured: all but the background; objects are one class."""
        return 1 if self.task == "instance" else len(self.classes) - self.first_class

    @property
    def first_class(self) -> int:
        """Index of the first class that means include: 1 after a background, else 0."""
        return first_class(self.task, self.classes)

    @property
    def softmax_channels(self) -> int:
        """How many channels of the logits share a softmax; they come first."""
        return class_channels(self.target, self.network.classes)


def write_model_card_text(model_card: ModelCard) -> str:
    """Return the model card as JSON text."""
    return json.dumps(asdict(model_card), allow_nan=False)


def read_model_card_text(text: str, path: Path) -> ModelCard:
    """Parse the model card of the file at `path`.

    Raises
    ------
    BadModel
        The model card is invalid or has another version.
    """
    try:
        values = json.loads(text, object_pairs_hook=no_duplicates)
        version = values.get("version") if isinstance(values, dict) else None
        if version != VERSION:
            raise invalid_model(path, f"model card version {version}, this pixelwise reads {VERSION}")
        model_card = _adapter().validate_python(values)
        _check_consistency(model_card, path)
        return model_card
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"])
        raise invalid_model(path, f"a model card with an invalid {where} ({first['msg']})") from error
    except PixelwiseError as error:
        raise error if isinstance(error, BadModel) else invalid_model(path, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise invalid_model(path, f"a damaged model card ({error})") from error


def describe_members(model_card: ModelCard) -> list[str]:
    """Return a message about the cost of an ensemble; nothing for a single network."""
    count = model_card.members
    return [] if count == 1 else [f"Ensemble of {count} networks: prediction takes {count} times as long as with one."]


def invalid_model(path: Path, got: str) -> BadModel:
    """Return the error for a file that is not a valid pixelwise model."""
    hint = "Use the model.safetensors of a run; train again if it is lost."
    return BadModel("a model file of pixelwise", got, hint, path)


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict of JSON pairs; raise ValueError for duplicate keys."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("duplicate key")
    return dict(pairs)


def _check_consistency(card: ModelCard, path: Path) -> None:
    """Raise `BadModel` if fields contradict one another, or numbers are outside any sensible range."""
    checks = {
        "task": card.task in TASKS,
        "classes": 1 <= len(card.classes) <= MAX_CLASSES,
        "values": len(card.values) in (0, len(card.classes)) and all(abs(value) <= MAX_VALUE for value in card.values),
        "colours": (len(card.colours) == len(card.classes) or (not card.colours and card.task == "classification"))
        and all(0 <= part <= 255 for colour in card.colours for part in colour),
        "channels": 1 <= card.channels <= MAX_CHANNELS and card.channels == card.network.in_channels,
        "intensity_range": len(card.intensity_range) == card.channels
        and all(math.isfinite(low) and math.isfinite(high) and low <= high for low, high in card.intensity_range),
        "intensity_peaks": card.intensity_peaks is None or all(map(math.isfinite, card.intensity_peaks)),
        "normalisation": len(card.normalisation.mean) in (0, card.channels),
        "tile": 1 <= card.tile <= MAX_SIDE,
        "spacing": card.spacing is None or len(card.spacing) == card.network.dimensions,
        "temperature": all(t is None or 1e-3 <= t <= 1e3 for t in (card.temperature, card.doubt_temperature)),
        "target": _is_possible_target(card),
        "quantities": card.quantities is None or (bool(card.classes) and card.quantities.fits(card.counted_classes)),
        "appearance": card.appearance is None or card.appearance.possible,
        "view": (card.view is not None) == (card.task == "classification"),
        "geometry": _is_possible(card.geometry)
        and (card.task == "classification" or card.geometry.legal_step % card.geometry.total_stride == 0),
    }
    contradictory = [name for name, holds in checks.items() if not holds]
    if contradictory:
        raise invalid_model(path, f"a model card with an invalid or contradictory {contradictory[0]}")


def with_nodata(card: ModelCard, nodata: str | None) -> ModelCard:
    """Return a model card whose images have another value of pixels without data; the same card for None.

    Raises
    ------
    BadOption
        `nodata` is neither a number, nor "nan" or "none".
    """
    return card if nodata is None else replace(card, reading=replace(card.reading, nodata=nodata))


def _is_possible_target(card: ModelCard) -> bool:
    """Return whether the target fits the classes and the logits, with areas and widths that an image can have."""
    target, areas = card.target, card.target.class_areas
    fits = card.task == "classification" or target_channels(target, len(card.classes)) == card.network.classes
    return (
        fits
        and all(index < len(card.classes) for region in target.regions for index in region)
        and all(0 <= area <= MAX_AREA for area in (target.min_area, *areas))
        and max(target.separate, target.boundary_width) <= MAX_SIDE
        and len(areas) in (0, len(card.classes))
    )


def _is_possible(geometry: Geometry) -> bool:
    """Return whether a network can have these sizes; they may come from a file that holds no network to compare."""
    sizes = (geometry.halo, geometry.margin, geometry.reach, geometry.receptive_field, geometry.receptive_field_min)
    steps = (geometry.total_stride, geometry.legal_first, geometry.legal_step)
    return (
        all(0 <= size <= MAX_SIDE for size in sizes)
        and all(1 <= step <= MAX_SIDE for step in steps)
        and geometry.halo % geometry.total_stride == 0
    )


def _adapter() -> Any:  # TypeAdapter[ModelCard], which beartype cannot check
    """Return a validator of model cards that rejects unknown keys at every level."""
    records = (QuantityRecord, AppearanceRecord, FeatureGroup)
    for kind in (ModelCard, NetworkOptions, Normalisation, TargetOptions, Geometry, View, ReadOptions, *records):
        kind.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return TypeAdapter(ModelCard)
