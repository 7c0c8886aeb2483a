"""The service on a Ray cluster: `serve run deploy.ray_serve:app`, or `serve deploy deploy/serve.yaml`.

Two deployments: the service as it is everywhere, which decodes, admits and encodes, and the ensemble,
of which there are as many replicas as the load asks for.
"""

import asyncio
import time
from typing import Any

from fastapi import FastAPI
from ray import serve

from api import create_app
from deploy.ray_ensemble import EnsembleReplica
from deploy.ray_metrics import Export
from deploy.ray_provider import RETRY_S, RayProvider
from inference.settings import read_settings
from service.operation.logs import configure_logging
from service.operation.readiness import State
from service.segmentation import Service

START_S = 20
TICK_S = 0.05
QUIET = {"enable_access_log": False}
"""The service has a line of its own for each request."""


class Ingress:
    """The FastAPI service, whose ensemble is a deployment's."""

    def __init__(self, ensemble: Any) -> None:
        self.settings = read_settings()
        configure_logging(self.settings, to_file=False)
        self.ensemble = ensemble
        self.has_failed = False

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the app that Ray Serve sends requests to."""
        app = create_app(self.settings, provider=RayProvider(self.ensemble, self.settings))
        self.service: Service = app.state.service
        self.service.on_failure = self._fail
        Export(self.service.metrics.registry, serve.get_replica_context().replica_tag).start()
        return app

    async def check_health(self) -> None:
        """Raise, so that this replica is replaced, where the service could not start.

        Ray Serve asks before it sends the first request: while the service starts, it is kept waiting.
        """
        due = time.monotonic() + START_S
        while self.service.state is State.STARTING and time.monotonic() < due:
            await asyncio.sleep(TICK_S)
        if self.has_failed:
            raise RuntimeError("the service could not start: its log says why")

    def _fail(self) -> None:
        self.has_failed = self.service.state is State.FAILED


ensemble_deployment = serve.deployment(
    EnsembleReplica,
    name="Ensemble",
    ray_actor_options={"num_cpus": 2},
    autoscaling_config={
        "min_replicas": 1,
        "max_replicas": 8,
        "target_ongoing_requests": 2,
        "upscale_delay_s": 10,
        "downscale_delay_s": 300,
    },
    max_ongoing_requests=3,
    max_queued_requests=48,
    health_check_period_s=10,
    health_check_timeout_s=30,
    graceful_shutdown_wait_loop_s=1,
    graceful_shutdown_timeout_s=30,
    logging_config=QUIET,
)

ingress_deployment = serve.deployment(
    serve.ingress()(Ingress),
    name="Ingress",
    ray_actor_options={"num_cpus": 1},
    num_replicas=2,
    max_ongoing_requests=512,
    max_queued_requests=512,
    backpressure_config={"retry_after_s": RETRY_S},
    health_check_period_s=10,
    health_check_timeout_s=30,
    graceful_shutdown_wait_loop_s=1,
    graceful_shutdown_timeout_s=40,
    logging_config=QUIET,
)

app = ingress_deployment.bind(ensemble_deployment.bind())
