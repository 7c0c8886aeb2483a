"""What Prometheus is told at `/metrics`: of requests, stages and findings, never of a scan or a key."""

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from inference.ensemble import Ensemble, Prediction

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 6, 8, 10, 15, 30, 60)
SHARES = (0, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own = self.registry
        self.requests = Counter(
            "tumor_requests", "Requests answered", ("method", "route", "status"), registry=own
        )
        self.request_seconds = Histogram(
            "tumor_request_seconds", "From header to answer", ("route",), buckets=SECONDS, registry=own
        )
        self.in_flight = Gauge("tumor_requests_in_flight", "Requests being answered", registry=own)
        self.refused = Counter(
            "tumor_refused", "Requests and connections turned away", ("reason",), registry=own
        )
        self.waiting = Gauge("tumor_scans_waiting", "Scans that wait or are worked on", registry=own)
        self.ready = Gauge("tumor_ready", "Whether scans are segmented: 1 or 0", registry=own)
        self.stage_seconds = Histogram(
            "tumor_stage_seconds", "Time of a scan's stages", ("stage",), buckets=SECONDS, registry=own
        )
        self.scans = Counter("tumor_scans", "Scans segmented, by number of views", ("views",), registry=own)
        self.detected = Counter("tumor_scans_detected", "Scans said to show tumour", registry=own)
        self.tumor_share = Histogram(
            "tumor_share", "Share of a scan's pixels marked as tumour", buckets=SHARES, registry=own
        )
        self.model_info = Info("tumor_model", "Which folds answer, and how", registry=own)

    def watch(self, *, waiting: Callable[[], float], ready: Callable[[], bool]) -> None:
        """Read these two whenever the metrics are."""
        self.waiting.set_function(waiting)
        self.ready.set_function(ready)

    def model(self, ensemble: Ensemble) -> None:
        """Tell which folds answer, and how."""
        self.model_info.info(
            {
                "engine": ensemble.engine.name,
                "folds": ",".join(f"{fold.name}:{fold.sha256[:12]}" for fold in ensemble.folds),
                "views": ",".join(ensemble.tta_ops),
                "threshold": str(ensemble.threshold),
            }
        )

    def segmented(self, prediction: Prediction, stages_s: Mapping[str, float]) -> None:
        """Count a scan, what was found, and how long each stage took."""
        for stage, seconds in stages_s.items():
            self.stage_seconds.labels(stage).observe(seconds)
        self.scans.labels(str(len(prediction.views))).inc()
        self.detected.inc(prediction.tumor_detected)
        self.tumor_share.observe(prediction.tumor_area_px / prediction.mask[..., 0].size)

    def text(self) -> bytes:
        """Return the metrics as Prometheus reads them."""
        return generate_latest(self.registry)
