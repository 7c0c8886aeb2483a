"""The server: uvicorn, set up so that it lets go of strangers and finishes what it has begun."""

import asyncio
import signal
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from loguru import logger

from service.limits.connections import HEADER_BYTES, Connection, ConnectionConfig
from service.segmentation import Service

KEEP_ALIVE_S = 65
"""Longer than the minute for which proxies and tunnels commonly keep an idle connection."""

CUT_OFF_S = 1.0
"""What of the grace is left for telling those who are not answered yet."""

TICK_S = 0.05


class Server(uvicorn.Server):
    """Told to end, it first says that it is not ready, then finishes what it has taken on, then ends."""

    def __init__(self, app: FastAPI) -> None:
        self.service: Service = app.state.service
        self.has_cut_off = False
        config = ConnectionConfig(
            app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.max_connections = self.service.settings.max_connections
        config.metrics = self.service.metrics
        super().__init__(config)

    def end(self) -> None:
        """End in an orderly way, soon."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second Ctrl-C waits for nobody."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        self.service.drain()

    async def main_loop(self) -> None:
        """Serve until told to end; then go on answering until all scans are done or the grace is over."""
        await super().main_loop()
        grace_s = self.service.settings.shutdown_grace_s
        cut_off_s = min(CUT_OFF_S, grace_s / 2)
        due = time.monotonic() + grace_s - cut_off_s
        admission = self.service.admission
        if admission.inside:
            logger.info("ending: {} scans are finished first, for {:g} s at most", admission.inside, grace_s)
        while admission.inside and time.monotonic() < due and not self.force_exit:
            await asyncio.sleep(TICK_S)
        self.has_cut_off = admission.inside > 0
        self.config.timeout_graceful_shutdown = cut_off_s  # type: ignore[assignment]
