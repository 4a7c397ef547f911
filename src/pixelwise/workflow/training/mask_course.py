"""The course of segmentation: patches of images and masks, scored by the mean Dice, with a film of the learning."""

from collections.abc import Sequence
from importlib.metadata import version

from torch import nn

from pixelwise.engine.modelfile import Recipe
from pixelwise.geometry.sizes import Geometry
from pixelwise.images.cases import Dataset
from pixelwise.images.patches import PatchSampler
from pixelwise.images.records import has_background
from pixelwise.progress import Progress
from pixelwise.scoring.losses import balance
from pixelwise.workflow.planning.choices import VALIDATION_SHARE, VALIDATIONS
from pixelwise.workflow.run import Run
from pixelwise.workflow.summary import validation_score
from pixelwise.workflow.training.material import Piece, count_classes, read_material
from pixelwise.workflow.training.validation import Validation, make_palette

# A forward pass in inference costs about a third of a training step on the same pixels.
STEPS_PER_LOOK = 3.0


class MaskCourse:
    """Reads images and masks into memory, draws patches of them, and looks at validation images.

    Parameters
    ----------
    run : Run
    dataset : Dataset
    geometry : Geometry
        Of the network that learns.
    device : str
    progress : Progress
    """

    def __init__(self, run: Run, dataset: Dataset, geometry: Geometry, device: str, progress: Progress) -> None:
        self._run, self._dataset, self._geometry = run, dataset, geometry
        config = run.config
        self.score_name = validation_score(dataset.labelling.task, config.target.kind)
        read = config.normalisation, config.target, config.data.pages, progress
        pieces = read_material(dataset, dataset.part("train"), *read, config.loss)
        targets = [piece.target for piece in pieces]
        self.loss = config.loss
        if config.loss.balanced:
            self.loss = balance(config.loss, count_classes(targets, config.network.classes))
        patches = config.patches
        self.pass_steps = sum(t.size for t in targets) / (patches.batch * patches.height * patches.width)
        self.sampler = PatchSampler(
            [piece.pixels for piece in pieces],
            targets,
            [piece.scale for piece in pieces],
            patches,
            config.augmentation,
            config.training.seed,
            margin=geometry.margin,
            weights=[piece.weights for piece in pieces if piece.weights is not None],
        )
        self._validation = self._make_validation(read_material(dataset, dataset.part("val"), *read), device)

    def begin(self) -> None:
        """Write the image and the truth of the film."""
        self._validation.start_film()

    def score(self, network: nn.Module) -> float:
        """Return the mean Dice on the validation images that are looked at."""
        return self._validation.score(network)

    def picture(self, network: nn.Module, step: int) -> None:
        """Write a frame of the film."""
        self._validation.film(network, step)

    def recipe(self, score: float, step: int) -> Recipe:
        """Return everything that prediction needs besides the weights."""
        config, labelling = self._run.config, self._dataset.labelling
        return Recipe(
            network=config.network,
            normalisation=config.normalisation,
            target=config.target,
            geometry=self._geometry,
            task=labelling.task,
            classes=labelling.classes,
            values=labelling.values,
            colours=labelling.colours,
            channels=self._dataset.channels,
            tile=512,
            turns=config.prediction.turns,
            intensity_range=tuple((float(low), float(high)) for low, high in self._run.fingerprint["intensity_range"]),
            trained={
                "pixelwise": version("pixelwise"),
                "data": self._dataset.root.name,
                "validation_dice": f"{score:.4f}",
                "step": str(step),
            },
        )

    def _make_validation(self, pieces: Sequence[Piece], device: str) -> Validation:
        """Let the looks at the validation images cost their share of the training time, and no more."""
        config, labelling = self._run.config, self._dataset.labelling
        steps = config.training.steps * VALIDATION_SHARE / VALIDATIONS
        pixels = int(steps * STEPS_PER_LOOK * config.patches.batch * config.patches.height * config.patches.width)
        return Validation(
            pieces,
            config.network.classes,
            self._geometry,
            device,
            max(pixels, 64 * 1024),
            self._run.film,
            make_palette(config.target.kind, labelling.colours),
            first=int(config.target.kind != "classes" or has_background(labelling.task, labelling.classes)),
        )
