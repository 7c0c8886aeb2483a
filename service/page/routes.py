"""The routes of the page at `/ui`.

A scan goes through `Service.segment` like any other. What is found goes into the answer, all of it:
to cut a map at another threshold, the page sends the map back.
"""

from collections.abc import Callable
from typing import TypeVarTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

from inference.ensemble import Ensemble
from service.dependencies import ContentDependency
from service.middleware import max_body_bytes
from service.page.assets import find_assets
from service.page.cutting import cut
from service.page.recut import Recut, read_recut
from service.page.render import Pages
from service.page.samples import path_of, present
from service.problems import Refusal
from service.scan_content import ScanContent
from service.segmentation import Service

Arguments = TypeVarTuple("Arguments")

DRAWN_AT_A_TIME = 1
"""So many results are drawn at a time, and so many maps cut: large ones take hundreds of megabytes."""


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
        ("POST", "/ui/cut", page.cut),
    ):
        app.add_api_route(path, route, methods=[method], include_in_schema=False, response_model=None)


class Page:
    """What the routes share: the service, the templates, and a limit to how much is drawn at a time."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.pages = Pages(service.settings)
        self.assets = find_assets()
        self.drawing = CapacityLimiter(DRAWN_AT_A_TIME)

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

    async def segment(self, content: ContentDependency, request: Request) -> HTMLResponse:
        """Segment a scan, and answer the result."""
        return await self._segment(content, request)

    async def cut(self, request: Request) -> HTMLResponse:
        """Cut at another threshold what a page took along, and answer what follows it."""
        ensemble = self._ensemble()
        recut = await read_recut(request, max_body_bytes(self.service.settings))
        return await self._draw(self._cut, recut, ensemble)

    async def _segment(self, content: ScanContent, request: Request) -> HTMLResponse:
        segmented = await self.service.segment(content, request)
        request.state.findings = segmented.summary()
        return await self._draw(self.pages.result, segmented.prediction, self._ensemble())

    def _cut(self, recut: Recut, ensemble: Ensemble) -> str:
        threshold = recut.threshold_near(ensemble.threshold)
        return self.pages.findings(cut(recut.kept, ensemble, threshold, may_blank=not recut.unblank))

    def _ensemble(self) -> Ensemble:
        if self.service.ensemble is None:
            self.service.check()
        assert self.service.ensemble is not None
        return self.service.ensemble

    async def _draw(self, draw: Callable[[*Arguments], str], *arguments: *Arguments) -> HTMLResponse:
        """Draw off the event loop, a few at a time; raises `Refusal` where too many wait for that."""
        waiting = self.drawing.statistics().tasks_waiting
        if waiting >= self.service.settings.max_queue:
            detail = f"{waiting} results are waiting to be drawn, and no more may: try again in a moment"
            raise Refusal(503, detail, "queue_full", retry_after_s=1)
        return HTMLResponse(await run_sync(draw, *arguments, limiter=self.drawing))
