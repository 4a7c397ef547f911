"""What the commands share: flags that mean the same everywhere, and how a result is printed."""

import json
from typing import Annotated, Any

import typer

SOME_FAILED = 3  # exit code: some images could not be read or predicted, the others were

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.setting=value, such as network.depth=5.")]
Budget = Annotated[str | None, typer.Option(help="Time for everything: 90s, 10m, 2h.")]
Seed = Annotated[int, typer.Option(help="Every random draw is a function of it.")]
Images = Annotated[str | None, typer.Option(help="Folder name (or file suffix) of the images.")]
Masks = Annotated[str | None, typer.Option(help="Folder name (or file suffix) of the masks.")]
Task = Annotated[str, typer.Option(help="auto, binary, multiclass, instance or classification.")]
Classes = Annotated[str | None, typer.Option(help="Class names in the order of their values, with commas.")]
IgnoreIndex = Annotated[int | None, typer.Option(help="Mask value left out of loss and scores; -1: none.")]
Foreground = Annotated[int | None, typer.Option(help="Binary masks: the value of the interesting class.")]
ValShare = Annotated[float, typer.Option(help="Share that validates when no validation part is given.")]
GroupBy = Annotated[str | None, typer.Option(help="Regular expression with one group: equal finds stay together.")]
Pages = Annotated[int | None, typer.Option(help="Take TIFF stacks of this many pages as channels.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Leave images without mask aside.")]
AllowDuplicates = Annotated[bool, typer.Option("--allow-duplicates", help="Accept equal images in two splits.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files with problems, and say which.")]
Conflicts = Annotated[str, typer.Option(help="Copies of an image whose masks differ: keep, drop or first.")]
Runtime = Annotated[str, typer.Option(help="auto, torch, onnx, openvino, torch-bf16, openvino-bf16 or torch-compile.")]


def show(value: dict[str, Any], as_json: bool, text: str) -> None:
    """Print the result: one JSON object, or text for people."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False) if as_json else text)
