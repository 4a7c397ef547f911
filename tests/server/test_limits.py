"""The queue and the rate limit, without a server."""

from contextlib import ExitStack

import pytest

from pixelwise.server.failures import Failure
from pixelwise.server.limits import FREE_PLACES, Admission, Limits, RateLimit

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


@pytest.mark.parametrize(("seconds", "places"), [(0.5, 40), (1.0, 20), (10.0, FREE_PLACES)])
def test_the_queue_is_bounded_in_seconds_by_the_measured_speed(seconds: float, places: int) -> None:
    admission = Admission(Limits(queue_seconds=19.5, queue_requests=40))
    admission.pace.note(4, 4000, began=0.0, ended=4 * seconds)
    with ExitStack() as stack:
        for number in range(places):
            ticket = stack.enter_context(admission.request())
            if number % 2:  # the size of the others is not known yet
                ticket.add_pixels(1000)
        assert admission.seconds == pytest.approx(places * seconds)
        with pytest.raises(Failure) as full:
            stack.enter_context(admission.request())
    assert full.value.retry_after == places * seconds
    assert (admission.requests, admission.sized, admission.seconds) == (0, 0, 0)


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
