"""What the routes are given: the service, and the scan of a request."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from service.messages import TumorPredictRequestDto
from service.segmentation import Service
from utils import Scan


async def get_service(request: Request) -> Service:
    """Return the service that answers a request."""
    service: Service = request.app.state.service
    return service


async def admit(service: Annotated[Service, Depends(get_service)]) -> AsyncIterator[None]:
    """Hold a place among the scans that are worked on or wait, for as long as the request lasts."""
    with service.admit():
        yield


async def read_scan(request: Request, service: Annotated[Service, Depends(get_service)]) -> Scan:
    """Decode the scan of a request: a multipart form with `file`, or JSON with `img`.

    What is no form is read as JSON whatever its content type says: `curl -d` names a form that it is not.
    """
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise HTTPException(422, "the form has no file named 'file'")
            return await service.decode(await file.read())
    try:
        body = TumorPredictRequestDto.model_validate_json(await request.body())
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None
    return await service.decode(body.img)


ServiceDependency = Annotated[Service, Depends(get_service)]
ScanDependency = Annotated[Scan, Depends(read_scan)]
