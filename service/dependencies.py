"""What the routes are given: the service, and the scan of a request."""

from typing import Annotated

from fastapi import Depends, Request

from service.middleware import max_body_bytes
from service.scan_content import ScanContent, read_content
from service.segmentation import Service


async def get_service(request: Request) -> Service:
    """Return the service that answers a request."""
    service: Service = request.app.state.service
    return service


ServiceDependency = Annotated[Service, Depends(get_service)]


async def read_scan(request: Request, service: ServiceDependency) -> ScanContent:
    """Return the scan of a request as it came; refuse it unread where it could not be segmented."""
    service.check()
    return await read_content(request, max_body_bytes(service.settings))


ContentDependency = Annotated[ScanContent, Depends(read_scan)]
