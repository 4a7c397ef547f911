"""The queue and the rate limit, without a server."""

import pytest

from pixelwise.server.failures import Failure
from pixelwise.server.limits import Admission, Limits, RateLimit

SMALL = Limits(max_megabytes=3, queue_megabytes=4, max_megapixels=3, queue_megapixels=4, queue_requests=2)


def test_the_queue_is_bounded_in_requests_bytes_and_pixels() -> None:
    refused: list[str] = []
    admission = Admission(SMALL, refused.append)
    with admission.request() as first, admission.request() as second:
        with pytest.raises(Failure) as full, admission.request():
            pass
        assert (full.value.status, full.value.retry_after) == (503, 1)
        first.add_bytes(3_000_000)
        with pytest.raises(Failure) as full:
            second.add_bytes(2_000_000)
        assert full.value.status == 503
        first.add_pixels(3_000_000)
        with pytest.raises(Failure) as full:
            second.add_pixels(2_000_000)
        assert full.value.status == 503
    assert (admission.requests, admission.bytes, admission.pixels) == (0, 0, 0)
    assert refused == ["requests", "bytes", "pixels"]


def test_one_request_is_bounded_too() -> None:
    admission = Admission(SMALL)
    with admission.request() as ticket:
        with pytest.raises(Failure) as large:
            ticket.add_bytes(3_000_001)
        assert large.value.status == 413
        with pytest.raises(Failure) as large:
            ticket.add_pixels(3_000_001)
        assert large.value.status == 413


def test_a_client_has_a_rate_of_its_own() -> None:
    now = [0.0]
    rate = RateLimit(2.0, lambda: now[0])
    for _ in range(4):
        rate.take("a")
    with pytest.raises(Failure) as fast:
        rate.take("a")
    assert (fast.value.status, fast.value.retry_after) == (429, 1)
    rate.take("b")
    now[0] = 0.5
    rate.take("a")
    with pytest.raises(Failure):
        rate.take("a")
