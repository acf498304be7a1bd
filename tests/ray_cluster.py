"""A real Ray cluster on this machine: a head without CPUs and two workers of one CPU each, on 127.0.0.1 only."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

SETTINGS = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or Ray takes this machine's own address for 127.0.0.1
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
MEMORY = 80 * 2**20  # else Ray takes a third of the machine's


class Cluster:
    """The cluster; `kill` takes a worker away as a power cut does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        node = {"object_store_memory": MEMORY, "node_ip_address": "127.0.0.1", "include_dashboard": False}
        self._node, self._environment = {"num_cpus": 1, **node}, environment
        self._cluster = RayCluster(initialize_head=True, head_node_args={**node, "num_cpus": 0})
        self.restore()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def restore(self) -> None:
        """Two workers, whatever was killed."""
        with mock.patch.dict(os.environ, self._environment):
            while len(self._cluster.worker_nodes) < 2:
                self._cluster.add_node(**self._node)

    def kill(self) -> None:
        self._cluster.remove_node(next(iter(self._cluster.worker_nodes)), allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def running(**more: str) -> Iterator[Cluster]:
    """The cluster, with `more` in the environment of its nodes; nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="radloop-ray-") as home:
        environment = {**SETTINGS, "HOME": home, **more}
        with mock.patch.dict(os.environ, environment):
            cluster = Cluster(environment)
            try:
                yield cluster
            finally:
                cluster.shutdown()
