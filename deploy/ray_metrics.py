"""The service's metrics among Ray's own, so that those of every replica are scraped, on every node."""

import threading

from prometheus_client import CollectorRegistry
from ray.util.metrics import Gauge

EVERY_S = 10.0
PREFIX = "tumor_"


class Export:
    """Copies a registry's values to Ray, which exports them from each node as `ray_` and their name.

    Counters and buckets go as they stand: what `/metrics` says of one replica, Prometheus sees of all.
    """

    def __init__(self, registry: CollectorRegistry, replica: str) -> None:
        self.registry = registry
        self.replica = replica
        self._gauges: dict[str, Gauge] = {}

    def start(self) -> None:
        """Copy every few seconds, until the process ends."""
        threading.Thread(target=self._go_on, name="metrics", daemon=True).start()

    def copy(self) -> None:
        """Copy all values now."""
        for metric in self.registry.collect():
            for sample in metric.samples:
                if not sample.name.startswith(PREFIX):
                    continue
                tags = {"replica": self.replica} | sample.labels
                if sample.name not in self._gauges:
                    self._gauges[sample.name] = Gauge(sample.name, metric.documentation, tuple(tags))
                self._gauges[sample.name].set(sample.value, tags)

    def _go_on(self) -> None:
        pause = threading.Event()
        while not pause.wait(EVERY_S):
            self.copy()
