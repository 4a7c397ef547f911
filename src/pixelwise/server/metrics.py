"""Metrics of the server in the format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pixelwise.server.limits import Admission

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_ROUTES = ("predict", "v2", "metrics", "tiles", "labels", "api", "static", "open", "openapi.json", "docs", "")


class Metrics:
    """Counters, gauges and histograms with a registry of their own, so that several servers fit into one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "pixelwise_requests", "Answers by route and status.", ("route", "status"), registry=self.registry
        )
        self.refusals = Counter(
            "pixelwise_refusals", "Requests refused because the queue was full.", ("reason",), registry=self.registry
        )
        self.restarts = Counter(
            "pixelwise_worker_restarts",
            "Restarts of workers that died.",
            ("worker",),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "pixelwise_prediction_seconds",
            "Time of predictions: receive, wait and compute.",
            ("step",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "pixelwise_batch_images", "Images computed together.", buckets=(1, 2, 4, 8, 16), registry=self.registry
        )

    def watch(self, admission: Admission) -> None:
        """Report the queue."""
        for name, text, read in (
            ("requests", "Requests that wait or are computed.", lambda: admission.requests),
            ("bytes", "Bytes of their image files.", lambda: admission.bytes),
            ("pixels", "Pixels of their images.", lambda: admission.pixels),
            ("seconds", "How long they will take, by the measured speed.", lambda: admission.seconds),
        ):
            Gauge(f"pixelwise_queue_{name}", text, registry=self.registry).set_function(read)

    def count_answer(self, method: str, path: str, status: int) -> None:
        """Count an answer; unknown paths share one label, so that clients cannot create labels."""
        del method
        route = path.split("/", 2)[1] if path.startswith("/") else ""
        self.requests.labels(route if route in _ROUTES else "other", str(status)).inc()

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self.registry)
