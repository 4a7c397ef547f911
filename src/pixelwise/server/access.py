"""Who may talk to the server: Host, Origin and token are checked before any route runs, also on the loopback address.

Other users of the machine, and pages of other sites in the user's browser, can reach a loopback port too: the token
keeps out the first, the checks of Host (DNS rebinding) and Origin (cross-site requests) the second.
"""

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from pixelwise.server.failures import Failure

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = "/open/"
"""Path of one-time links; the code follows."""

_WITHOUT_TOKEN = ("/v2/health/live", "/v2/health/ready")
_SAFE = ("GET", "HEAD")
_MAX_LINKS = 100
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
VIEWER_STYLE = "sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE="
"""Digest of the one style sheet that OpenSeadragon adds to the page (CSP Level 3, section 6.7.3.3)."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'self'; style-src 'self' '{VIEWER_STYLE}'; img-src 'self' blob: data:; object-src 'none'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass
class Access:
    """The token of a server, its one-time links, and the names it answers to.

    Attributes
    ----------
    host : str
        The address that it listens on.
    allowed_hosts : collection of str
        More names, such as that of a reverse proxy.
    """

    host: str
    port: int
    allowed_hosts: Collection[str] = ()
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def __post_init__(self) -> None:
        self._links: list[str] = []

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies do not depend on the port, so the name does."""
        return f"pixelwise_{self.port}"

    @property
    def origin(self) -> str:
        """Address of the server for a browser on this machine."""
        any_address = self.host in ("0.0.0.0", "::")
        host = "127.0.0.1" if any_address else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def new_link(self) -> str:
        """Return a link that opens the page once."""
        code = secrets.token_urlsafe(24)
        self._links = [*self._links[-_MAX_LINKS + 1 :], code]
        return f"{self.origin}{OPEN}{code}"

    def use_link(self, code: str) -> bool:
        """Return whether a one-time code is valid, and use it up."""
        found = [link for link in self._links if hmac.compare_digest(link.encode(), code.encode())]
        self._links = [link for link in self._links if link not in found]
        return bool(found)

    def allows_host(self, host: str) -> bool:
        """Return whether a Host header names this server.

        Examples
        --------
        >>> access = Access("127.0.0.1", 8080)
        >>> access.allows_host("localhost:8080"), access.allows_host("evil.example:8080")
        (True, False)
        """
        name, port = _split_host(host)
        if name in self.allowed_hosts:
            return True
        if port != self.port and not (port is None and self.port == 80):
            return False
        if name in _LOOPBACK or name == self.host:
            return True
        return self.host not in _LOOPBACK and _is_address(name)  # a name could be rebound, an address cannot

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Raise `Failure` unless a request is allowed."""
        if not self.allows_host(headers.get("host", "")):
            raise Failure(403, "foreign_host", "This server does not answer to this host name; see --allow-host.")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            raise Failure(403, "foreign_origin", "Requests from pages of other sites are refused.")
        if path in _WITHOUT_TOKEN or path.startswith(OPEN):
            return
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Failure(403, "foreign_origin", "Requests from pages of other sites are refused.")
        if self._has_bearer(headers):
            return
        if not self._has_cookie(headers):
            raise Failure(401, "no_token", "Open the link that the server printed, or send its token.")
        if method not in _SAFE and origin is None:
            raise Failure(403, "no_origin", "Send an Origin header, or the token as a bearer token.")

    def _has_bearer(self, headers: Headers) -> bool:
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._is_token(token.strip())

    def _has_cookie(self, headers: Headers) -> bool:
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        return any(name == self.cookie and self._is_token(value) for name, _, value in pairs)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())


class AccessMiddleware:
    """Checks every request with `Access`, gives it an id, and adds security headers to every answer."""

    def __init__(self, app: App, access: Access, on_answer: Callable[[str, str, int], object]) -> None:
        self._app, self._access, self._on_answer = app, access, on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers["X-Request-Id"] = request_id
                headers.setdefault("Cache-Control", "no-store")
                self._on_answer(scope["method"], scope["path"], message["status"])
            await send(message)

        async def refuse(failure: Failure) -> None:
            answer = JSONResponse(failure.body(request_id), failure.status, failure.headers())
            await answer(scope, receive, send_with_headers)

        try:
            self._access.check(scope["method"], scope["path"], Headers(scope=scope))
        except Failure as failure:
            await refuse(failure)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # the server stops before the work is finished
            if not started:
                await refuse(Failure(503, "draining", "The server is stopping.", retry_after=5))
            raise


def _split_host(host: str) -> tuple[str, int | None]:
    """Return name and port of a Host header; the port is None if there is none, -1 if it is not a number."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host.lower(), None
    return name.lower(), int(port) if port.isdecimal() else -1


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
