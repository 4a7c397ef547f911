"""Who gets in: token, one-time link, Host and Origin; what every answer carries."""

import asyncio
import base64
import hashlib
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from pixelwise.server.access import SECURITY_HEADERS, VIEWER_STYLE, Access, AccessMiddleware
from pixelwise.server.page_routes import read_static_files

HOST = "127.0.0.1:8117"
NONE = {"Authorization": ""}


def test_health_alone_needs_no_token(client: TestClient) -> None:
    assert client.get("/v2/health/live", headers=NONE).status_code == 200
    assert client.get("/v2/health/ready", headers=NONE).status_code == 200
    for path in ("/", "/metrics", "/v2", "/docs", "/openapi.json", "/static/app.js", "/nothing"):
        assert client.get(path, headers=NONE).status_code == 401
    assert client.post("/predict", headers=NONE).status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer ", "Basic a-token-for-tests-only", "a-token-for-tests-only"]
)
def test_wrong_tokens(client: TestClient, header: str) -> None:
    assert client.get("/v2", headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example:8117", "evil.example", "127.0.0.1:80", "127.0.0.1.evil.example:8117", ""]
)
def test_foreign_hosts(client: TestClient, host: str) -> None:
    assert client.get("/v2/health/live", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost.evil:8117"]
)
def test_foreign_origins(client: TestClient, origin: str) -> None:
    assert client.post("/predict", headers={"Origin": origin}).status_code == 403


def test_requests_of_other_sites(client: TestClient) -> None:
    assert client.get("/v2", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/v2", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_link_opens_the_page_once(client: TestClient) -> None:
    link = client.post("/api/link").json()["link"]
    assert link.startswith(f"http://{HOST}/open/")
    first = client.get(link, headers=NONE, follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    flags = first.headers["set-cookie"].lower()
    assert all(flag in flags for flag in ("httponly", "samesite=strict", "pixelwise_8117="))
    assert client.get(link, headers=NONE, follow_redirects=False).status_code == 403
    assert client.get("/", headers=NONE).status_code == 200, "the cookie is enough"
    refused = client.post("/api/link", headers=NONE)
    assert (refused.status_code, refused.json()["code"]) == (403, "no_origin"), (
        "a form of another site sends the cookie"
    )
    assert client.post("/api/link", headers={**NONE, "Origin": f"http://{HOST}"}).status_code == 200
    client.cookies.clear()


def test_every_answer_has_the_security_headers(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/v2", headers=NONE), client.get("/nothing"), client.get("/docs")):
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]


def test_the_style_of_the_viewer_is_the_one_that_is_allowed() -> None:
    (script,) = (content for name, (content, _) in read_static_files().items() if name.endswith("openseadragon.min.js"))
    (style,) = re.findall(rb'textContent="(@media[^"]*)"', script)
    assert "sha256-" + base64.b64encode(hashlib.sha256(style).digest()).decode() == VIEWER_STYLE


@pytest.mark.parametrize(
    "path",
    [
        "../app.py",
        "%2e%2e/app.py",
        "..%252fapp.py",
        "..\\app.py",
        "C:/app.js",
        "//app.js",
        "app.js%00",
        "vendor/../../app.py",
    ],
)
def test_no_path_leads_out_of_the_page(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


def test_names_of_the_server() -> None:
    local = Access("127.0.0.1", 80)
    assert all(map(local.allows_host, ("localhost", "127.0.0.1:80", "[::1]:80")))
    assert not local.allows_host("10.0.0.7:80")
    public = Access("0.0.0.0", 8000, {"studio.example.org"})
    assert all(map(public.allows_host, ("10.0.0.7:8000", "[2001:db8::1]:8000", "studio.example.org")))
    assert not any(map(public.allows_host, ("rebound.example:8000", "10.0.0.7:1", "")))


def test_metrics_count_answers(client: TestClient) -> None:
    client.get("/v2")
    text = client.get("/metrics").text
    assert 'pixelwise_requests_total{route="v2",status="200"}' in text
    assert "pixelwise_queue_pixels 0.0" in text
    client.get("/made-up-by-a-client")
    assert "made-up" not in client.get("/metrics").text


def test_the_interface_is_described(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/predict", "/v2/models/{model}/infer", "/metrics"} <= paths.keys()
    assert "http" not in client.get("/docs").text.replace("http-equiv", ""), "nothing comes from elsewhere"


@pytest.mark.parametrize("started", [False, True], ids=["waiting", "already answering"])
def test_work_that_is_cancelled_because_the_server_stops(started: bool) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    async def work(scope: Any, receive: Any, send: Any) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    async def stop() -> None:
        access = Access("127.0.0.1", 8117, token="a-token-for-tests-only")
        headers = [(b"host", HOST.encode()), (b"authorization", b"Bearer a-token-for-tests-only")]
        scope = {"type": "http", "method": "GET", "path": "/v2", "headers": headers}
        task = asyncio.create_task(AccessMiddleware(work, access, lambda *_: None)(scope, receive, send))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stop())
    statuses = [message["status"] for message in sent if message["type"] == "http.response.start"]
    assert statuses == ([200] if started else [503])
