"""The page: static files from a list that is made at the start, so that no path of a client reaches the disk."""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import FastAPI, Request
from fastapi.responses import Response

from pixelwise.server.failures import Failure
from pixelwise.server.studio import Studio

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


def add_page_routes(app: FastAPI, studio: Studio | None = None) -> None:
    """Add the page, its files and the page of the interface.

    With the page, the browser asks for the first image, which it then opens (RFC 8288).
    """
    static = read_static_files()
    tags = {name: f'"{hashlib.sha256(content).hexdigest()[:32]}"' for name, (content, _) in static.items()}

    def answer(name: str, request: Request) -> Response:
        """Return a file, or 304 if the browser has it (RFC 9110, section 13.1.2)."""
        if name not in static:
            raise Failure(404, "not_found", "There is no such file.")
        headers = {"Cache-Control": "no-cache", "ETag": tags[name]}
        if tags[name] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        content, kind = static[name]
        return Response(content, media_type=kind, headers=headers)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        found = answer("index.html", request)
        first = next(iter(studio.project.images), None) if studio is not None else None
        if first is not None:
            found.headers["Link"] = f"</api/images/{first}>; rel=preload; as=fetch; crossorigin"
        return found

    @app.get("/docs", include_in_schema=False)
    async def interface(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return answer("docs.html", request)

    @app.get("/static/{name:path}", include_in_schema=False)
    async def static_file(name: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        return answer(name, request)


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
