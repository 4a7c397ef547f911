"""The commands `worker` and `jobs`."""

from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.options import Json, show


def worker(
    out: Annotated[Path, typer.Argument(help="Output folder of a job (predict --on none).")],
    index: Annotated[
        int | None, typer.Option(help="Number of this worker, from 0; by default from the scheduler.")
    ] = None,
    of: Annotated[int | None, typer.Option(help="Number of workers; by default from the scheduler.")] = None,
) -> None:
    """Compute units of a job until none is left. Start any number, at any time, on any machines.

    Exit codes: 0 the job is complete, 2 it cannot be computed here, 75 stopped, and another worker continues it.
    """
    from pixelwise.cluster.environment import find_place
    from pixelwise.cluster.worker import run_worker
    from pixelwise.progress import Console

    place = find_place(index, of)
    run_worker(out, *place, progress=Console())


def jobs(out: Annotated[Path, typer.Argument(help="Output folder of a job.")], as_json: Json = False) -> None:
    """Show what is done, running and failed in a job.

    Exit codes: 0 complete, 3 complete but some inputs have no output, 75 not complete.
    """
    from pixelwise.cluster.status import describe_job

    state = describe_job(out)
    show(state.to_json(), as_json, state.to_text())
    raise typer.Exit(state.exit_code)
