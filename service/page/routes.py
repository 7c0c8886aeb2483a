"""The routes of the page at `/ui`.

A scan goes through `Service.segment` like any other. What is found goes into the answer, all of it:
to cut a map at another threshold, the page sends the map back, with the signature that it came with.
"""

from collections.abc import Callable
from typing import TypeVarTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from inference.ensemble import Ensemble, Prediction
from inference.volumes.volume_scan import VolumeScan
from service.concurrency import wait_for_turn
from service.dependencies import VolumeDependency
from service.middleware import max_body_bytes
from service.page.assets import find_assets
from service.page.render import Pages
from service.page.rethreshold import Rethreshold, read_rethreshold
from service.page.samples import path_of, present
from service.page.signature import Signer
from service.page.threshold import apply_threshold
from service.problems import Refusal
from service.scan_content import Content, ScanContent
from service.segmentation import Service

Arguments = TypeVarTuple("Arguments")

DRAWN_AT_A_TIME = 1
"""So many results and cuts are drawn at a time: large ones take hundreds of megabytes."""

CUTS_WAITING = 8
"""So many maps wait at most to be cut. No more than one of them is before a result that is to be drawn."""


def add_page(app: FastAPI, service: Service) -> None:
    """Add the routes, which the API's document does not list."""
    page = Page(service)
    for method, path, route in (
        ("GET", "/ui", page.show),
        ("GET", "/ui/", page.move),
        ("GET", "/ui/assets/{name}", page.asset),
        ("GET", "/ui/samples/{name}", page.sample),
        ("POST", "/ui/samples/{name}", page.segment_sample),
        ("POST", "/ui/segment", page.segment),
        ("POST", "/ui/cut", page.rethreshold),
    ):
        methods = ["GET", "HEAD"] if method == "GET" else [method]
        app.add_api_route(path, route, methods=methods, include_in_schema=False, response_model=None)


class Page:
    """What the routes share: the service, the templates, and a limit to how much is drawn at a time."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.signer = Signer()
        self.pages = Pages(service.settings, self.signer)
        self.assets = find_assets()
        self.drawing = CapacityLimiter(DRAWN_AT_A_TIME)
        self.cutting = CapacityLimiter(1)

    async def show(self) -> HTMLResponse:
        """Answer the page."""
        return HTMLResponse(self.pages.page())

    async def move(self) -> RedirectResponse:
        """Send on to the page, by an address that holds behind any tunnel."""
        return RedirectResponse("../ui")

    async def asset(self, name: str) -> FileResponse:
        """Answer one of the page's files."""
        if name not in self.assets:
            raise HTTPException(404)
        return FileResponse(self.assets[name])

    async def sample(self, name: str) -> FileResponse:
        """Answer a sample's scan."""
        if name not in present():
            raise HTTPException(404)
        return FileResponse(path_of(name))

    async def segment_sample(self, name: str, request: Request) -> HTMLResponse:
        """Segment a sample, and answer the result."""
        if name not in present():
            raise HTTPException(404)
        return await self._segment(ScanContent(path_of(name).read_bytes(), is_picture=True), request)

    async def segment(self, content: VolumeDependency, request: Request) -> HTMLResponse:
        """Segment a scan or a volume, and answer the result."""
        return await self._segment(content, request)

    async def rethreshold(self, request: Request) -> HTMLResponse:
        """Cut at another threshold what a page took along, and answer what follows it."""
        ensemble = self._ensemble()
        self._check_room()
        chosen = await read_rethreshold(request, max_body_bytes(self.service.settings))
        self._check_room()
        await wait_for_turn(self.cutting, request)
        try:
            return HTMLResponse(await self._draw(self._rethreshold, chosen, ensemble))
        finally:
            self.cutting.release()

    async def _segment(self, content: Content, request: Request) -> HTMLResponse:
        """Segment a scan, and draw what was found while it still has its place among those admitted."""

        async def draw(prediction: Prediction, volume: VolumeScan | None) -> str:
            return await self._draw(self.pages.result, prediction, volume, self._ensemble())

        segmented = await self.service.segment(content, request, draw)
        request.state.findings = segmented.summary()
        return HTMLResponse(segmented.encoded)

    def _rethreshold(self, chosen: Rethreshold, ensemble: Ensemble) -> str:
        threshold = chosen.threshold_near(ensemble.threshold)
        segmented = chosen.open(self.signer).open()
        return self.pages.findings(
            apply_threshold(segmented, ensemble, threshold, may_blank=not chosen.unblank)
        )

    def _ensemble(self) -> Ensemble:
        if self.service.ensemble is None:
            self.service.check()
        assert self.service.ensemble is not None
        return self.service.ensemble

    def _check_room(self) -> None:
        """Raise `Refusal` where too many maps wait to be cut."""
        waiting = self.cutting.statistics().tasks_waiting
        if waiting >= CUTS_WAITING:
            detail = f"{waiting} maps are waiting to be cut, and no more may: try again in a moment"
            raise Refusal(503, detail, "queue_full", retry_after_s=1)

    async def _draw(self, draw: Callable[[*Arguments], str], *arguments: *Arguments) -> str:
        """Draw off the event loop, one at a time."""
        return await run_sync(draw, *arguments, limiter=self.drawing)
