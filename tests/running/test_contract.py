"""Schemathesis asks all that the OpenAPI document allows, and much that it does not.

Every status, content type and schema that comes back has to be in the document, and none may be a 5xx.
`TUMOR_TEST_EXAMPLES=1200` asks over 2,000 times; CI has time for fewer.
"""

import os
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api import create_app
from tests.conftest import ANSWER_DEADLINE_S, Server, plain_settings

EXAMPLES = int(os.environ.get("TUMOR_TEST_EXAMPLES", "8"))
DOCUMENT = create_app(plain_settings()).openapi()

schema = schemathesis.openapi.from_dict(DOCUMENT)


def test_the_service_shows_the_document_that_is_tested(server: Server) -> None:
    assert server.get("/openapi.json").json() == DOCUMENT


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_the_service_does_what_its_document_says(case: Case[Any], server: Server) -> None:
    # a string that is no scan is refused, though a schema cannot say what a scan is
    case.call_and_validate(
        base_url=server.url, excluded_checks=[positive_data_acceptance], timeout=ANSWER_DEADLINE_S
    )
