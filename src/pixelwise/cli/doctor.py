"""The command `doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelwise.cli.options import Device, Json, show
from pixelwise.cli.options_from_record import options_from_record
from pixelwise.datasets.options import DataOptions
from pixelwise.errors import BadOption

if TYPE_CHECKING:  # imported when the command runs
    from pixelwise.workflow.doctor import Observe


@options_from_record(DataOptions)
def doctor(
    data: Annotated[Path, typer.Argument(help="Folder of images and masks, or with one folder per class.")],
    fix: Annotated[Path | None, typer.Option(help="New folder for a corrected copy, with a log of changes.")] = None,
    html: Annotated[Path | None, typer.Option(help="Output file of a page with the evidence as pictures.")] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="With --fix: copy unchanged images, without hard links.")
    ] = False,
    run: Annotated[
        Path | None, typer.Option(help="Run folder: rank likely annotation errors by its predictions.")
    ] = None,
    device: Device = "auto",
    undo: Annotated[
        str | None, typer.Option(help="DATA is a corrected copy: restore these files of it, or `all`. Comma-separated.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(help="local:N or ray://HOST:PORT reads the files with N workers; none makes a job for workers."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --on: folder of the job; --on none and ray:// need one that is shared.")
    ] = None,
    as_json: Json = False,
    options: DataOptions | None = None,
) -> None:
    """Find faults in a data set: shifted, exchanged or damaged files, copies, leaks; write a corrected copy.

    With a run, rank likely annotation errors too.

    Exit code 6: faults that need a fix were found and not fixed.
    """
    from pixelwise.cli.options import parse_names
    from pixelwise.workflow.doctor import doctor as verb
    from pixelwise.workflow.doctor import undo as restore

    if undo is not None:
        restored = restore(data, () if undo == "all" else parse_names(undo))
        show({"restored": restored}, as_json, "\n".join(f"Restored: {name}" for name in restored) or "Nothing to undo.")
        return
    found = verb(
        data, fix=fix, html=html, run=run, device=device, link=not copy, options=options, observe=_observe_on(on, out)
    )
    show(found.to_json(), as_json, found.to_text())
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _observe_on(on: str | None, out: Path | None) -> "Observe | None":
    """Return who reads the files, as `--on` says."""
    if on is None:
        if out is not None:
            raise BadOption("--on with --out", "--out alone", "The results are printed; --fix and --html write files.")
        return None
    from pixelwise.cluster.cases.case_job import examine_with_workers
    from pixelwise.cluster.places import parse_place

    return examine_with_workers(parse_place(on), out)
