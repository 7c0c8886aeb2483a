"""What the routes are given: the service, and the scan of a request."""

from typing import Annotated

from fastapi import Depends, Query, Request

from inference.volumes.grey_scale import SUV_MAX
from inference.volumes.options import VolumeOptions, parse_spacing
from service.middleware import max_body_bytes, max_volume_bytes
from service.scan_content import Content, ScanContent, read_content, read_volume_content
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


async def read_scan_or_volume(
    request: Request,
    service: ServiceDependency,
    spacing: Annotated[
        str | None, Query(description="Of a NumPy volume: mm along its three axes, such as 4,2.5,2.5")
    ] = None,
    orientation: Annotated[
        str | None,
        Query(description="Of a volume that does not say it: where its axes point, such as SPL"),
    ] = None,
    suv_max: Annotated[
        float, Query(gt=0, le=1000, description="Of a volume: the SUV that is drawn black")
    ] = SUV_MAX,
) -> Content:
    """Return the scan or the volume of a request as it came; refuse it unread as `read_scan` does."""
    service.check()
    return await read_volume_content(
        request,
        VolumeOptions(parse_spacing(spacing), orientation, suv_max),
        max_bytes=max_body_bytes(service.settings),
        max_volume_bytes=max_volume_bytes(service.settings),
    )


VolumeDependency = Annotated[Content, Depends(read_scan_or_volume)]
