"""The page: static files from a list that is made at the start, so that no path of a client reaches the disk."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import FastAPI
from fastapi.responses import Response

from pixelwise.server.failures import Failure

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


def add_page_routes(app: FastAPI) -> None:
    """Add the page, its files and the page of the interface."""
    static = read_static_files()

    def answer(name: str) -> Response:
        if name not in static:
            raise Failure(404, "not_found", "There is no such file.")
        content, kind = static[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    @app.get("/", include_in_schema=False)
    async def page() -> Response:  # pyright: ignore[reportUnusedFunction]
        return answer("index.html")

    @app.get("/docs", include_in_schema=False)
    async def interface() -> Response:  # pyright: ignore[reportUnusedFunction]
        return answer("docs.html")

    @app.get("/static/{name:path}", include_in_schema=False)
    async def static_file(name: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return answer(name)


def read_static_files() -> dict[str, tuple[bytes, str]]:
    """Return content and media type of every file of the page, by its path below the folder of the page."""
    found: dict[str, tuple[bytes, str]] = {}
    _collect(files("pixelwise") / "studio", "", found)
    return found


def _collect(folder: Traversable, prefix: str, found: dict[str, tuple[bytes, str]]) -> None:
    for entry in folder.iterdir():
        suffix = entry.name.rpartition(".")[2]
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", found)
        elif suffix in _TYPES:
            found[prefix + entry.name] = entry.read_bytes(), _TYPES[suffix]
