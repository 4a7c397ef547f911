"""The command `serve`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pixelwise.cli.options import Device
from pixelwise.cli.options_from_record import options_from_record
from pixelwise.errors import BadOption
from pixelwise.server.limits import Limits


@options_from_record(Limits)
def serve(
    targets: Annotated[list[Path] | None, typer.Argument(help="Runs, models, images or folders of images.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; by default only this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 uses a free one.")] = 8117,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Further name of the server, such as that of a reverse proxy; repeatable.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token; by default a new one is made.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for marks, results and runs; by default studio/<name of the data>.")
    ] = None,
    runtime: Annotated[str, typer.Option(help="torch, onnx, openvino, or auto: the fastest, measured.")] = "torch",
    device: Device = "auto",
    volumes: Annotated[bool, typer.Option("--volumes", help="Take the pages of TIFF stacks as slices.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the link.")] = False,
    options: Limits = Limits(),
) -> None:
    """Open a page in the browser to look at images, correct masks and train, and serve predictions over HTTP."""
    missing = [name for name in ("fastapi", "uvicorn", "prometheus_client") if find_spec(name) is None]
    if missing:
        raise BadOption(missing[0], "not installed", 'Run: pip install "pixelwise[studio]".')
    from pixelwise.server.access import Access
    from pixelwise.server.service import ServeOptions
    from pixelwise.server.start import serve as verb
    from pixelwise.server.start import sort_targets

    def announce(link: str, access: Access) -> None:
        typer.echo(link)
        typer.echo(f"Programs send the header: Authorization: Bearer {access.token}", err=True)
        if not no_browser:
            import webbrowser

            webbrowser.open(link)

    verb(
        sort_targets(targets or []),
        host=host,
        port=port,
        allowed_hosts=allow_host or (),
        token_file=token_file,
        out=out,
        limits=options,
        options=ServeOptions(runtime=runtime, device=device, volumes=volumes),
        announce=announce,
    )
