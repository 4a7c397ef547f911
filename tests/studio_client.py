"""A client of a server in this process, whose workers are processes of their own."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from starlette.testclient import TestClient

from pixelwise.server.access import Access
from pixelwise.server.app import create_app
from pixelwise.server.service import Service
from pixelwise.server.studio import Studio

ORIGIN = "http://127.0.0.1:8117"
TOKEN = "a-token-for-tests-only"


@contextmanager
def running(service: Service, studio: Studio) -> Generator[TestClient]:
    """Start the workers and read the data; yield a client with the token."""
    app = create_app(service, Access("127.0.0.1", 8117, token=TOKEN), studio)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, base_url=ORIGIN, headers=headers, raise_server_exceptions=False) as started:
        assert started.portal is not None
        started.portal.call(service.predictor.wait_ready)
        started.portal.call(service.reader.wait_ready)
        while not studio.understood:
            time.sleep(0.05)
        yield started
