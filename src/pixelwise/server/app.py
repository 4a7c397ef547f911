"""The application: routes, error answers and the middleware that checks access."""

import errno
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from pixelwise.server.access import OPEN, Access, AccessMiddleware
from pixelwise.server.bodies import UnreadBodyMiddleware
from pixelwise.server.failures import Failure
from pixelwise.server.image_routes import add_image_routes
from pixelwise.server.kserve_routes import add_kserve_routes
from pixelwise.server.metrics import CONTENT_TYPE_LATEST
from pixelwise.server.page_routes import add_page_routes
from pixelwise.server.predict_routes import add_predict_routes
from pixelwise.server.service import Service
from pixelwise.server.studio import Studio
from pixelwise.server.work_routes import add_work_routes
from pixelwise.text import __version__

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


def create_app(service: Service, access: Access, studio: Studio | None = None) -> UnreadBodyMiddleware:
    """Return the ASGI application of a server.

    Parameters
    ----------
    service : Service
        It is started and closed with the application.
    studio : Studio, optional
        With it the application has a page; without it, it only predicts.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        del app
        await service.start()
        if studio is not None:
            studio.start()
        try:
            yield
        finally:
            if studio is not None:
                await studio.close()
            await service.close()

    app = FastAPI(
        title="pixelwise",
        version=__version__,
        description="Segment images. Send the token as `Authorization: Bearer TOKEN`.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_error_answers(app)
    add_predict_routes(app, service)
    add_kserve_routes(app, service)
    _add_access_routes(app, service, access)
    add_page_routes(app, studio)
    if studio is not None:
        add_image_routes(app, studio)
        add_work_routes(app, studio)
    return UnreadBodyMiddleware(AccessMiddleware(app, access, service.metrics.count_answer))


def _add_access_routes(app: FastAPI, service: Service, access: Access) -> None:
    @app.get(OPEN + "{code}", include_in_schema=False)
    async def open_page(code: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        if not access.use_link(code):
            raise Failure(403, "used_link", "This link was used already; open the page again with a new link.")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(access.cookie, access.token, httponly=True, samesite="strict", path="/")
        return answer

    @app.post("/api/link", include_in_schema=False)
    async def link() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Return a link that opens the page once, for another browser."""
        return {"link": access.new_link()}

    @app.get("/metrics")
    async def metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return metrics in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_error_answers(app: FastAPI) -> None:
    """Answer every error as `Failure.body`: code, message and request id, no path and no traceback."""

    async def on_failure(request: Request, error: Exception) -> Response:
        failure = error if isinstance(error, Failure) else _as_failure(error)
        return JSONResponse(failure.body(request.state.request_id), failure.status, failure.headers())

    for kind in (Failure, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, on_failure)


def _as_failure(error: Exception) -> Failure:
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return Failure(400, "bad_request", f"{where}: {first['msg']}.")
    if isinstance(error, HTTPException):
        return Failure(error.status_code, _CODES.get(error.status_code, "error"), f"{error.detail}.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(507, "disk_full", "The disk of the server is full.", retry_after=60)
    return Failure(500, "internal", "An internal error; the log has its details.")
