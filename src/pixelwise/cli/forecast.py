"""The command that looks ahead: what more masks would bring."""

from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.options import (
    SOME_FAILED,
    AllowDuplicates,
    Budget,
    Classes,
    Conflicts,
    Device,
    Foreground,
    GroupBy,
    IgnoreIndex,
    Images,
    Json,
    Masks,
    Overrides,
    Pages,
    Seed,
    SkipBad,
    Task,
    ValShare,
    data_options,
    show,
)
from pixelwise.errors import BadOption


def add_forecast_command(app: typer.Typer) -> None:
    """Give an application the command `forecast`."""
    app.command()(forecast)


def forecast(
    data: Annotated[Path, typer.Argument(help="Folder of images and masks; some images may lack one.")],
    overrides: Overrides = None,
    budget: Budget = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training, instead of a budget.")] = None,
    unlabelled: Annotated[Path | None, typer.Option(help="Folder of more images without masks.")] = None,
    more: Annotated[str, typer.Option(help="How many more masks are asked about, with commas.")] = "10,50",
    out: Annotated[Path | None, typer.Option(help="Folder of the results; by default forecasts/<name>.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    images: Images = None,
    masks: Masks = None,
    task: Task = "auto",
    classes: Classes = None,
    ignore_index: IgnoreIndex = None,
    foreground: Foreground = None,
    val_share: ValShare = 0.2,
    group_by: GroupBy = None,
    pages: Pages = None,
    allow_duplicates: AllowDuplicates = False,
    skip_bad: SkipBad = False,
    conflicts: Conflicts = "keep",
) -> None:
    """Say what more masks would bring, with an interval, and which images to label next."""
    options = data_options(locals())
    from pixelwise.active_learning.forecast import forecast as verb

    found = verb(
        data,
        budget=budget,
        steps=steps,
        unlabelled=unlabelled,
        more=_counts(more),
        out=out,
        seed=seed,
        device=device,
        data_options=options,
        overrides=overrides or (),
    )
    show(found.to_json(), as_json, found.to_text())
    if found.ranking.failed:
        raise typer.Exit(SOME_FAILED)


def _counts(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them.

    Raises
    ------
    BadOption
        A word is no whole number.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise BadOption("--more as whole numbers with commas", f"`{text}`", "Write for example --more 10,50.")
    return tuple(map(int, words))
