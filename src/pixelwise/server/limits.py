"""Limits of the server, and the admission of requests: a queue bounded in requests, bytes, pixels and seconds."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from pixelwise.server.failures import Failure
from pixelwise.server.pace import Pace

FREE_PLACES = 16
"""Requests that may wait however slow the model is: a client with a few connections is not refused."""

_MAX_CLIENTS = 10_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server accepts.

    The descriptions are also the help of the options on the command line.

    Attributes
    ----------
    max_megabytes : int
        Largest image file of a request, in megabytes.
    max_megapixels : int
        Largest image of a request, in megapixels.
    queue_requests : int
        Requests that may wait or be computed at the same time.
    queue_megabytes : int
        Sum of their image files, in megabytes.
    queue_megapixels : int
        Sum of their images, in megapixels.
    queue_seconds : float
        Expected seconds of all waiting requests, by the measured speed; the first ones are admitted in any case.
    deadline : float
        Seconds after which a prediction is given up.
    requests_per_second : float
        Predictions that one client address may request per second; twice as many at once.
    """

    max_megabytes: int = 256
    max_megapixels: int = 64
    queue_requests: int = 64
    queue_megabytes: int = 1024
    queue_megapixels: int = 256
    queue_seconds: float = 0.5
    deadline: float = 120.0
    requests_per_second: float = 100.0


class Ticket:
    """The place of one request in the queue; it grows when its size becomes known."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self.bytes = self.pixels = 0

    def add_bytes(self, count: int) -> None:
        """Count bytes of the request; raises `Failure` if it or the queue becomes too large."""
        limits = self._admission.limits
        self.bytes += count
        self._admission.bytes += count
        if self.bytes > limits.max_megabytes * 10**6:
            raise Failure(413, "too_large", f"Send an image file of at most {limits.max_megabytes} MB.")
        if self._admission.bytes > limits.queue_megabytes * 10**6:
            raise self._admission.full("bytes")

    def release_bytes(self, count: int) -> None:
        """Take back bytes that were only announced."""
        self.bytes -= count
        self._admission.bytes -= count

    def add_pixels(self, count: int) -> None:
        """Count pixels of the image; raises `Failure` if it or the queue becomes too large."""
        limits = self._admission.limits
        if count > limits.max_megapixels * 10**6:
            raise Failure(413, "too_large", f"Send an image of at most {limits.max_megapixels} megapixels.")
        self._admission.sized += not self.pixels
        self.pixels += count
        self._admission.pixels += count
        if self._admission.pixels > limits.queue_megapixels * 10**6:
            raise self._admission.full("pixels")


class Admission:
    """Admits requests while the queue is not full.

    Attributes
    ----------
    requests, bytes, pixels : int
        What is admitted and not finished.
    sized : int
        The requests whose pixels are known.
    pace : Pace
        Updated by those who compute.

    Examples
    --------
    >>> admission = Admission(Limits(queue_requests=1))
    >>> with admission.request():
    ...     admission.requests
    1
    >>> admission.requests
    0
    """

    def __init__(self, limits: Limits, on_refusal: Callable[[str], object] = lambda reason: None) -> None:
        self.limits, self._on_refusal = limits, on_refusal
        self.requests = self.bytes = self.pixels = self.sized = 0
        self.pace = Pace()
        self.draining = False

    @contextmanager
    def request(self) -> Generator[Ticket, None, None]:
        """Hold a place in the queue.

        Raises
        ------
        Failure
            503 if the queue is full or the server is about to stop.
        """
        if self.draining:
            raise self.full("draining")
        if self.requests >= self.limits.queue_requests:
            raise self.full("requests")
        if self.requests >= FREE_PLACES and self.seconds > self.limits.queue_seconds:
            raise self.full("seconds")
        self.requests += 1
        ticket = Ticket(self)
        try:
            yield ticket
        finally:
            self.requests -= 1
            self.bytes -= ticket.bytes
            self.pixels -= ticket.pixels
            self.sized -= ticket.pixels > 0

    @property
    def seconds(self) -> float:
        """How long it will take to finish what is admitted."""
        return self.pace.seconds(self.pixels, self.requests - self.sized)

    def full(self, reason: str) -> Failure:
        """Return the refusal, and count it."""
        self._on_refusal(reason)
        if reason == "draining":
            return Failure(503, "draining", "The server is stopping.", retry_after=5)
        wait = max(1, math.ceil(self.seconds))
        return Failure(503, "queue_full", f"Too much work is waiting ({reason}); try again later.", retry_after=wait)


class RateLimit:
    """A token bucket per client.

    Parameters
    ----------
    clock : callable
        Seconds, for tests.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, max(1.0, 2 * per_second), clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Take one token of a client.

        Raises
        ------
        Failure
            429 if the bucket is empty.
        """
        now = self._clock()
        tokens, since = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = tokens - allowed, now
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = max(1, round((1 - tokens) / self._rate))
            raise Failure(429, "too_many_requests", "This client sends too many requests.", retry_after=wait)
