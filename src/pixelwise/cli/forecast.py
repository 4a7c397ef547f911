"""The command `forecast`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.options import SOME_FAILED, Budget, Device, Json, Overrides, Seed, show
from pixelwise.cli.options_from_record import options_from_record
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadOption

if TYPE_CHECKING:  # imported when the command runs
    from collections.abc import Callable

    from pixelwise.active_learning.subset_trainings import SubsetTrainings


@options_from_record(DataOptions, omit=("allow_missing", "missing_empty"))
def forecast(
    data: Annotated[Path, typer.Argument(help="Folder of images and masks; masks may be missing.")],
    overrides: Overrides = None,
    budget: Budget = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training, instead of a time budget.")] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="Folder of more images without masks.")] = None,
    more: Annotated[
        str, typer.Option(help="Numbers of additional labelled images to forecast. Comma-separated.")
    ] = "10,50",
    out: Annotated[Path | None, typer.Option(help="Output folder; by default forecasts/<name of the data>.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    on: Annotated[
        str | None, typer.Option(help="local:N or ray://HOST:PORT trains N subsets at a time; none prints how.")
    ] = None,
    as_json: Json = False,
    options: DataOptions | None = None,
) -> None:
    """Estimate the gain from more labelled images, with an interval, and select the images to label next."""
    from pixelwise.active_learning.forecast import forecast as verb

    result = verb(
        data,
        budget=budget,
        steps=steps,
        unlabelled=unlabelled,
        more=_parse_counts(more),
        out=out,
        seed=seed,
        device=device,
        options=options,
        overrides=overrides or (),
        train_first=_train_on(on),
    )
    show(result.to_json(), as_json, result.to_text())
    if result.ranking.failed:
        raise typer.Exit(SOME_FAILED)


def _train_on(on: str | None) -> "Callable[[SubsetTrainings], None] | None":
    """Return what runs the trainings, as `--on` says."""
    if on is None:
        return None
    from pixelwise.cluster.places import parse_place
    from pixelwise.cluster.subset_units import train_with_workers

    return train_with_workers(parse_place(on))


def _parse_counts(text: str) -> tuple[int, ...]:
    """Return comma-separated whole numbers.

    Raises
    ------
    BadOption
        A value is not a whole number.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise BadOption("comma-separated whole numbers for --more", f"`{text}`", "Example: --more 10,50.")
    return tuple(map(int, words))
