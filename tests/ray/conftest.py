"""A Ray cluster of two nodes on this machine, for the whole session; without Ray its tests are skipped."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from inference.cli.ray.installation import use_installed_packages
from tests.conftest import ROOT

use_installed_packages()

CORES = 4  # as Ray counts: what a test's processes are given, and no more than a number
STORE_BYTES = 78 * 1024 * 1024

DEADLINE_S = "600"  # on a busy machine too, all views are seen, and nobody is late

QUICK = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
    "RAY_usage_stats_enabled": "0",
    "RAY_DEDUP_LOGS": "0",
}
"""A node's loss is noticed in seconds, and nothing is started that no test uses."""


class TwoNodes:
    """The cluster: one node stays, the other can be lost."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.other = self._add()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def lose_node(self) -> None:
        """Kill the other node, with all that runs on it."""
        self.cluster.remove_node(self.other, allow_graceful=False)
        self.other = None

    def restore(self) -> None:
        """Have two nodes again."""
        if self.other is None:
            self.other = self._add()

    def _add(self) -> Any:
        return self.cluster.add_node(num_cpus=CORES, object_store_memory=STORE_BYTES)


@pytest.fixture(scope="session")
def nodes() -> Iterator[TwoNodes]:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("DEADLINE_S", DEADLINE_S)
        patch.chdir(ROOT)
        head = {
            "num_cpus": CORES,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "resources": {"stays": 1},
        }
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            two = TwoNodes(cluster)
            ray.init(address=cluster.address, namespace="tests", log_to_driver=False, logging_level="ERROR")
            yield two
        finally:
            ray.shutdown()
            cluster.shutdown()


def processes(title: str) -> list[psutil.Process]:
    """Return the cluster's processes, all begun by this one, whose title has a word in it."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if title in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            pass
    return found
